"""Play seeds: each a lab, its operators and its faults, checked after every event and once more
when all has healed.
"""

import collections
import hashlib
import multiprocessing
import time
import traceback
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from lab.simulation.chaos import CELLS, NO_STEP, Cell, Chaos, setting_of
from lab.simulation.cluster import SimCluster
from lab.simulation.faults import FAULTS
from lab.simulation.operators import Operators
from protocol.names import Step

FAULTY_MAX_S = 1500.0
TAIL_S = 150.0
LOG_LINES = 60
LONG_LIVES = 400
"""Seeds below this live long lives; there are many more short ones above."""


@dataclass(frozen=True, slots=True)
class Life:
    """How long a seed is hurt, and what must have come of it before all heals."""

    faulty_s: float
    played_s: float
    faults_min: int
    past_pause_min: int
    rest_s: tuple[float, float]
    """Least and most between two faults."""


LONG = Life(480.0, 600.0, 5, 3, (2.0, 20.0))
SHORT = Life(100.0, 130.0, 3, 1, (1.0, 8.0))


def life_of(seed: int) -> Life:
    return LONG if seed < LONG_LIVES else SHORT


def aim_of(seed: int) -> Cell | None:
    """Short lives take the cells of the table in turn, so that none stays empty."""
    return None if seed < LONG_LIVES else CELLS[(seed - LONG_LIVES) % len(CELLS)]


@dataclass(frozen=True, slots=True)
class Report:
    """What came of one seed. Without `trouble` all promises were kept."""

    seed: int
    played_s: float = 0.0
    events: int = 0
    faults: int = 0
    past_pause: int = 0
    settled_s: float = 0.0
    """How long it took until all was well after the last fault."""

    fingerprint: str = ""
    """Of the whole log: the same seed has the same."""

    coverage: dict[tuple[str, str], int] = field(default_factory=dict)
    trouble: str = ""
    log: tuple[str, ...] = ()

    @property
    def is_conclusive(self) -> bool:
        life = life_of(self.seed)
        return (
            self.played_s >= life.played_s
            and self.faults >= life.faults_min
            and self.past_pause >= life.past_pause_min
        )


class Player:
    """One seed, from the first event to the verdict."""

    def __init__(self, seed: int, is_verbose: bool = False) -> None:
        self.seed = seed
        self.life = life_of(seed)
        aim = aim_of(seed)
        self.cluster = SimCluster(seed, setting_of(seed, aim))
        self.cluster.is_verbose = is_verbose
        self.chaos = Chaos(self.cluster, self.life.rest_s, aim)
        pause_s = (1.5, 6.0) if self.life is LONG else (0.8, 3.0)
        self.operators = Operators(self.cluster, pause_s)

    def play(self) -> Report:
        """Safety while faults last, liveness after the last one."""
        settled_s, trouble = 0.0, ""
        try:
            self.cluster.start()
            self.operators.begin()
            self.chaos.begin()
            self._hurt()
            self.chaos.stop()
            self.operators.stop()
            healed_at = self.cluster.world.now
            complaints = self.cluster.settle(TAIL_S)
            settled_s = self.cluster.world.now - healed_at
            if complaints:
                waited = f"{TAIL_S:.0f} s after the last fault"
                trouble = f"not well {waited}: " + "; ".join(complaints)
            elif self.cluster.world.now < self.life.played_s:
                self.cluster.run(self.life.played_s - self.cluster.world.now)
            # What was asked for in the last moment may still have come to pass: an eviction, say.
            if not trouble and (complaints := self.cluster.settle(TAIL_S)):
                trouble = "not well at the end: " + "; ".join(complaints)
        except Exception as broken:
            trouble = "".join(traceback.format_exception(broken)[-8:])
        return self._report(settled_s, trouble)

    def _hurt(self) -> None:
        cluster = self.cluster
        cluster.run(self.life.faulty_s)
        cluster.world.run_while(lambda: not self._is_enough(), FAULTY_MAX_S, 10.0)

    def _is_enough(self) -> bool:
        return (
            len(self.chaos.effective()) >= self.life.faults_min
            and len(self.cluster.past_pause) >= self.life.past_pause_min
        )

    def _report(self, settled_s: float, trouble: str) -> Report:
        world = self.cluster.world
        log = "\n".join(world.log)
        return Report(
            seed=self.seed,
            played_s=world.now,
            events=world.events,
            faults=len(self.chaos.effective()),
            past_pause=len(self.cluster.past_pause),
            settled_s=settled_s,
            fingerprint=hashlib.sha256(log.encode()).hexdigest(),
            coverage=dict(self.chaos.coverage()),
            trouble=trouble and f"{trouble.rstrip()}\n(at {world.now:.3f} s)",
            log=tuple(world.log) if trouble else (),
        )


def play(seed: int) -> Report:
    return Player(seed).play()


def play_all(seeds: Iterable[int], processes: int = 2) -> Iterator[Report]:
    """Reports as they come; with one process in this very one."""
    if processes == 1:
        yield from map(play, seeds)
        return
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        yield from pool.imap_unordered(play, seeds, chunksize=2)


def simulate(seeds: Iterable[int], processes: int = 2, console: Console | None = None) -> bool:
    """Play `seeds` and show what came of them; True if every promise was kept in every one."""
    console = console or Console()
    wanted, began = list(seeds), time.monotonic()
    reports: list[Report] = []
    bar = Progress(
        TextColumn("seeds"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), console=console
    )
    with bar:
        task = bar.add_task("seeds", total=len(wanted))
        for report in play_all(wanted, processes):
            reports.append(report)
            bar.advance(task)
            if report.trouble or not report.is_conclusive:
                tell(report, console)
    console.print(coverage_table(reports))
    console.print(summary(reports, time.monotonic() - began), highlight=False)
    return all(not report.trouble and report.is_conclusive for report in reports)


def replay(seed: int, console: Console | None = None) -> bool:
    """Play one seed with all that can be told of it."""
    console = console or Console()
    player = Player(seed, is_verbose=True)
    report = player.play()
    for line in player.cluster.world.log:
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    tell(report, console, with_log=False)
    return not report.trouble and report.is_conclusive


def tell(report: Report, console: Console, with_log: bool = True) -> None:
    """What is wrong with a seed, its last words, and how to see it again."""
    if report.trouble:
        for line in report.log[-LOG_LINES:] if with_log else ():
            console.print(line, highlight=False, markup=False, soft_wrap=True)
        console.print(f"seed {report.seed}: {report.trouble}", markup=False, soft_wrap=True)
        console.print(f"replay: hvlab sim --seed {report.seed}", markup=False)
    elif not report.is_conclusive:
        console.print(
            f"seed {report.seed} is inconclusive: {report.faults} faults took effect,"
            f" {report.past_pause} migrations came past S8, {report.played_s:.0f} s were played"
        )
    else:
        console.print(f"seed {report.seed}: all promises kept, log {report.fingerprint[:16]}")


def summary(reports: list[Report], took_s: float) -> str:
    failed = [report.seed for report in reports if report.trouble]
    vague = [report.seed for report in reports if not report.trouble and not report.is_conclusive]
    played_h = sum(report.played_s for report in reports) / 3600
    lines = [
        f"{len(reports)} seeds, {played_h:.1f} simulated hours,"
        f" {sum(r.events for r in reports)} events,"
        f" {sum(r.faults for r in reports)} faults that took effect,"
        f" {sum(r.past_pause for r in reports)} migrations past S8, in {took_s:.0f} s",
        f"slowest to be well again: {max((r.settled_s for r in reports), default=0.0):.0f} s",
        f"broken: {sorted(failed) or 'none'}; inconclusive: {sorted(vague) or 'none'}",
    ]
    return "\n".join(lines)


def coverage_table(reports: Iterable[Report]) -> Table:
    """How often each fault took effect at each step of a migration."""
    total: collections.Counter[tuple[str, str]] = collections.Counter()
    for report in reports:
        total.update(report.coverage)
    steps = [step.value for step in list(Step)[1:]] + [NO_STEP]
    table = Table(
        title="faults that took effect, by step of a migration",
        title_justify="left",
        caption=_steps_named(),
        caption_justify="left",
        box=None,
        padding=(0, 0, 0, 1),
        pad_edge=False,
    )
    table.add_column("fault", no_wrap=True)
    for step in steps:
        table.add_column(step, justify="right", no_wrap=True)
    for fault in FAULTS:
        table.add_row(fault, *(str(total[step, fault] or "") for step in steps))
    return table


def _steps_named() -> str:
    """What the steps' numbers stand for, four in a line."""
    words = [f"{step.value} {step.name.lower().replace('_', ' ')}" for step in list(Step)[1:]]
    return "\n".join(", ".join(words[at : at + 4]) for at in range(0, len(words), 4))
