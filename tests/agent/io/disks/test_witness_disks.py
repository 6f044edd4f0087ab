"""Witness and copies on a LUN keep what those in a folder keep, and outlive their target."""

import asyncio
import itertools
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from agent.copy_record import DatabaseCopy
from agent.disks.witness_area import COPIES_AT_BYTES
from agent.io.disks.connection import Portal
from agent.io.disks.loop import DiskLoop
from agent.io.disks.targets import Account
from agent.io.disks.witness_disks import WitnessDisks, WitnessLun
from agent.volumes.errors import Conflict
from lab.tgtd import TARGET
from protocol.disks import WITNESS_BYTES_MIN, DiskId
from protocol.errors import NotReady, PeerUnreachable
from protocol.names import Incarnation
from tests.agent import copy_port, witness_port
from tests.agent.copy_port import CopyPortContract, copy_of
from tests.agent.io.disks.ground import Relay
from tests.agent.witness_port import WitnessPortContract, record

LUNS = 40
SIZE_BYTES = WITNESS_BYTES_MIN


class San:
    """A target that can be killed and begun again where it was."""

    def __init__(self, folder: Path, sizes: list[int]) -> None:
        self.folder = folder
        self._sizes = sizes
        self.ports: list[int] = [0, 0]
        self.disks: list[DiskId] = []
        self.begin()

    def begin(self) -> None:
        ready_fd, told_fd = os.pipe()
        words = [sys.executable, "-m", "san", "--name", "san", "--state-dir", str(self.folder)]
        words += ["--target", TARGET, "--ready-fd", str(told_fd)]
        for number, size in enumerate(self._sizes):
            words += ["--lun", f"lun{number}={size}"]
        for port in self.ports:
            words += ["--portal", f"127.0.0.1:{port}"]
        log = (self.folder.parent / "san.log").open("ab")
        self._process = subprocess.Popen(words, pass_fds=(told_fd,), stdout=log, stderr=log)
        os.close(told_fd)
        log.close()
        with os.fdopen(ready_fd) as told:
            line = told.readline()
        assert line.startswith("ready "), (self.folder.parent / "san.log").read_text()
        said = json.loads(line.removeprefix("ready "))
        self.ports = [int(portal.rpartition(":")[2]) for portal in said["portals"]]
        self.disks = [DiskId(naa) for naa in said["luns"].values()]

    def image(self, number: int) -> Path:
        return self.folder / "luns" / f"lun{number}.img"

    def stop(self, how: signal.Signals) -> None:
        self._process.send_signal(how)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()


@pytest.fixture(scope="module")
def san(tmp_path_factory: pytest.TempPathFactory) -> Iterator[San]:
    sizes = [SIZE_BYTES] * LUNS + [1 << 20]
    running = San(tmp_path_factory.mktemp("target") / "san", sizes)
    yield running
    running.kill()


@pytest.fixture(scope="module")
def thread() -> Iterator[DiskLoop]:
    thread = DiskLoop()
    thread.start()
    yield thread
    asyncio.run(thread.stop())


_numbers = itertools.count()
Node = Callable[..., WitnessLun]


class Way:
    """One blank disk, and nodes that come to it; each call is one more node."""

    def __init__(self, san: San, thread: DiskLoop, number: int | None = None) -> None:
        self.san, self.thread = san, thread
        self.number = next(_numbers) if number is None else number
        self.disk = san.disks[self.number]
        self._nodes = itertools.count()
        self._made: list[WitnessDisks] = []

    def node(self, name: str = "", life: int = 1, ports: list[int] | None = None) -> WitnessLun:
        name = name or f"node{next(self._nodes)}"
        portals = [Portal("127.0.0.1", port) for port in ports or self.san.ports]
        account = Account(f"iqn.2026-01.test:{name}", TARGET)
        disks = WitnessDisks(self.thread, portals, account)
        disks.begin(Incarnation(f"{name}#{life}"))
        self._made.append(disks)
        return disks.at(self.disk)

    def end(self) -> None:
        for disks in self._made:
            asyncio.run_coroutine_threadsafe(disks.end(), self.thread.loop).result(10)


@pytest.fixture
def way(san: San, thread: DiskLoop) -> Iterator[Way]:
    way = Way(san, thread)
    yield way
    way.end()


class TestRecords(WitnessPortContract):
    @pytest.fixture
    def port(self, way: Way) -> witness_port.Ways:
        return way.node


class Holding:
    """A node that holds the witness, as only such a one keeps copies."""

    def __init__(self, lun: WitnessLun) -> None:
        self._lun = lun

    def keep(self, copy: DatabaseCopy) -> None:
        version, _ = self._lun.read()
        assert self._lun.write_if(version, record("x"))
        self._lun.keep(copy)

    def newest(self) -> DatabaseCopy | None:
        return self._lun.newest()


class TestCopies(CopyPortContract):
    @pytest.fixture
    def copies(self, way: Way) -> copy_port.Ways:
        return lambda: Holding(way.node())


def test_who_was_preempted_keeps_no_copy_and_writes_no_record(way: Way) -> None:
    first, second = way.node(), way.node()
    assert first.write_if(0, record("a#1"))
    first.keep(copy_of(1, 1))
    assert second.write_if(1, record("b#1"))

    assert not first.write_if(1, record("a#1"))
    with pytest.raises(NotReady, match="does not hold"):
        first.keep(copy_of(9, 9))

    assert second.read() == (2, record("b#1"))
    assert second.newest() == copy_of(1, 1)


def test_who_was_preempted_may_take_it_back_in_the_same_life(way: Way) -> None:
    first, second = way.node(), way.node()
    for version in range(0, 20, 2):
        assert first.write_if(version, record("a#1", version))
        assert second.write_if(version + 1, record("b#1", version))

    assert first.read() == (20, record("b#1", 18))


def test_a_new_life_of_a_node_goes_on_where_the_last_one_was_and_that_one_is_out(way: Way) -> None:
    old = way.node("a", 1)
    assert old.write_if(0, record("a#1"))
    new = way.node("a", 2)
    assert new.read() == (1, record("a#1"))
    assert new.write_if(1, record("a#2"))

    for _ in range(3):
        with pytest.raises((PeerUnreachable, Conflict)):
            old.write_if(2, record("a#1"))

    assert new.read() == (2, record("a#2"))


@pytest.fixture
def apart(tmp_path: Path, thread: DiskLoop) -> Iterator["Way"]:
    """A target of its own, which may be killed."""
    san = San(tmp_path / "san", [SIZE_BYTES])
    way = Way(san, thread, 0)
    yield way
    way.end()
    san.kill()


def test_a_restart_of_the_san_keeps_the_holder_and_what_it_wrote(apart: Way) -> None:
    first, second = apart.node(), apart.node()
    assert first.write_if(0, record("a#1"))
    first.keep(copy_of(3, 4))

    apart.san.kill()
    with pytest.raises(PeerUnreachable):
        first.read()
    apart.san.begin()

    with pytest.raises(NotReady, match="does not hold"):
        second.keep(copy_of(9, 9))
    first.keep(copy_of(3, 5))
    assert first.write_if(1, record("a#1", 2))
    assert second.read() == (2, record("a#1", 2))
    assert second.newest() == copy_of(3, 5)


def test_a_san_that_hangs_is_told_in_time_and_is_used_again(way: Way, san: San) -> None:
    node = way.node()
    assert node.write_if(0, record("a#1"))
    san.stop(signal.SIGSTOP)
    try:
        with pytest.raises(PeerUnreachable):
            node.write_if(1, record("a#1", 2))
    finally:
        san.stop(signal.SIGCONT)

    version, _ = node.read()
    assert version in (1, 2)
    assert node.write_if(version, record("a#1", 3))


def test_a_path_that_is_lost_leaves_the_other(way: Way, san: San, thread: DiskLoop) -> None:
    relay = Relay()
    port = asyncio.run_coroutine_threadsafe(relay.listen(san.ports[0]), thread.loop).result(10)
    node = way.node(ports=[port, san.ports[1]])
    assert node.write_if(0, record("a#1"))

    asyncio.run_coroutine_threadsafe(relay.close(), thread.loop).result(10)
    version = 1
    for _ in range(3):
        try:
            version, _ = node.read()
            break
        except PeerUnreachable:
            continue

    assert version == 1
    assert node.write_if(1, record("a#1", 2))


def test_a_disk_with_something_on_it_is_not_taken(way: Way) -> None:
    with way.san.image(way.number).open("r+b") as image:
        image.write(b"\xeb\x3c\x90 somebody's boot sector")

    with pytest.raises(NotReady, match="something else"):
        way.node().write_if(0, record("a#1"))


def test_damage_is_noticed_and_no_free_witness(way: Way) -> None:
    node = way.node()
    assert node.write_if(0, record("a#1"))
    with way.san.image(way.number).open("r+b") as image:
        image.seek(32 * 1024 + 40)
        image.write(b"\xff\xff")

    with pytest.raises(NotReady, match="cannot be read"):
        node.read()


def test_a_damaged_copy_is_a_failure_and_not_an_older_one(way: Way) -> None:
    node = way.node()
    assert node.write_if(0, record("a#1"))
    node.keep(copy_of(1, 1, b"x" * 10_000))
    with way.san.image(way.number).open("r+b") as image:
        image.seek(COPIES_AT_BYTES + 4096 + 5_000)
        image.write(b"y")

    with pytest.raises(NotReady, match="cannot be read"):
        node.newest()


def test_a_disk_that_is_too_small_or_not_there_is_said_with_its_reason(
    way: Way, san: San, thread: DiskLoop
) -> None:
    account = Account("iqn.2026-01.test:a", TARGET)
    disks = WitnessDisks(thread, [Portal("127.0.0.1", san.ports[0])], account)
    disks.begin(Incarnation("a#1"))

    with pytest.raises(NotReady, match="a witness needs"):
        disks.at(san.disks[LUNS]).read()
    with pytest.raises(NotReady, match="shows this node no disk"):
        disks.at(DiskId("3000000000000000")).read()
    asyncio.run_coroutine_threadsafe(disks.end(), thread.loop).result(10)
