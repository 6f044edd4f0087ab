import pytest

from coordinator.membership.properties import PROPERTIES, listed, number, value
from coordinator.requests import (
    Accepted,
    Declined,
    FormCluster,
    JoinNode,
    SetProperties,
    SetProperty,
)
from protocol.messages import Welcome
from protocol.names import NodeName, Personality, Timing
from tests.coordinator.driver import World, formed

RANGES = [
    ("SameSubnetDelay", 250, 2000),
    ("SameSubnetThreshold", 3, 120),
    ("CrossSubnetDelay", 250, 4000),
    ("CrossSubnetThreshold", 3, 120),
    ("QuorumArbitrationTimeMax", 1, 3600),
    ("QuorumGraceTime", 0, 3600),
    ("AddEvictDelay", 0, 600),
    ("ShutdownTimeoutInMinutes", 0, 1440),
    ("ClusSvcRegroupOpeningTimeout", 0, 3600),
    ("ClusSvcRegroupPruningTimeout", 0, 3600),
]


def cluster_of(personality: Personality = Personality.R2008) -> World:
    world = World("abc")
    world.all_hear_all()
    world.begin()
    world.connect()
    world.ask(FormCluster("test", tuple(map(NodeName, "abc")), personality=personality))
    world.after(20)
    return world


@pytest.mark.parametrize(("name", "least", "most"), RANGES)
def test_a_value_at_either_end_is_taken_and_one_beyond_changes_nothing(
    name: str, least: int, most: int
) -> None:
    world = formed()
    book = world.core._desk.scene.book
    for fitting in (least, most):
        assert world.ask(SetProperty(name, fitting)) == Accepted({name: fitting})
        assert number(book, name) == fitting
    before = world.row("cluster")
    for beyond in (least - 1, most + 1, "many", 10**20):
        answer = world.ask(SetProperty(name, beyond))
        assert isinstance(answer, Declined)
        assert (answer.status, answer.code) == (422, "out-of-range")
        assert "(5913)" in answer.sentence
    assert world.row("cluster") == before


def test_several_are_set_together_or_none_of_them() -> None:
    world = formed()
    good, bad = ("AddEvictDelay", 30), ("SameSubnetThreshold", 2)
    before = world.row("cluster")
    assert isinstance(world.ask(SetProperties((good, bad))), Declined)
    assert world.row("cluster") == before

    answer = world.ask(SetProperties((good, ("description", "for tests"))))
    assert answer == Accepted({"AddEvictDelay": 30, "Description": "for tests"})
    assert value(world.core._desk.scene.book, "Description") == "for tests"


def test_a_name_that_is_unknown_is_answered_with_the_nearest_one() -> None:
    answer = formed().ask(SetProperty("SameSubnetTreshold", 5))

    assert isinstance(answer, Declined)
    assert answer.status == 404
    assert "did you mean SameSubnetThreshold?" in answer.sentence


@pytest.mark.parametrize("name", ["FixQuorum", "PreventQuorum", "BackupInProgress"])
def test_what_can_only_be_read_is_not_set(name: str) -> None:
    answer = formed().ask(SetProperty(name, 1))

    assert isinstance(answer, Declined)
    assert answer.code == "read-only"


def test_properties_of_a_later_personality_are_there_only_with_it() -> None:
    older, later = cluster_of(), cluster_of(Personality.R2012)
    refused = older.ask(SetProperty("DynamicQuorum", 0))
    assert isinstance(refused, Declined)
    assert "2012r2" in refused.sentence
    assert later.ask(SetProperty("DynamicQuorum", 0)) == Accepted({"DynamicQuorum": 0})

    names = {entry["name"] for entry in listed(older.core._desk.scene.book)}
    assert PROPERTIES.keys() - names == {
        *("DynamicQuorum", "LowerQuorumPriorityNodeID", "MigrationsPerNode")
    }


def test_a_word_of_digits_is_a_number_and_letters_may_have_any_case() -> None:
    answer = formed().ask(SetProperty("samesubnetthreshold", " 10 "))

    assert answer == Accepted({"SameSubnetThreshold": 10})


def test_new_clocks_are_told_to_all_and_nobody_is_judged_by_them_before_all_can_have_them() -> None:
    world = formed()
    world.after(10)
    world.ask(SetProperty("SameSubnetThreshold", 10))
    told = [world[name].heard[-1] for name in "abc"]
    assert [m.timing for m in told if isinstance(m, Welcome)] == [Timing(threshold=10)] * 3

    world.ask(SetProperty("SameSubnetThreshold", 3))
    world.die("c")
    world.after(Timing(threshold=10).outlast_s - 1)
    assert len(world.row("view")["members"]) == 3, "the longer clocks count as long as they may"
    world.after(3)
    assert len(world.row("view")["members"]) == 2


def test_a_much_shorter_lease_does_not_depose_the_leader_that_set_it() -> None:
    world = formed()
    world.ask(SetProperties((("SameSubnetDelay", 2000), ("SameSubnetThreshold", 10))))
    world.after(31)
    term = world.core.term
    world.ask(SetProperties((("SameSubnetDelay", 250), ("SameSubnetThreshold", 3))))
    world.after(60)

    assert world.core.leads
    assert world.core.term == term
    assert len(world.row("view")["members"]) == 3


def test_the_cluster_can_be_given_another_name() -> None:
    world = formed()
    assert world.ask(SetProperty("Name", "other")) == Accepted({"Name": "other"})

    assert world.core.picture().status["cluster"] == "other"
    assert isinstance(world.ask(SetProperty("Name", "")), Declined)


def test_without_a_cluster_there_is_nothing_to_set() -> None:
    world = World("a")
    world.begin()
    answer = world.ask(SetProperty("Name", "x"))

    assert isinstance(answer, Declined)
    assert answer.code == "no-cluster"


def test_promises_by_longer_clocks_of_the_past_are_waited_out_after_changed_votes() -> None:
    world = formed()
    world.ask(SetProperty("SameSubnetThreshold", 20))
    world.after(21)
    world.ask(SetProperty("SameSubnetThreshold", 3))
    world.after(21)
    world.add(NodeName("d"))
    world.connect("d")
    world.all_hear_all()
    world.ask(JoinNode(NodeName("d")))
    world.die("b")
    world.after(19)
    assert len(world.row("view")["members"]) == 4, "a node may still live by the longer ones"
    world.after(4)
    assert len(world.row("view")["members"]) == 3
