"""What an agent's core wants done. Orders; they are carried out in the order in which they are
returned.
"""

from dataclasses import dataclass

from agent.config import Limits
from agent.copy_record import DatabaseCopy
from agent.disk_words import DiskAction
from agent.policies import Shelf
from agent.pull_words import LoseVm, PullAction
from agent.witness_record import WitnessRecord
from protocol import messages
from protocol.messages import FromAgent, HeartbeatMessage, MigrationMessage
from protocol.names import (
    AttemptId,
    ClusterId,
    Epoch,
    Hold,
    Incarnation,
    Member,
    NetworkName,
    NodeName,
    Term,
    Timing,
    Verify,
    ViewNumber,
    VmName,
    VmSpec,
    VoteConfig,
    Witness,
)
from protocol.travel import Travel


@dataclass(frozen=True, slots=True)
class NodeRecord:
    """What a node keeps on its own disk: where it belongs, and the newest authority it has seen."""

    cluster: ClusterId | None = None
    highest_term: Term = Term(0)
    view: ViewNumber = ViewNumber(0)
    votes: VoteConfig | None = None
    timing: Timing = Timing()
    outlast_s: float = 0.0
    """How long the next life has to wait until every promise of this one has run out, where that
    is longer than `timing` says: promises were made under slower clocks (`agent.pledges`).
    """


@dataclass(frozen=True, slots=True)
class Persist:
    """Have `record` on disk (fsynced) before any later action is begun."""

    record: NodeRecord


@dataclass(frozen=True, slots=True)
class Tell:
    """Say it to the coordinator, if the link stands; otherwise it is lost, and the core knows
    (LinkDown).
    """

    message: FromAgent


@dataclass(frozen=True, slots=True)
class CloseLink:
    """Hang up on the coordinator; the edge connects again, to the next address."""

    reason: str


@dataclass(frozen=True, slots=True)
class SendBeat:
    """One datagram to `address` (a node's on `network`), port as in its endpoint."""

    network: NetworkName
    address: str
    port: int
    message: HeartbeatMessage


@dataclass(frozen=True, slots=True)
class ReadWitness:
    """Look at the witness, beside the loop. Ends in WitnessRead or WitnessFailed with this
    `begun_at`.
    """

    witness: Witness
    begun_at: float


@dataclass(frozen=True, slots=True)
class WriteWitness:
    """Make `record` the witness's version + 1 if `version` is still its newest.

    Ends in WitnessWritten or WitnessFailed with this `begun_at`. After WitnessFailed it may still
    be done.
    """

    witness: Witness
    version: int
    record: WitnessRecord
    begun_at: float


@dataclass(frozen=True, slots=True)
class StoreCopy:
    """Keep the cluster database beside the witness's record, beside the loop.

    Ends in CopyStored or CopyFailed.
    """

    witness: Witness
    copy: DatabaseCopy
    begun_at: float


@dataclass(frozen=True, slots=True)
class FetchCopy:
    """Read the newest copy, beside the loop. Ends in CopyFetched or CopyFailed."""

    witness: Witness
    begun_at: float


@dataclass(frozen=True, slots=True)
class SetLease:
    """All workers may run guests until `end_s` on CLOCK_BOOTTIME. Never goes back, except to 0:
    none.
    """

    end_s: float


@dataclass(frozen=True, slots=True)
class CreateVm:
    """Make memory, fill it, start a worker with `holds`. Ends in VmCreated or VmFailed."""

    vm: VmName
    epoch: Epoch
    spec: VmSpec
    holds: Hold


@dataclass(frozen=True, slots=True)
class SetHolds:
    """Ends in GuestPaused when the first hold comes, GuestResumed when the last goes (once the
    lease lasts, too).
    """

    vm: VmName
    epoch: Epoch
    holds: Hold


@dataclass(frozen=True, slots=True)
class SetThrottle:
    """From now on the guest loses this share of its time: 0 for none."""

    vm: VmName
    share: float


@dataclass(frozen=True, slots=True)
class DestroyVm:
    """End the worker, give the memory back. Ends in VmDestroyed.

    `moved`: it lives on elsewhere, so its pages may be kept for when it comes back.
    """

    vm: VmName
    moved: bool = False


@dataclass(frozen=True, slots=True)
class SampleWrites:
    """Watch what a guest writes, and work out what follows from it. Ends in WritesSampled."""

    order: messages.SampleWrites
    limits: Limits
    policies: Shelf


@dataclass(frozen=True, slots=True)
class ObserveGuests:
    """Look at every guest; each look is a GuestObserved, given before this action counts as
    carried out.
    """


@dataclass(frozen=True, slots=True)
class Connect:
    """S4: try `networks` in order until all streams to `target` stand.

    Ends in Connected or PeerLost.
    """

    cluster: ClusterId
    attempt: AttemptId
    vm: VmName
    epoch: Epoch
    source_incarnation: Incarnation
    target: Member
    networks: tuple[NetworkName, ...]
    token: str
    travel: Travel


@dataclass(frozen=True, slots=True)
class SendRound:
    """Protect, then send what was written since (round 0: all pages), all streams together at most
    `rate_bytes_per_s`, where that is not 0.

    Ends in RoundSent or PeerLost.
    """

    attempt: AttemptId
    round: int
    rate_bytes_per_s: int = 0


@dataclass(frozen=True, slots=True)
class SendLastPages:
    """S9, guest paused: what is left, then the digest if `verify` asks for it.

    Ends in LastPagesSent or PeerLost.
    """

    attempt: AttemptId
    round: int
    verify: Verify
    rate_bytes_per_s: int = 0


@dataclass(frozen=True, slots=True)
class SayToPeer:
    """Say it to the other end of the attempt on stream 0."""

    attempt: AttemptId
    message: MigrationMessage


@dataclass(frozen=True, slots=True)
class Reserve:
    """S3 on the target: populate memory, start a worker with the attempt's hold, expect the
    source with `token`.
    """

    cluster: ClusterId
    attempt: AttemptId
    vm: VmName
    epoch: Epoch
    spec: VmSpec
    source_incarnation: Incarnation
    target_incarnation: Incarnation
    token: str


@dataclass(frozen=True, slots=True)
class DigestMemory:
    """Take the digest of the target's pages. Ends in MemoryDigested."""

    attempt: AttemptId
    verify: Verify


@dataclass(frozen=True, slots=True)
class OpenStorage:
    """S10 on the target. Ends in StorageDone or StorageFailed."""

    attempt: AttemptId
    vm: VmName
    epoch: Epoch


@dataclass(frozen=True, slots=True)
class CloseStorage:
    """Close the VM's disks that were opened for `attempt`, or that it no longer owns."""

    vm: VmName
    attempt: AttemptId


@dataclass(frozen=True, slots=True)
class MirrorStorage:
    """Make the VM's files where `spec` has them, send every write to both places, and copy what is
    there. Each step is a StorageCopied; ends in StorageStands, or says MirrorFailed.
    """

    vm: VmName
    epoch: Epoch
    move: int
    spec: VmSpec


@dataclass(frozen=True, slots=True)
class LeaveMirror:
    """The files that `move` made do not count any more: no write waits for them."""

    vm: VmName
    move: int


@dataclass(frozen=True, slots=True)
class SwitchStorage:
    """The files that `move` made are the VM's, as `spec` says: no write waits for the old ones."""

    vm: VmName
    move: int
    spec: VmSpec


@dataclass(frozen=True, slots=True)
class CloseAttempt:
    """Close the attempt's connections and forget it.

    On a target that gave up, DestroyVm follows.
    """

    attempt: AttemptId


@dataclass(frozen=True, slots=True)
class Announce:
    """S13: let clients find the VM here."""

    vm: VmName
    epoch: Epoch


@dataclass(frozen=True, slots=True)
class Rejoin:
    """This incarnation is out: destroy every VM, close every attempt, begin anew as a new
    incarnation.
    """

    reason: str


@dataclass(frozen=True, slots=True)
class Note:
    """A line for the agent's log: the core's story, at the moment it happens."""

    level: str
    text: str
    vm: VmName | None = None
    node: NodeName | None = None


Action = (
    Persist
    | Tell
    | CloseLink
    | SendBeat
    | ReadWitness
    | WriteWitness
    | StoreCopy
    | FetchCopy
    | SetLease
    | CreateVm
    | SetHolds
    | SetThrottle
    | DestroyVm
    | ObserveGuests
    | SampleWrites
    | Connect
    | SendRound
    | SendLastPages
    | SayToPeer
    | Reserve
    | DigestMemory
    | OpenStorage
    | CloseStorage
    | MirrorStorage
    | LeaveMirror
    | SwitchStorage
    | CloseAttempt
    | Announce
    | Rejoin
    | Note
    | PullAction
    | LoseVm
    | DiskAction
)
