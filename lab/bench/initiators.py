"""Initiators against each other on a target that is not ours, and targets against each other with
one initiator: in turns, as ratios with their spread.
"""

import asyncio
import contextlib
import json
import os
import random
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import rich.table
import uvloop

from agent.io.disks.connection import Portal
from agent.io.disks.device import IscsiLun
from agent.io.disks.targets import Account, IscsiLuns, Settings
from lab.bench.page_path import in_words
from lab.tgtd import TARGET, tgtd

LUN_BYTES = 256 << 20
SMALL_BYTES, LARGE_BYTES = 4096, 1 << 20
SMALL_DEPTH, LARGE_DEPTH = 32, 4
RUN_S = 2.0
ROUNDS_MAX = 10
GOAL_INITIATOR, GOAL_TARGET, GOAL_TARGET_SMALL = 0.3, 1.0, 0.3
IQN = "iqn.2026-01.hvlab:bench"


@dataclass(slots=True)
class Duel:
    """One kind of load, and what both sides managed, a pair for each round, in bytes per second."""

    name: str
    goal: float
    ours: list[float] = field(default_factory=list)
    theirs: list[float] = field(default_factory=list)

    @property
    def ratios(self) -> list[float]:
        return [mine / other for mine, other in zip(self.ours, self.theirs, strict=True)]

    def as_data(self) -> dict[str, object]:
        return {
            "goal": self.goal,
            "ratio": statistics.median(self.ratios),
            "ratios": self.ratios,
            "ours_bytes_per_s": self.ours,
            "theirs_bytes_per_s": self.theirs,
        }


@dataclass(frozen=True, slots=True)
class Place:
    """Where a target listens, and the number of its disk."""

    port: int
    lun: int


@contextmanager
def foreign(folder: Path) -> Iterator[Place]:
    with tgtd(folder, (LUN_BYTES,)) as running:
        yield Place(running.ports[0], 1)


@contextmanager
def own(folder: Path, lun_bytes: int = LUN_BYTES) -> Iterator[Place]:
    ready_fd, told_fd = os.pipe()
    words = [sys.executable, "-m", "san", "--name", "san", "--state-dir", str(folder / "san")]
    words += ["--target", TARGET, "--lun", f"one={lun_bytes}", "--portal", "127.0.0.1:0"]
    with (folder / "san.log").open("wb") as log:
        words += ["--ready-fd", str(told_fd)]
        process = subprocess.Popen(words, pass_fds=(told_fd,), stdout=log, stderr=log)
    os.close(told_fd)
    try:
        with os.fdopen(ready_fd) as told:
            said = json.loads(told.readline().removeprefix("ready "))
        yield Place(int(said["portals"][0].rpartition(":")[2]), 0)
    finally:
        process.terminate()
        process.wait()


def libiscsi(place: Place, length: int, depth: int, scattered: bool) -> float:
    """What `iscsi-perf` reads, in bytes per second."""
    url = f"iscsi://127.0.0.1:{place.port}/{TARGET}/{place.lun}"
    words = ["iscsi-perf", "-m", str(depth), "-b", str(length // 512), *["-r"] * scattered, url]
    began = time.monotonic()
    process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    try:
        text, _ = process.communicate(timeout=RUN_S)
    except subprocess.TimeoutExpired:
        process.terminate()
        text, _ = process.communicate()
    found = re.findall(r"iops average (\d+)", text)
    if not found:
        raise RuntimeError(f"iscsi-perf said after {time.monotonic() - began:.1f} s: {text[-200:]}")
    return float(found[-1]) * length


def fio(path: Path, length: int, scattered: bool, writes: bool = False) -> float:
    """What one thread of `fio` moves to or from the disk's file itself, in bytes per second."""
    how = ("rand" if scattered else "") + ("write" if writes else "read")
    words = ["fio", "--name=file", f"--filename={path}", f"--rw={how}", f"--bs={length}"]
    words += ["--ioengine=psync", "--time_based", f"--runtime={RUN_S:g}", "--output-format=json"]
    found = subprocess.run(words, capture_output=True, text=True, check=True)
    job = json.loads(found.stdout)["jobs"][0]
    return float(job["write" if writes else "read"]["bw_bytes"])


Load = Callable[[IscsiLun, int], Coroutine[None, None, None]]


async def _all(load: Load, depth: int, lun: IscsiLun, length: int) -> float:
    """The same load several times at once, for a while: bytes per second."""
    done = 0
    end = time.monotonic() + RUN_S

    async def work(number: int) -> None:
        nonlocal done
        while time.monotonic() < end:
            await load(lun, number)
            done += length

    began = time.monotonic()
    await asyncio.gather(*(work(number) for number in range(depth)))
    return done / (time.monotonic() - began)


async def _measured(place: Place, length: int, depth: int, scattered: bool, writes: bool) -> float:
    portals = [Portal("127.0.0.1", place.port)]
    luns = IscsiLuns(portals, Account(IQN, TARGET), Settings(unguarded=True))
    await luns.start()
    try:
        (lun,) = luns.luns.values()
        buffers = [memoryview(bytearray(length)) for _ in range(depth)]
        count, blocks = LUN_BYTES // length, length // lun.block_bytes
        chosen, turn = random.Random(7), iter(range(1 << 40))

        async def load(lun: IscsiLun, number: int) -> None:
            at = (chosen.randrange(count) if scattered else next(turn) % count) * blocks
            if writes:
                await lun.write(at, [buffers[number]])
            else:
                await lun.read_into(at, buffers[number])

        return await _all(load, depth, lun, length)
    finally:
        await luns.close()


def ours(place: Place, length: int, depth: int, scattered: bool, writes: bool = False) -> float:
    """What our initiator moves, in bytes per second."""
    return uvloop.run(_measured(place, length, depth, scattered, writes))


def initiators(rounds: int, note: Callable[[str], None]) -> list[Duel]:
    """Ours beside libiscsi, on one tgtd."""
    small = Duel("4 KiB random reads, initiators on tgtd", GOAL_INITIATOR)
    large = Duel("1 MiB sequential reads, initiators on tgtd", GOAL_INITIATOR)
    with tempfile.TemporaryDirectory(prefix="hvlab-bench-") as folder:
        with foreign(Path(folder)) as place:
            filled(place)
            for turn in range(min(rounds, ROUNDS_MAX)):
                note(f"initiators, round {turn + 1}")
                small.theirs.append(libiscsi(place, SMALL_BYTES, SMALL_DEPTH, True))
                small.ours.append(ours(place, SMALL_BYTES, SMALL_DEPTH, True))
                large.theirs.append(libiscsi(place, LARGE_BYTES, LARGE_DEPTH, False))
                large.ours.append(ours(place, LARGE_BYTES, LARGE_DEPTH, False))
    return [small, large]


def filled(place: Place) -> None:
    """Give every block of the disk some memory behind it, or the first round reads holes."""
    ours(place, LARGE_BYTES, LARGE_DEPTH, False, writes=True)


def targets(rounds: int, note: Callable[[str], None]) -> list[Duel]:
    """Our target beside tgtd: large transfers by our initiator, small reads by libiscsi."""
    reads = Duel("1 MiB sequential reads, targets by our initiator", GOAL_TARGET)
    writes = Duel("1 MiB sequential writes, targets by our initiator", GOAL_TARGET)
    small = Duel("4 KiB random reads, targets by libiscsi", GOAL_TARGET_SMALL)
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="hvlab-bench-")))
        places = (stack.enter_context(own(folder)), stack.enter_context(foreign(folder)))
        for place in places:
            filled(place)
        for turn in range(min(rounds, ROUNDS_MAX)):
            note(f"targets, round {turn + 1}")
            for place, side in zip(places, ("ours", "theirs"), strict=True):
                getattr(reads, side).append(ours(place, LARGE_BYTES, LARGE_DEPTH, False))
                getattr(writes, side).append(
                    ours(place, LARGE_BYTES, LARGE_DEPTH, False, writes=True)
                )
                getattr(small, side).append(libiscsi(place, SMALL_BYTES, SMALL_DEPTH, True))
    return [reads, writes, small]


def files(rounds: int, note: Callable[[str], None]) -> list[Duel]:
    """What our initiator gets from our target beside what `fio` gets from the very file: how much
    the way over iSCSI costs. No goal, but an upper bound.
    """
    if shutil.which("fio") is None:
        note("fio is not installed (Debian package fio): the file itself is not measured")
        return []
    loads = {
        "1 MiB sequential reads": (LARGE_BYTES, LARGE_DEPTH, False, False),
        "1 MiB sequential writes": (LARGE_BYTES, LARGE_DEPTH, False, True),
        "4 KiB random reads": (SMALL_BYTES, SMALL_DEPTH, True, False),
    }
    duels = {name: Duel(f"{name}, over iSCSI beside fio on the file", 0.0) for name in loads}
    with tempfile.TemporaryDirectory(prefix="hvlab-bench-") as folder, own(Path(folder)) as place:
        filled(place)
        (file,) = (Path(folder) / "san" / "luns").glob("*.img")
        for turn in range(min(rounds, ROUNDS_MAX)):
            note(f"the file, round {turn + 1}")
            for name, (length, depth, scattered, writes) in loads.items():
                duels[name].ours.append(ours(place, length, depth, scattered, writes))
                duels[name].theirs.append(fio(file, length, scattered, writes))
    return list(duels.values())


def as_table(title: str, duels: list[Duel]) -> rich.table.Table:
    table = rich.table.Table(title=title, caption="median (min - max)")
    table.add_column("load")
    for heading in ("ours, MB/s", "theirs, MB/s", "ratio", "goal"):
        table.add_column(heading, justify="right")
    for duel in duels:
        table.add_row(
            duel.name,
            in_words([rate / 1e6 for rate in duel.ours]),
            in_words([rate / 1e6 for rate in duel.theirs]),
            in_words(duel.ratios),
            f">= {duel.goal:g}" if duel.goal else "",
        )
    return table
