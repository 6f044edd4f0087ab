"""Migrations that wait begin when there is a place, by themselves and whoever leads."""

from dataclasses import replace
from typing import Any

import pytest

from coordinator.actions import PublishProgress
from coordinator.migration.waiting import Begin
from coordinator.requests import (
    Accepted,
    CancelAttempt,
    Declined,
    FormCluster,
    MigrateVm,
    PauseNode,
    SetProperty,
    StopVm,
)
from coordinator.store.rows import AttemptRow
from protocol.messages import Migrate, Reserve
from protocol.names import (
    AttemptId,
    Decision,
    NodeName,
    Outcome,
    Personality,
    Priority,
    Verify,
)
from protocol.names import VmName as Vm
from protocol.travel import Travel
from tests.coordinator.driver import World, another, formed, with_vm
from tests.coordinator.ground import MOVE, TIMING
from tests.coordinator.stage import SQL, WEB, B, C, D

HIGH, MEDIUM, LOW = Priority


def busy(names: str = "abc") -> World:
    """sql01 is on its way from a to b and does not get further."""
    world = with_vm(with_vm(formed(names, a={"copies": False})), "web01", "c")
    assert world.ask(MOVE) == Accepted({"attempt": 1})
    return world


def ask(
    world: World, vm: Vm = WEB, to: NodeName | None = B, priority: Priority | None = MEDIUM
) -> Any:
    return world.ask(MigrateVm(vm, to, "2008r2", Verify.OFF, (("streams", 2),), priority))


def shown(world: World, number: int) -> dict[str, Any]:
    return next(row for row in world.core.picture().attempts if row["attempt"] == number)


def attempts_of(world: World, node: str) -> list[tuple[type, int]]:
    kinds = (Reserve, Migrate)
    heard = world[node].heard
    return [(type(order), order.attempt) for order in heard if isinstance(order, kinds)]


def test_without_a_priority_a_busy_node_is_a_refusal_as_in_2008_r2() -> None:
    world = busy()

    refused = ask(world, priority=None)

    assert isinstance(refused, Declined)
    assert refused.code == "node-busy"
    assert world.core.picture().attempts[-1]["outcome"] == "refused"


def test_with_one_it_waits_says_for_what_and_begins_when_the_node_is_free() -> None:
    world = busy()
    assert ask(world) == Accepted({"attempt": 2})

    waits = shown(world, 2)
    assert (waits["state"], waits["outcome"], waits["priority"]) == ("Queued", None, "medium")
    assert "attempt 1 of VM sql01" in waits["reason"]
    assert (waits["source"], waits["target"], waits["travel"]["streams"]) == ("c", "b", 2)
    assert 9041 in world.events()
    assert PublishProgress(AttemptId(2)) in world.actions
    world.after(5.0)
    assert shown(world, 2)["queued_s"] == pytest.approx(5.0, abs=1.1)

    world.ask(CancelAttempt(AttemptId(1)))
    world.after(5.0)
    record = shown(world, 2)
    assert (record["outcome"], record["queued_s"] > 4.0) == ("completed", True)
    assert record["total_s"] < record["queued_s"]
    assert world.store.range("queued/") == ()


def test_one_that_waits_may_be_cancelled_and_nobody_is_told() -> None:
    world = busy()
    ask(world)
    told = attempts_of(world, "b")

    assert world.ask(CancelAttempt(AttemptId(2))) == Accepted({"attempt": 2})

    record = shown(world, 2)
    assert (record["outcome"], record["state"]) == ("cancelled", "Closed")
    assert (attempts_of(world, "b"), 9040 in world.events()) == (told, True)
    again = world.ask(CancelAttempt(AttemptId(2)))
    assert isinstance(again, Declined)
    assert again.code == "attempt-decided"


def test_it_waits_on_under_the_next_coordinator() -> None:
    world = busy()
    ask(world)

    world.disconnect(*"abc")
    heir = another(world)
    heir.begin()
    heir.connect()
    heir.after(3.0)
    assert shown(heir, 2)["state"] == "Queued"
    heir.ask(CancelAttempt(AttemptId(1)))
    heir.after(5.0)
    assert shown(heir, 2)["outcome"] == "completed"


def test_a_vm_waits_once_and_what_waiting_does_not_cure_is_refused_at_once() -> None:
    world = busy()
    ask(world)

    twice = ask(world, priority=HIGH)
    assert isinstance(twice, Declined)
    assert (twice.code, "attempt 2" in twice.sentence) == ("vm-queued", True)
    unknown = ask(world, Vm("none"))
    assert isinstance(unknown, Declined)
    assert unknown.code == "unknown-vm"
    assert len(world.store.range("queued/")) == 1


def test_of_two_that_wait_for_one_node_the_higher_priority_goes_first() -> None:
    world = with_vm(busy("abcd"), "mail01", "d")
    ask(world, WEB, priority=LOW)
    ask(world, Vm("mail01"), priority=HIGH)

    world.ask(CancelAttempt(AttemptId(1)))
    world.after(5.0)

    begun = [attempt for kind, attempt in attempts_of(world, "b") if kind is Reserve]
    assert begun == [1, 3, 2]


def test_one_that_could_begin_does_not_overtake_a_higher_one_that_waits_for_its_node() -> None:
    world = with_vm(busy("abcd"), "mail01", "d")
    ask(world, WEB, B, HIGH)

    assert ask(world, Vm("mail01"), C, LOW) == Accepted({"attempt": 3})

    assert shown(world, 3)["state"] == "Queued"
    world.ask(CancelAttempt(AttemptId(1)))
    world.after(8.0)
    assert [shown(world, n)["outcome"] for n in (2, 3)] == ["completed", "completed"]


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (StopVm(WEB), "is off"),
        (PauseNode(B, False), "Paused"),
    ],
)
def test_what_became_impossible_is_refused_when_its_turn_comes(spoil: Any, words: str) -> None:
    world = busy()
    ask(world)
    world.ask(spoil)
    world.ask(CancelAttempt(AttemptId(1)))
    world.after(5.0)

    record = shown(world, 2)
    assert record["outcome"] == "refused"
    assert words in record["reason"]
    assert record["ended_at"] is not None


def test_what_is_gone_from_the_queue_does_not_begin() -> None:
    world = busy()
    assert Begin(AttemptId(9)).draft(world.core._desk.scene) is None
    ask(world)
    assert Begin(AttemptId(2)).draft(world.core._desk.scene) is None, "its node is busy"


# ---- several at once


def at_once(places: int) -> World:
    """Node a has three VMs and copies nothing."""
    world = World("abcd")
    world["a"].copies = False
    world.all_hear_all()
    world.begin()
    world.connect()
    nodes = tuple(map(NodeName, "abcd"))
    world.ask(FormCluster("test", nodes, TIMING, personality=Personality.R2012))
    world.after(1.0)
    assert isinstance(world.ask(SetProperty("MigrationsPerNode", places)), Accepted)
    for name in ("vm1", "vm2", "vm3"):
        with_vm(world, name, "a")
    return world


def test_with_two_places_a_node_takes_part_in_two_and_refuses_a_third() -> None:
    world = at_once(2)
    asked = [
        world.ask(MigrateVm(Vm(f"vm{n}"), to, "2008r2", Verify.OFF))
        for n, to in enumerate((B, C, D), start=1)
    ]

    assert asked[:2] == [Accepted({"attempt": 1}), Accepted({"attempt": 2})]
    third = asked[2]
    assert isinstance(third, Declined)
    assert (third.code, "takes part in 2 at a time" in third.sentence) == ("node-busy", True)
    orders = [order for order in world["a"].heard if isinstance(order, Migrate)]
    assert [order.at_once for order in orders] == [2, 2]
    open_rows = [AttemptRow.read(row.value or {}) for row in world.store.range("attempt/")[:2]]
    assert all(row.decision is Decision.OPEN for row in open_rows)


def test_a_drain_uses_the_places_that_there_are() -> None:
    world = at_once(2)
    world.ask(SetProperty("MigrationStreams", 3))

    world.ask(PauseNode(NodeName("a"), True))
    world.after(0.5)

    under_way = world.core._desk.scene.book.unclosed.values()
    assert [row.vm for row in under_way] == ["vm1", "vm2"]
    assert {row.travel for row in under_way} == {Travel(streams=3)}


def test_an_attempt_that_waited_is_what_was_asked_for() -> None:
    world = busy()
    ask(world, priority=HIGH)
    queued = world.core._desk.scene.book.queued[AttemptId(2)]
    world.ask(CancelAttempt(AttemptId(1)))
    world.after(5.0)

    row = world.core._desk.scene.book.attempts[AttemptId(2)]
    assert (row.travel, row.priority, row.verify) == (queued.travel, HIGH, queued.verify)
    assert (row.outcome, replace(row, vm=SQL).vm) == (Outcome.COMPLETED, SQL)
