"""What an agent says of itself to a coordinator."""

from typing import TYPE_CHECKING

from agent.actions import Action, Tell
from agent.disk_reports import Said
from agent.moves import Here
from agent.vms import Outcome, Started, Stopped
from protocol.messages import (
    Hello,
    Pong,
    ViewAcked,
    VmStarted,
    VmStopped,
    WitnessChanged,
    WitnessStatus,
)
from protocol.names import ClusterId, Hold, ViewNumber, VmName

if TYPE_CHECKING:
    from agent.core import AgentCore

NO_CLUSTER = ClusterId("")


def cluster_of(core: "AgentCore") -> ClusterId:
    return core.record.cluster or NO_CLUSTER


def hello(core: "AgentCore", now: float) -> Hello:
    return Hello(
        core.config.node,
        core.incarnation,
        core.record.cluster,
        core.record.highest_term,
        core.views.number,
        core.record.votes,
        core.config.endpoint,
        core.config.memory_bytes,
        core.config.tracker,
        core.vms.reports(now < core.heartbeats.lease_end_s),
        core.attempts.reports(),
        core.carrier.status(now),
        core.config.prevents_quorum,
    )


def pong(core: "AgentCore", seq: int, now: float) -> Pong:
    lease_s = max(0.0, core.heartbeats.lease_end_s - now)
    return Pong(
        cluster_of(core),
        core.record.highest_term,
        core.incarnation,
        seq,
        core.views.number if core.views.adopted is not None else ViewNumber(0),
        lease_s,
        core.heartbeats.routes(now),
        core.vms.reports(lease_s > 0.0),
        core.carrier.status(now),
    )


def view_acked(core: "AgentCore") -> ViewAcked:
    view = core.views.adopted
    assert view is not None, "only what it lives by is acknowledged"
    with_witness = core.carrier.vouches_for(view)
    term = core.record.highest_term
    return ViewAcked(cluster_of(core), term, core.incarnation, view.number, with_witness)


def witness_changed(core: "AgentCore", status: WitnessStatus) -> WitnessChanged:
    return WitnessChanged(cluster_of(core), core.record.highest_term, core.incarnation, status)


def vm_word(core: "AgentCore", word: Started | Stopped) -> VmStarted | VmStopped:
    """Put what the coordinator has to hear of a VM into words."""
    cluster, term, incarnation = cluster_of(core), core.record.highest_term, core.incarnation
    match word:
        case Started(vm, epoch):
            return VmStarted(cluster, term, incarnation, vm, epoch)
        case Stopped(vm, epoch, reason):
            return VmStopped(cluster, term, incarnation, vm, epoch, reason)


def here(core: "AgentCore", vm: VmName) -> Here:
    """What the machines of attempts may know of their node."""
    found = core.vms.vms.get(vm)
    return Here(
        cluster_of(core),
        core.record.highest_term,
        core.incarnation,
        core.is_welcome,
        Hold.NONE if found is None else found.holds,
        0 if found is None else found.spec.pages,
        core.config.limits,
        core.config.policies,
    )


def said(core: "AgentCore", outcome: Outcome) -> list[Action]:
    """Put what the coordinator has to hear of VMs and disks into words."""
    out: list[Action] = []
    for item in outcome:
        match item:
            case Started() | Stopped():
                out.append(Tell(vm_word(core, item)))
            case Said():
                term = core.record.highest_term
                out.append(Tell(item.addressed(cluster_of(core), term, core.incarnation)))
            case _:
                out.append(item)
    return out
