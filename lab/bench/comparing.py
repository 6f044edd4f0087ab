"""A comparison carried out: every case in turns, again and again, and what was found."""

import contextlib
import statistics
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from agent.io.fill import filled
from agent.io.memory import VmMemory
from lab.bench.comparisons import Case, Comparison
from lab.bench.figures import Spread, ratios
from lab.bench.iperf import iperf_bytes_per_s
from lab.bench.moving import Ground, Measured, NotAvailable
from lab.bench.qemu import Qemu, migrated
from lab.bench.qemu_words import QemuMove
from lab.errors import LabError
from protocol.names import Fill

SEED = 7
"""Of the memory of both: the bytes are the same."""

Note = Callable[[str], None]


@dataclass(slots=True)
class Found:
    """What a case came to, round by round, or the sentence that says why it cannot be had."""

    case: Case
    runs: list[Measured] = field(default_factory=list)
    missing: str = ""

    def spread(self, figure: Callable[[Measured], float | None]) -> Spread | None:
        """None if not every run has that figure."""
        figures = [figure(run) for run in self.runs]
        known = [value for value in figures if value is not None]
        return Spread.of(known) if known and len(known) == len(figures) else None

    def beside(self, first: "Found") -> Spread | None:
        """Its total time as a share of the first case's, round by round."""
        if len(self.runs) != len(first.runs) or not self.runs:
            return None
        mine = [run.total_s for run in self.runs]
        return Spread.of(ratios(mine, [run.total_s for run in first.runs]))

    @property
    def typical(self) -> Measured:
        """The run whose total time is the median, for pictures of one migration."""
        middle = statistics.median_low([run.total_s for run in self.runs])
        return next(run for run in self.runs if run.total_s == middle)


@dataclass(slots=True)
class Compared:
    """A comparison and what was found; `wire`: what iperf3 got, in bytes per second."""

    comparison: Comparison
    memory_bytes: int
    found: list[Found]
    wire: list[float] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)


class Yardstick:
    """QEMU with the bytes of our own VM in its RAM, if it is installed."""

    def __init__(self, folder: Path, memory_bytes: int) -> None:
        self._folder = folder
        self.qemu = Qemu.found(folder)
        self._content = VmMemory.create("bench-content", memory_bytes)
        for _ in filled(self._content, Fill.RANDOM, SEED):
            pass

    def close(self) -> None:
        self._content.close()

    async def migrated(self, case: Case) -> Measured:
        assert case.qemu is not None
        load = case.load.on_qemu(self._content.memory_bytes)
        folder = self._folder / "qemu"
        move = await migrated(self.qemu, case.qemu, load, self._content, folder)
        if not move.well:
            raise NotAvailable(f"QEMU's guest did not survive it: {move.why}")
        return as_measured(move, self._content.memory_bytes)


def as_measured(move: QemuMove, memory_bytes: int) -> Measured:
    return Measured(
        total_s=move.total_s,
        blackout_s=move.downtime_s,
        cpu_s=move.cpu_s,
        wire_bytes=move.wire_bytes,
        memory_bytes=memory_bytes,
        gap_s=move.gap_s,
    )


async def compared(
    comparison: Comparison,
    asked_bytes: int,
    rounds: int,
    folder: Path,
    note: Note,
    *,
    wire: bool = True,
) -> Compared:
    """Every other round goes backwards, so that no case always follows the same one. `wire`: iperf3
    is measured in each round too.
    """
    memory_bytes = comparison.memory_bytes(asked_bytes)
    result = Compared(comparison, memory_bytes, [Found(case) for case in comparison.cases])
    with contextlib.ExitStack() as open_:
        yardstick = None
        if any(case.qemu for case in comparison.cases):
            try:
                yardstick = open_.enter_context(closing(Yardstick(folder, memory_bytes)))
                version = f"{yardstick.qemu.name}, congestion control {yardstick.qemu.congestion}"
                result.remarks.append(f"{version}.")
            except LabError as error:
                result.remarks.append(str(error))
        kept = any(case.travel.get("kept") for case in comparison.cases)
        async with Ground(memory_bytes, folder, kept=kept) as ground:
            for number in range(rounds):
                if wire:
                    _wire(result, note)
                turn = result.found if number % 2 == 0 else reversed(result.found)
                for found in turn:
                    if not found.missing:
                        note(
                            f"{comparison.name}, round {number + 1} of {rounds}: {found.case.name}"
                        )
                        await _measure(found, ground, yardstick, result)
    return result


async def _measure(
    found: Found, ground: Ground, yardstick: Yardstick | None, result: Compared
) -> None:
    """What has worked before may fail once; it is told, and tried again."""
    for _ in range(2):
        try:
            if found.case.qemu is None:
                found.runs.append(await ground.migrated(found.case))
            elif yardstick is None:
                raise NotAvailable(result.remarks[-1])
            else:
                await ground.clear()
                found.runs.append(await yardstick.migrated(found.case))
            return
        except NotAvailable as error:
            if not found.runs or found.missing:
                found.missing = str(error)
                return
            result.remarks.append(f"{found.case.name} was tried again: {error}")
    found.missing = "It failed twice in a round; the remarks say how."


def _wire(result: Compared, note: Note) -> None:
    """Nobody needs iperf3 for a comparison; it is said once that it is not there."""
    try:
        result.wire.append(iperf_bytes_per_s())
    except LabError as error:
        if str(error) not in result.remarks:
            result.remarks.append(str(error))
            note(str(error))


def as_data(result: Compared) -> dict[str, Any]:
    """Everything, for programs."""
    return {
        "about": result.comparison.about,
        "memory_bytes": result.memory_bytes,
        "wire_bytes_per_s": Spread.of(result.wire).as_data() if result.wire else None,
        "remarks": result.remarks,
        "cases": [_case_data(found, result.found[0]) for found in result.found],
    }


def _case_data(found: Found, first: Found) -> dict[str, Any]:
    beside = found.beside(first)
    return {
        "name": found.case.name,
        "load": found.case.load.name,
        "policy": found.case.policy if found.case.qemu is None else None,
        "travel": dict(found.case.travel),
        "missing": found.missing or None,
        "total_to_first": None if beside is None else beside.as_data(),
        "runs": [_run_data(run) for run in found.runs],
    }


def _run_data(run: Measured) -> dict[str, Any]:
    return {name: getattr(run, name) for name in Measured.__dataclass_fields__}
