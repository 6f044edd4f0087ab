"""A Hello that cannot be true is turned away in a sentence, and moves nothing."""

from dataclasses import replace

import pytest

from coordinator.actions import CloseLink, Send
from coordinator.events import LinkId, Said
from coordinator.leadership.doorstep import LEAP_MAX
from protocol.codec import encode
from protocol.messages import (
    AttemptReport,
    Hello,
    Pong,
    TurnedAway,
    VmReport,
    WitnessChanged,
    WitnessStatus,
)
from protocol.names import (
    AttemptId,
    ClusterId,
    Endpoint,
    Epoch,
    Hold,
    Incarnation,
    NetworkName,
    NodeName,
    Step,
    Term,
    ViewNumber,
    VoteConfig,
    WitnessState,
)
from tests.coordinator.driver import World, formed, with_vm
from tests.coordinator.ground import SQL

STRANGER = LinkId(999)
FAR = 10 * LEAP_MAX


def at(address: str = "127.1.0.9", beats: int = 3343, pages: int = 6600) -> Endpoint:
    return Endpoint(((NetworkName("csv"), address),), beats, pages)


def stranger(
    node: str = "c", endpoint: Endpoint | None = None, cluster: ClusterId | None = None
) -> Hello:
    life = Incarnation(f"{node}-evil")
    where = endpoint or at()
    return Hello(NodeName(node), life, cluster, Term(0), ViewNumber(0), None, where, 1 << 30, "map")


def answer(world: World, hello: Hello) -> str:
    """Why it was turned away; empty if it was not."""
    world.actions.clear()
    world.inbox.append(Said(STRANGER, hello))
    world.drain()
    for action in world.actions:
        if isinstance(action, Send) and isinstance(action.message, TurnedAway):
            assert action.link == STRANGER
            assert CloseLink(STRANGER, action.message.reason) in world.actions
            return action.message.reason
    return ""


@pytest.mark.parametrize(
    ("endpoint", "words"),
    [
        (at("not-an-ip"), "'not-an-ip' on csv"),
        (at(""), "'' on csv"),
        (at("::1"), "'::1' on csv"),
        (at("1.2.3.4\0"), "IPv4"),
        (at("0.0.0.0"), "'0.0.0.0' on csv"),
        (at("224.0.0.1"), "'224.0.0.1' on csv"),
        (at("255.255.255.255"), "'255.255.255.255' on csv"),
        (at(beats=0), "port 0"),
        (at(beats=-1), "port -1"),
        (at(pages=70_000), "port 70000"),
    ],
)
@pytest.mark.parametrize("leads", [True, False])
def test_an_endpoint_that_nobody_can_reach_is_turned_away_and_takes_nobodys_place(
    leads: bool, endpoint: Endpoint, words: str
) -> None:
    world = formed() if leads else World()
    if not leads:
        world.begin()
    before = world.row("view") if leads else {}

    reason = answer(world, stranger(endpoint=endpoint))

    assert words in reason
    assert reason.endswith(".")
    assert not any(isinstance(a, CloseLink) and a.link != STRANGER for a in world.actions)
    if leads:
        world.after(20.0)
        assert world.row("view") == before


@pytest.mark.parametrize("cluster", [ClusterId("another"), None])
def test_a_view_that_no_node_of_this_cluster_tells_of_counts_for_nothing(
    cluster: ClusterId | None,
) -> None:
    world = formed()
    before = world.row("view")

    answer(world, replace(stranger("x", cluster=cluster), view=ViewNumber(before["number"] + 9)))
    world.after(5.0)

    assert world.row("view") == before


def test_before_it_leads_strangers_count_for_nothing_either() -> None:
    first = formed()
    second = World("", "c2", store=first.store)
    second.agents = first.agents
    second.now = first.now
    second.begin()
    said = replace(stranger("x", cluster=ClusterId("another")), view=ViewNumber(1000))
    second.inbox.append(Said(STRANGER, said))
    second.connect()

    assert second.core.leads
    second.after(5.0)
    assert second.row("view")["number"] < 1000


@pytest.mark.parametrize("leads", [True, False])
@pytest.mark.parametrize(
    ("said", "word"),
    [
        ({"highest_term": Term(FAR)}, "term"),
        ({"view": ViewNumber(FAR)}, "view"),
        (
            {"attempts": (AttemptReport(AttemptId(FAR), SQL, Epoch(1), True, Step.ROUND, False),)},
            "attempt",
        ),
    ],
)
def test_a_number_that_no_leader_can_have_reached_is_turned_away(
    leads: bool, said: dict[str, object], word: str
) -> None:
    world = formed()
    if not leads:
        world.disconnect("a", "b", "c")
        world.after(7.0)
        assert not world.core.leads
    term = world.core.term
    hello = replace(stranger(cluster=world["a"].known), **said)  # type: ignore[arg-type]

    reason = answer(world, hello)

    if not leads:
        world.actions.clear()
        world.connect("a", "b")
        reason = next(
            a.message.reason
            for a in world.actions
            if isinstance(a, Send) and isinstance(a.message, TurnedAway)
        )
    assert f"{word} {FAR}" in reason
    assert reason.endswith(".")
    world.after(10.0)
    assert world.core.leads
    assert world.core.term <= term + 2
    assert world.row("view")["number"] < FAR


def test_an_epoch_that_no_leader_can_have_reached_raises_nothing() -> None:
    world = with_vm(formed())
    row = world.row("vm/sql01")
    agent = world["b"]
    reports = (VmReport(SQL, Epoch(FAR), True, Hold.NONE, steps=1),)
    pong = Pong(agent.known, agent.term, agent.incarnation, 1, ViewNumber(1), 5.0, (), reports)

    world.inbox.append(Said(world.links[NodeName("b")], pong))
    world.drain()

    assert world.row("vm/sql01")["epoch"] == row["epoch"]


def test_what_the_furthest_believed_numbers_lead_to_can_still_be_sent() -> None:
    world = formed()
    for _ in range(3):
        furthest = Term(world.core.term + LEAP_MAX)
        answer(world, replace(stranger(cluster=world["a"].known), highest_term=furthest))
        world.disconnect("a", "b", "c")
        world.connect()
        world.after(5.0)

    assert world.core.leads
    assert world.core.term > 3 * LEAP_MAX
    assert all(encode(a.message) for a in world.actions if isinstance(a, Send))


def test_a_vote_configuration_that_nobody_ever_gave_out_is_turned_away() -> None:
    world = formed("abc")
    hello = replace(stranger(cluster=world.core._desk.cluster), votes=VoteConfig(FAR, ()))

    assert "vote configuration" in answer(world, hello)
    assert world.core.leads


def test_what_nobody_can_have_read_in_a_witness_is_not_believed() -> None:
    world = formed("abc")
    agent = world["b"]
    status = WitnessStatus(1, WitnessState.HELD, newest_index=FAR, newest_view=ViewNumber(FAR))
    head = (agent.known, agent.term, agent.incarnation)
    agent.say(WitnessChanged(*head, status))
    agent.say(Pong(*head, 99, ViewNumber(1), 5.0, (), (), status))
    world.drain()

    assert world.core.leads
    assert world.core.term == 1
    world.die("c")
    world.after(15)
    assert world.row("view")["number"] < FAR
