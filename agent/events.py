"""What can happen to an agent. Facts, in the past tense; `Tick` is the time that
`AgentCore.wake_at` asked for.
"""

from dataclasses import dataclass

from agent.actions import FetchCopy, StoreCopy
from agent.copy_record import DatabaseCopy
from agent.disk_words import DiskEvent
from agent.pull_words import PullEvent
from agent.witness_record import WitnessRecord
from protocol.messages import (
    HeartbeatMessage,
    MigrationMessage,
    RoundRecord,
    ToAgent,
    WritesForecast,
)
from protocol.names import AttemptId, Epoch, NetworkName, VmName


@dataclass(frozen=True, slots=True)
class Tick:
    """Time has passed."""


@dataclass(frozen=True, slots=True)
class LinkUp:
    """The control link to a coordinator stands."""


@dataclass(frozen=True, slots=True)
class LinkDown:
    """The control link is gone; whatever was said last may or may not have arrived."""

    reason: str


@dataclass(frozen=True, slots=True)
class Told:
    """The coordinator said `message`."""

    message: ToAgent


@dataclass(frozen=True, slots=True)
class BeatReceived:
    """A heartbeat or an answer came in on `network`."""

    network: NetworkName
    message: HeartbeatMessage


# ---- the witness; `begun_at` is that of the action which it answers


@dataclass(frozen=True, slots=True)
class WitnessRead:
    """The witness's newest version is `version`; 0 and None if nobody ever wrote to it."""

    version: int
    record: WitnessRecord | None
    begun_at: float


@dataclass(frozen=True, slots=True)
class WitnessWritten:
    """`ok`: the record replaced `version`, and is the next one. Otherwise somebody else wrote."""

    version: int
    ok: bool
    begun_at: float


@dataclass(frozen=True, slots=True)
class WitnessFailed:
    """The witness could not be read or written, or did not answer; a write may still be done."""

    reason: str
    begun_at: float


# ---- the copy of the database beside it; `order` is the action that it answers


@dataclass(frozen=True, slots=True)
class CopyStored:
    """The copy of the database is on the disk, or a newer one is."""

    order: StoreCopy


@dataclass(frozen=True, slots=True)
class CopyFetched:
    """The newest copy that the disk has, if it has one."""

    order: FetchCopy
    copy: DatabaseCopy | None


@dataclass(frozen=True, slots=True)
class CopyFailed:
    """A copy could not be kept or read, or not in time; one to be kept may come to be there yet."""

    order: StoreCopy | FetchCopy
    reason: str


# ---- VMs


@dataclass(frozen=True, slots=True)
class VmCreated:
    """Memory is there and filled, the worker waits with the holds it was created with."""

    vm: VmName


@dataclass(frozen=True, slots=True)
class VmFailed:
    """The VM could not be created, or its worker ended by itself. Nothing of it is left."""

    vm: VmName
    reason: str


@dataclass(frozen=True, slots=True)
class GuestPaused:
    """The guest stopped at an instruction boundary after `steps` steps; `pause_s` after it was
    asked to. `unanswered` requests to its disk are still under way: GuestSettled follows.
    """

    vm: VmName
    steps: int
    pause_s: float
    unanswered: int = 0


@dataclass(frozen=True, slots=True)
class GuestSettled:
    """The guest stands still, its disk has answered all, and the answers lie in its pages."""

    vm: VmName


@dataclass(frozen=True, slots=True)
class DiskStuck:
    """A request to the VM's disk failed, and will be tried again until it succeeds."""

    vm: VmName
    reason: str


@dataclass(frozen=True, slots=True)
class DiskFlows:
    """The VM's disk answers again."""

    vm: VmName


@dataclass(frozen=True, slots=True)
class DiskGone:
    """A request to the VM's disk failed, and none will ever succeed in this life of VM or node."""

    vm: VmName
    reason: str


@dataclass(frozen=True, slots=True)
class DiskRefused:
    """A request came under `epoch` while the guest stands still for an attempt: it was not begun.
    Of many in one attempt the first.
    """

    vm: VmName
    epoch: Epoch
    deed: str


@dataclass(frozen=True, slots=True)
class StorageCopied:
    """So much of the VM's disks is in the new place, too; writes go to both."""

    vm: VmName
    move: int
    copied_bytes: int
    total_bytes: int


@dataclass(frozen=True, slots=True)
class StorageStands:
    """The new place has all that the old one has, its configuration, too, on stable storage."""

    vm: VmName
    move: int


@dataclass(frozen=True, slots=True)
class MirrorFailed:
    """The new place cannot be made, or does not take a write: the guest waits for that write."""

    vm: VmName
    move: int
    reason: str


@dataclass(frozen=True, slots=True)
class GuestResumed:
    """The guest has made its first step again, `resume_s` after its last hold went."""

    vm: VmName
    resume_s: float


@dataclass(frozen=True, slots=True)
class VmDestroyed:
    """Worker and memory are gone."""

    vm: VmName


@dataclass(frozen=True, slots=True)
class GuestObserved:
    """A look at a guest that runs or waits, for reports."""

    vm: VmName
    running: bool
    steps: int
    dirty_bytes_per_s: float


# ---- Migration, source


@dataclass(frozen=True, slots=True)
class Connected:
    """All streams to the target stand on `network`, and the target has greeted on each."""

    attempt: AttemptId
    network: NetworkName


@dataclass(frozen=True, slots=True)
class PagesMoved:
    """A pass is under way, and so many of its pages have left by now."""

    attempt: AttemptId
    pages: int


@dataclass(frozen=True, slots=True)
class RoundSent:
    """A pass is on its way: all its pages were handed to the network."""

    attempt: AttemptId
    record: RoundRecord


@dataclass(frozen=True, slots=True)
class LastPagesSent:
    """S9 is on its way: the last pages and the memory's digest (empty when not verified), guest
    paused.
    """

    attempt: AttemptId
    record: RoundRecord
    digest: bytes
    verify_s: float


@dataclass(frozen=True, slots=True)
class PeerSaid:
    """The other end of a migration said `message` on stream 0."""

    attempt: AttemptId
    message: MigrationMessage


@dataclass(frozen=True, slots=True)
class PeerLost:
    """The connection to the other end could not be made on any network, or broke."""

    attempt: AttemptId
    reason: str


# ---- Migration, target


@dataclass(frozen=True, slots=True)
class ReserveDone:
    """S3: memory is populated and a worker waits, paused by the attempt's hold."""

    attempt: AttemptId


@dataclass(frozen=True, slots=True)
class ReserveFailed:
    """S3 could not be done; nothing of it is left."""

    attempt: AttemptId
    reason: str


@dataclass(frozen=True, slots=True)
class SourceConnected:
    """All streams of the source stand; each showed the attempt's token."""

    attempt: AttemptId


@dataclass(frozen=True, slots=True)
class RoundLanded:
    """All pages of `round` are in memory, on all streams."""

    attempt: AttemptId
    round: int
    pages: int


@dataclass(frozen=True, slots=True)
class MemoryDigested:
    """The digest of the target's own pages."""

    attempt: AttemptId
    digest: bytes
    verify_s: float


@dataclass(frozen=True, slots=True)
class StorageDone:
    """S10: the VM's disks are open here."""

    attempt: AttemptId


@dataclass(frozen=True, slots=True)
class StorageFailed:
    """S10: the VM's disks could not be opened here."""

    attempt: AttemptId
    reason: str


@dataclass(frozen=True, slots=True)
class WritesSampled:
    """What a guest writes was watched, or could not be: either way that is the answer."""

    answer: WritesForecast


MirrorEvent = StorageCopied | StorageStands | MirrorFailed
VmEvent = (
    VmCreated
    | VmFailed
    | GuestPaused
    | GuestSettled
    | GuestResumed
    | VmDestroyed
    | GuestObserved
    | WritesSampled
    | DiskStuck
    | DiskFlows
    | DiskGone
    | DiskRefused
    | MirrorEvent
)
SourceEvent = Connected | PagesMoved | RoundSent | LastPagesSent | PeerSaid | PeerLost
TargetEvent = (
    ReserveDone
    | ReserveFailed
    | SourceConnected
    | RoundLanded
    | MemoryDigested
    | StorageDone
    | StorageFailed
    | PeerSaid
    | PeerLost
)
WitnessEvent = WitnessRead | WitnessWritten | WitnessFailed
CopyEvent = CopyStored | CopyFetched | CopyFailed
Event = (
    Tick
    | LinkUp
    | LinkDown
    | Told
    | BeatReceived
    | WitnessEvent
    | CopyEvent
    | VmEvent
    | SourceEvent
    | TargetEvent
    | PullEvent
    | DiskEvent
)
