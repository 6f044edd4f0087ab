"""Post-copy: what the machines of a migration want done for it, and what can happen to it."""

from dataclasses import dataclass

from protocol.messages import MissingPages, RoundRecord
from protocol.names import AttemptId, Epoch, VmName

# ---- wanted of the source


@dataclass(frozen=True, slots=True)
class OpenPull:
    """S7: connect for what the target will lack, and keep connecting until the attempt is closed.
    What is dirty now will not travel: the target may take it out at once. Ends in MapDrawn.
    """

    attempt: AttemptId


@dataclass(frozen=True, slots=True)
class SendMap:
    """S9, guest paused: send the few pages that no target can be without, and list the others that
    it does not have. Ends in MapSent or PeerLost, once the target has taken the connection.
    """

    attempt: AttemptId
    round: int


@dataclass(frozen=True, slots=True)
class ServePages:
    """S14: say how it stands with the connection, each time that this changes (PullJoined,
    PullBroke), and that the target has all (PullServed). Pages were served before, if asked for.
    """

    attempt: AttemptId


@dataclass(frozen=True, slots=True)
class EndGuest:
    """The VM is another node's: end its worker and close its disks, and keep its pages."""

    vm: VmName


# ---- wanted of the target


@dataclass(frozen=True, slots=True)
class PunchPages:
    """Take these pages out of memory: they do not come before the switch."""

    attempt: AttemptId
    first: int
    bitmap: bytes


@dataclass(frozen=True, slots=True)
class CountMissing:
    """Say how many pages are out of memory, all that was named. Ends in MissingCounted."""

    attempt: AttemptId


@dataclass(frozen=True, slots=True)
class PullPages:
    """S14: ask for all that is missing, and first for what the guest stands before. Each end of
    its connection is a PullBroke, each new one a PullJoined; ends in PullDone.
    """

    attempt: AttemptId


@dataclass(frozen=True, slots=True)
class LoseVm:
    """The VM cannot go on: end it here as failed."""

    vm: VmName
    epoch: Epoch
    reason: str


SourcePull = OpenPull | SendMap | ServePages | EndGuest
TargetPull = PunchPages | CountMissing | PullPages
PullAction = SourcePull | TargetPull

# ---- happened


@dataclass(frozen=True, slots=True)
class MapDrawn:
    """What will not travel, as far as it is known before the pause."""

    attempt: AttemptId
    parts: tuple[MissingPages, ...]


@dataclass(frozen=True, slots=True)
class MapSent:
    """S9: all that the target will lack is known. `record`: of the few pages that travelled."""

    attempt: AttemptId
    record: RoundRecord
    parts: tuple[MissingPages, ...]
    missing_pages: int


@dataclass(frozen=True, slots=True)
class MissingCounted:
    """So many pages are out of the target's memory; with a `reason` that could not be done."""

    attempt: AttemptId
    pages: int
    reason: str = ""


@dataclass(frozen=True, slots=True)
class PullJoined:
    """Source and target can talk about missing pages (again)."""

    attempt: AttemptId


@dataclass(frozen=True, slots=True)
class PullBroke:
    """They cannot at the moment. `is_over`: the other end has said that it will not go on.
    `left_pages`: what a target still lacks.
    """

    attempt: AttemptId
    reason: str
    is_over: bool = False
    left_pages: int = 0


@dataclass(frozen=True, slots=True)
class PullServed:
    """The source: the target has all pages; `record` tells what it was sent."""

    attempt: AttemptId
    record: RoundRecord


@dataclass(frozen=True, slots=True)
class PullDone:
    """The target: no page is missing any more."""

    attempt: AttemptId


@dataclass(frozen=True, slots=True)
class PeerLeft:
    """The other end's life is not in the view that this node lives by."""

    reason: str


@dataclass(frozen=True, slots=True)
class Superseded:
    """The VM starts somewhere under a newer epoch than the attempt's."""


AfterCommit = PullJoined | PullBroke | PullServed | PullDone | PeerLeft | Superseded
SourcePullEvent = MapDrawn | MapSent | PullJoined | PullBroke | PullServed | PeerLeft | Superseded
TargetPullEvent = MissingCounted | PullJoined | PullBroke | PullDone | PeerLeft | Superseded
PullEvent = MapDrawn | MapSent | MissingCounted | PullJoined | PullBroke | PullServed | PullDone
