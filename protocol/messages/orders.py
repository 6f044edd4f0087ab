"""The control link downwards: what the coordinator says to an agent."""

from dataclasses import dataclass

from protocol.names import (
    AttemptId,
    ClusterId,
    Decision,
    Epoch,
    Incarnation,
    Member,
    NetworkName,
    Term,
    Timing,
    Verify,
    View,
    VmName,
    VmSpec,
    VoteConfig,
)
from protocol.travel import AS_USUAL, Travel


@dataclass(frozen=True, slots=True)
class Welcome:
    """The speaker leads `cluster` in `term`.

    A node of no cluster that is welcomed belongs to it from then on.
    """

    cluster: ClusterId
    term: Term
    incarnation: Incarnation
    timing: Timing


@dataclass(frozen=True, slots=True)
class TurnedAway:
    """The coordinator will not have this node as it is; the sentence says why."""

    reason: str


@dataclass(frozen=True, slots=True)
class ProposeView:
    cluster: ClusterId
    term: Term
    view: View


@dataclass(frozen=True, slots=True)
class Ping:
    """Are you still mine? A leader without answers from a quorum for one lease resigns."""

    cluster: ClusterId
    term: Term
    seq: int


@dataclass(frozen=True, slots=True)
class Arbitrate:
    """Take the witness of `votes` if nobody holds it; the asker needs its vote to lead.

    Obeyed before a welcome, too: it gives nobody a right that holding the witness does not give.
    """

    cluster: ClusterId
    term: Term
    incarnation: Incarnation
    votes: VoteConfig


@dataclass(frozen=True, slots=True)
class KeepCopy:
    """One part of the cluster database, for who holds the disk witness to keep there: all rows but
    the event log, as the store had them at `revision`.
    """

    cluster: ClusterId
    term: Term
    incarnation: Incarnation
    revision: int
    part: int
    parts: int
    content: bytes


@dataclass(frozen=True, slots=True)
class WantCopy:
    """Say what copy of the cluster database the disk witness has.

    Answered whoever asks, under whatever term: reading gives no right.
    """

    cluster: ClusterId
    term: Term
    incarnation: Incarnation


@dataclass(frozen=True, slots=True)
class Evicted:
    """The node belongs to the cluster no more: it forgets it, and begins anew as one of none."""

    cluster: ClusterId
    term: Term
    incarnation: Incarnation


@dataclass(frozen=True, slots=True)
class FailVm:
    """Treat the VM as failed (Test-ClusterResourceFailure): end it and answer VmStopped."""

    cluster: ClusterId
    term: Term
    incarnation: Incarnation
    vm: VmName
    epoch: Epoch


@dataclass(frozen=True, slots=True)
class StartVm:
    cluster: ClusterId
    term: Term
    incarnation: Incarnation
    vm: VmName
    epoch: Epoch
    spec: VmSpec


@dataclass(frozen=True, slots=True)
class StopVm:
    """Stop what runs of `vm` under `epoch` or an older one, and answer VmStopped even if nothing
    does.
    """

    cluster: ClusterId
    term: Term
    incarnation: Incarnation
    vm: VmName
    epoch: Epoch


@dataclass(frozen=True, slots=True)
class Reserve:
    """To the target: S3, then wait for the source, which shows `token`.

    `at_once`: in how many attempts a node may take part (2008 R2: one).
    """

    cluster: ClusterId
    term: Term
    incarnation: Incarnation
    attempt: AttemptId
    vm: VmName
    epoch: Epoch
    spec: VmSpec
    source: Member
    token: str
    verify: Verify
    at_once: int = 1


@dataclass(frozen=True, slots=True)
class Migrate:
    """To the source: S4 on. `networks` is the order in which to try them.

    `rates`: limits of some of them, in bytes per second. `at_once`: as in `Reserve`.
    """

    cluster: ClusterId
    term: Term
    incarnation: Incarnation
    attempt: AttemptId
    vm: VmName
    epoch: Epoch
    target: Member
    networks: tuple[NetworkName, ...]
    token: str
    verify: Verify
    policy: str
    travel: Travel = AS_USUAL
    rates: tuple[tuple[NetworkName, int], ...] = ()
    at_once: int = 1

    def rate_on(self, network: NetworkName) -> int:
        """How fast it may be there, all streams together; 0 for no limit."""
        limits = (self.travel.rate_bytes_per_s, dict(self.rates).get(network, 0))
        return min((limit for limit in limits if limit), default=0)


@dataclass(frozen=True, slots=True)
class Decided:
    """The attempt's row says so.

    `epoch` is the VM's from now on, on the source (aborted) or target (committed).
    """

    cluster: ClusterId
    term: Term
    incarnation: Incarnation
    attempt: AttemptId
    vm: VmName
    epoch: Epoch
    decision: Decision
    reason: str
