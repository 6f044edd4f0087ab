from dataclasses import replace

import pytest

from coordinator.groups.ownership import Give
from coordinator.groups.stops import CONFIGURATION, Deadlocked, Retry, TakeStopped
from coordinator.store.group_rows import GroupRow, ResourceRow, Settings, group_key
from protocol.names import Decision, Epoch, VmName
from tests.coordinator.stage import NODE_BYTES, SQL, WEB, A, B, C, Stage, ids_of, life

# ---- an owner that has stopped it


def test_a_stop_that_was_asked_for_takes_the_vm_offline() -> None:
    stage = Stage()
    stage.vm(on=False, epoch=3)

    draft = stage.write(TakeStopped(SQL, life("a"), Epoch(3), ""))
    assert ids_of(draft) == [1204]
    assert (stage.row().live, stage.row().failed, stage.row().epoch) == (False, "", 3)


@pytest.mark.parametrize("reason", ["", "Epoch 2 of sql01 is over"])
def test_a_stop_under_an_earlier_epoch_releases_nothing(reason: str) -> None:
    """The second answer to a stop that was ordered twice, after the VM was started there anew."""
    stage = Stage()
    stage.vm(epoch=3)

    assert TakeStopped(SQL, life("a"), Epoch(2), reason).draft(stage.scene) is None
    assert stage.row().live


def test_a_stop_by_another_life_than_the_owners_releases_nothing() -> None:
    stage = Stage()
    stage.vm(epoch=3)

    for other in (life("a", 2), life("b")):
        assert TakeStopped(SQL, other, Epoch(3), "").draft(stage.scene) is None
    assert TakeStopped(VmName("nope"), life("a"), Epoch(3), "").draft(stage.scene) is None


def test_a_vm_that_fails_in_mid_attempt_takes_the_attempt_with_it() -> None:
    stage = Stage()
    stage.vm()
    stage.attempt()
    crash = TakeStopped(SQL, life("a"), Epoch(1), "its worker ended")

    assert {"vm/sql01", "attempt/000000001"} <= stage.compared(crash)
    stage.write(crash)
    row = stage.scene.book.attempts[stage.row().attempt or 0]  # type: ignore[index]
    assert (row.decision, row.reason) == (Decision.ABORTED, "the VM stopped on the source")
    assert (stage.row().epoch, stage.row().live) == (2, False)


# ---- an owner on which it has failed


def configured(stage: Stage, group: Settings = (), machine: Settings = ()) -> None:
    row = GroupRow(SQL, group, machine=ResourceRow(machine))
    stage.put(group_key(SQL), row.data())


def crash(stage: Stage, reason: str = "crash") -> list[int]:
    row = stage.row()
    assert row.owner_incarnation is not None
    ids = ids_of(stage.write(TakeStopped(SQL, row.owner_incarnation, row.epoch, reason)))
    if not stage.row().live and Give(SQL).draft(stage.scene) is not None:
        stage.write(Give(SQL))
    return ids


def test_a_failing_vm_is_restarted_in_place_then_fails_over_and_at_last_stays_failed() -> None:
    stage = Stage()
    stage.vm()

    owners = []
    for _ in range(5):
        crash(stage)
        owners.append(stage.row().owner)
    assert owners == [A, B, B, C, C], "one restart on each node, then down the list"

    assert crash(stage) == [1069, 1254], "two failovers in six hours is what two other nodes allow"
    assert (stage.row().failed, stage.row().live) == ("crash", False)
    assert Give(SQL).draft(stage.scene) is None


def test_after_its_period_a_failure_is_forgotten() -> None:
    stage = Stage()
    stage.vm()

    assert crash(stage) == [1069, 1200]
    stage.scene.now += 901
    assert crash(stage) == [1069, 1200]
    assert stage.row().owner == A


def test_what_fails_goes_down_the_list_of_nodes_from_where_it_is_and_not_to_its_top() -> None:
    stage = Stage("abcd")
    configured(stage, (("PreferredOwners", ("c", "a")),), (("RestartThreshold", 0),))
    stage.vm(owner="a")

    owners = []
    for _ in range(3):
        crash(stage)
        owners.append(str(stage.row().owner))
    assert owners == ["b", "d", "c"], "the list is c, a, b, d"


@pytest.mark.parametrize(("action", "after"), [(0, [1069, 1254]), (1, [1069, 1200])])
def test_the_restart_action_says_what_may_be_done(action: int, after: list[int]) -> None:
    stage = Stage()
    configured(stage, machine=(("RestartAction", action),))
    stage.vm()

    assert crash(stage) == after
    if action == 1:
        assert crash(stage) == [1069, 1254], "restarted, but never failed over"
    retry_at = stage.scene.book.group(SQL).retry_at
    assert retry_at == (None if action == 0 else stage.scene.wall + 3600)


def test_with_no_other_node_to_go_to_it_stays_failed_and_is_tried_again_in_an_hour() -> None:
    stage = Stage("ab")
    stage.node("b", paused=True)
    stage.vm()
    crash(stage)
    assert crash(stage) == [1069, 1254]

    assert Retry(SQL).draft(stage.scene) is None, "not yet"
    stage.scene.now += 3601
    stage.write(Retry(SQL))
    stage.write(Give(SQL))
    assert (stage.row().owner, stage.row().failed) == (A, "")
    assert stage.scene.book.group(SQL).machine.restarts == 0


def test_a_vm_is_restarted_in_place_on_a_paused_node_but_not_on_one_that_is_being_stopped() -> None:
    stage = Stage()
    stage.vm()
    stage.node("a", paused=True)
    crash(stage)
    assert stage.row().owner == A

    other = Stage()
    other.vm()
    other.node("a", stopped=True)
    crash(other)
    assert other.row().owner == B


def test_a_vm_without_room_elsewhere_does_not_fail_over() -> None:
    stage = Stage("ab")
    configured(stage, machine=(("RestartThreshold", 0),))
    stage.vm()
    stage.vm(WEB, owner="b", memory_bytes=NODE_BYTES)

    assert crash(stage) == [1069, 1254]


def test_the_configuration_has_a_policy_of_its_own() -> None:
    stage = Stage()
    stage.vm()
    stage.write(TakeStopped(SQL, life("a"), Epoch(1), "test", CONFIGURATION))

    group = stage.scene.book.group(SQL)
    assert (group.configuration.restarts, group.machine.restarts) == (1, 0)


def test_a_group_that_moves_starts_where_it_was_to_go() -> None:
    stage = Stage()
    stage.vm()
    stage.put(group_key(SQL), replace(GroupRow(SQL), move_to=C).data())

    draft = stage.write(TakeStopped(SQL, life("a"), Epoch(1), ""))
    assert ids_of(draft) == [1204]
    stage.write(Give(SQL))
    assert (stage.row().owner, stage.row().epoch) == (C, 2)
    assert stage.scene.book.group(SQL).move_to is None


def test_a_stop_that_is_never_answered_is_told_once_and_frees_nothing() -> None:
    stage = Stage()
    stage.vm(on=False)
    stuck = Deadlocked(SQL, life("a"), 300.0)

    assert ids_of(stage.write(stuck)) == [1230, 1146]
    assert stage.row().live, "nobody else may start it"
    assert "out of the membership" in stage.row().waiting
    assert stuck.draft(stage.scene) is None
    stage.write(TakeStopped(SQL, life("a"), Epoch(1), ""))
    assert stage.row().waiting == ""
