"""A coordinator dies at any moment, and the next one ends what it has begun."""

import pytest

from protocol.messages import Decided
from tests.coordinator.driver import World, another, formed, with_vm
from tests.coordinator.ground import MOVE, SQL, TIMING


def handed_over(world: World) -> World:
    """A new coordinator whom all agents call; what the old one knew is gone."""
    second = another(world)
    second.begin()
    second.connect()
    return second


@pytest.mark.parametrize("prepared", [True, False])
def test_a_consented_attempt_commits_after_a_restart_if_the_target_has_it_all(
    prepared: bool,
) -> None:
    world = with_vm(formed(a={"consents": False}))
    world.ask(MOVE)
    source = world["a"]
    source.consented.add(1)
    if prepared:
        world["b"].prepared.add(1)

    second = handed_over(world)
    second.after(3)

    record = second.attempt(1)
    assert record["outcome"] == ("completed" if prepared else "failed")
    assert second.running()["b" if prepared else "a"] == ["sql01"]
    assert len(second.sent(Decided)) >= 2


def test_an_attempt_that_still_copies_goes_on_after_a_restart() -> None:
    world = with_vm(formed(a={"consents": False}))
    world.ask(MOVE)
    second = handed_over(world)
    second.after(1)
    assert second.attempt(1)["state"] == "Travelling"

    second["a"].consent(second["a"].sources[1])
    second.drain()
    second.after(1)
    assert second.attempt(1)["outcome"] == "completed"


def test_an_attempt_whose_source_is_silent_is_aborted_after_two_leases() -> None:
    world = with_vm(formed("abcde", a={"consents": False}))
    world.ask(MOVE)
    second = another(world)
    second.begin()
    second.connect("b", "c", "d", "e")
    second.after(2 * TIMING.support_s - 1)
    assert second.attempt(1)["decision"] == "open"
    second.after(3)
    assert second.attempt(1)["decision"] == "aborted"

    second.connect("a")
    second.after(3)
    assert second.attempt(1)["outcome"] == "failed"
    assert second["a"].vms == {SQL: 2}


def test_a_decided_attempt_is_told_by_the_next_leader() -> None:
    world = with_vm(formed(a={"ends": False}, b={"ends": False}))
    world.ask(MOVE)
    assert world.attempt(1)["decision"] == "committed"
    second = handed_over(world)
    for name in "ab":
        second[name].ends = True
    second.after(3)

    assert second.attempt(1)["outcome"] == "completed"
    assert second.running() == {"a": [], "b": ["sql01"], "c": []}


@pytest.mark.parametrize("crash_at", range(1, 40))
def test_a_coordinator_that_dies_at_any_event_leaves_a_story_that_its_heir_can_end(
    crash_at: int,
) -> None:
    world = with_vm(formed())
    world.inbox.clear()
    steps = 0
    world.ask_later(MOVE)
    while world.inbox and steps < crash_at:
        world.carry(world.core.handle(world.inbox.popleft(), world.now))
        steps += 1

    second = handed_over(world)
    second.after(15)

    running = second.running()
    assert sum(names == ["sql01"] for names in running.values()) == 1, running
    row = second.row("vm/sql01")
    assert running[row["owner"]] == ["sql01"]
    assert row["attempt"] is None
    assert second[row["owner"]].vms[SQL] == row["epoch"]
    for attempt in second.core.picture().attempts:
        assert attempt["decision"] != "open"
        assert attempt["ended_at"] is not None
