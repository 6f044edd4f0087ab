"""What operators ask of groups: settings, moves, failures on purpose."""

from typing import Any

import pytest

from coordinator.events import RequestId
from coordinator.groups.group_orders import (
    ConfigureGroup,
    ConfigureResource,
    FailOnPurpose,
    Relocate,
)
from coordinator.groups.group_properties import GROUP, NONE, RESOURCE, Number
from coordinator.requests import (
    Accepted,
    Declined,
    FailResource,
    MoveGroup,
    SetGroup,
    SetResource,
    StopVm,
)
from coordinator.store.group_rows import GroupRow
from protocol.messages import FailVm
from protocol.names import NodeName, VmName
from tests.coordinator.driver import formed, with_vm
from tests.coordinator.ground import MIB
from tests.coordinator.stage import NODE_BYTES, SQL, WEB, A, B, C, Stage, life

ASKER = RequestId(1)
MACHINE, CONFIGURATION = "Virtual Machine sql01", "Virtual Machine Configuration sql01"


def set_group(name: str, value: Any, group: VmName = SQL) -> ConfigureGroup:
    return ConfigureGroup(ASKER, group, ((name, value),))


def set_resource(name: str, value: Any, resource: str = MACHINE) -> ConfigureResource:
    return ConfigureResource(ASKER, resource, ((name, value),))


def with_sql() -> Stage:
    stage = Stage()
    stage.vm()
    return stage


# ---- settings


@pytest.mark.parametrize("name", [n for n, kind in GROUP.items() if isinstance(kind, Number)])
def test_every_number_of_a_group_is_held_to_its_range(name: str) -> None:
    kind = GROUP[name]
    assert isinstance(kind, Number)
    stage = with_sql()
    for value in (kind.least, kind.most):
        stage.write(set_group(name, value))
        assert stage.scene.book.group(SQL).number(name) == value

    before = stage.scene.book.group(SQL)
    for off in (kind.least - 1, kind.most + 1 if kind.also is None else kind.also + 1, "3", True):
        refused = stage.declined(set_group(name, off))
        assert (refused.status, refused.code) == (422, "out-of-range")
        assert f"from {kind.least} to {kind.most}" in refused.sentence
    assert stage.scene.book.group(SQL) == before


@pytest.mark.parametrize("name", [n for n, kind in RESOURCE.items() if isinstance(kind, Number)])
def test_every_number_of_a_resource_is_held_to_its_range(name: str) -> None:
    kind = RESOURCE[name]
    assert isinstance(kind, Number)
    stage = with_sql()
    stage.write(set_resource("RestartPeriod", 0))
    if name != "RestartPeriod":
        stage.write(set_resource(name, kind.least))
    for off in (kind.least - 1, kind.most + 1, 1.5):
        refused = stage.declined(set_resource(name, off))
        assert f"from {kind.least} to {kind.most}" in refused.sentence


def test_the_retry_period_is_never_shorter_than_the_restart_period() -> None:
    stage = with_sql()

    assert "at least" in stage.declined(set_resource("RestartPeriod", 3_600_001)).sentence
    assert "at least" in stage.declined(set_resource("RetryPeriodOnFailure", 1)).sentence
    stage.write(set_resource("RetryPeriodOnFailure", NONE))


@pytest.mark.parametrize(
    ("plan", "status", "words"),
    [
        (set_group("FailoverTreshold", 1), 404, "Did you mean 'FailoverThreshold'?"),
        (set_group("Zzz", 1), 404, "It has AntiAffinityClassNames"),
        (set_group("FailoverPeriod", 1, VmName("sql1")), 404, "Did you mean 'sql01'?"),
        (set_group("PreferredOwners", ("a", "bb")), 404, "'bb', which is no node"),
        (set_group("PreferredOwners", "a"), 422, "a list of names"),
        (set_group("Description", 3), 422, "a text"),
        (set_resource("RestartAktion", 1), 404, "Did you mean 'RestartAction'?"),
        (
            set_resource("RestartAction", 1, "Virtual Machine sql1"),
            404,
            f"Did you mean '{MACHINE}'",
        ),
        (set_resource("PossibleOwners", ("x",)), 404, "no node of this cluster"),
        (FailOnPurpose(ASKER, "Virtal Machine sql01"), 404, f"Did you mean '{MACHINE}'?"),
        (Relocate(ASKER, VmName("sq01"), None), 404, "Did you mean 'sql01'?"),
    ],
)
def test_a_slip_is_refused_with_what_would_be_right(plan: Any, status: int, words: str) -> None:
    refused = with_sql().declined(plan)

    assert refused.status == status
    assert words in refused.sentence


def test_all_settings_are_taken_or_none_and_case_does_not_matter() -> None:
    stage = with_sql()
    both = ConfigureGroup(ASKER, SQL, (("failoverperiod", 2), ("AutoFailbackType", 9)))
    assert stage.declined(both).status == 422
    assert SQL not in stage.scene.book.groups

    fine = (("failoverperiod", 2), ("PreferredOwners", ("B", "a")))
    stage.write(ConfigureGroup(ASKER, SQL, fine))
    group = stage.scene.book.group(SQL)
    assert (group.number("FailoverPeriod"), group.preferred) == (2, ("b", "a"))
    assert group.passed == (life("b"), life("a")), "they are here already: nothing moves for that"


def test_the_two_resources_have_settings_of_their_own() -> None:
    stage = with_sql()
    stage.write(set_resource("RestartAction", 0))
    stage.write(set_resource("restartaction", 1, CONFIGURATION.lower()))

    group = stage.scene.book.group(SQL)
    assert group.machine.number("RestartAction") == 0
    assert group.configuration.number("RestartAction") == 1


def test_a_group_that_is_off_comes_back_by_a_start_and_not_by_a_setting() -> None:
    stage = Stage()
    stage.vm(on=False, live=False)

    assert stage.declined(set_group("PersistentState", 1)).code == "group-off"
    stage.write(set_group("PersistentState", 0))


def test_a_group_row_is_read_as_it_was_written() -> None:
    stage = with_sql()
    stage.write(set_group("AntiAffinityClassNames", ("dc", "web")))
    row = stage.scene.book.group(SQL)

    assert GroupRow.read(row.data()) == row


# ---- moves


@pytest.mark.parametrize(
    ("node", "code"),
    [
        (A, "same-node"),
        (B, "no-memory"),
        (C, "node-paused"),
        (NodeName("d"), "not-possible-owner"),
        (NodeName("x"), "unknown-node"),
    ],
)
def test_a_group_is_not_moved_where_it_cannot_be(node: NodeName, code: str) -> None:
    stage = Stage("abcd")
    stage.vm()
    stage.vm(WEB, owner="b", memory_bytes=NODE_BYTES - MIB)
    stage.node("c", paused=True)
    stage.write(set_resource("PossibleOwners", ("a", "b", "c")))

    assert stage.declined(Relocate(ASKER, SQL, node)).code == code


def test_a_group_in_an_attempt_or_going_offline_is_not_moved() -> None:
    stage = with_sql()
    stage.attempt()
    assert stage.declined(Relocate(ASKER, SQL, C)).code == "vm-busy"

    stopping = Stage()
    stopping.vm(on=False)
    assert stopping.declined(Relocate(ASKER, SQL, C)).code == "vm-pending"


def test_a_group_that_is_off_only_changes_hands() -> None:
    stage = Stage()
    stage.vm(on=False, live=False)
    stage.write(Relocate(ASKER, SQL, C))

    assert (stage.row().owner, stage.row().epoch, stage.row().on) == (C, 1, False)


def test_a_running_group_is_stopped_here_and_started_cold_there() -> None:
    world = with_vm(formed())

    answer = world.ask(MoveGroup(SQL, C))
    assert answer == Accepted({"group": "sql01", "from": "a", "node": "c", "how": "cold"})
    world.after(3)

    assert world.running() == {"a": [], "b": [], "c": ["sql01"]}
    assert world.vm("sql01")["epoch"] == 2
    assert 1641 in world.events()
    assert 1069 not in world.events(), "nothing has failed"


def test_a_group_that_moves_is_pending_until_its_node_has_stopped_it() -> None:
    world = with_vm(formed())
    world["a"].hear = lambda message: None  # type: ignore[method-assign]
    world.ask(MoveGroup(SQL, None))
    world.after(2)

    assert world.vm("sql01")["state"] == "OfflinePending"
    assert world.running()["b"] == []


# ---- failures on purpose


def test_a_resource_that_is_made_to_fail_is_restarted_by_its_policy() -> None:
    world = with_vm(formed())

    answer = world.ask(FailResource(CONFIGURATION))
    assert answer == Accepted({"resource": CONFIGURATION, "node": "a"})
    world.after(3)
    assert world.running()["a"] == ["sql01"]
    assert world.vm("sql01")["epoch"] == 2

    world.ask(FailResource(CONFIGURATION))
    world.after(3)
    assert world.running()["b"] == ["sql01"], "the second time it fails over"
    assert len(world.sent(FailVm)) == 2
    assert world.events().count(1069) == 2
    assert 1153 in world.events()


def test_a_resource_with_restart_action_0_stays_failed() -> None:
    world = with_vm(formed())
    world.ask(SetResource(MACHINE, (("RestartAction", 0),)))
    world.ask(FailResource(MACHINE))
    world.after(10)

    assert world.vm("sql01")["state"] == "Failed"
    assert world.running() == {"a": [], "b": [], "c": []}


def test_what_is_off_cannot_be_made_to_fail() -> None:
    world = with_vm(formed())
    world.ask(StopVm(SQL))
    world.after(2)

    refused = world.ask(FailResource(MACHINE))
    assert isinstance(refused, Declined)
    assert refused.code == "vm-off"


def test_settings_are_answered_with_all_of_them() -> None:
    world = with_vm(formed())

    answer = world.ask(SetGroup(SQL, (("PreferredOwners", ["b"]),)))
    assert isinstance(answer, Accepted)
    assert answer.body["settings"]["PreferredOwners"] == ["b"]
    assert set(answer.body["settings"]) == set(GROUP)
    assert world.row("group/sql01")["settings"] == {"PreferredOwners": ["b"]}
    assert B in world.agents
