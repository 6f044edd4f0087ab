"""Whether migrations hold what they must: every goal measured, and the comparisons behind them."""

import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import uvloop

from agent.io.memory import available_bytes
from lab.bench import comparing, goals, page_path, tracking
from lab.bench.comparing import Compared, compared
from lab.bench.comparisons import CALM, Case
from lab.bench.figures import Spread, rank
from lab.bench.goals import Book, Goal, Row
from lab.bench.iperf import iperf_bytes_per_s
from lab.bench.moving import Ground, Measured
from lab.bench.report import Section, Table, section_of
from lab.bench.ticking_agent import Ring
from lab.errors import LabError
from lab.evidence import boottime
from lab.launching import Programs
from protocol.workload import format_size

Note = Callable[[str], None]
HEADS = ("what", "wanted", "measured", "verdict", "beside it")
GIB = 1 << 30
LARGE_TIMES = 8
KEEP_FREE_BYTES = 4 * GIB
PATHS = (
    ("pages, 1 stream", 0.9),
    ("checked, 1 stream", 0.75),
    ("pages, 2 streams", 1.1),
    ("checked, 2 streams", 0.95),
    ("10 %, 2 streams", 0.6),
)
"""Ways of the page path, and what of the bare loop each must reach."""


@dataclass(slots=True)
class Judged:
    """All rows, and the comparisons that some of them come from."""

    rows: list[Row] = field(default_factory=list)
    compared: list[Compared] = field(default_factory=list)

    def table(self, title: str = "What migrations must hold") -> Table:
        caption = "Median (least to most); a verdict is about the median, of memory about the most."
        return Table(title, HEADS, [row.cells for row in self.rows], caption)

    def sections(self) -> list[Section]:
        held = sum(row.is_held for row in self.rows)
        about = f"{held} of {len(self.rows)} are held."
        return [Section("goals", about, [self.table()]), *map(section_of, self.compared)]

    def as_data(self) -> dict[str, Any]:
        found = {one.comparison.name: comparing.as_data(one) for one in self.compared}
        return {"rows": [row.as_data() for row in self.rows], "comparisons": found}


def judged(memory_bytes: int, rounds: int, folder: Path, note: Note) -> Judged:
    """Every row; what needs a lab has one of its own, so that nothing is left from another."""
    result = Judged()
    result.rows += path_rows(memory_bytes, rounds, note)
    for comparison in goals.COMPARISONS:
        where = folder / comparison.name
        found = uvloop.run(compared(comparison, memory_bytes, rounds, where, note))
        result.compared.append(found)
        result.rows += goals.ROWS_OF[comparison.name](Book(found))
    alike = (memory_bytes, rounds, folder, note)
    result.rows += [
        _tried(LAG, lambda: uvloop.run(_lag(*alike))),
        _tried(LARGE, lambda: uvloop.run(_large(*alike))),
        _tried(TRACKED, lambda: Row(TRACKED, tracking.tracked_to_untracked(rounds, note))),
    ]
    return result


TRACKED = Goal("steps of an unpaced guest, tracked beside untracked", 0.9, at_least=True)
LAG = Goal("event loop of both agents during migrations, p99 of a 2 ms ticker", 20.0, "ms")
LARGE = Goal("goodput of a VM of 8 times the memory beside the small one's", 0.85, at_least=True)


def _tried(goal: Goal, measure: Callable[[], Row]) -> Row:
    try:
        return measure()
    except (LabError, OSError) as error:
        return Row(goal, missing=str(error))


def path_rows(memory_bytes: int, rounds: int, note: Note) -> list[Row]:
    """The page path beside the bare loop, with iperf3 shown beside."""
    results = {one.way.name: one for one in page_path.page_path(memory_bytes, rounds, note)}
    try:
        wire = f"iperf3: {Spread.of(iperf_bytes_per_s() for _ in range(3)).times(1e-9)} GB/s"
    except LabError as error:
        wire = str(error)
    rows = []
    for name, limit in PATHS:
        goal = Goal(f"{name}, beside the bare loop", limit, at_least=True)
        if name in results:
            rate = Spread.of(results[name].bytes_per_s).times(1e-9)
            rows.append(Row(goal, results[name].ratios, beside=f"{rate} GB/s; {wire}"))
        else:
            rows.append(Row(goal, missing="the page path has no such way"))
    return rows


async def _lag(memory_bytes: int, rounds: int, folder: Path, note: Note) -> Row:
    """Each figure is of the agent that was worse in a migration."""
    lags = folder / "lags"
    lags.mkdir(parents=True, exist_ok=True)
    agent = (sys.executable, "-m", "lab.bench.ticking_agent", str(lags))
    figures, worst = list[float](), 0.0
    async with Ground(memory_bytes, folder / "ticking", Programs(agent=agent)) as ground:
        for number in range(rounds):
            note(f"event loop, migration {number + 1} of {rounds}")
            began = boottime()
            await ground.migrated(Case("ticking", CALM, "downtime", {"downtime": "5ms"}))
            late = [Ring(path).late_s(began, boottime()) for path in sorted(lags.iterdir())]
            figures.append(max(rank(of_one, 0.99) for of_one in late if of_one) * 1e3)
            worst = max(worst, *(max(of_one) for of_one in late if of_one))
    return Row(LAG, figures, beside=f"the latest tick of all: {worst * 1e3:.1f} ms")


async def _large(memory_bytes: int, rounds: int, folder: Path, note: Note) -> Row:
    """An idle VM of eight times the memory, or of less where the machine has no room for two."""
    room = (available_bytes() - KEEP_FREE_BYTES) // 2
    large = min(LARGE_TIMES * memory_bytes, room // memory_bytes * memory_bytes)
    if large < 2 * memory_bytes:
        raise LabError(f"There is no room here for two VMs of {format_size(2 * memory_bytes)}.")
    small = await _goodput(memory_bytes, rounds, folder / "small", note)
    big = await _goodput(large, max(2, rounds // 3), folder / "large", note)
    base = Spread.of(small).median
    beside = f"{format_size(large)}: {Spread.of(big).times(1e-9)} GB/s"
    return Row(LARGE, [figure / base for figure in big], beside=beside)


async def _goodput(memory_bytes: int, rounds: int, folder: Path, note: Note) -> list[float]:
    async with Ground(memory_bytes, folder) as ground:
        figures = []
        for number in range(rounds):
            note(f"{format_size(memory_bytes)}, migration {number + 1} of {rounds}")
            run: Measured = await ground.migrated(Case("goodput"))
            figures.append(run.goodput_bytes_per_s)
        return figures
