"""Who is dealt which votes, and which changes are refused: modes, weights, personalities."""

from dataclasses import replace

import pytest

from coordinator.requests import (
    Accepted,
    Declined,
    FormCluster,
    JoinNode,
    Request,
    SetQuorum,
    SetWeight,
)
from coordinator.shown import chronicle
from coordinator.store.rows import CLUSTER
from coordinator.votes.dealing import config_for, default_mode, would_lose_quorum
from protocol.names import (
    NodeName,
    Personality,
    QuorumMode,
    Witness,
    WitnessKind,
)
from tests.coordinator.agent import Register
from tests.coordinator.driver import World, formed
from tests.coordinator.ground import TIMING, A, B, C

D = NodeName("d")
DISK = Witness("Disk 1", WitnessKind.DISK, "/san/witness")
SHARE = Witness("Share", WitnessKind.SHARE, "//server/witness")
NODES, NODES_DISK, NODES_SHARE, DISK_ONLY = QuorumMode


def lab(
    names: str = "abc",
    mode: QuorumMode | None = None,
    witness: Witness | None = None,
    personality: Personality = Personality.R2008,
) -> World:
    """A cluster whose nodes all reach one witness."""
    world = World(names)
    register = Register()
    for agent in world.agents.values():
        agent.witness = register
    world.all_hear_all()
    world.begin()
    world.connect()
    nodes = tuple(map(NodeName, names))
    world.ask(FormCluster("test", nodes, TIMING, mode, witness, personality))
    world.after(8.0)
    return world


def votes(world: World) -> dict[str, int]:
    return dict(world.row("view")["votes"]["votes"])


def told(world: World, body: Request) -> Declined:
    answer = world.ask(body)
    assert isinstance(answer, Declined), answer
    return answer


# ---- how they are dealt


@pytest.mark.parametrize(
    ("nodes", "witness", "mode"),
    [
        (1, None, NODES),
        (3, WitnessKind.DISK, NODES),
        (5, WitnessKind.SHARE, NODES),
        (2, WitnessKind.DISK, NODES_DISK),
        (4, WitnessKind.SHARE, NODES_SHARE),
        (4, None, NODES),
    ],
)
def test_the_mode_follows_the_number_of_nodes_and_the_witness(
    nodes: int, witness: WitnessKind | None, mode: QuorumMode
) -> None:
    assert default_mode(nodes, witness) is mode


def test_static_votes_are_the_weights_whoever_is_up() -> None:
    config = config_for(7, NODES_DISK, DISK, {B: 0, A: 1})

    assert (config.index, config.votes) == (7, ((A, 1), (B, 0)))
    assert (config.witness_votes, config.total, config.needed) == (1, 2, 2)


def test_with_a_disk_alone_no_node_has_a_vote() -> None:
    config = config_for(1, DISK_ONLY, DISK, {A: 1, B: 1})

    assert (config.votes, config.total, config.needed) == (((A, 0), (B, 0)), 1, 1)


def test_dynamic_votes_keep_the_sum_odd() -> None:
    weights = {A: 1, B: 1, C: 1, D: 1}

    assert config_for(1, NODES_DISK, DISK, weights, {A, B, C, D}).total == 5
    assert config_for(1, NODES_DISK, DISK, weights, {A, B, C}).total == 3
    assert config_for(1, NODES_DISK, DISK, weights, {A, B, C}).witness_votes == 0
    alone = config_for(1, NODES, None, weights, {A, B}, goes_without=B)
    assert (dict(alone.votes), alone.needed) == ({A: 1, B: 0, C: 0, D: 0}, 1)


# ---- forming and joining


def test_a_cluster_is_formed_in_the_mode_that_fits() -> None:
    assert lab("ab", witness=DISK).row("view")["votes"]["mode"] == "NodeAndDiskMajority"
    assert lab("ab", witness=SHARE).row("view")["votes"]["mode"] == "NodeAndFileShareMajority"
    odd = lab("abc", witness=DISK).row("view")["votes"]
    assert (odd["mode"], odd["witness"]) == ("NodeMajority", None)


def test_an_even_number_without_a_witness_is_warned_of() -> None:
    assert chronicle.witness_wanting(2).id in formed("ab").events()
    assert chronicle.witness_wanting(2).id not in formed("abc").events()


def test_nodes_get_their_ids_in_the_order_in_which_they_come() -> None:
    world = formed("abc")
    world.add(D)
    world.connect("d")
    world.ask(JoinNode(D))

    assert [world.row(f"node/{name}")["id"] for name in "abcd"] == [1, 2, 3, 4]


def test_what_does_not_fit_the_mode_is_refused_when_forming() -> None:
    world = World("ab")
    world.begin()
    world.connect()
    for mode, witness in (
        (NODES_DISK, None),
        (NODES_SHARE, None),
        (DISK_ONLY, None),
        (NODES, DISK),
        (NODES_DISK, SHARE),
        (NODES_SHARE, DISK),
        (DISK_ONLY, SHARE),
    ):
        answer = told(world, FormCluster("test", (A, B), TIMING, mode, witness))
        assert (answer.status, answer.code) == (422, "bad-witness"), (mode, witness)


@pytest.mark.parametrize(
    "path",
    [
        "/srv/ClusterStorage/Volume1/witness",
        "C:\\ClusterStorage\\Volume1",
        "\\\\a\\share",
        "//B.example.com/share",
        "relative/witness",
        "/srv/../node/a",
        "",
    ],
)
def test_a_witness_on_a_volume_or_on_a_node_is_refused(path: str) -> None:
    world = formed("ab")
    answer = told(world, SetQuorum(NODES_SHARE, Witness("w", WitnessKind.SHARE, path)))

    assert (answer.status, answer.code) == (422, "bad-witness")
    assert 1559 in world.events()
    assert world.row("view")["votes"]["index"] == 1


def test_a_witness_at_a_nodes_address_is_refused() -> None:
    world = formed("ab")
    address = dict(world["a"].hello().endpoint.addresses)[
        next(iter(dict(world["a"].hello().endpoint.addresses)))
    ]
    answer = told(world, SetQuorum(NODES_SHARE, replace(SHARE, path=f"//{address}/w")))

    assert "on node a" in answer.sentence


# ---- changing them


def test_the_mode_changes_while_the_cluster_runs() -> None:
    world = lab("abcd")
    done = world.ask(SetQuorum(NODES_DISK, DISK))

    assert done == Accepted(
        {"mode": "NodeAndDiskMajority", "witness": "Disk 1", "votes": 5, "needed": 3}
    )
    assert world.row("view")["votes"]["index"] == 2
    world.after(8)
    assert world["a"].holds, "the leader has asked the first one to take it"
    assert chronicle.witness_taken("", A).id in world.events()
    assert isinstance(world.ask(SetQuorum(NODES, None)), Accepted)
    assert world.row("view")["votes"]["witness_votes"] == 0


def test_what_is_set_already_is_answered_at_once_and_writes_nothing() -> None:
    world = lab("abc")
    number = world.row("view")["number"]

    assert isinstance(world.ask(SetQuorum(NODES, None)), Accepted)
    assert isinstance(world.ask(SetWeight(A, 1)), Accepted)
    assert world.row("view")["number"] == number


def test_one_change_at_a_time_and_none_in_the_calm_after_it() -> None:
    world = lab("abcd")
    assert isinstance(world.ask(SetQuorum(NODES_DISK, DISK)), Accepted)

    assert told(world, SetQuorum(NODES, None)).code == "view-pending"
    world.after(TIMING.outlast_s + 1)
    assert isinstance(world.ask(SetQuorum(NODES, None)), Accepted)


def test_a_disk_becomes_the_only_voter_once_a_node_has_shown_that_it_holds_it() -> None:
    world = lab("abc")
    assert "NodeAndDiskMajority" in told(world, SetQuorum(DISK_ONLY, DISK)).sentence
    assert isinstance(world.ask(SetQuorum(NODES_DISK, DISK)), Accepted)
    world.after(8)

    assert isinstance(world.ask(SetQuorum(DISK_ONLY, DISK)), Accepted)
    world.after(8)
    assert votes(world) == {"a": 0, "b": 0, "c": 0}
    assert world.core.leads
    world.die("b", "c")
    world.after(20)
    assert world.core.leads, "one node with the disk is enough"
    assert [m["node"] for m in world.row("view")["members"]] == ["a"]


def test_a_witness_that_nobody_holds_yet_does_not_help_a_change_through() -> None:
    world = lab("abcd")
    world.die("d")
    world.after(15)
    world["c"].acks = False
    world.disconnect("c")
    answer = told(world, SetQuorum(NODES_DISK, DISK))

    assert (answer.status, answer.code) == (409, "quorum-would-be-lost")
    assert "5954" in answer.sentence


def test_a_weight_is_taken_and_given_back() -> None:
    world = lab("abc")

    done = world.ask(SetWeight(C, 0))
    assert done == Accepted({"node": "c", "weight": 0, "votes": 0})
    assert votes(world) == {"a": 1, "b": 1, "c": 0}
    assert world.row("node/c")["weight"] == 0
    assert [m["node"] for m in world.row("view")["members"]] == ["a", "b", "c"]
    world.after(8)
    assert isinstance(world.ask(SetWeight(C, 1)), Accepted)
    assert votes(world) == {"a": 1, "b": 1, "c": 1}


def test_weights_that_are_none_or_would_lose_the_quorum_are_refused() -> None:
    world = lab("abc")
    assert told(world, SetWeight(NodeName("x"), 0)).code == "unknown-node"
    assert told(world, SetWeight(A, 2)).status == 422
    world.die("c")
    world.after(15)
    answer = told(world, SetWeight(A, 0))
    assert answer.code == "quorum-would-be-lost", "b would be one of two"
    assert "5954" in answer.sentence

    only = lab("ab", DISK_ONLY, DISK)
    assert told(only, SetWeight(A, 0)).code == "disk-only"


# ---- what would lose the quorum


def test_a_node_is_not_let_go_where_the_rest_would_be_too_few() -> None:
    world = lab("abc")
    scene = world.core._desk.scene
    assert would_lose_quorum(scene, C) is None
    assert would_lose_quorum(scene, C, evict=True) is None
    world.die("c")
    world.after(15)

    assert would_lose_quorum(scene, C) is None, "it has gone already"
    assert would_lose_quorum(scene, C, evict=True) is None
    stopped = would_lose_quorum(scene, B)
    assert stopped is not None
    assert stopped.code == "quorum-would-be-lost"
    evicted = would_lose_quorum(scene, B, evict=True)
    assert evicted is not None
    assert "5939" in evicted.sentence
    assert "weight" not in evicted.sentence, "it would not be let go then, either"


def test_one_of_two_is_let_go_once_it_has_no_weight_and_the_refusal_says_so() -> None:
    world = lab("ab")
    scene = world.core._desk.scene
    refusal = would_lose_quorum(scene, B, evict=True)
    assert refusal is not None
    assert "weight to 0" in refusal.sentence
    assert isinstance(world.ask(SetWeight(B, 0)), Accepted)
    world.after(8)

    assert would_lose_quorum(scene, B, evict=True) is None
    assert would_lose_quorum(scene, B) is None


def test_from_disk_only_the_refusal_names_the_way() -> None:
    world = lab("abc", NODES_DISK, DISK)
    assert isinstance(world.ask(SetQuorum(DISK_ONLY, DISK)), Accepted)
    world.after(8)

    assert "NodeAndDiskMajority with the same disk" in told(world, SetQuorum(NODES, None)).sentence


def test_a_witness_that_is_held_lets_one_of_two_go_and_never_the_last() -> None:
    world = lab("ab", NODES_DISK, DISK)
    scene = world.core._desk.scene
    assert would_lose_quorum(scene, A) is None
    assert would_lose_quorum(scene, B) is None
    world.die("b")
    world.after(15)

    assert would_lose_quorum(scene, A) is not None


# ---- 2012 R2


def test_votes_follow_the_survivors_down_to_the_last_node() -> None:
    world = lab("abc", personality=Personality.R2012)
    world.die("c")
    world.after(25)
    assert votes(world) == {"a": 1, "b": 0, "c": 0}, "the highest id goes without"
    world.die("b")
    world.after(25)

    assert world.core.leads
    assert [m["node"] for m in world.row("view")["members"]] == ["a"]


def test_dynamic_votes_do_not_survive_a_majority_that_goes_at_once() -> None:
    world = lab("abc", personality=Personality.R2012)
    world.die("b", "c")
    world.after(25)

    assert not world.core.leads


def test_a_dynamic_witness_votes_only_beside_an_even_number_of_nodes() -> None:
    world = lab("abcd", NODES_DISK, DISK, Personality.R2012)
    assert world.row("view")["votes"]["witness_votes"] == 1
    world.die("d")
    world.after(25)
    assert world.row("view")["votes"]["witness_votes"] == 0
    world.die("c")
    world.after(25)
    assert world.row("view")["votes"]["witness_votes"] == 1
    assert votes(world) == {"a": 1, "b": 1, "c": 0, "d": 0}
    world.after(10)
    world.die("b")
    world.after(25)
    assert world.core.leads
    assert [m["node"] for m in world.row("view")["members"]] == ["a"]


def test_who_goes_without_a_vote_can_be_named() -> None:
    world = lab("abc", personality=Personality.R2012)
    scene = world.core._desk.scene
    assert scene.book.cluster is not None
    named = replace(scene.book.cluster, properties=(("LowerQuorumPriorityNodeID", 1),))
    scene.book.learn(CLUSTER, scene.book.revision(CLUSTER), named.data())
    world.die("c")
    world.after(25)

    assert votes(world) == {"a": 0, "b": 1, "c": 0}


def test_dynamic_quorum_can_be_switched_off() -> None:
    world = lab("abc", personality=Personality.R2012)
    scene = world.core._desk.scene
    assert scene.book.cluster is not None
    off = replace(scene.book.cluster, properties=(("DynamicQuorum", 0),))
    scene.book.learn(CLUSTER, scene.book.revision(CLUSTER), off.data())
    world.die("c")
    world.after(25)

    assert votes(world) == {"a": 1, "b": 1, "c": 1}
