"""Running without a quorum, because an operator swears that nobody else runs."""

from coordinator.requests import (
    Accepted,
    Declined,
    EvictNode,
    ForceQuorum,
    JoinNode,
    SetWeight,
    StartVm,
)
from coordinator.shown import chronicle
from protocol.names import NodeName, Personality, Term, ViewNumber, VmName
from tests.coordinator.driver import World, another, formed, with_vm
from tests.coordinator.ground import TIMING, A, B, C
from tests.coordinator.votes.test_dealing import DISK, NODES_DISK, lab


def alone(world: World, *names: str) -> World:
    """A coordinator that hears only these."""
    second = another(world)
    second.all_hear_all()
    for name in names:
        second[name].hears &= set(map(NodeName, names))
    second.begin()
    second.connect(*names)
    assert not second.core.leads
    return second


def refused(world: World, body: ForceQuorum) -> Declined:
    answer = world.ask(body)
    assert isinstance(answer, Declined), answer
    return answer


def quorum(world: World) -> dict[str, object]:
    return dict(world.row("view")["votes"])


def test_without_an_oath_the_answer_says_what_must_be_sworn() -> None:
    world = alone(formed("abcde"), "a", "b")
    answer = refused(world, ForceQuorum((A, B), oath=False))

    assert (answer.status, answer.code) == (409, "oath-missing")
    assert "c, d, e" in answer.sentence
    assert not world.core.leads


def test_nodes_that_are_unknown_twice_or_not_here_are_refused() -> None:
    world = alone(formed("abc"), "a")

    assert refused(world, ForceQuorum((), True)).status == 422
    assert refused(world, ForceQuorum((A, A), True)).status == 422
    assert refused(world, ForceQuorum((NodeName("x"),), True)).code == "unknown-node"
    assert refused(world, ForceQuorum((A, B), True)).code == "node-unreachable"
    assert not world.core.leads


def test_there_is_nothing_to_force_while_a_quorum_leads_or_without_a_cluster() -> None:
    assert refused(formed("abc"), ForceQuorum((A,), True)).code == "quorum-present"
    empty = World("a")
    empty.begin()
    empty.connect()
    assert refused(empty, ForceQuorum((A,), True)).code == "no-cluster"


def test_a_forced_node_runs_the_vms_of_the_others_after_all_promises_have_run_out() -> None:
    world = alone(with_vm(formed("abc"), node="b"), "a")
    assert world.ask(ForceQuorum((A,), oath=True)) is None, "answered once it holds"
    forced = quorum(world)
    assert (forced["forced"], forced["votes"], forced["index"]) == (True, [["a", 1]], 2)
    assert world.row("view")["held"] is False

    world.after(TIMING.outlast_s - 0.5)
    assert world.row("view")["held"] is False
    assert world.running()["a"] == []
    world.after(TIMING.outlast_s + 5)
    assert world.answers[1] == Accepted({"nodes": ["a"], "forced": True})
    assert world.running()["a"] == ["sql01"]
    assert chronicle.quorum_forced((A,)).id in world.events()
    assert world.core.leads


def test_nothing_else_is_decided_before_the_forced_view_is_written() -> None:
    world = alone(formed("abc"), "a")
    before = {row.key for row in world.store.range("")}
    answer = world.ask(StartVm(VmName("x")))
    assert isinstance(answer, Declined)
    assert answer.status == 503
    assert {row.key for row in world.store.range("")} == before

    world.ask(ForceQuorum((A,), oath=True))
    transactions = [action for action in world.actions if hasattr(action, "txn")]
    puts = [{put.key for put in action.txn.puts} for action in transactions]
    assert "view" in next(keys for keys in puts if keys)


def test_the_votes_are_the_configured_ones_again_when_enough_nodes_are_back() -> None:
    world = alone(formed("abc"), "a")
    world.ask(ForceQuorum((A,), oath=True))
    world.after(TIMING.outlast_s + 2)
    world["b"].reborn()
    world.all_hear_all()
    world["a"].hears.discard(C)
    world.connect("b")
    world.after(30)

    normal = quorum(world)
    assert (normal["forced"], normal["votes"]) == (False, [["a", 1], ["b", 1], ["c", 1]])
    assert world.row("view")["held"] is True
    assert chronicle.force_ended().id in world.events()


def test_a_forced_cluster_keeps_its_votes_while_too_few_are_back() -> None:
    world = alone(formed("abcde"), "a")
    world.ask(ForceQuorum((A,), oath=True))
    world.after(TIMING.outlast_s + 2)
    world["b"].reborn()
    world.all_hear_all()
    world.connect("b")
    world.after(30)

    assert quorum(world)["forced"] is True


def test_nodes_that_are_lost_for_good_are_evicted_and_the_rest_goes_on_by_itself() -> None:
    world = alone(formed("abc"), "a")
    world.ask(ForceQuorum((A,), oath=True))
    world.after(2 * TIMING.outlast_s + 2)
    assert isinstance(world.ask(EvictNode(B)), Accepted)
    world.after(20)
    assert quorum(world)["forced"] is True, "a is one of two"
    assert isinstance(world.ask(EvictNode(C)), Accepted)
    world.after(20)

    assert (quorum(world)["forced"], quorum(world)["votes"]) == (False, [["a", 1]])
    assert world.row("view")["held"] is True


def test_dynamic_votes_do_not_end_a_forced_quorum_before_enough_are_back() -> None:
    world = alone(lab("abc", personality=Personality.R2012), "a")
    world.ask(ForceQuorum((A,), oath=True))
    world.after(30)

    assert quorum(world)["forced"] is True


def test_another_leader_takes_a_forced_view_over_and_waits_as_long() -> None:
    world = alone(with_vm(formed("abc"), node="b"), "a")
    world.ask(ForceQuorum((A,), oath=True))
    second = another(world)
    second.begin()
    second.connect("a")
    assert second.core.leads, "the forced votes stand alone"

    second.after(TIMING.outlast_s - 1)
    assert second.row("view")["held"] is False
    second.after(3)
    assert second.row("view")["held"] is True


def test_the_witness_has_no_vote_while_a_quorum_is_forced() -> None:
    world = lab("ab", NODES_DISK, DISK)
    world["b"].witness = None
    second = alone(world, "b")
    second.ask(ForceQuorum((B,), oath=True))
    second.after(TIMING.outlast_s + 2)

    forced = quorum(second)
    assert (forced["witness_votes"], forced["mode"]) == (0, "NodeAndDiskMajority")
    assert second.core.leads


def test_a_weightless_node_can_be_forced() -> None:
    world = lab("abc")
    world.ask(SetWeight(A, 0))
    world.after(10)
    second = alone(world, "a")
    second.ask(ForceQuorum((A,), oath=True))
    second.after(TIMING.outlast_s + 2)

    assert second.core.leads
    assert second.row("view")["held"] is True


def test_forcing_leads_above_every_term_and_view_that_was_told_of() -> None:
    """Also on a store that is older than what the node knows."""
    second = another(formed("abc"))
    second["a"].term, second["a"].highest_view = Term(40), ViewNumber(17)
    second.begin()
    second.connect("a")
    second.ask(ForceQuorum((A,), oath=True))

    assert second.core.leads
    assert second.core.term == 41
    assert second.row("view")["number"] == 18


def test_votes_that_can_never_come_to_hold_are_forced_away() -> None:
    """A node joins, and dies with another one before the votes that count it hold: those that are
    left are enough by the old votes, and too few by the new ones.
    """
    world = formed("abc")
    world.after(20)
    world.add(NodeName("d")).acks = world["c"].acks = False
    world.connect("d")
    world.ask(JoinNode(NodeName("d")))
    world.after(1)
    world.die("c", "d")
    world.after(3 * TIMING.support_s)
    world.connect("a", "b")
    assert not world.core.leads

    world.ask_later(ForceQuorum((A, B), oath=True))
    world.drain()
    world.after(2 * TIMING.support_s)
    assert world.core.leads
    assert world.row("view")["held"] is True
    assert quorum(world)["votes"] == [["a", 1], ["b", 1]]
