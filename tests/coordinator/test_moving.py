"""Migrations through the one door: how each attempt ends, and where the guest is then."""

import pytest

from coordinator.actions import Send, Transact
from coordinator.requests import Accepted, CancelAttempt, Declined
from protocol.messages import Consented, GaveUp, Reserve, VmStopped
from protocol.names import AttemptId, Epoch, Step
from tests.coordinator.driver import formed, with_vm
from tests.coordinator.ground import MOVE, SQL, A


def test_reserve_names_the_source_and_the_token_that_the_source_will_show() -> None:
    world = with_vm(formed())
    world.ask(MOVE)
    (reserve,) = [action.message for action in world.sent(Reserve)]
    assert isinstance(reserve, Reserve)

    assert reserve.source.node == A
    assert len(reserve.token) == 64
    assert world.core.picture().attempts[0]["verify"] == "full"
    assert not any(isinstance(action.message, Consented) for action in world.sent(Reserve))


def test_the_commit_is_on_its_way_in_the_same_turn_as_the_consent() -> None:
    world = with_vm(formed(a={"consents": False}))
    world.ask(MOVE)
    world.after(1)
    order = world["a"].sources[1]

    before = len(world.actions)
    world["a"].consent(order)
    event = world.inbox.popleft()
    actions = world.core.handle(event, world.now)

    commits = [action for action in actions if isinstance(action, Transact)]
    assert len(commits) == 1
    assert len(world.actions) == before
    keys = {compare.key for compare in commits[0].txn.compares}
    assert {"attempt/000000001", "vm/sql01", "view"} <= keys
    assert not any(isinstance(action, Send) for action in actions), "nobody is told before"


def test_the_record_has_every_field_of_the_contract() -> None:
    world = with_vm(formed())
    world.ask(MOVE)
    world.after(1)

    record = world.attempt(1)
    assert (record["outcome"], record["verified"], record["network"]) == (
        "completed",
        True,
        "migration",
    )
    assert record["blackout_s"] == pytest.approx(sum(record["blackout"].values()))
    assert list(record["blackout"]) == ["pause", "last pages", "storage", "commit", "resume"]
    assert record["rounds"][0]["pages"] == 1000
    assert record["wire_bytes"] == 4_000_000
    assert record["total_s"] >= 0
    assert record["predicted"] is None


def test_a_target_that_gives_up_leaves_the_guest_on_the_source_under_a_new_epoch() -> None:
    world = with_vm(formed(a={"copies": False}))
    world.ask(MOVE)
    target = world["b"]
    head = (target.known, target.term, target.incarnation)
    target.say(GaveUp(*head, AttemptId(1), SQL, Epoch(1), False, Step.FIRST_ROUND, "no memory"))
    world.drain()
    world.after(1)

    record = world.attempt(1)
    assert (record["outcome"], record["reason"]) == ("failed", "no memory")
    assert world["a"].vms == {SQL: 2}
    assert world["b"].vms == {}
    assert 21502 in world.events()


def test_a_cancelled_migration_says_so_and_cannot_be_cancelled_twice() -> None:
    world = with_vm(formed(a={"copies": False}))
    world.ask(MOVE)

    assert isinstance(world.ask(CancelAttempt(AttemptId(1))), Accepted)
    world.after(1)
    again = world.ask(CancelAttempt(AttemptId(1)))

    assert world.attempt(1)["outcome"] == "cancelled"
    assert world["a"].vms == {SQL: 2}
    assert isinstance(again, Declined)
    assert again.status == 409
    unknown = world.ask(CancelAttempt(AttemptId(9)))
    assert isinstance(unknown, Declined)
    assert unknown.status == 404


def test_a_consent_that_comes_after_the_abort_was_written_changes_nothing() -> None:
    world = with_vm(formed(a={"consents": False}))
    world.ask(MOVE)
    world["a"].ends = False
    world.ask(CancelAttempt(AttemptId(1)))
    world["a"].consent(world["a"].sources[1])
    world.drain()
    world["a"].ends = True
    world.after(2)

    assert world.attempt(1)["outcome"] == "cancelled"
    assert world.running() == {"a": ["sql01"], "b": [], "c": []}


def test_a_target_killed_in_mid_copy_ends_the_attempt_and_the_guest_stays() -> None:
    world = with_vm(formed(a={"copies": False}))
    world.ask(MOVE)
    world.die("b")
    world.after(10)

    assert world.attempt(1)["outcome"] == "failed"
    assert "removed from the cluster" in world.attempt(1)["reason"]
    assert world["a"].vms == {SQL: 2}


def test_a_source_killed_in_mid_copy_ends_the_attempt_and_starts_the_vm_once() -> None:
    world = with_vm(formed(a={"copies": False}))
    world.ask(MOVE)
    world.die("a")
    world.after(10)

    assert world.attempt(1)["decision"] == "aborted"
    running = world.running()
    assert (running["b"] == ["sql01"]) != (running["c"] == ["sql01"])
    assert world.row("vm/sql01")["epoch"] == 3


def test_a_vm_that_fails_while_it_moves_ends_the_attempt_with_it() -> None:
    world = with_vm(formed(a={"copies": False}))
    world.ask(MOVE)
    agent = world["a"]
    agent.vms.clear()
    agent.say(VmStopped(agent.known, agent.term, agent.incarnation, SQL, Epoch(1), "it crashed"))
    world.drain()
    world.after(5)

    assert world.attempt(1)["decision"] == "aborted"
    assert sum(names == ["sql01"] for names in world.running().values()) == 1
