"""The states of the source of a migration: each holds what is true in it, and nothing else."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from agent.actions import Action
from agent.config import Limits
from agent.events import (
    Connected,
    GuestPaused,
    GuestResumed,
    GuestSettled,
    LastPagesSent,
    PagesMoved,
    PeerLost,
    PeerSaid,
    RoundSent,
    VmDestroyed,
)
from agent.moves import DeadlinePassed, LeaderHeard, Move, VmLost, mermaid
from agent.policies import Another
from agent.pull_words import MapSent, SourcePullEvent
from protocol.messages import Decided, Ended, GaveUp, Part, RoundRecord
from protocol.names import NetworkName, Step

NOTHING_ASKED = Another("Nothing was asked yet.")


@dataclass(frozen=True, slots=True)
class Trip:
    """What has travelled. `waited_s`: how long a finished pre-copy waited for a coordinator.
    `asked`: what the policy wants of the rounds, `throttle`: what the guest loses at this moment.
    `post_copy`: what is left travels after the switch; `missing` pages, once they are counted.
    """

    network: NetworkName
    rounds: tuple[RoundRecord, ...] = ()
    waited_s: float = 0.0
    stop_reason: str = ""
    asked: Another = NOTHING_ASKED
    throttle: float = 0.0
    post_copy: bool = False
    missing: int = 0


@dataclass(frozen=True, slots=True)
class Switch:
    """The blackout so far: it began at `asked_s`, the part that now runs at `part_s`."""

    trip: Trip
    asked_s: float
    part_s: float
    steps: int = 0
    parts: tuple[Part, ...] = ()
    digest: bytes = b""
    verify_s: float = 0.0

    def ended(self, now: float, *names_and_seconds: tuple[str, float]) -> "Switch":
        parts = tuple(Part(name, max(0.0, seconds)) for name, seconds in names_and_seconds)
        return replace(self, parts=self.parts + parts, part_s=now)


@dataclass(frozen=True, slots=True)
class Connecting:
    """S4: the streams to the target are being made."""


@dataclass(frozen=True, slots=True)
class Copying:
    """S5, S6: a round is being sent. `landed`: the target was quicker to say so than our own
    streams.
    """

    trip: Trip
    landed: bool = False


@dataclass(frozen=True, slots=True)
class Landing:
    """S5, S6: a round was sent at `since_s`, the target has not all of it yet."""

    trip: Trip
    since_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Ready:
    """S7 is decided, but no coordinator could hear the consent: the guest runs on."""

    trip: Trip
    since_s: float


@dataclass(frozen=True, slots=True)
class Listing:
    """S7 is decided for post-copy: while the guest still runs the target takes out of its memory
    what is dirty already. `taken`: it has, and only a coordinator is missing.
    """

    trip: Trip
    since_s: float
    taken: bool = False


@dataclass(frozen=True, slots=True)
class Pausing:
    """S8: the guest was asked to stop at its next instruction boundary."""

    switch: Switch


@dataclass(frozen=True, slots=True)
class Draining:
    """S8: the guest stands still; so many requests to its disk have not been answered yet."""

    switch: Switch
    unanswered: int


@dataclass(frozen=True, slots=True)
class SendingLast:
    """S9: the guest is paused, its last pages and its state travel."""

    switch: Switch


@dataclass(frozen=True, slots=True)
class AwaitingState:
    """S9: the target gathers what was sent, and proves it."""

    switch: Switch


@dataclass(frozen=True, slots=True)
class OpeningStorage:
    """S10: the target opens the VM's disks."""

    switch: Switch


@dataclass(frozen=True, slots=True)
class Consenting:
    """S11: all is ready, but no coordinator is there to be told; nothing is promised yet."""

    switch: Switch


@dataclass(frozen=True, slots=True)
class Deciding:
    """S11: the consent was told. Only the coordinator's store knows who has the VM now."""

    switch: Switch
    lost: bool = False
    served: RoundRecord | None = None
    """The target has heard of the commit first, and has all its pages already."""


@dataclass(frozen=True, slots=True)
class Serving:
    """S14: the target has the VM and asks for its pages; this node only keeps them. `broken_s`:
    since when the two cannot talk. `has_left`: the target's life is in no view any more.
    """

    ended: Ended
    trip: Trip
    broken_s: float | None = None
    has_left: bool = False


@dataclass(frozen=True, slots=True)
class Leaving:
    """S13: the target has the VM; what is left of it here goes."""

    ended: Ended


@dataclass(frozen=True, slots=True)
class GivenUp:
    """This side has ended alone and the guest runs on; the row of the attempt is still open."""

    told: GaveUp
    lost: bool = False


@dataclass(frozen=True, slots=True)
class Done:
    """The decision was carried out here."""

    ended: Ended


Switching = Pausing | Draining | SendingLast | AwaitingState | OpeningStorage | Consenting
BeforeConsent = Connecting | Copying | Landing | Ready | Listing | Switching
AfterConsent = Deciding | Serving | Leaving
OfTheEdge = Connected | RoundSent | LastPagesSent | MapSent
State = BeforeConsent | AfterConsent | GivenUp | Done
Event = (
    Connected
    | PagesMoved
    | RoundSent
    | LastPagesSent
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
    | SourcePullEvent
)
Next = tuple[State, tuple[Action, ...]]

STEPS: Mapping[type[State], Step] = {
    Connecting: Step.CONNECT,
    Copying: Step.ROUND,
    Landing: Step.ROUND,
    Ready: Step.STOP_DECISION,
    Listing: Step.STOP_DECISION,
    Pausing: Step.PAUSE,
    Draining: Step.PAUSE,
    SendingLast: Step.LAST_PAGES,
    AwaitingState: Step.LAST_PAGES,
    OpeningStorage: Step.STORAGE,
    Consenting: Step.COMMIT,
    Deciding: Step.COMMIT,
    Serving: Step.PULL,
    Leaving: Step.ANNOUNCE,
    Done: Step.ANNOUNCE,
}


def step_of(state: State) -> Step:
    match state:
        case GivenUp(told):
            return told.step
        case Copying(trip) if not trip.rounds:
            return Step.FIRST_ROUND
        case Landing(trip) if len(trip.rounds) == 1:
            return Step.FIRST_ROUND
    return STEPS[type(state)]


def throttle_of(state: State) -> float:
    """What its guest loses of its time in that state."""
    match state:
        case Copying(trip=trip) | Landing(trip=trip) | Ready(trip=trip):
            return trip.throttle
        case _ if isinstance(state, Switching | Deciding):
            return state.switch.trip.throttle
    return 0.0


def deadline_s(state: State, limits: Limits) -> float:
    """When a guest that waits for a switch shall not wait any longer."""
    match state:
        case Serving(broken_s=float(since_s)):
            # Longer than the target may take to come back: it is the one that gives up.
            return since_s + 2 * limits.pull_grace_s
        case Draining(switch):
            return switch.asked_s + min(limits.drain_max_s, limits.switch_max_s)
        case _ if isinstance(state, Switching):
            return state.switch.asked_s + limits.switch_max_s
    return float("inf")


# ---- The picture

_FORWARD = (
    ("Connecting", "Connected", "Copying"),
    ("Copying", "RoundSent", "Landing"),
    ("Landing", "RoundReceived: another round", "Copying"),
    ("Landing", "RoundReceived: enough", "Pausing"),
    ("Landing", "RoundReceived: enough, no coordinator", "Ready"),
    ("Copying", "RoundSent: landed, enough", "Pausing"),
    ("Copying", "RoundSent: landed, enough, no coordinator", "Ready"),
    ("Ready", "LeaderHeard", "Copying"),
    ("Pausing", "GuestPaused", "SendingLast"),
    ("Pausing", "GuestPaused: its disk has not answered all", "Draining"),
    ("Draining", "GuestSettled", "SendingLast"),
    ("SendingLast", "LastPagesSent", "AwaitingState"),
    ("AwaitingState", "StateReceived: the same digest", "OpeningStorage"),
    ("OpeningStorage", "StorageOpened", "Deciding"),
    ("OpeningStorage", "StorageOpened: no coordinator", "Consenting"),
    ("Consenting", "LeaderHeard", "Deciding"),
    ("Deciding", "Decided committed", "Leaving"),
    ("Deciding", "Decided aborted", "Done"),
    ("Deciding", "Decided committed: VM lost", "Done"),
    ("Landing", "RoundReceived: enough, post-copy", "Listing"),
    ("Copying", "RoundSent: landed, enough, post-copy", "Listing"),
    ("Listing", "MissingTaken", "Pausing"),
    ("Listing", "LeaderHeard: all is taken out", "Pausing"),
    ("SendingLast", "MapSent: post-copy", "AwaitingState"),
    ("Deciding", "Decided committed: post-copy", "Serving"),
    ("Serving", "PullServed", "Leaving"),
    ("Serving", "PullBroke: the target asks no more", "Leaving"),
    ("Serving", "PeerLeft: and cannot be reached", "Leaving"),
    ("Serving", "Superseded", "Leaving"),
    ("Serving", "DeadlinePassed", "Leaving"),
    ("Serving", "VmLost", "Done"),
    ("Leaving", "VmDestroyed", "Done"),
    ("GivenUp", "Decided aborted", "Done"),
)
_SWITCHING = (
    "Pausing",
    "Draining",
    "SendingLast",
    "AwaitingState",
    "OpeningStorage",
    "Consenting",
)
_BEFORE_CONSENT = ("Connecting", "Copying", "Landing", "Ready", "Listing", *_SWITCHING)

MOVES: tuple[Move, ...] = (
    *(Move(*move) for move in _FORWARD),
    *(
        Move(was, on, "GivenUp")
        for was in _BEFORE_CONSENT
        for on in ("PeerLost", "Abandoned", "out of turn", "VmLost")
    ),
    *(Move(was, "DeadlinePassed", "GivenUp") for was in _SWITCHING),
    Move("AwaitingState", "StateReceived: another digest", "GivenUp"),
    *(Move(was, "Decided aborted", "Done") for was in _BEFORE_CONSENT),
)
"""Every move that `step` makes from one state to another; what stands after a colon is its
condition.
"""


def diagram() -> str:
    return mermaid(MOVES, "Connecting", "Done")
