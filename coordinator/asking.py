"""Turns what operators ask into plans."""

from coordinator.attempts import Abort, Open
from coordinator.events import RequestId
from coordinator.pauses import Pause, Resume
from coordinator.pen import Plan
from coordinator.requests import (
    CancelAttempt,
    CreateVm,
    DeleteVm,
    FormCluster,
    JoinNode,
    MigrateVm,
    PauseNode,
    Request,
    ResumeNode,
    StartVm,
    StopVm,
)
from coordinator.views import Form, Join
from coordinator.wishes import Create, Remove, TurnOff, TurnOn

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
        case MigrateVm(vm, target, policy, verify):
            return Open(request, vm, target, policy, verify)
        case CancelAttempt(attempt):
            return Abort(attempt, CANCELLED, cancelled=True, request=request)
        case PauseNode(node, drain):
            return Pause(request, node, drain)
        case ResumeNode(node):
            return Resume(request, node)


def asker_of(plan: Plan) -> RequestId | None:
    """Who waits for the plan's answer, if anybody does."""
    match plan:
        case Form() | Join() | Create() | Remove() | TurnOn() | TurnOff() | Pause() | Resume():
            return plan.request
        case Open() | Abort():
            return plan.request
        case _:
            return None
