"""What the tests of the agent's core stand on: small clusters, and the words to talk to them."""

from agent.actions import NodeRecord
from agent.config import AgentConfig, Limits
from agent.core import AgentCore
from agent.moves import Here
from protocol.names import (
    ClusterId,
    Endpoint,
    Fill,
    Hold,
    Incarnation,
    Member,
    NetworkName,
    NodeName,
    Term,
    Timing,
    View,
    ViewNumber,
    VmName,
    VmSpec,
    VoteConfig,
    Workload,
)

CLUSTER = ClusterId("c1")
LAN, CSV = NetworkName("lan"), NetworkName("csv")
TIMING = Timing()
L, OUTLAST = TIMING.support_s, TIMING.outlast_s
TERM = Term(7)
VM = VmName("sql01")
SPEC = VmSpec(64 * 4096, Workload("wave"), Fill.RANDOM, 1)


def endpoint(name: str, networks: tuple[NetworkName, ...] = (LAN, CSV)) -> Endpoint:
    return Endpoint(tuple((network, f"{name}.{network}") for network in networks), 3343, 6600)


def life(name: str, number: int = 1) -> Incarnation:
    return Incarnation(f"{name}#{number}")


def member(name: str, number: int = 1) -> Member:
    return Member(NodeName(name), life(name, number), endpoint(name))


def votes(names: str, index: int = 1) -> VoteConfig:
    return VoteConfig(index, tuple((NodeName(name), 1) for name in names))


def view(number: int, *members: Member, of: str = "abc", index: int = 1) -> View:
    return View(ViewNumber(number), members, votes(of, index))


def here(*, linked: bool = True, holds: Hold = Hold.NONE, limits: Limits | None = None) -> Here:
    return Here(CLUSTER, TERM, life("a"), linked, holds, SPEC.pages, limits or Limits())


def config(name: str) -> AgentConfig:
    return AgentConfig(
        node=NodeName(name), endpoint=endpoint(name), memory_bytes=4 * SPEC.memory_bytes
    )


def agent(name: str, number: int = 1, record: NodeRecord | None = None) -> AgentCore:
    return AgentCore(config(name), record or NodeRecord(), life(name, number), 0.0)
