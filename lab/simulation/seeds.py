"""Play seeds: each a lab, its operators and its faults, checked after every event and once more
when all has healed.
"""

import collections
import hashlib
import time
import traceback
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from rich.console import Console
from rich.table import Table

from lab.simulation.chaos import CELLS, NO_STEP, Cell, Chaos, setting_of
from lab.simulation.cluster import SimCluster
from lab.simulation.faults import FAULTS
from lab.simulation.operators import POST_COPY, Operators
from lab.simulation.showing import is_well, played, replayed, shown, verdict
from protocol.names import Step

FAULTY_MAX_S = 1500.0
TAIL_S = 150.0
COMMAND = "hvlab sim"
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
    def vague(self) -> str:
        return (
            f"{self.faults} faults took effect, {self.past_pause} migrations came past S8,"
            f" {self.played_s:.0f} s were played"
        )

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
        if aim is not None and aim[1] is Step.PULL:
            self.operators.policies = (POST_COPY,)

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
    return played(play, seeds, processes)


def simulate(seeds: Iterable[int], processes: int = 2, console: Console | None = None) -> bool:
    """Play `seeds` and show what came of them; True if every promise was kept in every one."""
    console = console or Console()
    wanted, began = list(seeds), time.monotonic()
    reports = shown(play_all(wanted, processes), len(wanted), COMMAND, console)
    console.print(coverage_table(reports))
    console.print(summary(reports, time.monotonic() - began), highlight=False)
    return all(map(is_well, reports))


def replay(seed: int, console: Console | None = None) -> bool:
    """Play one seed with all that can be told of it."""
    player = Player(seed, is_verbose=True)
    report = player.play()
    return replayed(report, player.cluster.world.log, COMMAND, console or Console())


def summary(reports: list[Report], took_s: float) -> str:
    played_h = sum(report.played_s for report in reports) / 3600
    lines = [
        f"{len(reports)} seeds, {played_h:.1f} simulated hours,"
        f" {sum(r.events for r in reports)} events,"
        f" {sum(r.faults for r in reports)} faults that took effect,"
        f" {sum(r.past_pause for r in reports)} migrations past S8, in {took_s:.0f} s",
        *verdict(reports),
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
        table.add_row(fault, *(_in_three(total[step, fault]) for step in steps))
    return table


def _in_three(count: int) -> str:
    """Short enough for a column of three."""
    if count >= 1000:
        return f"{count // 1000}k"
    return str(count or "")


def _steps_named() -> str:
    """What the steps' numbers stand for, four in a line."""
    words = [f"{step.value} {step.name.lower().replace('_', ' ')}" for step in list(Step)[1:]]
    return "\n".join(", ".join(words[at : at + 4]) for at in range(0, len(words), 4))
