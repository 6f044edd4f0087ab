import asyncio
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from agent.actions import ReadWitness, WriteWitness
from agent.events import WitnessEvent, WitnessFailed, WitnessRead, WitnessWritten
from agent.io import witness as module
from agent.io.witness import KEPT, WitnessDoor, WitnessFolder
from agent.witness_record import WitnessPort, WitnessRecord
from protocol.errors import NotReady, PeerUnreachable
from protocol.names import Witness, WitnessKind
from tests.agent.witness_port import Ways, WitnessPortContract, record


class TestFolder(WitnessPortContract):
    @pytest.fixture
    def port(self, tmp_path: Path) -> Ways:
        return lambda: WitnessFolder(tmp_path)


# ---- the folder


def names(path: Path) -> set[str]:
    return {found.name for found in path.iterdir()}


def test_old_versions_go_and_nothing_else_is_left(tmp_path: Path) -> None:
    folder = WitnessFolder(tmp_path)
    (tmp_path / "notes.txt").write_text("not ours")
    (tmp_path / f".fresh-1-{'0' * 32}").write_bytes(b"of a writer that died")

    for version in range(2 * KEPT):
        assert folder.write_if(version, record("a#1"))

    kept = {f"record-{number}" for number in range(KEPT + 1, 2 * KEPT + 1)}
    assert names(tmp_path) == kept | {"notes.txt"}


class LateLink(WitnessFolder):
    """A writer that is frozen between its look and its link: `meanwhile` happens then."""

    def __init__(self, path: Path, meanwhile: Callable[[], None]) -> None:
        super().__init__(path)
        self.meanwhile = meanwhile

    def _put(self, path: Path, content: bytes) -> None:
        super()._put(path, content)
        self.meanwhile()


@pytest.mark.parametrize("others", [1, KEPT, 3 * KEPT])
def test_a_writer_that_was_frozen_is_told_no_however_long_ago_it_looked(
    tmp_path: Path, others: int
) -> None:
    folder = WitnessFolder(tmp_path)
    assert folder.write_if(0, record("a#1"))

    def meanwhile() -> None:
        for version in range(1, others + 1):
            assert folder.write_if(version, record("b#1", version))

    assert not LateLink(tmp_path, meanwhile).write_if(1, record("a#1"))

    assert folder.read() == (others + 1, record("b#1", others))
    assert folder.write_if(others + 1, record("b#1"))


def test_a_frozen_writer_keeps_nobody_out(tmp_path: Path) -> None:
    """In a process of its own, stopped between its look and its link."""
    fork = multiprocessing.get_context("fork")
    here, there = fork.Pipe()

    def write() -> None:
        def stop() -> None:
            os.kill(os.getpid(), signal.SIGSTOP)

        there.send(LateLink(tmp_path, stop).write_if(0, record("a#1")))

    frozen = fork.Process(target=write)
    frozen.start()
    assert frozen.pid is not None
    os.waitid(os.P_PID, frozen.pid, os.WSTOPPED | os.WNOWAIT)

    folder = WitnessFolder(tmp_path)
    assert folder.write_if(0, record("b#1"))
    assert folder.write_if(1, record("b#1", 2))
    os.kill(frozen.pid, signal.SIGCONT)

    assert here.recv() is False
    frozen.join()
    assert folder.read() == (2, record("b#1", 2))


def _race(path: Path, name: str, won: "multiprocessing.connection.Connection") -> None:
    folder, versions = WitnessFolder(path), []
    for _ in range(10):
        version, _ = folder.read()
        if folder.write_if(version, record(name, version)):
            versions.append(version)
    won.send(versions)


def test_of_eight_processes_one_writes_each_version(tmp_path: Path) -> None:
    fork = multiprocessing.get_context("fork")
    ends = [fork.Pipe() for _ in range(8)]
    racers = [
        fork.Process(target=_race, args=(tmp_path, f"n{number}", there))
        for number, (_, there) in enumerate(ends)
    ]
    for racer in racers:
        racer.start()

    won = [version for here, _ in ends for version in here.recv()]
    for racer in racers:
        racer.join()

    assert len(won) == len(set(won)), "no version was written twice"
    newest, _ = WitnessFolder(tmp_path).read()
    assert newest == max(won) + 1


@pytest.mark.parametrize(
    "content", [b"", b"\xc1", b"\x93\x01\x00\xc4\x01x", b"\x93\x02\x00\xc4\x00"]
)
def test_a_record_that_cannot_be_read_is_not_taken_for_a_free_witness(
    tmp_path: Path, content: bytes
) -> None:
    WitnessFolder(tmp_path).write_if(0, record("a#1"))
    (tmp_path / "record-2").write_bytes(content)

    with pytest.raises(NotReady, match=r"record-2 cannot be read .* another witness"):
        WitnessFolder(tmp_path).read()


def test_a_truncated_record_is_noticed(tmp_path: Path) -> None:
    WitnessFolder(tmp_path).write_if(0, record("a#1"))
    path = tmp_path / "record-1"
    content = path.read_bytes()

    for flipped in range(0, len(content), 7):
        damaged = bytearray(content)
        damaged[flipped] ^= 0x40
        path.write_bytes(damaged)
        with pytest.raises(NotReady):
            WitnessFolder(tmp_path).read()
    path.write_bytes(content[:-1])
    with pytest.raises(NotReady):
        WitnessFolder(tmp_path).read()


def test_a_folder_that_is_not_there_is_said_to_be_wanted(tmp_path: Path) -> None:
    folder = WitnessFolder(tmp_path / "away")

    with pytest.raises(PeerUnreachable, match=r"cannot be used .* must be there"):
        folder.read()
    with pytest.raises(PeerUnreachable):
        folder.write_if(0, record("a#1"))
    assert not (tmp_path / "away").exists()


class NoLinks(WitnessFolder):
    """A share that takes no new file: read-only, full, or without links."""

    def _put(self, path: Path, content: bytes) -> None:
        raise OSError(30, "Read-only file system")


def test_a_folder_that_takes_no_file_can_be_read_and_says_why_it_is_not_written(
    tmp_path: Path,
) -> None:
    WitnessFolder(tmp_path).write_if(0, record("a#1"))
    folder = NoLinks(tmp_path)

    assert folder.read() == (1, record("a#1"))
    with pytest.raises(PeerUnreachable, match="Read-only file system"):
        folder.write_if(1, record("b#1"))
    assert names(tmp_path) == {"record-1"}


# ---- the way to it


class Slow:
    """A port that answers when it is told to."""

    def __init__(self, path: Path) -> None:
        self.folder = WitnessFolder(path)
        self.may_answer = threading.Event()

    def read(self) -> tuple[int, WitnessRecord | None]:
        self.may_answer.wait(20.0)
        return self.folder.read()

    def write_if(self, version: int, record: WitnessRecord) -> bool:
        self.may_answer.wait(20.0)
        return self.folder.write_if(version, record)


class Way:
    """A door on the test's own loop, and what came through it."""

    def __init__(self, path: Path, port: Callable[[Path], WitnessPort] = WitnessFolder) -> None:
        self.witness = Witness("w", WitnessKind.SHARE, str(path))
        self.events: asyncio.Queue[WitnessEvent] = asyncio.Queue()
        self.timers: list[Callable[[], None]] = []
        loop = asyncio.get_running_loop()
        self.door = WitnessDoor(
            self.events.put_nowait,
            lambda _, call: self.timers.append(call),
            loop.call_soon_threadsafe,
            port,
        )

    def read(self, begun_at: float) -> None:
        self.door.go(ReadWitness(self.witness, begun_at))

    async def next(self) -> WitnessEvent:
        return await asyncio.wait_for(self.events.get(), 20.0)


async def test_looks_and_writes_come_back_as_events_with_their_beginning(tmp_path: Path) -> None:
    way = Way(tmp_path)

    way.read(1.0)
    assert await way.next() == WitnessRead(0, None, 1.0)
    way.door.go(WriteWitness(way.witness, 0, record("a#1"), 2.0))
    assert await way.next() == WitnessWritten(0, True, 2.0)
    way.door.go(WriteWitness(way.witness, 0, record("b#1"), 3.0))
    assert await way.next() == WitnessWritten(0, False, 3.0)
    for ring in way.timers:
        ring()
    assert way.events.empty(), "what was answered does not fail afterwards"


async def test_a_folder_that_is_away_is_a_failure_with_its_reason(tmp_path: Path) -> None:
    way = Way(tmp_path / "away")

    way.read(1.0)

    failed = await way.next()
    assert isinstance(failed, WitnessFailed)
    assert "must be there" in failed.reason


async def test_a_share_that_hangs_fails_in_time_and_its_late_answer_is_nobodys(
    tmp_path: Path,
) -> None:
    slow = Slow(tmp_path)
    way = Way(tmp_path, lambda _: slow)
    way.door.go(WriteWitness(way.witness, 0, record("a#1"), 1.0))

    way.timers[0]()
    failed = await way.next()
    assert isinstance(failed, WitnessFailed)
    assert failed.begun_at == 1.0
    assert f"did not answer for {module.ANSWER_MAX_S:g} s" in failed.reason
    way.read(2.0)
    again = await way.next()
    assert isinstance(again, WitnessFailed)
    assert again.begun_at == 2.0, "one at a time"

    slow.may_answer.set()
    while threads := [thread for thread in threading.enumerate() if thread.name == "witness"]:
        await asyncio.to_thread(threads[0].join)
    await asyncio.sleep(0)
    assert way.events.empty()
    way.read(3.0)
    assert await way.next() == WitnessRead(1, record("a#1"), 3.0), "it was done, and is seen"
