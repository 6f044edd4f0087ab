"""A simulated VM worker: a handful of pages, a guest that makes a wave in them, and the rule that
stops it.

Nothing is stepped while nobody looks: what a guest has done follows from how long it might run.
Page 0 holds the steps it has made; after `s` steps over `n` pages, page `i` holds `s // n`, and one
more if the wave's crest has passed it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from agent import holds as rules
from lab.simulation.world import Clock, World
from protocol.names import PAGE_BYTES, AttemptId, Epoch, Hold, Incarnation, VmName, VmSpec


@dataclass(slots=True)
class LeasePage:
    """What an agent shares with its workers; it outlives neither."""

    end_s: float = 0.0


def wave_is_whole(pages: Sequence[int]) -> bool:
    """Whether every page is what the steps on page 0 make of it."""
    rounds, position = divmod(pages[0], len(pages) - 1)
    return pages[1 : position + 1] == [rounds + 1] * position and pages[position + 1 :] == [
        rounds
    ] * (len(pages) - 1 - position)


class SimWorker:
    """One copy of a VM on one machine. It runs only while `agent.holds.may_run` says so, on its own
    clock.
    """

    __slots__ = (
        "alive",
        "attempt",
        "begins",
        "clock",
        "dirty",
        "epoch",
        "frozen",
        "holds",
        "incarnation",
        "is_cold",
        "lease",
        "missing",
        "on_begin",
        "on_missing",
        "origin",
        "owed",
        "pages",
        "ran_to",
        "rate",
        "running",
        "throttle",
        "vm",
        "world",
    )

    def __init__(
        self,
        world: World,
        clock: Clock,
        lease: LeasePage,
        incarnation: Incarnation,
        vm: VmName,
        epoch: Epoch,
        spec: VmSpec,
        holds: Hold,
    ) -> None:
        self.world = world
        self.clock = clock
        self.lease = lease
        self.incarnation = incarnation
        self.vm = vm
        self.epoch = epoch
        self.holds = holds
        self.pages = [0] * spec.pages
        self.dirty = 0
        self.rate = spec.workload.rate_bytes_per_s / PAGE_BYTES
        self.throttle = 0.0
        self.alive = True
        self.frozen = False
        self.running = False
        self.is_cold = True
        """It starts from nothing, not from pages that travelled."""

        self.attempt: AttemptId | None = None
        """The attempt whose pages fill it; None once it has run here."""

        self.begins: Callable[[SimWorker], None] = _nothing
        """The checker's ear: called when the guest begins to run, or to run again."""

        self.on_begin: Callable[[], None] | None = None
        """The agent waits to be told of the first step."""

        self.missing = 0
        """Pages that have not come yet, as bits; `on_missing` hears before which one it stands."""

        self.on_missing: Callable[[int], None] = _nothing
        self.origin: SimWorker | None = None
        """Who has what is missing."""

        self.ran_to = world.now
        self.owed = 0.0

    @property
    def steps(self) -> int:
        return self.pages[0]

    @property
    def memory(self) -> list[int]:
        """The pages as the guest finds them: it waits for one that is missing."""
        if self.origin is None:
            return self.pages
        return [
            self.origin.pages[index] if self.missing >> index & 1 else page
            for index, page in enumerate(self.pages)
        ]

    def may_run(self) -> bool:
        return (
            self.alive
            and not self.frozen
            and rules.may_run(self.holds, self.lease.end_s, self.clock.now)
        )

    def is_running(self) -> bool:
        """Whether it makes steps at this very moment."""
        return self.running and self.may_run()

    def might_run(self) -> bool:
        """Whether nothing but its own sleep keeps it from making a step: it has no hold, and its
        lease lasts on its own clock.
        """
        return self.alive and rules.may_run(self.holds, self.lease.end_s, self.clock.now)

    def advance(self) -> None:
        """Do what the guest has done since the last look; a lease that has ended meanwhile stopped
        it in time.
        """
        now = self.world.now
        if self.running:
            until = now
            if not self.frozen and not self.may_run():
                self.running = False
                until = min(now, max(self.ran_to, self.clock.in_world(self.lease.end_s)))
            if not self.frozen:
                self.owed += (until - self.ran_to) * self.rate * (1.0 - self.throttle)
                if self.owed >= 1.0:
                    count = int(self.owed)
                    self.owed -= count
                    self.step(count)
        self.ran_to = now

    def _reachable(self, count: int) -> int:
        """How many steps come before the next missing page."""
        size = len(self.pages) - 1
        for done in range(count):
            page = 1 + (self.pages[0] + done) % size
            if self.missing >> page & 1:
                self.on_missing(page)
                return done
        return count

    def step(self, count: int) -> None:
        if self.missing:
            count = self._reachable(count)
        pages = self.pages
        size = len(pages) - 1
        rounds, rest = divmod(count, size)
        position = pages[0] % size
        pages[0] += count
        if rounds:
            for index in range(1, size + 1):
                pages[index] += rounds
            self.dirty = (1 << size + 1) - 1
        for offset in range(rest):
            index = 1 + (position + offset) % size
            pages[index] += 1
            self.dirty |= 1 << index
        self.dirty |= 1

    def look(self) -> None:
        """An instruction boundary: begin to run, or stop, as the holds and the lease say now."""
        self.advance()
        if not self.running and self.may_run():
            self.running = True
            self.begins(self)
            self.is_cold, self.attempt = False, None
            if self.on_begin is not None:
                tell, self.on_begin = self.on_begin, None
                tell()

    def obey(self, epoch: Epoch, holds: Hold) -> None:
        """New holds take effect at an instruction boundary: now."""
        self.advance()
        self.epoch, self.holds = epoch, holds
        if holds:
            self.running = False
        else:
            self.look()

    def slow(self, share: float) -> None:
        """From now on it loses that share of its time."""
        self.advance()
        self.throttle = share

    def freeze(self) -> None:
        self.advance()
        self.frozen = True

    def thaw(self) -> None:
        self.frozen = False
        self.ran_to = self.world.now
        if self.running:
            # Stopped in the middle of its run; whether it may go on is seen before the next step.
            self.running = False
            self.look()

    def end(self) -> None:
        self.advance()
        self.alive = self.running = False


def _nothing(_: SimWorker | int) -> None:
    pass
