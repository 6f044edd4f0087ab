from dataclasses import replace
from typing import Any

import pytest

from coordinator.actions import Send
from coordinator.desk import Desk
from coordinator.groups.ownership import FailOver, Give, RaiseEpoch
from coordinator.groups.stops import Deadlocked, Retry, TakeStopped
from coordinator.groups.tending import ASK_AGAIN_S, Tending
from coordinator.pen import Plan
from coordinator.store.group_rows import GroupRow, group_key
from coordinator.store.rows import vm_key
from protocol.messages import FailVm, StartVm, StopVm, ToAgent, VmReport, VmStarted, VmStopped
from protocol.names import (
    Decision,
    Epoch,
    Hold,
    Incarnation,
    Outcome,
    Term,
    VmName,
    Workload,
)
from tests.coordinator.stage import LAB, SQL, WEB, B, Stage, life


class Tended:
    """What tending makes of a stage: the plans it enters and the orders it gives."""

    def __init__(self, stage: Stage | None = None) -> None:
        self.stage = stage or Stage()
        self.desk = Desk(self.stage.scene)
        self.tending = Tending(self.desk)

    def plans(self) -> list[Plan]:
        return [plan for plan, _ in self.desk.pen.clear()]

    def orders(self) -> list[ToAgent]:
        messages = [action.message for action in self.desk.out if isinstance(action, Send)]
        self.desk.out.clear()
        return messages

    def tended(self) -> tuple[list[Plan], list[ToAgent]]:
        self.tending.all()
        return self.plans(), self.orders()

    def reported(self, node: str, vm: VmName, epoch: int) -> tuple[list[Plan], list[ToAgent]]:
        report = VmReport(vm, Epoch(epoch), True, Hold.NONE)
        self.tending.reported(self.stage.agent(node), report)
        return self.plans(), self.orders()


def start(stage: Stage, epoch: int) -> StartVm:
    return StartVm(LAB, Term(3), life("a"), SQL, Epoch(epoch), stage.row().spec)


def stop(epoch: int, node: str = "a", vm: VmName = SQL) -> StopVm:
    return StopVm(LAB, Term(3), life(node), vm, Epoch(epoch))


# ---- what rows want


def test_a_vm_that_is_where_it_belongs_is_left_in_peace() -> None:
    tended = Tended()
    tended.stage.vm()
    tended.stage.vm(WEB, owner="b", on=False, live=False)

    assert tended.tended() == ([], [])


def test_a_vm_that_is_wanted_and_nowhere_live_is_given_to_a_node_unless_it_failed() -> None:
    tended = Tended()
    tended.stage.vm(live=False)
    tended.stage.vm(WEB, live=False, failed="crash")

    assert tended.tended() == ([Give(SQL)], [])


def test_a_vm_whose_owner_is_in_no_held_view_fails_over() -> None:
    tended = Tended()
    tended.stage.vm()
    tended.stage.view("b", "c", number=2)

    assert tended.tended() == ([FailOver(SQL, life("a"))], [])


def test_a_vm_that_its_owner_does_not_have_is_started_again_but_not_all_the_time() -> None:
    tended = Tended()
    stage = tended.stage
    stage.vm()
    stage.agent("a").vms.clear()

    assert tended.tended() == ([], [start(stage, 1)])
    stage.scene.now += ASK_AGAIN_S / 2
    assert tended.tended() == ([], [])
    stage.scene.now += ASK_AGAIN_S / 2
    assert tended.tended() == ([], [start(stage, 1)])


def test_a_vm_under_a_new_epoch_is_started_at_once_though_another_was_just_asked_for() -> None:
    tended = Tended()
    stage = tended.stage
    stage.vm()
    stage.agent("a").vms.clear()
    tended.tended()

    stage.vm(epoch=2)
    stage.agent("a").vms.clear()
    assert tended.tended() == ([], [start(stage, 2)])


def test_a_vm_that_has_an_older_epoch_on_its_owner_is_started_under_the_rows() -> None:
    tended = Tended()
    tended.stage.vm(epoch=5)
    tended.stage.report("a", epoch=4)

    assert tended.tended() == ([], [start(tended.stage, 5)])


def test_a_vm_that_is_off_is_stopped_until_its_owner_has_stopped_it() -> None:
    tended = Tended()
    tended.stage.vm(on=False, epoch=3)

    for _ in range(3):
        assert tended.tended() == ([], [stop(3)])
    tended.stage.cut("a")
    assert tended.tended() == ([], []), "nobody can be told"


def test_nothing_is_ordered_of_a_vm_that_an_attempt_decides_about() -> None:
    tended = Tended()
    tended.stage.vm()
    tended.stage.attempt()
    tended.stage.agent("a").vms.clear()

    assert tended.tended() == ([], [])
    assert tended.reported("b", SQL, 1) == ([], []), "what the target fills is no VM of its own"
    assert tended.reported("c", SQL, 1) == ([], [stop(1, "c")]), "c has no part in it"


def test_after_an_attempt_its_owner_has_some_time_to_report_the_vm() -> None:
    tended = Tended()
    tended.stage.vm(epoch=2)
    tended.stage.agent("a").vms.clear()
    tended.tending.settled(SQL)
    tended.tending.settled(VmName("nope"))

    assert tended.tended() == ([], [])
    tended.stage.scene.now += ASK_AGAIN_S
    assert tended.tended() == ([], [start(tended.stage, 2)])


# ---- what agents have


def test_what_a_node_has_and_does_not_own_is_stopped_under_the_epoch_that_it_has() -> None:
    tended = Tended()
    tended.stage.vm(epoch=3)

    assert tended.reported("a", SQL, 3) == ([], [])
    assert tended.reported("b", SQL, 2) == ([], [stop(2, "b")]), "another's"
    assert tended.reported("b", WEB, 9) == ([], [stop(9, "b", WEB)]), "no such VM"
    tended.stage.connect("a", number=2)
    order = StopVm(LAB, Term(3), Incarnation("a-2"), SQL, Epoch(1))
    assert tended.reported("a", SQL, 1) == ([], [order]), "another life's"


def test_what_a_node_has_of_a_vm_that_is_live_nowhere_is_stopped() -> None:
    tended = Tended()
    tended.stage.vm(live=False, on=False, epoch=3)

    assert tended.reported("a", SQL, 3) == ([], [stop(3)])


def test_an_epoch_above_the_rows_raises_the_row() -> None:
    tended = Tended()
    tended.stage.vm(epoch=3)

    assert tended.reported("a", SQL, 5) == ([RaiseEpoch(SQL, Epoch(5))], [])
    assert tended.reported("b", SQL, 6) == ([RaiseEpoch(SQL, Epoch(6))], [stop(6, "b")])


def test_a_start_is_news_once_and_only_from_the_owner_under_its_epoch() -> None:
    tended = Tended()
    tended.stage.vm()
    agent = tended.stage.agent("a")
    agent.vms.clear()
    tended.tended()

    def said(node: str, epoch: int) -> bool:
        word = VmStarted(LAB, Term(3), life(node), SQL, Epoch(epoch))
        return tended.tending.started(tended.stage.agent(node), word)

    assert [said("b", 1), said("a", 2), said("a", 1), said("a", 1)] == [False, False, True, False]


def test_a_stop_is_written_and_the_report_is_forgotten() -> None:
    tended = Tended()
    tended.stage.vm()
    agent = tended.stage.agent("a")

    def stopped(epoch: int) -> list[Plan]:
        word = VmStopped(LAB, Term(3), life("a"), SQL, Epoch(epoch), "crash")
        tended.tending.stopped(agent, word)
        return tended.plans()

    assert stopped(0) == [TakeStopped(SQL, life("a"), Epoch(0), "crash")]
    assert SQL in agent.vms, "what it has is newer than what it stopped"
    assert stopped(1) == [TakeStopped(SQL, life("a"), Epoch(1), "crash")]
    assert SQL not in agent.vms


# ---- every state of the row meets every report

ROWS: dict[str, dict[str, Any]] = {
    "live": {},
    "being stopped": {"on": False},
    "live elsewhere": {"owner": "b"},
    "live in an earlier life": {"number": 9},
    "wanted and nowhere": {"live": False},
    "failed": {"live": False, "failed": "crash"},
    "off": {"live": False, "on": False},
    "moving": {},
    "on a node that is stopped": {},
    "the source's": {},
    "the target's": {"owner": "b"},
}
REPORTS = {"nothing": 0, "older": 2, "the same": 3, "newer": 4}
"""What node a says of a VM whose row says epoch 3."""

START, STOP, GIVE, RAISE = "start", "stop what it has", "give", "raise"
LATER, MINE = "fail over", "stop the row's"
AWAY: tuple[set[str], ...] = (set(), {STOP}, {STOP}, {STOP, RAISE})
ENDS = ({MINE}, {MINE}, {MINE}, {MINE, RAISE})
CELLS: dict[str, tuple[set[str], ...]] = {
    "live": ({START}, {START}, set(), {START, RAISE}),
    "being stopped": ENDS,
    "live elsewhere": AWAY,
    "live in an earlier life": tuple({LATER, *cell} for cell in AWAY),
    "wanted and nowhere": tuple({GIVE, *cell} for cell in AWAY),
    "failed": AWAY,
    "off": AWAY,
    "moving": ENDS,
    "on a node that is stopped": ENDS,
    "the source's": (set(), set(), set(), {RAISE}),
    "the target's": (set(), set(), set(), set()),
}
"""What is done for each of REPORTS."""


def stage_of(row: str) -> Stage:
    stage = Stage()
    fields = dict(ROWS[row])
    stage.vm(epoch=3, **fields)
    for name in "abc":
        stage.agent(name).vms.clear()
    if row == "live elsewhere" or row == "the target's":
        stage.report("b", epoch=3)
    if row == "moving":
        stage.put(group_key(SQL), replace(GroupRow(SQL), move_to=B).data())
    elif row == "on a node that is stopped":
        stage.node("a", stopped=True)
    elif row == "the source's":
        stage.attempt(epoch=3)
    elif row == "the target's":
        stage.attempt(epoch=2, source="a", decision=Decision.COMMITTED, outcome=Outcome.COMPLETED)
    return stage


@pytest.mark.parametrize("row", ROWS)
@pytest.mark.parametrize("report", REPORTS)
def test_whatever_the_row_says_and_the_node_reports_is_repaired_by_rule(
    row: str, report: str
) -> None:
    tended = Tended(stage_of(row))
    epoch = REPORTS[report]
    if epoch:
        tended.stage.report("a", epoch=epoch)
        tended.tending.reported(tended.stage.agent("a"), tended.stage.agent("a").vms[SQL])
    tended.tending.all()

    done: set[str] = set()
    for plan in tended.plans():
        match plan:
            case RaiseEpoch(_, heard):
                assert heard == epoch
                done.add(RAISE)
            case FailOver():
                done.add(LATER)
            case Give():
                done.add(GIVE)
            case _:
                raise AssertionError(plan)
    for order in tended.orders():
        match order:
            case StartVm(epoch=3):
                done.add(START)
            case StopVm(incarnation="a-1", epoch=told):
                own = row in ("being stopped", "moving", "on a node that is stopped")
                assert told == (3 if own else epoch)
                done.add(MINE if own else STOP)
            case _:
                raise AssertionError(order)
    assert done == CELLS[row][list(REPORTS).index(report)]


# ---- health


def test_a_guest_that_stands_still_is_made_to_fail_and_told_of_by_its_own_cause() -> None:
    tended = Tended()
    stage = tended.stage
    row = stage.vm()
    busy = replace(row, spec=replace(row.spec, workload=Workload("wave")))
    stage.put(vm_key(SQL), busy.data())
    agent = stage.agent("a")

    orders: list[ToAgent] = []
    for _ in range(70):
        stage.scene.now += 1.0
        agent.heard_at = stage.scene.now
        orders += tended.tended()[1]
    failed = FailVm(LAB, Term(3), life("a"), SQL, Epoch(1))
    assert set(orders) == {failed}, "told until it answers"

    tended.tending.stopped(agent, VmStopped(LAB, Term(3), life("a"), SQL, Epoch(1), "told to"))
    (plan,) = tended.plans()
    assert isinstance(plan, TakeStopped)
    assert "IsAlive" in plan.reason


def test_a_stop_that_is_not_answered_is_repeated_and_told_of() -> None:
    tended = Tended()
    tended.stage.vm(on=False)
    plans: list[Plan] = []
    for _ in range(310):
        tended.stage.scene.now += 1.0
        plans += tended.tended()[0]

    assert plans == [Deadlocked(SQL, life("a"), 300.0)]


def test_a_failed_group_is_tried_again_when_its_time_has_come() -> None:
    tended = Tended()
    tended.stage.vm(live=False, failed="crash")
    at = tended.stage.scene.wall + 10.0
    tended.stage.put(group_key(SQL), replace(GroupRow(SQL), retry_at=at).data())

    assert tended.tended() == ([], [])
    tended.stage.scene.now += 10.0
    assert tended.tended() == ([Retry(SQL)], [])


def test_a_leader_that_begins_anew_judges_by_nothing_that_it_saw_before() -> None:
    tended = Tended()
    tended.stage.vm(on=False)
    plans: list[Plan] = []
    for second in range(500):
        tended.stage.scene.now += 1.0
        if second == 250:
            tended.tending.begin_anew()
        plans += tended.tended()[0]

    assert plans == [], "neither part is as long as DeadlockTimeout"
