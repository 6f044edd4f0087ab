"""What migrations must hold, each as a share or a limit, and whether it was held."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from lab.bench.comparing import Compared, Found
from lab.bench.comparisons import CALM, FAST, FEW_WORDS, LOADS, TEXT, WIRE, Case, Comparison
from lab.bench.figures import Spread, ratios, short
from lab.bench.moving import Measured
from lab.bench.qemu_words import MULTIFD, PLAIN, POST_COPY, TIGHT

OURS, TWO, QEMU_PLAIN, QEMU_MULTIFD = "hvlab", "hvlab, 2 streams", PLAIN.name, MULTIFD.name
PRE, POST = "hvlab, pre-copy", "hvlab, post-copy"
DOWNTIME = {"downtime": "5ms"}
WIRED = {"rate": WIRE}


@dataclass(frozen=True, slots=True)
class Goal:
    """One row: `limit` is the most that may be, or with `at_least` the least."""

    name: str
    limit: float
    unit: str = "x"
    at_least: bool = False
    worst: bool = False
    """All figures must hold it, not their median alone."""

    @property
    def wanted(self) -> str:
        return f"{'at least' if self.at_least else 'at most'} {short(self.limit)} {self.unit}"


@dataclass(frozen=True, slots=True)
class Row:
    """What was measured for a goal; `missing` says why nothing was."""

    goal: Goal
    figures: Sequence[float] = ()
    missing: str = ""
    beside: str = ""
    """What is shown with it and not asked for."""

    @property
    def figure(self) -> float:
        spread = Spread.of(self.figures)
        if self.goal.worst:
            return spread.least if self.goal.at_least else spread.most
        return spread.median

    @property
    def is_held(self) -> bool:
        if not self.figures:
            return False
        limit = self.goal.limit
        return self.figure >= limit if self.goal.at_least else self.figure <= limit

    @property
    def verdict(self) -> str:
        if not self.figures:
            return f"not available: {self.missing}"
        if self.is_held:
            return "held"
        off = abs(self.figure - self.goal.limit)
        share = f", {off / self.goal.limit * 100:.0f} %" if self.goal.limit else ""
        return f"missed by {short(off)} {self.goal.unit}{share}"

    @property
    def cells(self) -> tuple[str, ...]:
        if not self.figures:
            return self.goal.name, self.goal.wanted, "", self.verdict, self.beside
        measured = f"{Spread.of(self.figures)} {self.goal.unit}"
        return self.goal.name, self.goal.wanted, measured, self.verdict, self.beside

    def as_data(self) -> dict[str, Any]:
        return {
            "name": self.goal.name,
            "wanted": self.goal.wanted,
            "figures": list(self.figures),
            "held": self.is_held,
            "verdict": self.verdict,
            "beside": self.beside,
        }


IDLE_BESIDE_QEMU = Comparison(
    "goals-idle",
    "an idle guest beside QEMU",
    (
        Case(OURS),
        Case(TWO, travel={"streams": 2}),
        Case(QEMU_PLAIN, qemu=PLAIN),
        Case(QEMU_MULTIFD, qemu=MULTIFD),
    ),
)
BUSY_BESIDE_QEMU = Comparison(
    "goals-busy",
    "a guest that writes 20 MB/s over 64 MiB, beside QEMU",
    (
        Case(PRE, CALM, "downtime", DOWNTIME),
        Case(POST, CALM, "post-copy"),
        *(Case(way.name, CALM, qemu=way) for way in (TIGHT, PLAIN, POST_COPY)),
    ),
)
FAST_WRITER = Comparison(
    "goals-fast",
    "a guest that writes 1 GB/s over 512 MiB",
    (Case("downtime 15 ms", FAST, "downtime", {"downtime": "15ms"}),),
)
PACKING = Comparison(
    "goals-packing",
    "text and random memory over 1 Gbit/s, packed and not",
    (
        Case("text, off", TEXT, travel=WIRED),
        Case("text, auto", TEXT, travel={**WIRED, "compress": "auto"}),
        Case("random, off", travel=WIRED),
        Case("random, auto", travel={**WIRED, "compress": "auto"}),
    ),
    wired=True,
)
DELTAS = Comparison(
    "goals-delta",
    "hot pages of which some words change, over 1 Gbit/s",
    (Case("delta", FEW_WORDS, travel={**WIRED, "delta": "64MiB"}),),
    wired=True,
)
FORECASTS = Comparison(
    "goals-forecast",
    "the named loads over 1 Gbit/s, predicted and measured",
    tuple(Case(load.name, load, travel=WIRED) for load in LOADS),
    wired=True,
)
VERIFIED = Comparison(
    "goals-verify",
    "the memory of both sides compared at the switch",
    (
        Case("plain", CALM, "downtime", DOWNTIME, "full"),
        Case("2 streams", CALM, "downtime", {**DOWNTIME, "streams": 2}, "full"),
        Case("packed", CALM, "downtime", {**DOWNTIME, "compress": "zstd"}, "full"),
        Case("deltas", CALM, "downtime", {**DOWNTIME, "delta": "64MiB"}, "full"),
        Case("post-copy", CALM, "post-copy", {}, "full"),
    ),
    wired=True,
)
COMPARISONS = (
    IDLE_BESIDE_QEMU,
    BUSY_BESIDE_QEMU,
    FAST_WRITER,
    PACKING,
    DELTAS,
    FORECASTS,
    VERIFIED,
)


@dataclass(frozen=True)
class Book:
    """The cases of one comparison by their names, for the rows below."""

    result: Compared
    by_name: dict[str, Found] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.by_name.update({found.case.name: found for found in self.result.found})

    def row(self, goal: Goal, names: Sequence[str], figures: Callable[..., list[float]]) -> Row:
        """`figures` is asked with the runs of each of those cases, which must be all there."""
        for name in names:
            found = self.by_name[name]
            if found.missing or not found.runs:
                return Row(goal, missing=found.missing or "it was not measured")
        return Row(goal, figures(*(self.by_name[name].runs for name in names)))


Runs = Sequence[Measured]


def idle_rows(book: Book) -> list[Row]:
    def best(ours: Runs, plain: Runs, multifd: Runs) -> list[float]:
        theirs = [min(a.total_s, b.total_s) for a, b in zip(plain, multifd, strict=True)]
        return ratios([run.total_s for run in ours], theirs)

    def cpu(ours: Runs, plain: Runs) -> list[float]:
        return ratios([run.cpu_s for run in ours], [run.cpu_s for run in plain])

    both = [QEMU_PLAIN, QEMU_MULTIFD]
    goal = Goal("total time, idle guest, beside QEMU's best pre-copy", 0.75)
    more = Goal("the same with 2 streams", 0.75)
    return [
        book.row(goal, [OURS, *both], best),
        book.row(more, [TWO, *both], best),
        book.row(
            Goal("CPU of both sides, idle guest, beside QEMU plain", 0.7), [OURS, both[0]], cpu
        ),
        *(_memory_row(book, side) for side in ("source", "target")),
    ]


def _memory_row(book: Book, side: str) -> Row:
    def over(ours: Runs) -> list[float]:
        return [run.over_bytes[side] / (1 << 20) for run in ours]

    goal = Goal(f"memory of the {side}'s agent over its VM's", 64.0, "MiB", worst=True)
    anonymous = book.by_name[OURS].spread(lambda run: run.over_bytes[f"{side}, anonymous"])
    libraries = "" if anonymous is None else f"without libraries: {anonymous.times(2**-20)} MiB"
    return _with(book.row(goal, [OURS], over), libraries)


def busy_rows(book: Book) -> list[Row]:
    def without_commit(ours: Runs) -> list[float]:
        return [(run.blackout_s - run.parts.get("commit", 0.0)) * 1e3 for run in ours]

    def blackout(ours: Runs) -> list[float]:
        return [run.blackout_s * 1e3 for run in ours]

    def gap(ours: Runs, theirs: Runs) -> list[float]:
        pairs = zip(ours, theirs, strict=True)
        return [a.gap_s / b.gap_s for a, b in pairs if a.gap_s is not None and b.gap_s]

    def total(ours: Runs, theirs: Runs) -> list[float]:
        return ratios([run.total_s for run in ours], [run.total_s for run in theirs])

    parts = "; ".join(
        f"{name}: {_part(book.by_name[PRE], key)}"
        for name, key in (("S10", "storage"), ("S11", "commit"))
    )
    calm = "guest at 20 MB/s over 64 MiB"
    rows = [
        book.row(Goal(f"blackout without S11, {calm}", 5.0, "ms"), [PRE], without_commit),
        book.row(
            Goal("gap as its guest sees it, beside QEMU at 5 ms", 0.3), [PRE, TIGHT.name], gap
        ),
        book.row(Goal("post-copy: blackout", 5.0, "ms"), [POST], blackout),
        book.row(Goal("post-copy: gap beside QEMU's", 0.5), [POST, POST_COPY.name], gap),
        book.row(Goal("post-copy: total beside QEMU's", 0.75), [POST, POST_COPY.name], total),
    ]
    gaps = "; ".join(
        f"{name}: {_gap(book.by_name[name])}" for name in (PRE, TIGHT.name, PLAIN.name)
    )
    return [_with(rows[0], parts), _with(rows[1], f"gaps: {gaps}"), *rows[2:]]


def _with(row: Row, beside: str) -> Row:
    return Row(row.goal, row.figures, row.missing, beside)


def _part(found: Found, key: str) -> str:
    spread = found.spread(lambda run: run.parts.get(key, 0.0))
    return "none" if spread is None else f"{spread.times(1e3)} ms"


def _gap(found: Found) -> str:
    spread = found.spread(lambda run: run.gap_s)
    return found.missing or "none" if spread is None else f"{spread.times(1e3)} ms"


def fast_rows(book: Book) -> list[Row]:
    goal = Goal("blackout, guest at 1 GB/s over 512 MiB", 15.0, "ms")
    only = FAST_WRITER.cases[0].name
    return [book.row(goal, [only], lambda runs: [run.blackout_s * 1e3 for run in runs])]


def packing_rows(book: Book) -> list[Row]:
    def faster(off: Runs, on: Runs) -> list[float]:
        return ratios([run.total_s for run in off], [run.total_s for run in on])

    def slower(off: Runs, on: Runs) -> list[float]:
        return ratios([run.total_s for run in on], [run.total_s for run in off])

    text = Goal("text over 1 Gbit/s: packed so much faster", 2.5, at_least=True)
    random = Goal("random memory over 1 Gbit/s: packed beside off", 1.03)
    return [
        book.row(text, ["text, off", "text, auto"], faster),
        book.row(random, ["random, off", "random, auto"], slower),
    ]


def delta_rows(book: Book) -> list[Row]:
    def share(runs: Runs) -> list[float]:
        return ratios([run.later_bytes for run in runs], [run.later_page_bytes for run in runs])

    goal = Goal("deltas of hot pages: bytes of later rounds beside raw", 0.15)
    return [book.row(goal, [DELTAS.cases[0].name], share)]


def forecast_rows(book: Book) -> list[Row]:
    """Over all loads together; blackouts count from 50 ms on."""
    runs = [run for found in book.result.found for run in found.runs if run.predicted]
    rows = []
    for name, key, limit, from_s in (
        ("total", "total_s", 0.1, 0.0),
        ("bytes", "wire_bytes", 0.1, 0.0),
        ("blackout over 50 ms", "blackout_s", 0.2, 0.05),
    ):
        goal = Goal(f"forecast: error of {name}", limit)
        errors = [error for run in runs if (error := _error(run, key, from_s)) is not None]
        rows.append(Row(goal, errors, "" if errors else "no migration had a forecast of it"))
    return rows


def _error(run: Measured, key: str, from_s: float) -> float | None:
    told = (run.predicted or {}).get(key)
    measured = getattr(run, key)
    if told is None or not measured or (from_s and measured < from_s):
        return None
    return float(abs(told - measured) / measured)


def verify_rows(book: Book) -> list[Row]:
    missing = [
        f"{found.case.name}: {found.missing}" for found in book.result.found if found.missing
    ]
    told = [float(run.verified is True) for found in book.result.found for run in found.runs]
    goal = Goal("both memories alike at the switch", 1.0, "of all", at_least=True, worst=True)
    return [Row(goal, told, "it was not measured", "; ".join(missing))]


ROWS_OF: dict[str, Callable[[Book], list[Row]]] = {
    IDLE_BESIDE_QEMU.name: idle_rows,
    BUSY_BESIDE_QEMU.name: busy_rows,
    FAST_WRITER.name: fast_rows,
    PACKING.name: packing_rows,
    DELTAS.name: delta_rows,
    FORECASTS.name: forecast_rows,
    VERIFIED.name: verify_rows,
}
