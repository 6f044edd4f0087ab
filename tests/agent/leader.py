"""A coordinator's part, played by hand: what it tells an agent, and what the agent says."""

from agent.actions import SendBeat, Tell
from agent.core import AgentCore
from agent.events import BeatReceived, LinkUp, Told, VmCreated
from protocol.messages import (
    Heartbeat,
    HeartbeatAnswer,
    Migrate,
    ProposeView,
    Reserve,
    StartVm,
    ToAgent,
    ViewAcked,
    Welcome,
)
from protocol.names import AttemptId, Epoch, NodeName, Term, Verify, View, ViewNumber, VmName
from tests.agent.ground import CLUSTER, CSV, LAN, SPEC, TERM, TIMING, VM, agent, life, member, view

ABC = view(1, member("a"), member("b"), member("c"))
A1, E1 = AttemptId(1), Epoch(1)


def welcome(core: AgentCore, now: float = 0.0, term: Term = TERM) -> list[object]:
    core.handle(LinkUp(), now)
    return [*told(core, Welcome(CLUSTER, term, core.incarnation, TIMING), now)]


def told(core: AgentCore, message: ToAgent, now: float = 0.0) -> list[object]:
    return [*core.handle(Told(message), now)]


def said(actions: list[object]) -> list[object]:
    return [action.message for action in actions if isinstance(action, Tell)]


def living(name: str = "a", now_in: View = ABC) -> AgentCore:
    core = agent(name)
    welcome(core)
    assert any(isinstance(m, ViewAcked) for m in said(propose(core, now_in)))
    return core


def propose(core: AgentCore, proposed: View, now: float = 0.0, term: Term = TERM) -> list[object]:
    return told(core, ProposeView(CLUSTER, term, proposed), now)


def beat(sender: str, to: str, seq: int = 1, number: int = 1) -> BeatReceived:
    message = Heartbeat(
        CLUSTER, NodeName(sender), life(sender, number), NodeName(to), seq, True, ViewNumber(1)
    )
    return BeatReceived(LAN, message)


def support_in(actions: list[object]) -> float:
    (send,) = actions
    assert isinstance(send, SendBeat)
    assert isinstance(send.message, HeartbeatAnswer)
    return send.message.support_s


def start(core: AgentCore, epoch: int = 1) -> StartVm:
    return StartVm(CLUSTER, TERM, core.incarnation, VM, Epoch(epoch), SPEC)


def running(core: AgentCore) -> AgentCore:
    told(core, start(core))
    core.handle(VmCreated(VM), 0.0)
    return core


def reserve(core: AgentCore, attempt: int = 1, vm: VmName = VM, epoch: Epoch = E1) -> Reserve:
    return Reserve(
        CLUSTER,
        TERM,
        core.incarnation,
        AttemptId(attempt),
        vm,
        epoch,
        SPEC,
        member("b"),
        "token",
        Verify.OFF,
    )


def migrate(core: AgentCore, policy: str = "2008r2", epoch: Epoch = E1) -> Migrate:
    return Migrate(
        CLUSTER,
        TERM,
        core.incarnation,
        A1,
        VM,
        epoch,
        member("b"),
        (CSV, LAN),
        "token",
        Verify.OFF,
        policy,
    )
