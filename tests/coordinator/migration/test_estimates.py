"""Questions to nodes what their guests write, through the one door."""

from dataclasses import replace
from typing import Any

import pytest

from coordinator.forecast_requests import EstimateDrain, EstimateVm
from coordinator.requests import Accepted, Declined, MigrateVm, PauseNode, StopVm, Unknown
from protocol.messages import SampleWrites
from protocol.names import AttemptId, NodeName, Verify, VmName
from tests.coordinator.driver import World, formed, with_vm
from tests.coordinator.ground import SQL, A, B
from tests.coordinator.migration.told import FORECAST, answer


def orders(world: World) -> list[SampleWrites]:
    found = [action.message for action in world.sent(SampleWrites)]
    return [order for order in found if isinstance(order, SampleWrites)]


def says(world: World, node: str, **fields: Any) -> None:
    world[node].say(answer(orders(world)[-1], **fields))
    world.drain()


def declined(world: World, **fields: Any) -> Declined:
    refusal = world.ask(EstimateVm(SQL, **fields))
    assert isinstance(refusal, Declined)
    assert orders(world) == []
    return refusal


def last(world: World) -> Any:
    return world.answers[max(world.answers)]


# ---- a VM


def test_the_node_with_the_vm_is_asked_and_its_answer_told() -> None:
    world = with_vm(formed())
    assert world.ask(EstimateVm(SQL, B, "", (("rate_bytes_per_s", 118_000_000),), 2.0)) is None
    (order,) = orders(world)
    assert (order.vm, order.policies, order.longest_s) == (SQL, (), 2.0)
    assert order.travel.rate_bytes_per_s == 118_000_000
    assert order.incarnation == world["a"].incarnation

    says(world, "a")

    told = last(world)
    assert isinstance(told, Accepted)
    assert (told.body["source"], told.body["target"]) == (A, B)
    assert [row["policy"] for row in told.body["policies"]] == ["2008r2", "clark"]
    assert world.running()["a"] == [SQL], "nothing is moved"


def test_without_a_target_it_is_the_one_that_placement_would_take() -> None:
    world = with_vm(formed())
    world.ask(EstimateVm(SQL))
    says(world, "a")

    assert last(world).body["target"] in (B, "c")


def test_an_unknown_vm_and_an_unknown_node_are_named() -> None:
    world = with_vm(formed())

    refusal = world.ask(EstimateVm(VmName("ghost")))
    assert isinstance(refusal, Declined)
    assert (refusal.status, refusal.code) == (404, "unknown-vm")
    assert declined(world, target=NodeName("z")).code == "unknown-node"


def test_a_vm_that_is_off_writes_nothing() -> None:
    world = with_vm(formed())
    world.ask(StopVm(SQL))
    world.after(1.0)

    assert declined(world).sentence.startswith("VM sql01 is Offline: nothing is written.")


def test_a_node_that_is_away_is_named() -> None:
    world = with_vm(formed())
    world.disconnect("a")
    world.after(0.1)

    assert declined(world).code == "source-unreachable"


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"target": A}, "same-node"),
        ({"policy": "wish"}, "unknown-policy"),
        ({"travel": (("streams", 99),)}, "bad-travel"),
    ],
)
def test_what_could_not_be_carried_out_is_not_foretold(fields: dict[str, Any], code: str) -> None:
    assert declined(with_vm(formed()), **fields).code == code


def test_a_target_that_is_paused_is_refused() -> None:
    world = with_vm(formed())
    world.ask(PauseNode(B, False))

    assert declined(world, target=B).code == "node-paused"


def test_what_the_node_cannot_see_is_told_in_its_own_words() -> None:
    world = with_vm(formed())
    world.ask(EstimateVm(SQL, B))

    says(world, "a", windows=(), forecasts=(), reason="The guest stands still.")

    assert last(world) == Declined(409, "not-sampled", "The guest stands still.")


def test_a_node_that_does_not_answer_is_not_waited_for_without_end() -> None:
    world = with_vm(formed())
    world.ask(EstimateVm(SQL, B))
    world.after(5.0)
    assert world.answers.get(max(world.answers)) is None or not isinstance(last(world), Declined)

    world.after(15.0)

    assert isinstance(last(world), Declined)
    assert last(world).code == "not-sampled"


def test_an_answer_to_nobodys_question_changes_nothing() -> None:
    world = with_vm(formed())
    world.ask(EstimateVm(SQL, B))
    order = orders(world)[0]
    before = dict(world.answers)

    world["b"].say(answer(order, incarnation=world["b"].incarnation))
    world["a"].say(answer(order, request=99))
    world.drain()

    assert world.answers == before


def test_a_coordinator_that_leads_no_more_leaves_the_question_open() -> None:
    world = with_vm(formed())
    world.ask(EstimateVm(SQL, B))
    world.disconnect("a", "b", "c")

    world.after(15.0)

    assert isinstance(last(world), Unknown | Declined)


# ---- a drain


def test_a_drain_is_foretold_vm_by_vm_in_its_order_and_the_times_add_up() -> None:
    world = with_vm(with_vm(formed(), "sql01"), "web01")
    world.ask(EstimateDrain(A))
    asked = orders(world)
    assert [order.vm for order in asked] == ["sql01", "web01"]

    for order in asked:
        world["a"].say(answer(order))
    world.drain()

    body = last(world).body
    assert body["order"] == ["sql01", "web01"]
    assert {row["target"] for row in body["vms"]} <= {"b", "c"}
    assert body["total_s"]["likely"] == pytest.approx(2 * FORECAST.total_s.likely)
    assert (body["at_once"], body["stay"]) == (1, [])


def test_what_cannot_be_foretold_is_named_and_does_not_hold_up_the_rest() -> None:
    world = with_vm(with_vm(formed(), "sql01"), "web01")
    world.ask(EstimateDrain(A))
    first, second = orders(world)

    world["a"].say(answer(first))
    world["a"].say(answer(second, windows=(), forecasts=(), reason="It stands still."))
    world.drain()

    body = last(world).body
    assert (body["order"], body["stay"]) == (
        ["sql01"],
        [{"vm": "web01", "reason": "It stands still."}],
    )


def test_an_empty_node_takes_no_time() -> None:
    world = formed()
    world.ask(EstimateDrain(A))

    assert last(world).body["total_s"] == {"likely": 0, "least": 0, "most": 0, "limit": 0}


def test_a_drain_of_an_unknown_node_is_refused() -> None:
    refusal = formed().ask(EstimateDrain(NodeName("z")))

    assert isinstance(refusal, Declined)
    assert refusal.code == "unknown-node"


# ---- attempts


def foreseeing() -> World:
    world = with_vm(formed())
    scene = world.core._desk.scene
    scene.config = replace(scene.config, forecasts=True)
    return world


MOVE = MigrateVm(SQL, B, "2008r2", Verify.OFF)


def test_the_source_is_asked_while_the_target_makes_room_and_the_record_has_it() -> None:
    world = foreseeing()
    world["b"].reserves = False
    world.ask(MOVE)
    (order,) = orders(world)
    assert order.policies == ("2008r2",)
    world["a"].say(answer(order))
    world.drain()
    assert world.attempt(1)["predicted"]["total_s"] == FORECAST.total_s.likely, "already"


def test_what_comes_when_the_attempt_is_over_is_kept_all_the_same() -> None:
    world = foreseeing()
    world.ask(MOVE)
    world.after(1.0)
    assert world.attempt(1)["outcome"] == "completed"
    assert world.attempt(1)["predicted"] is None

    says(world, "a")

    assert world.attempt(1)["predicted"]["policy"] == "2008r2"
    assert world.attempt(1)["explained"]["errors"]["rounds"] != 0
    assert world.row("attempt/000000001")["predicted"]["zero_share"] == 0.0


def test_what_comes_in_time_is_in_the_row_once_it_is_over() -> None:
    world = foreseeing()
    world["a"].consents = False
    world.ask(MOVE)
    says(world, "a")
    world["a"].consent(world["a"].sources[AttemptId(1)])
    world.drain()
    world.after(1.0)

    assert world.attempt(1)["outcome"] == "completed"
    assert world.row("attempt/000000001")["predicted"]["forecast"]["policy"] == "2008r2"


def test_where_nothing_could_be_seen_nothing_is_foretold() -> None:
    world = foreseeing()
    world.ask(MOVE)

    says(world, "a", windows=(), forecasts=(), reason="It stands still.")
    world.after(1.0)

    assert world.attempt(1)["predicted"] is None


def test_a_coordinator_that_was_not_told_to_asks_nobody() -> None:
    world = with_vm(formed())
    world.ask(MOVE)

    assert orders(world) == []
