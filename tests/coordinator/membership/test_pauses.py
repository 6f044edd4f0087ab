"""Pausing, resuming and draining: the plans, and how a drain goes on."""

import pytest

from coordinator.desk import Desk
from coordinator.events import RequestId
from coordinator.membership.pauses import EndDrain, Pause, Resume, next_to_move, still_on
from coordinator.migration.attempts import Abort, Close, Open, Seen
from coordinator.migration.draining import Draining
from coordinator.pen import Plan
from protocol.names import AttemptId, NodeName, Verify, VmName
from tests.coordinator.ground import MIB
from tests.coordinator.stage import NODE_BYTES, SQL, WEB, A, Stage, ids_of

ASKER = RequestId(1)
X = NodeName("x")


# ---- the rows


def test_a_paused_node_accepts_no_groups_until_it_is_resumed() -> None:
    stage = Stage()
    assert ids_of(stage.write(Pause(ASKER, A, drain=False))) == [9020]
    row = stage.scene.book.nodes[A]
    assert (row.paused, row.draining) == (True, False)

    stage.write(Pause(ASKER, A, drain=True))
    assert stage.scene.book.nodes[A].draining, "a pause may become a drain"

    assert ids_of(stage.write(Resume(ASKER, A))) == [9021]
    row = stage.scene.book.nodes[A]
    assert (row.paused, row.draining) == (False, False)


def test_what_cannot_be_paused_or_resumed_is_refused_with_the_reason() -> None:
    stage = Stage()
    assert stage.declined(Pause(ASKER, X, drain=False)).status == 404
    assert stage.declined(Resume(ASKER, X)).status == 404
    assert "nothing to resume" in stage.declined(Resume(ASKER, A)).sentence

    stage.node("a", paused=True, draining=True)
    for drain in (False, True):
        again = stage.declined(Pause(ASKER, A, drain))
        assert (again.code, "resume it first" in again.sentence) == ("node-paused", True)

    stage.node("a")
    stage.die("a")
    down = stage.declined(Pause(ASKER, A, drain=True))
    assert (down.code, "is Down" in down.sentence) == ("node-down", True)


def test_the_end_of_a_drain_leaves_the_pause_and_names_what_could_not_be_moved() -> None:
    stage = Stage()
    assert EndDrain(A).draft(stage.scene) is None
    stage.node("a", paused=True, draining=True)
    stage.vm()

    draft = stage.write(EndDrain(A))
    assert (ids_of(draft), "sql01 could not be moved" in draft.notes[0].text) == ([1137], True)
    assert (stage.scene.book.nodes[A].paused, stage.scene.book.nodes[A].draining) == (True, False)


# ---- which VM goes next


def draining(*vms: VmName) -> Stage:
    stage = Stage()
    stage.node("a", paused=True, draining=True)
    for vm in vms:
        stage.vm(vm)
    return stage


def test_vms_go_one_after_the_other_by_name_and_only_those_that_run() -> None:
    stage = draining(WEB, SQL)
    stage.vm(VmName("off"), on=False, live=False)
    row = stage.scene.book.nodes[A]
    assert still_on(stage.scene, A) == (SQL, WEB)
    assert next_to_move(stage.scene, row, {}) == SQL

    stage.attempt()
    assert next_to_move(stage.scene, row, {}) is None, "the node takes part in one at a time"


def test_a_drain_waits_for_the_attempt_under_way_before_it_ends() -> None:
    stage = draining()
    stage.vm(owner="b")
    stage.attempt(source="b", target="a")
    row = stage.scene.book.nodes[A]

    assert next_to_move(stage.scene, row, {}) is None
    stage.aborted(source="b", target="a", ended_at=1.0)
    assert next_to_move(stage.scene, row, {}) == EndDrain(A)


# ---- how it goes on


class Drain:
    """A drain whose plans are written, or refused, at once."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.desk = Desk(stage.scene)
        self.draining = Draining(self.desk)

    def tick(self) -> list[Plan]:
        self.draining.tick()
        plans = [plan for plan, _ in self.desk.pen.clear()]
        for plan in plans:
            draft = self.stage.write(plan)
            if isinstance(plan, Open):
                self.draining.opened(plan.vm)
                assert draft.attempt is not None
        return plans

    def fail(self, attempt: int) -> None:
        self.stage.write(Abort(AttemptId(attempt), "the link broke"))
        self.stage.write(Close(AttemptId(attempt), Seen()))
        row = self.stage.row()
        self.stage.report("a", row.name, int(row.epoch))


def opened(vm: VmName) -> Open:
    return Open(None, vm, None, "2008r2", Verify.OFF)


def test_a_drain_stops_after_two_tries_for_each_vm() -> None:
    drain = Drain(draining(SQL))

    for attempt in (1, 2):
        assert drain.tick() == [opened(SQL)]
        assert drain.tick() == [], "it is under way"
        drain.fail(attempt)
    assert drain.tick() == [EndDrain(A)]
    assert drain.tick() == []


def test_a_node_that_is_paused_anew_has_its_tries_anew() -> None:
    drain = Drain(draining(SQL))
    for attempt in (1, 2):
        drain.tick()
        drain.fail(attempt)
    drain.draining.forget(A)

    assert drain.tick() == [opened(SQL)]


def test_a_vm_without_room_anywhere_does_not_keep_a_drain_waiting_for_ever() -> None:
    stage = draining()
    stage.vm(SQL, memory_bytes=NODE_BYTES)
    stage.vm(WEB, owner="b")
    stage.vm(VmName("vm3"), owner="c")
    drain = Drain(stage)

    ticks = [drain.tick() for _ in range(3)]
    assert ticks == [[], [], [EndDrain(A)]]


@pytest.mark.parametrize("why", ["pending", "unreachable"])
def test_a_drain_waits_for_what_mends_by_itself(why: str) -> None:
    stage = draining(SQL)
    if why == "pending":
        stage.agent("a").vms.clear()
    else:
        stage.cut("a")
    drain = Drain(stage)

    assert [drain.tick() for _ in range(9)] == [[]] * 9


def test_what_has_room_goes_first_when_the_others_have_to_wait() -> None:
    stage = draining()
    stage.vm(SQL, memory_bytes=NODE_BYTES - 64 * MIB)
    stage.vm(WEB)
    stage.vm(VmName("vm3"), owner="b", memory_bytes=128 * MIB)
    stage.vm(VmName("vm4"), owner="c", memory_bytes=128 * MIB)

    assert Drain(stage).tick() == [opened(WEB)]
