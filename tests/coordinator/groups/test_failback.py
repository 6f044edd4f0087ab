import itertools
from dataclasses import replace
from typing import Any

import pytest

from coordinator.desk import Desk
from coordinator.groups.failback import (
    AGAIN_S,
    BringBack,
    Failback,
    called_back_to,
    in_window,
    local_hour,
)
from coordinator.groups.group_properties import NONE
from coordinator.migration.attempts import Open
from coordinator.requests import MoveGroup, SetGroup
from coordinator.store.group_rows import GroupRow, group_key
from protocol.names import Verify
from tests.coordinator.driver import formed, with_vm
from tests.coordinator.stage import SQL, A, B, C, Stage, life

ALL_DAY = (("AutoFailbackType", 1), ("PreferredOwners", ("a", "b")))


def on(stage: Stage, owner: str, passed: tuple[str, ...] = (), **settings: Any) -> GroupRow:
    """SQL runs on `owner`; lives of `passed` were there when it came."""
    stage.vm(owner=owner)
    row = GroupRow(SQL, tuple(sorted({**dict(ALL_DAY), **settings}.items())))
    row = replace(row, passed=tuple(life(name) for name in passed))
    stage.put(group_key(SQL), row.data())
    return stage.scene.book.group(SQL)


def back_to(stage: Stage, hour: int = 12) -> str | None:
    return called_back_to(stage.scene, stage.row(), stage.scene.book.group(SQL), hour)


def test_the_window_for_every_hour_and_every_pair_of_its_ends() -> None:
    for start, end, hour in itertools.product(range(24), range(24), range(24)):
        hours = {start}
        at = start
        while (at + 1) % 24 != end and start != end:
            at = (at + 1) % 24
            hours.add(at)
        assert in_window(start, end, hour) is (hour in hours), (start, end, hour)
    assert in_window(NONE, 3, 12)
    assert in_window(3, NONE, 12)


def test_the_hour_is_the_local_one() -> None:
    scene = Stage().scene
    scene.config = replace(scene.config, wall_offset_s=23 * 3600.0, local_offset_s=7200.0)

    assert local_hour(scene) == 1


def test_a_group_goes_back_to_the_best_owner_that_came_after_it_had_moved() -> None:
    stage = Stage()
    on(stage, "c")
    assert back_to(stage) == A
    on(stage, "b")
    assert back_to(stage) == A
    on(stage, "a")
    assert back_to(stage) is None
    on(stage, "c", passed=("a",))
    assert back_to(stage) == B, "an operator took it from a: only a new life of a calls it back"
    on(stage, "c", passed=("a", "b"))
    assert back_to(stage) is None


@pytest.mark.parametrize(
    "settings",
    [
        {"AutoFailbackType": 0},
        {"PreferredOwners": ()},
        {"FailbackWindowStart": 1, "FailbackWindowEnd": 3},
    ],
)
def test_it_stays_without_failback_without_owners_and_outside_its_hours(
    settings: dict[str, Any],
) -> None:
    stage = Stage()
    on(stage, "c", **settings)

    assert back_to(stage) is None


def test_what_runs_is_migrated_and_a_try_that_fails_is_not_repeated_at_once() -> None:
    stage = Stage()
    on(stage, "c")
    desk = Desk(stage.scene)
    failback = Failback(desk)

    def plans() -> list[object]:
        failback.tick()
        return [plan for plan, _ in desk.pen.clear()]

    assert plans() == [Open(None, SQL, A, "2008r2", Verify.OFF)]
    assert plans() == []
    stage.scene.now += AGAIN_S
    for agent in stage.scene.agents:
        agent.heard_at = stage.scene.now
    assert plans() == [Open(None, SQL, A, "2008r2", Verify.OFF)]


def test_what_is_off_only_changes_hands() -> None:
    stage = Stage()
    on(stage, "c")
    stage.vm(owner="c", on=False, live=False)
    desk = Desk(stage.scene)
    Failback(desk).tick()

    assert [plan for plan, _ in desk.pen.clear()] == [BringBack(SQL, A)]
    stage.write(BringBack(SQL, A))
    assert stage.row().owner == A
    assert back_to(stage) is None


def test_a_group_goes_home_by_live_migration_when_its_node_has_come_back() -> None:
    world = with_vm(formed())
    world.ask(SetGroup(SQL, ALL_DAY))
    world.die("a")
    world.after(20)
    assert world.running()["b"] == ["sql01"]
    epoch = world.vm("sql01")["epoch"]

    world["a"].reborn()
    world.all_hear_all()
    world.connect("a")
    world.after(20)

    assert world.running()["a"] == ["sql01"]
    assert world.attempt(1)["outcome"] == "completed"
    assert world.vm("sql01")["epoch"] == epoch + 1


def test_it_does_not_run_home_from_where_an_operator_has_taken_it() -> None:
    world = with_vm(formed())
    world.ask(SetGroup(SQL, ALL_DAY))
    world.ask(MoveGroup(SQL, C))
    world.after(60)

    assert world.vm("sql01")["node"] == C
