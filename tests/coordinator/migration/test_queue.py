"""In which order migrations begin that wait, and what they keep from those behind them."""

from coordinator.migration import queue
from coordinator.requests import Declined
from coordinator.store.queue_rows import QueuedRow, queued_key
from protocol.names import AttemptId, NodeName, Priority, Verify, VmName
from protocol.travel import AS_USUAL
from tests.coordinator.stage import SQL, WEB, A, B, C, D, Stage

MAIL = VmName("mail01")


def waits(
    stage: Stage, number: int, vm: VmName, target: NodeName | None, priority: Priority
) -> QueuedRow:
    row = QueuedRow(
        *(AttemptId(number), vm, target, "2008r2", Verify.OFF, AS_USUAL, priority, 90.0)
    )
    stage.put(queued_key(row.id), row.data())
    return row


def test_the_higher_priority_goes_first_then_who_asked_first() -> None:
    stage = Stage()
    for number, priority in enumerate((Priority.LOW, Priority.HIGH, Priority.HIGH), start=1):
        waits(stage, number, SQL, B, priority)
    book = stage.scene.book

    assert [row.id for row in queue.in_order(book)] == [2, 3, 1]
    assert [row.id for row in queue.ahead_of(book, Priority.MEDIUM)] == [2, 3]
    assert [row.id for row in queue.ahead_of(book, Priority.LOW)] == [2, 3, 1]


def busy() -> Stage:
    """sql01 moves from a to b; web01 and mail01 are on c and d."""
    stage = Stage("abcd")
    stage.vm()
    stage.vm(WEB, owner="c")
    stage.vm(MAIL, owner="d")
    stage.attempt(7)
    return stage


def test_who_waits_for_one_node_keeps_both_from_those_behind_it() -> None:
    stage = busy()
    waits(stage, 8, WEB, B, Priority.HIGH)
    waits(stage, 9, MAIL, C, Priority.LOW)

    kept = queue.kept_by(stage.scene, queue.in_order(stage.scene.book)[:1])
    assert kept == {B: 1, C: 1}
    looked = list(queue.looked_at(stage.scene, queue.in_order(stage.scene.book), kept=kept - kept))
    (_, first), (_, second) = looked
    assert isinstance(first, Declined)
    assert "attempt 7" in first.sentence
    assert isinstance(second, Declined)
    assert (second.code, "waits before this one" in second.sentence) == ("node-busy", True)


def test_who_needs_neither_of_its_nodes_goes_past_one_that_waits() -> None:
    stage = Stage("abcdef")
    stage.vm()
    stage.vm(WEB, owner="c")
    stage.vm(MAIL, owner="d")
    stage.attempt(7)
    waits(stage, 8, WEB, B, Priority.HIGH)
    waits(stage, 9, MAIL, NodeName("e"), Priority.LOW)

    (_, first), (_, second) = queue.looked_at(
        stage.scene, queue.in_order(stage.scene.book), queue.kept_by(stage.scene, ())
    )
    assert isinstance(first, Declined)
    assert not isinstance(second, Declined)
    assert second[1] == "e"


def test_who_waits_for_something_else_keeps_nothing() -> None:
    stage = busy()
    stage.agent("c").vms.clear()
    waits(stage, 8, WEB, D, Priority.HIGH)

    assert queue.kept_by(stage.scene, queue.in_order(stage.scene.book)) == {}


def test_its_record_says_since_when_it_waits_and_from_where_it_would_go() -> None:
    stage = busy()
    row = waits(stage, 8, WEB, B, Priority.HIGH)

    shown = queue.as_attempt(stage.scene, row, "why")
    assert (shown.source, shown.target, shown.reason) == (C, B, "why")
    assert shown.queued_s == stage.scene.wall - 90.0
    assert queue.waiting_for(stage.scene.book, WEB) == row
    assert queue.waiting_for(stage.scene.book, SQL) is None
    assert A not in (shown.source, shown.target)
