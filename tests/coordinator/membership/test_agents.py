from dataclasses import replace

from coordinator.events import LinkId
from coordinator.membership.agents import Agents
from protocol.messages import Pong, RouteReport, VmReport
from protocol.names import (
    ClusterId,
    Epoch,
    Hold,
    NetworkName,
    NodeName,
    Term,
    ViewNumber,
    VmName,
)
from tests.coordinator.driver import World

WORLD = World("ab")
HELLO = WORLD["a"].hello()
B, LAN = NodeName("b"), NetworkName("lan")


def pong(lease_s: float = 5.0, up: bool = True, vms: tuple[VmReport, ...] = ()) -> Pong:
    routes = (RouteReport(B, LAN, up),)
    return Pong(ClusterId("x"), Term(1), HELLO.incarnation, 1, ViewNumber(1), lease_s, routes, vms)


def test_a_nodes_newest_hello_replaces_the_link_before_it() -> None:
    agents = Agents()

    assert agents.greet(LinkId(1), HELLO, 0.0) is None
    assert agents.greet(LinkId(2), HELLO, 1.0) == LinkId(1)
    assert agents.on(LinkId(1)) is None
    assert agents.forget(LinkId(1)) is None
    found = agents.at(HELLO.node)
    assert found is not None
    assert found.link == LinkId(2)
    assert agents.greet(LinkId(2), HELLO, 2.0) is None, "the same link again"


def test_agents_are_walked_by_name_and_all_can_be_let_go() -> None:
    agents = Agents()
    agents.greet(LinkId(1), WORLD["b"].hello(), 0.0)
    agents.greet(LinkId(2), HELLO, 0.0)

    assert [agent.node for agent in agents] == ["a", "b"]
    assert agents.forget_all() == (1, 2)
    assert list(agents) == []


def test_only_a_welcomed_life_counts_as_living() -> None:
    agents = Agents()
    agents.greet(LinkId(1), HELLO, 0.0)
    agent = agents.at(HELLO.node)
    assert agent is not None

    assert agents.living(HELLO.node, HELLO.incarnation) is None
    agent.welcomed = True
    assert agents.living(HELLO.node, HELLO.incarnation) is agent
    assert agents.living(HELLO.node, None) is None
    assert agents.heard_at() == {HELLO.node: 0.0}


def test_a_pong_is_news_only_if_who_is_heard_or_the_lease_has_changed() -> None:
    agents = Agents()
    agents.greet(LinkId(1), HELLO, 0.0)
    agent = agents.at(HELLO.node)
    assert agent is not None

    assert agent.pong(pong(), 1.0)
    assert not agent.pong(pong(), 2.0)
    assert agent.hears == {B}
    assert agent.pong(pong(lease_s=0.0), 3.0)
    assert agent.no_lease_since == 3.0
    assert not agent.pong(pong(lease_s=0.0), 4.0)
    assert agent.no_lease_since == 3.0
    assert agent.pong(pong(up=False), 5.0)
    assert agent.hears == frozenset()
    assert agent.no_lease_since is None


def test_a_vm_whose_memory_is_still_being_made_is_not_online() -> None:
    agents = Agents()
    agents.greet(LinkId(1), HELLO, 0.0)
    agent = agents.at(HELLO.node)
    assert agent is not None
    vm, epoch = VmName("sql01"), Epoch(2)
    made = VmReport(vm, epoch, False, Hold.NONE)

    agent.pong(pong(vms=(made,)), 1.0)
    assert agent.has(vm, epoch)
    assert not agent.online_at(vm, epoch)
    agent.pong(pong(vms=(replace(made, running=True),)), 2.0)
    assert agent.online_at(vm, epoch)
    assert not agent.online_at(vm, Epoch(3))
