from typing import Any

import pytest

from coordinator.events import RequestId
from coordinator.groups.ownership import FailOver, Give, RaiseEpoch, place_for
from coordinator.groups.wishes import Create, TurnOn
from coordinator.migration.attempts import Commit, Open, Seen
from coordinator.pen import Plan
from coordinator.requests import CreateVm, Declined
from protocol.names import Decision, Epoch, Outcome, Verify, VmName
from tests.coordinator.ground import MIB, spec
from tests.coordinator.stage import NODE_BYTES, SQL, WEB, A, B, C, Stage, ids_of, life, rows_of

ASKER = RequestId(1)
FELL = FailOver(SQL, life("a"))


# ---- whom a VM is given to


def test_a_vm_is_given_to_a_life_of_the_held_view_under_the_next_epoch() -> None:
    stage = Stage()
    stage.vm(live=False, owner_incarnation=None, epoch=4, waiting="no room")

    given = rows_of(stage.draft(Give(SQL)))["vm/sql01"]

    assert (given["owner"], given["owner_incarnation"]) == ("a", "a-1")
    assert (given["epoch"], given["live"], given["waiting"]) == (5, True, "")
    assert {"view", "vm/sql01"} <= stage.compared(Give(SQL))


def no_life_may_own() -> list[Stage]:
    """Each time another reason why no connected node may be given anything."""
    reborn = Stage()
    for name in "abc":
        reborn.connect(name, number=2)

    entering = Stage()
    held = entering.view("b", "c")
    entering.view("a", "b", "c", number=2, held=held)
    entering.cut("b")
    entering.cut("c")

    leaving = Stage()
    held = leaving.view("a", "b", "c")
    leaving.view("a", number=2, held=held)
    leaving.cut("a")

    unwelcomed = Stage()
    for agent in unwelcomed.scene.agents:
        agent.welcomed = False

    paused = Stage()
    for name in "abc":
        paused.node(name, paused=True)
    return [reborn, entering, leaving, unwelcomed, paused]


@pytest.mark.parametrize("index", range(5))
def test_no_plan_gives_a_vm_to_a_life_that_is_not_in_the_held_view_and_staying(index: int) -> None:
    def stage() -> Stage:
        return no_life_may_own()[index]

    waits = stage()
    waits.vm(live=False, owner_incarnation=None)
    row = rows_of(waits.draft(Give(SQL)))["vm/sql01"]
    assert (row["live"], row["owner_incarnation"], row["epoch"]) == (False, None, 1)
    assert "memory free" in row["waiting"]

    off = stage()
    off.vm(on=False, live=False)
    assert off.declined(TurnOn(ASKER, SQL)).code == "no-memory"
    for node in (None, A, B, C):
        refused = off.declined(Create(ASKER, CreateVm(VmName("new"), spec(), node, True)))
        assert refused.status == 409

    lost = stage()
    lost.vm(number=9)
    row = rows_of(lost.draft(FailOver(SQL, life("a", 9))))["vm/sql01"]
    assert (row["live"], row["owner"]) == (False, "a")


def test_why_a_vm_has_no_place_is_written_once() -> None:
    stage = Stage(memory_bytes=32 * MIB)
    stage.vm(live=False)

    assert ids_of(stage.write(Give(SQL))) == [1205]
    assert stage.row().waiting == f"no node that is Up has {64 * MIB} bytes of memory free for it"
    assert Give(SQL).draft(stage.scene) is None

    stage.connect("c", memory_bytes=NODE_BYTES)
    stage.write(Give(SQL))
    assert (stage.row().owner, stage.row().waiting) == (C, "")


@pytest.mark.parametrize("fields", [{"on": False}, {"live": True}, {"failed": "it crashed"}])
def test_nothing_is_given_that_is_off_or_live_or_failed(fields: dict[str, Any]) -> None:
    stage = Stage()
    stage.vm(**{"live": False, **fields})

    assert Give(SQL).draft(stage.scene) is None
    assert Give(VmName("nope")).draft(stage.scene) is None


def test_a_vm_starts_where_nothing_of_its_last_attempt_is_being_cleaned_up() -> None:
    stage = Stage()
    stage.vm(live=False)
    stage.aborted()

    assert place_for(stage.scene, stage.row()) == C
    stage.cut("c")
    stage.write(Give(SQL))
    assert "still being cleaned up" in stage.row().waiting


# ---- an owner that is gone


def test_fail_over_does_nothing_while_the_owner_is_in_the_held_view() -> None:
    stage = Stage()
    stage.vm()
    stage.die("a")
    assert FELL.draft(stage.scene) is None, "unheard, and still a member"

    held = stage.view("abc")
    stage.view("b", "c", number=2, held=held)
    assert FELL.draft(stage.scene) is None, "a view without it is written and does not hold"

    stage.view("b", "c", number=2)
    assert rows_of(stage.draft(FELL))["vm/sql01"]["owner"] == "b"


def test_fail_over_is_for_the_life_that_is_gone_and_no_other() -> None:
    stage = Stage()
    stage.vm(number=2)
    stage.view("a2", "b", "c")

    assert FELL.draft(stage.scene) is None
    stage.vm(live=False)
    stage.view("b", "c", number=2)
    assert FELL.draft(stage.scene) is None, "nothing of it is live"


def test_fail_over_aborts_the_open_attempt_in_the_same_transaction() -> None:
    stage = Stage()
    stage.vm()
    stage.attempt()
    stage.view("b", "c", number=2)
    stage.die("a")

    rows = rows_of(stage.draft(FELL))
    attempt, vm = rows["attempt/000000001"], rows["vm/sql01"]
    assert (attempt["decision"], attempt["outcome"]) == ("aborted", "failed")
    assert attempt["reason"] == "node a, the source, was removed from the cluster"
    assert (vm["owner"], vm["epoch"]) == ("c", 3), "one for the abort and one for the start"
    assert {"view", "vm/sql01", "attempt/000000001"} <= stage.compared(FELL)
    assert ids_of(stage.draft(FELL)) == [1069, 21502, 1200]


def test_fail_over_leaves_a_decided_attempt_as_it_was_decided() -> None:
    stage = Stage()
    stage.vm(owner="b", epoch=2)
    stage.attempt(decision=Decision.COMMITTED, outcome=Outcome.COMPLETED)
    stage.view("a", "c", number=2)

    rows = rows_of(stage.draft(FailOver(SQL, life("b"))))
    assert set(rows) == {"vm/sql01"}
    assert (rows["vm/sql01"]["owner"], rows["vm/sql01"]["epoch"]) == ("c", 3)


def test_a_vm_that_was_being_stopped_is_off_once_its_node_is_gone() -> None:
    stage = Stage()
    stage.vm(on=False)
    stage.view("b", "c", number=2)

    stage.write(FELL)
    assert (stage.row().live, stage.row().on, stage.row().epoch) == (False, False, 1)


# ---- epochs that the store has lost


def test_an_epoch_is_raised_above_one_that_was_heard_and_never_lowered() -> None:
    stage = Stage()
    stage.vm(epoch=3)

    for heard in (1, 2, 3):
        assert RaiseEpoch(SQL, Epoch(heard)).draft(stage.scene) is None
    stage.write(RaiseEpoch(SQL, Epoch(7)))
    assert stage.row().epoch == 8
    assert RaiseEpoch(VmName("nope"), Epoch(7)).draft(stage.scene) is None


def test_the_epoch_of_an_open_attempt_is_not_raised_under_it() -> None:
    stage = Stage()
    stage.vm()
    stage.attempt()

    assert RaiseEpoch(SQL, Epoch(7)).draft(stage.scene) is None


# ---- every plan


@pytest.mark.parametrize(
    "plan",
    [
        Give(WEB),
        Create(ASKER, CreateVm(VmName("new"), spec(), None, True)),
        Open(ASKER, SQL, B, "2008r2", Verify.OFF),
        Commit(1, None, Seen()),  # type: ignore[arg-type]
        FailOver(VmName("lost"), life("c", 7)),
        TurnOn(ASKER, VmName("off")),
    ],
)
def test_whatever_gives_a_vm_to_a_node_compares_the_view(plan: Plan) -> None:
    stage = Stage("abcd")
    stage.vm(owner="a")
    stage.vm(WEB, live=False)
    stage.vm(VmName("off"), on=False, live=False)
    stage.vm(VmName("lost"), owner="c", number=7)
    moving = VmName("moving")
    stage.vm(moving, owner="c")
    if isinstance(plan, Commit):
        stage.attempt(vm=moving, source="c", target="d")

    assert not isinstance(plan.draft(stage.scene), Declined)
    assert "view" in stage.compared(plan)
    assert any(key.startswith("vm/") for key in stage.compared(plan))
