"""The states of the target of a migration: each holds what is true in it, and nothing else."""

from collections.abc import Mapping
from dataclasses import dataclass

from agent.actions import Action
from agent.config import Limits
from agent.events import (
    GuestPaused,
    GuestResumed,
    GuestSettled,
    MemoryDigested,
    PeerLost,
    PeerSaid,
    ReserveDone,
    ReserveFailed,
    RoundLanded,
    SourceConnected,
    StorageDone,
    StorageFailed,
    VmDestroyed,
)
from agent.moves import DeadlinePassed, LeaderHeard, Move, VmLost, mermaid
from agent.pull_words import TargetPullEvent
from protocol.messages import Decided, DeviceState, Ended, GaveUp
from protocol.names import Epoch, Step


@dataclass(frozen=True, slots=True)
class Reserving:
    """S3: memory is being populated, a worker started."""


@dataclass(frozen=True, slots=True)
class Listening:
    """S4: the place is ready; the source was expected from `since_s` on."""

    since_s: float


@dataclass(frozen=True, slots=True)
class Receiving:
    """S5 to S9: pages land. `landed` is the last round of which all have."""

    landed: int = -1


@dataclass(frozen=True, slots=True)
class Gathering:
    """S9: the device state is here before the last pages are."""

    device: DeviceState


@dataclass(frozen=True, slots=True)
class Digesting:
    """S9: all is here; the digest of these pages shall prove it."""


@dataclass(frozen=True, slots=True)
class Punching:
    """S9 of a post-copy: what does not come before the switch is taken out of memory."""

    device: DeviceState


@dataclass(frozen=True, slots=True)
class Received:
    """S9: the source was told that all is here, but for `missing_pages`; it asks for the disks
    next.
    """

    missing_pages: int = 0


@dataclass(frozen=True, slots=True)
class Opening:
    """S10: the disks are being opened."""

    missing_pages: int = 0


@dataclass(frozen=True, slots=True)
class Prepared:
    """S11: the source was told that the disks are open, and may have consented: only the decision
    ends this.
    """

    lost: bool = False
    missing_pages: int = 0


@dataclass(frozen=True, slots=True)
class Pull:
    """How it stands with the missing pages. `broken_s`: since when the source cannot be asked.
    `has_left`: the source's life is in no view any more.
    """

    left_pages: int
    broken_s: float | None = None
    has_left: bool = False
    is_done: bool = False


@dataclass(frozen=True, slots=True)
class Resuming:
    """S12: the VM is this node's; its guest makes its first step as soon as the lease lasts."""

    ended: Ended
    epoch: Epoch
    since_s: float
    pull: Pull | None = None


@dataclass(frozen=True, slots=True)
class Pulling:
    """S14: the guest runs, and waits where it comes to a page that is not here yet."""

    ended: Ended
    epoch: Epoch
    pull: Pull


@dataclass(frozen=True, slots=True)
class GivenUp:
    """This side has ended alone; the row of the attempt is still open. `cleared`: nothing is left
    here.
    """

    told: GaveUp
    cleared: bool


@dataclass(frozen=True, slots=True)
class Clearing:
    """The attempt was aborted; what was made for it goes."""

    ended: Ended


@dataclass(frozen=True, slots=True)
class Done:
    """The decision was carried out here."""

    ended: Ended


BeforePrepared = (
    Reserving | Listening | Receiving | Gathering | Digesting | Punching | Received | Opening
)
State = BeforePrepared | Prepared | Resuming | Pulling | GivenUp | Clearing | Done
Event = (
    ReserveDone
    | ReserveFailed
    | SourceConnected
    | RoundLanded
    | MemoryDigested
    | StorageDone
    | StorageFailed
    | PeerSaid
    | PeerLost
    | GuestPaused
    | GuestResumed
    | GuestSettled
    | VmDestroyed
    | Decided
    | LeaderHeard
    | DeadlinePassed
    | VmLost
    | TargetPullEvent
)
Next = tuple[State, tuple[Action, ...]]

STEPS: Mapping[type[State], Step] = {
    Reserving: Step.RESERVE,
    Listening: Step.CONNECT,
    Receiving: Step.ROUND,
    Gathering: Step.LAST_PAGES,
    Digesting: Step.LAST_PAGES,
    Punching: Step.LAST_PAGES,
    Received: Step.LAST_PAGES,
    Opening: Step.STORAGE,
    Prepared: Step.COMMIT,
    Resuming: Step.RESUME,
    Pulling: Step.PULL,
    Clearing: Step.COMMIT,
    Done: Step.ANNOUNCE,
}


def step_of(state: State) -> Step:
    match state:
        case GivenUp(told):
            return told.step
        case Receiving(landed) if landed < 0:
            return Step.FIRST_ROUND
    return STEPS[type(state)]


def deadline_s(state: State, limits: Limits) -> float:
    """When a place that no source has come to is given back, and a guest whose source does not
    come back is given up.
    """
    match state:
        case Listening(since_s):
            return since_s + limits.listen_max_s
        case Resuming(pull=Pull(broken_s=float(since_s), is_done=False)):
            return since_s + limits.pull_grace_s
        case Pulling(pull=Pull(broken_s=float(since_s))):
            return since_s + limits.pull_grace_s
    return float("inf")


# ---- The picture

_FORWARD = (
    ("Reserving", "ReserveDone", "Listening"),
    ("Listening", "SourceConnected", "Receiving"),
    ("Receiving", "DeviceState", "Digesting"),
    ("Receiving", "DeviceState: not to be verified", "Received"),
    ("Receiving", "DeviceState: before the last pages", "Gathering"),
    ("Gathering", "RoundLanded", "Digesting"),
    ("Gathering", "RoundLanded: not to be verified", "Received"),
    ("Digesting", "MemoryDigested", "Received"),
    ("Received", "OpenStorage", "Opening"),
    ("Opening", "StorageDone", "Prepared"),
    ("Prepared", "Decided committed", "Resuming"),
    ("Prepared", "Decided committed: VM lost", "Done"),
    ("Prepared", "Decided aborted", "Clearing"),
    ("Prepared", "Decided aborted: VM lost", "Done"),
    ("Resuming", "GuestResumed", "Done"),
    ("Resuming", "VmLost", "Done"),
    ("Receiving", "DeviceState: pages are missing", "Punching"),
    ("Gathering", "RoundLanded: pages are missing", "Punching"),
    ("Receiving", "MissingCounted: they cannot be", "GivenUp"),
    ("Punching", "MissingCounted", "Received"),
    ("Punching", "MissingCounted: not as many", "GivenUp"),
    ("Resuming", "GuestResumed: pages are missing", "Pulling"),
    *(
        (was, on, "Done")
        for was in ("Resuming", "Pulling")
        for on in ("PullBroke: for good", "PeerLeft: and is gone", "DeadlinePassed: it is gone")
    ),
    ("Pulling", "PullDone", "Done"),
    ("Pulling", "VmLost", "Done"),
    ("GivenUp", "Decided aborted", "Clearing"),
    ("GivenUp", "Decided aborted: all gone", "Done"),
    ("Clearing", "VmDestroyed", "Done"),
    ("Reserving", "ReserveFailed", "GivenUp"),
    ("Opening", "StorageFailed", "GivenUp"),
    ("Listening", "DeadlinePassed", "GivenUp"),
)
_BEFORE_PREPARED = (
    "Reserving",
    "Listening",
    "Receiving",
    "Gathering",
    "Digesting",
    "Punching",
    "Received",
    "Opening",
)

MOVES: tuple[Move, ...] = (
    *(Move(*move) for move in _FORWARD),
    *(
        Move(was, on, "GivenUp")
        for was in _BEFORE_PREPARED
        for on in ("PeerLost", "Abandoned", "out of turn", "VmLost")
    ),
    *(Move(was, "Decided aborted", "Clearing") for was in _BEFORE_PREPARED),
)
"""Every move that `step` makes from one state to another; what stands after a colon is its
condition.
"""


def diagram() -> str:
    return mermaid(MOVES, "Reserving", "Done")
