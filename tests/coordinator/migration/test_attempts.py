from typing import Any

import pytest

from coordinator.events import RequestId
from coordinator.migration.attempts import Abort, Close, Commit, Open, Seen
from coordinator.requests import Declined
from protocol.messages import Consented, Part, RoundRecord
from protocol.names import (
    AttemptId,
    ClusterId,
    Decision,
    Epoch,
    NetworkName,
    Outcome,
    Term,
    Verify,
    VmName,
)
from tests.coordinator.stage import SQL, A, B, Stage, ids_of, life, rows_of

ASKER = RequestId(1)
FIRST = AttemptId(1)
ROUND = RoundRecord(0, 100, 1, 400_000, 0.1, 7)
SEEN = Seen(NetworkName("migration"), (ROUND,), (Part("pause", 0.001),), True)
COMMIT = Commit(FIRST, None, SEEN)
ATTEMPT_ROW, VM_ROW = "attempt/000000001", "vm/sql01"


def moving(**fields: Any) -> Stage:
    stage = Stage()
    stage.vm()
    stage.attempt(**fields)
    return stage


def ask(target: str = "b", request: RequestId | None = ASKER) -> Open:
    return Open(request, SQL, type(A)(target), "2008r2", Verify.FULL)


# ---- opening


def test_an_attempt_names_both_lives_and_the_epoch_that_it_is_for() -> None:
    stage = Stage()
    stage.vm(epoch=4)
    draft = stage.write(ask())

    row = stage.scene.book.attempts[FIRST]
    assert (row.source_incarnation, row.target_incarnation) == ("a-1", "b-1")
    assert (row.epoch, row.decision, row.outcome) == (4, Decision.OPEN, None)
    assert stage.row().attempt == draft.attempt == 1
    assert ids_of(draft) == [1641, 20417]


def test_opening_compares_the_attempt_the_vm_and_the_view() -> None:
    stage = Stage()
    stage.vm()

    assert {ATTEMPT_ROW, VM_ROW, "view", "counter"} <= stage.compared(ask())


def test_a_refusal_leaves_its_record_and_changes_no_vm() -> None:
    stage = Stage()
    stage.vm()
    draft = stage.write(ask("a"))

    assert set(rows_of(draft)) == {ATTEMPT_ROW}
    assert isinstance(draft.answer, Declined)
    row = stage.scene.book.attempts[FIRST]
    assert (row.outcome, row.reason, row.closed) == (Outcome.REFUSED, draft.answer.sentence, True)
    assert stage.row().attempt is None
    assert stage.scene.book.counter.attempts == 1
    assert stage.write(ask("b")).attempt == 2, "its number is never used again"


def test_a_drain_that_is_refused_leaves_no_record() -> None:
    stage = Stage()
    stage.vm()

    assert isinstance(ask("a", request=None).draft(stage.scene), Declined)
    nowhere = Open(ASKER, VmName("nope"), B, "2008r2", Verify.OFF)
    assert rows_of(stage.draft(nowhere))[ATTEMPT_ROW]["source"] == ""


# ---- the commit


def test_the_commit_moves_the_vm_to_the_target_under_the_next_epoch() -> None:
    stage = moving()
    stage.write(COMMIT)

    vm, row = stage.row(), stage.scene.book.attempts[FIRST]
    assert (vm.owner, vm.owner_incarnation, vm.epoch, vm.live) == (B, "b-1", 2, True)
    assert vm.attempt == FIRST, "until both ends have cleaned up"
    assert (row.decision, row.outcome, row.closed) == (
        Decision.COMMITTED,
        Outcome.COMPLETED,
        False,
    )
    assert (row.network, row.rounds, row.parts) == ("migration", (ROUND,), (("pause", 0.001),))
    assert COMMIT.draft(stage.scene) is None, "it is decided once"


def test_the_commit_compares_the_attempt_the_vm_and_the_view_and_writes_both_rows() -> None:
    stage = moving()

    assert {ATTEMPT_ROW, VM_ROW, "view"} <= stage.compared(COMMIT)
    assert set(rows_of(stage.draft(COMMIT))) == {ATTEMPT_ROW, VM_ROW}


def test_the_record_of_a_commit_says_why_the_rounds_stopped() -> None:
    stage = moving()
    head = (ClusterId("lab-1"), Term(3), life("a"))
    consent = Consented(*head, FIRST, SQL, Epoch(1), True, 0.0, (), (), "small enough")

    stage.write(Commit(FIRST, consent, SEEN))
    assert stage.scene.book.attempts[FIRST].reason == "small enough"


@pytest.mark.parametrize(
    "fields",
    [
        {"epoch": 2},
        {"live": False},
        {"owner_incarnation": life("a", 2)},
        {"owner": "c"},
    ],
)
def test_a_vm_that_its_source_does_not_own_any_more_is_not_committed(
    fields: dict[str, Any],
) -> None:
    stage = moving()
    stage.vm(**fields)

    refusal = stage.declined(COMMIT)
    assert refusal.code == "vm-moved"
    assert "sql01" in refusal.sentence


def test_a_deleted_vm_is_not_committed() -> None:
    stage = moving()
    stage.put(VM_ROW, None)
    assert stage.declined(COMMIT).code == "vm-moved"


@pytest.mark.parametrize("members", [("a", "c"), ("a", "b2", "c")])
def test_nothing_is_committed_to_a_life_that_left(members: tuple[str, ...]) -> None:
    gone = moving()
    gone.view(*members, number=2)
    refusal = gone.declined(COMMIT)
    assert refusal.code == "target-left"
    assert "node b" in refusal.sentence

    going = moving()
    held = going.view("a", "b", "c")
    going.view(*members, number=2, held=held)
    assert going.declined(COMMIT).code == "target-left", "it is on its way out"

    coming = moving()
    held = coming.view(*members)
    coming.view("a", "b", "c", number=2, held=held)
    assert coming.declined(COMMIT).code == "target-left", "it is not in yet"


# ---- the abort


def test_an_abort_leaves_the_vm_with_the_source_under_the_next_epoch() -> None:
    stage = moving()
    draft = stage.write(Abort(FIRST, "the link broke", seen=SEEN))

    vm, row = stage.row(), stage.scene.book.attempts[FIRST]
    assert (vm.owner, vm.owner_incarnation, vm.epoch, vm.live) == (A, "a-1", 2, True)
    assert (row.decision, row.outcome, row.reason) == (
        Decision.ABORTED,
        Outcome.FAILED,
        "the link broke",
    )
    assert row.rounds == (ROUND,)
    assert ids_of(draft) == [21502]
    assert {ATTEMPT_ROW, VM_ROW} <= moving().compared(Abort(FIRST, ""))


def test_a_cancel_is_told_from_a_failure() -> None:
    stage = moving()
    draft = stage.write(Abort(FIRST, "an operator cancelled it", cancelled=True))

    assert stage.scene.book.attempts[FIRST].outcome is Outcome.CANCELLED
    assert ids_of(draft) == [9040]


def test_an_abort_raises_no_epoch_of_a_vm_that_has_gone_on_without_it() -> None:
    stage = moving()
    stage.vm(owner="c", epoch=5, attempt=FIRST)
    stage.write(Abort(FIRST, "the source left"))

    assert (stage.row().owner, stage.row().epoch) == ("c", 5)


@pytest.mark.parametrize(
    ("decision", "outcome", "word"),
    [
        (Decision.COMMITTED, Outcome.COMPLETED, "committed"),
        (Decision.ABORTED, Outcome.FAILED, "aborted"),
        (Decision.ABORTED, Outcome.REFUSED, "refused"),
    ],
)
def test_what_is_decided_cannot_be_cancelled(
    decision: Decision, outcome: Outcome, word: str
) -> None:
    stage = moving(decision=decision, outcome=outcome)
    refusal = stage.declined(Abort(FIRST, "", cancelled=True, request=ASKER))

    assert (refusal.status, refusal.code) == (409, "attempt-decided")
    assert f"Attempt 1 is {word} already" in refusal.sentence
    assert Abort(FIRST, "it broke").draft(stage.scene) is None, "nobody asked, nobody is told"
    unknown = stage.declined(Abort(AttemptId(9), "", request=ASKER))
    assert (unknown.status, "attempt 9" in unknown.sentence) == (404, True)


# ---- the end


def test_closing_completes_the_record_and_frees_the_vm() -> None:
    stage = moving()
    stage.write(Abort(FIRST, "it broke"))
    more = Seen(parts=(Part("resume", 0.002),))
    assert {ATTEMPT_ROW, VM_ROW} <= stage.compared(Close(FIRST, more))
    stage.write(Close(FIRST, more))

    row = stage.scene.book.attempts[FIRST]
    assert (row.ended_at, row.parts) == (stage.scene.wall, (("resume", 0.002),))
    assert (stage.row().attempt, stage.row().epoch) == (None, 2)
    assert stage.scene.book.unclosed == {}
    assert Close(FIRST, more).draft(stage.scene) is None


def test_an_open_attempt_is_not_closed_and_a_newer_one_keeps_its_vm() -> None:
    assert Close(FIRST, SEEN).draft(moving().scene) is None

    stage = moving(decision=Decision.ABORTED, outcome=Outcome.FAILED)
    stage.attempt(2)
    stage.write(Close(FIRST, SEEN))
    assert stage.row().attempt == 2


def test_what_was_seen_is_added_to_what_the_record_has() -> None:
    row = Stage().attempt(rounds=(ROUND,), parts=(("commit", 0.003),), network="csv")
    newer = RoundRecord(1, 7, 0, 28_000, 0.01, 2)

    merged = Seen(rounds=(newer,), parts=(Part("pause", 0.001),)).into(row)
    assert merged.rounds == (ROUND, newer)
    assert merged.parts == (("pause", 0.001), ("commit", 0.003))
    assert (merged.network, merged.verified) == ("csv", None)
    assert SEEN.into(merged).network == "migration"
