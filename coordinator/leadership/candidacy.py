"""Which of several coordinators leads: one that holds the lease of the election, for as long.

The lease only spares the store a quarrel. What makes a second leader harmless is the term that each
takes from the store, so a clock that is off costs time and never safety.
"""

import enum
from dataclasses import dataclass

LOOK_S = 0.25
"""How often a follower looks whether the election is open."""

KEEP_EVERY = 6
"""So many times within its lease a leader renews it."""

MARGIN = 0.9
"""What of the lease a leader uses: it has let go when another may be elected."""

PATIENCE_FIRST_S = 6.0
PATIENCE_LAST_S = 60.0
"""An elected one that no quorum of agents comes to makes room for another, later each time."""

ASIDE_S = 2.0
"""So long one that has made room leaves the election to the others."""


@dataclass(frozen=True, slots=True)
class Rival:
    """Who holds the election, and where its API is."""

    name: str
    api: str


@dataclass(frozen=True, slots=True)
class Tick:
    """Time has passed."""


@dataclass(frozen=True, slots=True)
class Looked:
    """The election is held by `holder`, or open."""

    holder: Rival | None


@dataclass(frozen=True, slots=True)
class Won:
    """This one holds the election; its lease was begun not before `asked_at`."""

    asked_at: float


@dataclass(frozen=True, slots=True)
class NotWon:
    """Another was first, or nobody knows."""


@dataclass(frozen=True, slots=True)
class Kept:
    """The lease was renewed by a request sent at `asked_at`."""

    asked_at: float


@dataclass(frozen=True, slots=True)
class LeaseEnded:
    """The election's lease is no more."""


@dataclass(frozen=True, slots=True)
class Deposed:
    """The store has given a higher term to another."""


@dataclass(frozen=True, slots=True)
class Decides:
    """Whether a quorum follows, so that this one decides."""

    so: bool


Event = Tick | Looked | Won | NotWon | Kept | LeaseEnded | Deposed | Decides


@dataclass(frozen=True, slots=True)
class Look:
    """Read who holds the election. Ends in Looked, or in nothing."""


@dataclass(frozen=True, slots=True)
class Campaign:
    """Take the election if it is open. Ends in Won or NotWon."""


@dataclass(frozen=True, slots=True)
class Keep:
    """Renew the lease. Ends in Kept, LeaseEnded, or in nothing."""


@dataclass(frozen=True, slots=True)
class Lead:
    """Begin to lead, with a mind that knows nothing yet."""


@dataclass(frozen=True, slots=True)
class LetGo:
    """Stop leading at once, whatever is under way, and follow."""

    reason: str


@dataclass(frozen=True, slots=True)
class GiveBack:
    """End the own lease, so that another need not wait for its end."""


Action = Look | Campaign | Keep | Lead | LetGo | GiveBack


class Standing(enum.Enum):
    """Where a coordinator stands in the election."""

    FOLLOWER = "another leads, or nobody"
    CAMPAIGNING = "it has asked to be elected"
    ELECTED = "it leads, or tries to"


class Candidacy:
    """The way of one coordinator through the election. Feed it, do what it wants, wake it."""

    def __init__(self, lease_s: float, now: float) -> None:
        if lease_s <= 0:
            raise ValueError(f"a lease of {lease_s} s ends before it begins")
        self.standing = Standing.FOLLOWER
        self.holder: Rival | None = None
        self._lease_s = lease_s
        self._next_at = now
        self._lease_end = 0.0
        self._aside_until = now
        self._patience_s = PATIENCE_FIRST_S
        self._decides = False
        self._in_vain_at = 0.0

    def wake_at(self) -> float:
        if self.standing is not Standing.ELECTED:
            return self._next_at
        vain = float("inf") if self._decides else self._in_vain_at
        return min(self._next_at, self._lease_end, vain)

    def handle(self, event: Event, now: float) -> tuple[Action, ...]:
        if self.standing is Standing.ELECTED:
            return self._elected(event, now)
        match event:
            case Tick() if now >= self._next_at:
                return self._look_again(now)
            case Looked(holder):
                self.holder = holder
                if holder is None and now >= self._aside_until:
                    self.standing = Standing.CAMPAIGNING
                    return (Campaign(),)
            case NotWon():
                self.standing = Standing.FOLLOWER
            case Won(asked_at) if self._end_of(asked_at) <= now:
                self.standing = Standing.FOLLOWER
                return (GiveBack(),)
            case Won(asked_at):
                return self._win(asked_at, now)
        return ()

    def _look_again(self, now: float) -> tuple[Action, ...]:
        self._next_at = now + LOOK_S
        return (Look(),) if self.standing is Standing.FOLLOWER else ()

    def _win(self, asked_at: float, now: float) -> tuple[Action, ...]:
        self.standing = Standing.ELECTED
        self._lease_end = self._end_of(asked_at)
        self._next_at = now + self._lease_s / KEEP_EVERY
        self._decides = False
        self._in_vain_at = now + self._patience_s
        return (Lead(),)

    def _elected(self, event: Event, now: float) -> tuple[Action, ...]:
        # A process that was frozen wakes with whatever event comes first: the clock goes before it.
        if now >= self._lease_end and not isinstance(event, Kept):
            return self._follow("its lease of the election has run out", now, aside_s=0.0)
        match event:
            case LeaseEnded():
                return self._follow("its lease of the election has ended", now, aside_s=0.0)
            case Deposed():
                return self._follow("the store has given a higher term to another", now, ASIDE_S)
            case Kept(asked_at):
                self._lease_end = max(self._lease_end, self._end_of(asked_at))
                if now >= self._lease_end:
                    return self._follow("its lease of the election has run out", now, aside_s=0.0)
            case Decides(so):
                self._deciding(so, now)
            case Tick() if not self._decides and now >= self._in_vain_at:
                self._patience_s = min(2 * self._patience_s, PATIENCE_LAST_S)
                return self._follow("no quorum of agents has come", now, ASIDE_S)
            case Tick() if now >= self._next_at:
                self._next_at = now + self._lease_s / KEEP_EVERY
                return (Keep(),)
        return ()

    def _deciding(self, so: bool, now: float) -> None:
        if so:
            self._patience_s = PATIENCE_FIRST_S
        elif self._decides:
            self._in_vain_at = now + self._patience_s
        self._decides = so

    def _follow(self, why: str, now: float, aside_s: float) -> tuple[Action, ...]:
        self.standing = Standing.FOLLOWER
        self.holder = None
        self._next_at = now
        self._aside_until = now + aside_s
        return (LetGo(why), GiveBack())

    def _end_of(self, asked_at: float) -> float:
        return asked_at + self._lease_s * MARGIN
