"""The slow count of votes: who has really acknowledged a view, and whether that is enough."""

from typing import Any

import pytest

from agent.actions import NodeRecord
from agent.witness_record import WitnessRecord
from lab.simulation.ballots import Ballots, Violation
from lab.simulation.net import Network
from lab.simulation.witness import SimWitness
from lab.simulation.world import World
from protocol.messages import ViewAcked
from protocol.names import ClusterId, Incarnation, NodeName, Term, ViewNumber, VoteConfig

HOME = ClusterId("home")
PATH = "/disk"


class Count:
    """Four nodes and a witness, and what they say."""

    def __init__(self) -> None:
        world = World(1)
        self.ballots = Ballots()
        self.witness = SimWitness(world, Network(world), PATH)
        self.ballots.watch(self.witness)

    def ack(self, *nodes: str, view: int = 2, index: int = 1, with_witness: bool = False) -> None:
        for name in nodes:
            node, life = NodeName(name), Incarnation(f"{name}-1")
            votes = VoteConfig(index, ((node, 1),))
            disk = NodeRecord(HOME, Term(1), ViewNumber(view), votes)
            said = ViewAcked(HOME, Term(1), life, ViewNumber(view), with_witness)
            self.ballots.acknowledged(said, disk)

    def write(self, node: str, view: int = 2) -> None:
        life = Incarnation(f"{node}-1")
        record = WitnessRecord(HOME, 1, ViewNumber(view), life, NodeName(node), 5.0)
        self.witness._write(self.witness.version, record)

    def holds(self, view: dict[str, Any], before: dict[str, Any] | None = None) -> None:
        self.ballots.view_holds(view, before)


def view(
    *nodes: str, voters: int = 4, with_witness: bool = False, forced: bool = False, index: int = 1
) -> dict[str, Any]:
    return {
        "number": 2,
        "members": [{"node": node, "incarnation": f"{node}-1"} for node in nodes],
        "votes": {
            "index": index,
            "votes": [[f"node{number}", 1] for number in range(1, voters + 1)],
            "witness": ["disk", "Disk", PATH] if with_witness else None,
            "witness_votes": 1 if with_witness else 0,
            "forced": forced,
        },
    }


def test_three_of_four_are_enough_and_two_are_not() -> None:
    count = Count()
    count.ack("node1", "node2")
    with pytest.raises(Violation, match="2 of 4 votes"):
        count.holds(view("node1", "node2", "node3"))

    count.ack("node3")
    count.holds(view("node1", "node2", "node3"))


def test_a_witness_counts_if_a_member_has_written_the_view_to_it() -> None:
    count = Count()
    count.write("node1")
    count.ack("node1", "node2", with_witness=True)

    count.holds(view("node1", "node2", with_witness=True))

    assert count.ballots.exempt == [], "nothing was let pass that was not counted"


def test_a_witness_counts_once_whoever_says_it() -> None:
    count = Count()
    count.write("node1")
    count.write("node2")
    count.ack("node1", with_witness=True)
    count.ack("node2", with_witness=True)

    with pytest.raises(Violation, match="3 of 6 votes"):
        shown = view("node1", "node2", voters=4, with_witness=True)
        shown["votes"]["votes"].append(["node5", 1])
        count.holds(shown)


def test_a_word_for_the_witness_without_a_write_is_worth_nothing() -> None:
    count = Count()
    count.write("node1", view=1)
    count.ack("node1", "node2", with_witness=True)

    with pytest.raises(Violation, match="2 of 5 votes"):
        count.holds(view("node1", "node2", with_witness=True))


def test_changed_votes_need_the_old_ones_too() -> None:
    count = Count()
    count.ack("node1", "node2", index=2)

    with pytest.raises(Violation, match="2 of 4 votes of configuration 1"):
        count.holds(view("node1", "node2", voters=3, index=2), view("node1", "node2"))


def test_an_acknowledgement_that_is_not_on_disk_is_seen() -> None:
    said = ViewAcked(HOME, Term(1), Incarnation("node1-1"), ViewNumber(2))

    with pytest.raises(Violation, match="its disk knows 1"):
        Ballots().acknowledged(said, NodeRecord(HOME, Term(1), ViewNumber(1)))


def test_an_acknowledgement_without_the_votes_on_disk_is_seen() -> None:
    count = Count()
    count.ack("node1", "node2", "node3", index=1)

    with pytest.raises(Violation, match="without keeping its votes"):
        count.holds(view("node1", "node2", "node3", index=2))


def test_a_forced_view_is_exempt_aloud() -> None:
    count = Count()

    count.holds(view("node1", forced=True))

    assert len(count.ballots.exempt) == 1
    assert "forced by an operator's oath" in count.ballots.exempt[0]


def test_a_node_that_forgets_its_vote_configuration_is_seen() -> None:
    old, new = (NodeRecord(HOME, votes=VoteConfig(index, ())) for index in (3, 2))

    with pytest.raises(Violation, match="goes back to 2"):
        Ballots().persisted(NodeName("node1"), old, new)
