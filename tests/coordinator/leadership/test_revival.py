"""A store that is empty or old is put back from the disk witness, where that is proven right."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from coordinator.leadership.revival import ANSWER_MAX_S
from coordinator.requests import CreateVm, Declined, ForceQuorum, FormCluster, StartVm
from protocol.messages import CopyOffered, TurnedAway, WantCopy
from protocol.names import Epoch, NodeName, Term, ViewNumber, VmName
from tests.coordinator.agent import Scripted
from tests.coordinator.driver import with_vm
from tests.coordinator.ground import SQL, TIMING, A, B, spec
from tests.coordinator.lost_stores import PUT_BACK, STALE, again, aged, disk, lost, on, rows
from tests.coordinator.votes.test_dealing import NODES_SHARE, SHARE, lab

# ---- an empty store


def test_an_empty_store_gets_everything_back_once_all_nodes_were_heard() -> None:
    world = disk()
    before = rows(world)
    second = lost(world, "a")
    second.after(30)
    assert rows(second) == {}, "b may run what nobody else knows of"
    assert STALE in second.events()

    second.connect("b")
    second.after(1.5)

    assert rows(second) == before
    assert PUT_BACK in second.events()
    again(second)
    second.after(10)
    assert second.core.leads
    assert second.running() == world.running()
    assert second.row("vm/sql01")["epoch"] == before["vm/sql01"]["epoch"]


def test_it_leads_under_a_term_and_a_view_above_all_that_was_there() -> None:
    world = disk()
    term, view = int(world.core.term), world.row("view")["number"]
    second = lost(world, "a", "b")
    second.after(1.5)
    again(second)
    second.after(10)
    second.die("b")
    second.after(15)

    assert int(second.core.term) > term
    assert second.row("view")["number"] > view


def test_a_vm_that_was_created_is_there_again_and_can_be_started() -> None:
    world = disk()
    world.ask(CreateVm(VmName("off"), spec(), None, False))
    world.after(5)
    second = lost(world, "a", "b")
    second.after(1.5)
    again(second)
    second.after(10)

    second.ask(StartVm(VmName("off")))
    second.after(3)

    assert any("off" in vms for vms in second.running().values())


def test_a_share_keeps_no_database_and_its_nodes_are_turned_away() -> None:
    world = with_vm(lab("ab", NODES_SHARE, SHARE))
    second = lost(world, "a", "b")
    second.after(30)

    assert rows(second) == {}
    assert not second.sent(WantCopy)
    assert len(second.sent(TurnedAway)) == 2


def test_a_disk_without_a_copy_turns_its_nodes_away() -> None:
    world = disk()
    register = world["a"].witness
    assert register is not None
    register.copy = ()
    second = lost(world, "a", "b")
    second.after(30)

    assert rows(second) == {}
    assert second.links == {}
    assert second.sent(TurnedAway)


def test_a_node_of_another_cluster_does_not_keep_anybody_from_forming_one() -> None:
    world = disk()
    second = lost(world, "a")
    fresh = second.add(NodeName("z"))
    second.connect("z")
    second.ask(FormCluster("new", (NodeName("z"),), TIMING))
    second.after(10)

    assert second.row("cluster")["name"] == "new"
    assert second.row("view")["held"] is True
    second.connect("b")
    second.after(10)
    assert "vm/sql01" not in rows(second)
    assert fresh.left is False


# ---- what makes a copy useless


def knows_a_newer_view(agent: Scripted) -> None:
    agent.highest_view = ViewNumber(agent.highest_view + 1)


def knows_newer_votes(agent: Scripted) -> None:
    assert agent.votes is not None
    agent.votes = replace(agent.votes, index=agent.votes.index + 1)


def runs_under_a_newer_epoch(agent: Scripted) -> None:
    agent.vms[SQL] = Epoch(99)


def runs_what_nobody_knows(agent: Scripted) -> None:
    agent.vms[VmName("new")] = Epoch(1)


def has_a_witness_that_remembers_more(agent: Scripted) -> None:
    assert agent.witness is not None
    agent.witness.view = ViewNumber(agent.witness.view + 1)


@pytest.mark.parametrize(
    "newer",
    [
        knows_a_newer_view,
        knows_newer_votes,
        runs_under_a_newer_epoch,
        runs_what_nobody_knows,
        has_a_witness_that_remembers_more,
    ],
)
def test_a_copy_that_is_older_than_anything_heard_is_not_put_back(
    newer: Callable[[Scripted], None],
) -> None:
    world = disk()
    newer(world["b"])
    second = lost(world, "a", "b")
    second.after(30)

    assert rows(second) == {}
    assert STALE in second.events()


def test_a_node_whose_own_record_is_gone_was_not_heard() -> None:
    world = disk()
    second = lost(world)
    second["b"].cluster = second["b"].votes = None
    second.connect("a", "b")
    second.after(30)

    assert rows(second) == {}


@pytest.mark.parametrize("content", [b"", b"x", b"\x00" * 70_000])
def test_bytes_that_are_no_database_are_refused(content: bytes) -> None:
    world = disk()
    register = world["a"].witness
    assert register is not None
    (part,) = register.copy
    register.copy = (replace(part, content=content),)
    second = lost(world, "a", "b")
    second.after(2 * ANSWER_MAX_S + 5)

    assert rows(second) == {}
    assert second.core.leads, "and it can form another cluster"


def test_parts_that_nobody_asked_for_are_not_looked_at() -> None:
    world = disk()
    assert world["a"].witness is not None
    (part,) = world["a"].witness.copy
    head = (world["b"].known, Term(1), world["b"].incarnation)
    offer = CopyOffered(*head, part.term, part.revision, 0, 1, part.content)
    before = rows(world)

    world["b"].say(offer)
    world.drain()

    assert rows(world) == before


def test_a_node_that_does_not_answer_is_passed_over() -> None:
    world = disk()
    second = lost(world)
    holder = next(agent for agent in second.agents.values() if agent.holds)
    other = next(agent for agent in second.agents.values() if not agent.holds)
    holder.offer = lambda order: None  # type: ignore[method-assign]
    second.connect("a", "b")
    second.after(2 * ANSWER_MAX_S)
    second.connect(holder.name)
    second.after(2)

    assert {int(send.link) for send in second.sent(WantCopy)} >= {1, 2}
    assert "vm/sql01" in rows(second), other.name


# ---- an old store


def test_an_old_store_gets_what_it_has_lost() -> None:
    world, backup = aged()
    before = rows(world)
    second = on(world, backup, "a", "b", "c")
    assert rows(second) == before
    again(second)
    second.after(10)

    assert second.core.leads
    assert second.running() == world.running()
    assert PUT_BACK in second.events()


def test_before_all_were_heard_it_waits_and_says_for_whom() -> None:
    world, backup = aged()
    second = on(world, backup, "a", "b")
    second.after(30)

    assert not second.core.leads
    answer = second.ask(StartVm(SQL))
    assert isinstance(answer, Declined)
    assert "start c" in answer.sentence
    assert "1561" in answer.sentence


def test_who_forces_the_quorum_need_not_wait_for_the_copy() -> None:
    world, backup = aged()
    second = on(world, backup, "a", "b")
    second.after(5)
    second.ask(ForceQuorum((A, B), oath=True))
    second.after(TIMING.outlast_s + 5)

    assert second.core.leads


def test_a_store_that_has_more_than_the_copy_is_not_overwritten() -> None:
    world = disk()
    register = world["a"].witness
    assert register is not None
    kept = register.copy
    world.ask(CreateVm(VmName("later"), spec(), None, True))
    world.after(6)
    register.copy = kept
    world["b"].highest_view = ViewNumber(30)
    second = on(world, world.store, "a", "b")
    second.after(30)

    assert "vm/later" in rows(second)
    assert PUT_BACK not in second.events()
    assert second.core.leads, "all were heard"
