"""Turns what operators ask into plans."""

from dataclasses import dataclass

from coordinator.events import RequestId
from coordinator.groups.group_orders import (
    ConfigureGroup,
    ConfigureResource,
    FailOnPurpose,
    Relocate,
    hashable,
)
from coordinator.groups.wishes import Create, Remove, TurnOff, TurnOn
from coordinator.membership.evicting import Evict
from coordinator.membership.forming import Form, Join
from coordinator.membership.pauses import Pause, Resume
from coordinator.membership.properties import Configure
from coordinator.membership.stopping import Start, Stop
from coordinator.migration.attempts import Abort, Open
from coordinator.migration.estimates import Estimate
from coordinator.migration.limiting import SetLimit
from coordinator.networks.network_plans import ChangeNetwork, OrderMigration
from coordinator.pen import Plan
from coordinator.requests import (
    CancelAttempt,
    CreateVm,
    Declined,
    DeleteVm,
    EstimateDrain,
    EstimateVm,
    EvictNode,
    FailResource,
    ForceQuorum,
    FormCluster,
    JoinNode,
    LimitNode,
    MigrateVm,
    MoveGroup,
    PauseNode,
    Request,
    ResumeNode,
    SetGroup,
    SetMigrationNetworks,
    SetNetwork,
    SetProperties,
    SetProperty,
    SetQuorum,
    SetResource,
    SetWeight,
    StartNode,
    StartVm,
    StopNode,
    StopVm,
)
from coordinator.scene import Scene
from coordinator.storage.storage_orders import storage_plan
from coordinator.votes.forcing import NotForced
from coordinator.votes.reweighing import ChangeQuorum, Weigh

CANCELLED = "an operator cancelled it"


def plan_for(request: RequestId, body: Request) -> Plan:
    """The one transaction that does what is asked, or says why not."""
    match body:
        case FormCluster():
            return Form(request, body)
        case JoinNode(node):
            return Join(request, node)
        case CreateVm():
            return Create(request, body)
        case DeleteVm(vm):
            return Remove(request, vm)
        case StartVm(vm):
            return TurnOn(request, vm)
        case StopVm(vm):
            return TurnOff(request, vm)
        case MigrateVm(vm, target, policy, verify, travel, priority):
            return Open(request, vm, target, policy, verify, travel, priority)
        case EstimateVm() | EstimateDrain():
            return Estimate(request, body)
        case CancelAttempt(attempt):
            return Abort(attempt, CANCELLED, cancelled=True, request=request)
        case PauseNode(node, drain):
            return Pause(request, node, drain)
        case ResumeNode(node):
            return Resume(request, node)
        case SetProperty(name, value):
            return Configure(request, ((name, value),))
        case SetProperties(settings):
            return Configure(request, settings)
        case EvictNode(node):
            return Evict(request, node)
        case StopNode(node):
            return Stop(request, node)
        case StartNode(node):
            return Start(request, node)
        case SetNetwork():
            return ChangeNetwork(request, body)
        case SetMigrationNetworks():
            return OrderMigration(request, body)
        case SetQuorum():
            return ChangeQuorum(request, body)
        case SetWeight():
            return Weigh(request, body)
        case LimitNode(node, rate):
            return SetLimit(request, node, rate)
        case ForceQuorum():
            return NotForced(request)
        case SetGroup(group, settings):
            return ConfigureGroup(request, group, hashable(settings))
        case SetResource(resource, settings):
            return ConfigureResource(request, resource, hashable(settings))
        case MoveGroup(group, node):
            return Relocate(request, group, node)
        case FailResource(resource):
            return FailOnPurpose(request, resource)
        case _:
            return storage_plan(request, body) or NotYet(request)


def asker_of(plan: Plan) -> RequestId | None:
    """Who waits for the plan's answer, if anybody does."""
    request: RequestId | None = getattr(plan, "request", None)
    return request


@dataclass(frozen=True, slots=True)
class NotYet:
    request: RequestId

    def draft(self, scene: Scene) -> Declined:
        return Declined(501, "not-yet", "This version cannot do that yet.")
