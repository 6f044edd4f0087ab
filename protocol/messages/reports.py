"""The control link upwards: what an agent says to the coordinator."""

from dataclasses import dataclass

from protocol.names import (
    AttemptId,
    ClusterId,
    Decision,
    Endpoint,
    Epoch,
    Hold,
    Incarnation,
    NetworkName,
    NodeName,
    Step,
    Term,
    ViewNumber,
    VmName,
    VoteConfig,
    WitnessState,
)


@dataclass(frozen=True, slots=True)
class VmReport:
    """What an agent has of one VM. A guest runs only while `holds` is empty and the lease lasts."""

    vm: VmName
    epoch: Epoch
    running: bool
    holds: Hold
    steps: int = 0
    dirty_bytes_per_s: float = 0.0


@dataclass(frozen=True, slots=True)
class AttemptReport:
    """An attempt that an agent takes part in. `consented`: the source may not end it alone any
    more.
    """

    attempt: AttemptId
    vm: VmName
    epoch: Epoch
    is_source: bool
    step: Step
    consented: bool


@dataclass(frozen=True, slots=True)
class WitnessStatus:
    """How a node finds the witness of vote configuration `index`.

    `newest_index` and `newest_view` are what the witness itself remembers (0: nothing).
    """

    index: int
    state: WitnessState
    newest_index: int = 0
    newest_view: ViewNumber = ViewNumber(0)


@dataclass(frozen=True, slots=True)
class RouteReport:
    """Whether `node` is heard on `network`, in both directions."""

    node: NodeName
    network: NetworkName
    up: bool


@dataclass(frozen=True, slots=True)
class Hello:
    """First words of an agent: who it is, the newest it has seen, and what it really runs."""

    node: NodeName
    incarnation: Incarnation
    cluster: ClusterId | None
    highest_term: Term
    view: ViewNumber
    votes: VoteConfig | None
    endpoint: Endpoint
    memory_bytes: int
    tracker: str
    vms: tuple[VmReport, ...] = ()
    attempts: tuple[AttemptReport, ...] = ()
    witness: WitnessStatus | None = None
    prevents_quorum: bool = False
    """It may join a cluster that runs, and never helps to form one."""


@dataclass(frozen=True, slots=True)
class Pong:
    """Acknowledges ping `seq` of the leader of `term`, and reports. `lease_s`: what is left of
    the lease.
    """

    cluster: ClusterId
    term: Term
    incarnation: Incarnation
    seq: int
    view: ViewNumber
    lease_s: float
    routes: tuple[RouteReport, ...]
    vms: tuple[VmReport, ...]
    witness: WitnessStatus | None = None


@dataclass(frozen=True, slots=True)
class ViewAcked:
    """The sender's promises to all who are not in the view have run out, and it lives by the
    view from now on. `with_witness`: so does the witness, whose vote it carries.
    """

    cluster: ClusterId
    term: Term
    incarnation: Incarnation
    view: ViewNumber
    with_witness: bool = False


@dataclass(frozen=True, slots=True)
class WitnessChanged:
    """The witness is in another state than the sender last said; told before a welcome, too."""

    cluster: ClusterId
    term: Term
    incarnation: Incarnation
    witness: WitnessStatus


@dataclass(frozen=True, slots=True)
class CopyKept:
    """The copy of `revision` is on the disk witness; with a `reason` it is not, and why."""

    cluster: ClusterId
    term: Term
    incarnation: Incarnation
    revision: int
    reason: str = ""


@dataclass(frozen=True, slots=True)
class CopyOffered:
    """One part of the newest copy on the disk witness, which a leader of `copy_term` had kept
    there. Of no parts: there is none to be had, and why.
    """

    cluster: ClusterId
    term: Term
    incarnation: Incarnation
    copy_term: Term
    revision: int
    part: int
    parts: int
    content: bytes
    reason: str = ""


@dataclass(frozen=True, slots=True)
class VmStarted:
    cluster: ClusterId
    term: Term
    incarnation: Incarnation
    vm: VmName
    epoch: Epoch


@dataclass(frozen=True, slots=True)
class VmStopped:
    """The VM does not run here and, under this epoch, never will.

    `reason` is empty when it was asked for.
    """

    cluster: ClusterId
    term: Term
    incarnation: Incarnation
    vm: VmName
    epoch: Epoch
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Reserved:
    """S3 is done on the target: memory populated, a worker waiting, listening for the source."""

    cluster: ClusterId
    term: Term
    incarnation: Incarnation
    attempt: AttemptId
    vm: VmName
    epoch: Epoch


@dataclass(frozen=True, slots=True)
class RoundRecord:
    """One pass of pre-copy. `dirty_pages_at_end`: written by the guest while this round
    travelled.

    Of `pages` there are `zero_pages` (all zero), `packed_pages` (compressed), `delta_pages` (as
    differences), `kept_pages` (the target had them). `left_pages` were to be sent and left for the
    next round, since they were written again. `cpu_s`: of the threads that sent it. `throttle`:
    the share of its time that was taken from the guest.
    """

    round: int
    pages: int
    zero_pages: int
    wire_bytes: int
    seconds: float
    dirty_pages_at_end: int
    packed_pages: int = 0
    delta_pages: int = 0
    kept_pages: int = 0
    left_pages: int = 0
    cpu_s: float = 0.0
    throttle: float = 0.0


@dataclass(frozen=True, slots=True)
class Part:
    """A named part of the blackout."""

    name: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Progress:
    """The source has reached `step`; `round` is the pass that just ended, if one did."""

    cluster: ClusterId
    term: Term
    incarnation: Incarnation
    attempt: AttemptId
    step: Step
    network: NetworkName
    pages_total: int
    pages_sent: int
    round: RoundRecord | None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Consented:
    """The source's consent to commit: from now on it waits, guest paused, and never decides
    alone.
    """

    cluster: ClusterId
    term: Term
    incarnation: Incarnation
    attempt: AttemptId
    vm: VmName
    epoch: Epoch
    verified: bool | None
    waited_s: float
    parts: tuple[Part, ...]
    rounds: tuple[RoundRecord, ...]
    stop_reason: str


@dataclass(frozen=True, slots=True)
class GaveUp:
    """One end has ended its part before any consent; on the source the guest runs on."""

    cluster: ClusterId
    term: Term
    incarnation: Incarnation
    attempt: AttemptId
    vm: VmName
    epoch: Epoch
    is_source: bool
    step: Step
    reason: str


@dataclass(frozen=True, slots=True)
class Ended:
    """One end has carried out the decision and cleaned up; `parts` are what it adds to the
    blackout. `verified`: what only the end of a post-copy could prove.
    """

    cluster: ClusterId
    term: Term
    incarnation: Incarnation
    attempt: AttemptId
    is_source: bool
    decision: Decision
    parts: tuple[Part, ...]
    verified: bool | None = None
