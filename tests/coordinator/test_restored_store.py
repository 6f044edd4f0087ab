"""A store that was put back from a backup gives no number out again that somebody still knows."""

import copy

from coordinator.requests import Accepted, Declined, ForceQuorum, MigrateVm, SetWeight, StartVm
from coordinator.shown import chronicle
from lab.simulation.store import MemoryStore
from protocol.names import Verify, ViewNumber, VmName
from tests.coordinator.driver import World, another, formed, with_vm
from tests.coordinator.ground import MOVE, SQL, TIMING, A, B, C
from tests.coordinator.votes.test_dealing import NODES_SHARE, SHARE, lab


def restored_in_mid_migration() -> World:
    """The backup is from before the attempt that b still has memory reserved for."""
    world = with_vm(formed(b={"reserves": False}))
    backup = copy.deepcopy(world.store)
    assert world.ask(MOVE) == Accepted({"attempt": 1})
    world.store = backup
    second = another(world)
    second.begin()
    second.connect()
    second.after(1.0)
    assert second.core.leads
    return second


def test_a_new_attempt_has_an_id_above_those_that_nodes_still_take_part_in() -> None:
    world = restored_in_mid_migration()

    assert world.ask(MigrateVm(SQL, C, "2008r2", Verify.OFF)) == Accepted({"attempt": 2})


def test_a_refusal_has_such_an_id_too() -> None:
    world = restored_in_mid_migration()

    world.ask(MigrateVm(SQL, C, "no such policy", Verify.OFF))

    assert world.attempt(2)["outcome"] == "refused"


def put_back(world: World, store: MemoryStore, *names: str) -> World:
    """A coordinator on the backup, and the agents as they are."""
    world.store = store
    second = another(world)
    second.all_hear_all()
    second.begin()
    second.connect(*names)
    return second


def aged() -> tuple[World, MemoryStore]:
    """A cluster, and its backup from before a node's second life and a change of votes."""
    world = formed("abc")
    backup = copy.deepcopy(world.store)
    world["c"].reborn()
    world.connect("c")
    world.after(3)
    world.ask(SetWeight(C, 0))
    world.after(10)
    return world, backup


def test_on_a_store_that_is_older_than_its_nodes_nobody_leads_before_every_node_was_heard() -> None:
    second = put_back(*aged(), "a", "b")
    second.after(30)

    assert not second.core.leads
    answer = second.ask(StartVm(VmName("sql01")))
    assert isinstance(answer, Declined)
    assert "start c" in answer.sentence
    assert "1561" in answer.sentence

    second.connect("c")
    assert second.core.leads


def test_once_all_were_heard_it_leads_above_all_that_they_know() -> None:
    world, backup = aged()
    newest = world.row("view")
    second = put_back(world, backup, "a", "b", "c")
    second.after(TIMING.outlast_s + 5)

    now = second.row("view")
    assert now["held"] is True
    assert now["number"] > newest["number"]
    assert now["votes"]["index"] > newest["votes"]["index"]


def test_a_leader_that_hears_of_more_than_its_store_has_resigns_until_all_are_heard() -> None:
    world = formed("abc")
    world.die("c")
    world.after(15)
    world["b"].highest_view = ViewNumber(30)
    world.connect("b")
    assert not world.core.leads
    world.connect()
    assert world.core.leads
    world.after(20)

    assert world.row("view")["number"] > 30
    assert chronicle.store_is_stale(()).id in world.events()


def test_the_witness_tells_of_what_the_store_has_lost() -> None:
    """A share keeps no copy, only how new the newest was."""
    world = lab("ab", NODES_SHARE, SHARE)
    backup = copy.deepcopy(world.store)
    world.die("b")
    world.after(15)
    assert world.row("view")["number"] > 1
    at = world["a"].witness
    assert at is not None
    at.holder = None
    world["b"].reborn()
    second = put_back(world, backup, "b")
    second["b"].hears.clear()
    second.after(60)

    assert not second.core.leads
    assert isinstance(second.ask(StartVm(SQL)), Declined)
    second.connect("a")
    assert second.core.leads


def test_what_the_oath_covers_need_not_be_heard() -> None:
    second = put_back(*aged(), "a", "b")
    second.ask(ForceQuorum((A, B), oath=True))
    second.after(TIMING.outlast_s + 3)

    assert second.core.leads
    assert second.row("view")["held"] is True


def test_a_skeleton_of_a_forgotten_attempt_is_destroyed() -> None:
    world = restored_in_mid_migration()

    assert world["b"].targets == {}
    agent = world.core._desk.scene.agents.at(B)
    assert agent is not None
    assert agent.orphans == {}, "it has said that it cleaned up"
