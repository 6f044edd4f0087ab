"""What cannot be done is declined, with a sentence, and changes nothing."""

import pytest

from coordinator.requests import (
    Accepted,
    CreateVm,
    Declined,
    DeleteVm,
    FormCluster,
    JoinNode,
    MigrateVm,
    PauseNode,
    ResumeNode,
    StartVm,
    StopVm,
)
from protocol.names import NodeName, Verify, VmName
from tests.coordinator.driver import formed, with_vm
from tests.coordinator.ground import MIB, MOVE, SQL, A, B, C, spec


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        (MigrateVm(VmName("nope"), B, "", Verify.OFF), 404, "no VM 'nope'"),
        (MigrateVm(SQL, NodeName("x"), "", Verify.OFF), 404, "no node 'x'"),
        (MigrateVm(SQL, A, "", Verify.OFF), 409, "already"),
        (MigrateVm(VmName("off"), B, "", Verify.OFF), 409, "is off"),
        (CreateVm(SQL, spec(), None, True), 409, "exists"),
        (CreateVm(VmName("a/b"), spec(), None, True), 422, "letters"),
        (CreateVm(VmName("x" * 65), spec(), None, True), 422, "1 to 64"),
        (CreateVm(VmName("new"), spec(0), None, True), 422, "at least 4096"),
        (CreateVm(VmName("new"), spec(-4096), None, True), 422, "-4096"),
        (CreateVm(VmName("new"), spec(5000), None, True), 422, "4096 or 8192"),
        (CreateVm(VmName("new"), spec(2048 * MIB), None, True), 422, "largest has"),
        (CreateVm(VmName("new"), spec(), NodeName("x"), True), 404, "no node"),
        (DeleteVm(SQL), 409, "not off"),
        (DeleteVm(VmName("nope")), 404, "no VM"),
        (StartVm(SQL), 409, "on already"),
        (StopVm(VmName("off")), 409, "off already"),
        (JoinNode(A), 409, "already"),
        (JoinNode(NodeName("x")), 409, "not connected"),
        (FormCluster("other", (A,)), 409, "already"),
        (PauseNode(NodeName("x"), False), 404, "no node"),
        (ResumeNode(A), 409, "not paused"),
    ],
)
def test_what_cannot_be_done_is_declined_with_a_sentence_and_changes_no_vm(
    body: object, status: int, words: str
) -> None:
    world = with_vm(with_vm(formed()), "off", "b", start=False)
    before = {row.key: row for row in world.store.range("vm/") + world.store.range("view")}

    answer = world.ask(body)  # type: ignore[arg-type]

    assert isinstance(answer, Declined), answer
    assert answer.status == status
    assert words in answer.sentence
    assert answer.sentence.endswith(".")
    after = {row.key: row for row in world.store.range("vm/") + world.store.range("view")}
    assert before == after


def test_a_refused_migration_leaves_a_record_of_its_own() -> None:
    world = with_vm(formed())
    world.ask(MigrateVm(SQL, A, "2008r2", Verify.OFF))

    record = world.attempt(1)
    assert (record["outcome"], record["vm"], record["target"]) == ("refused", "sql01", "a")
    assert 21111 in world.events()
    assert world.ask(MOVE) == Accepted({"attempt": 2})


def test_a_busy_node_is_refused_with_the_attempt_that_keeps_it_busy() -> None:
    world = with_vm(with_vm(formed("abcd", a={"copies": False})), "web01", "c")
    world.ask(MOVE)

    for body in (
        MigrateVm(VmName("web01"), B, "", Verify.OFF),
        MigrateVm(VmName("web01"), A, "", Verify.OFF),
    ):
        answer = world.ask(body)
        assert isinstance(answer, Declined)
        assert answer.status == 409
        assert "attempt 1 of VM sql01" in answer.sentence
    moved = world.ask(MigrateVm(VmName("web01"), NodeName("d"), "2008r2", Verify.OFF))
    assert moved == Accepted({"attempt": 4}), "disjoint pairs may move at once"
    answer = world.ask(StopVm(SQL))
    assert isinstance(answer, Declined)
    assert "attempt 1" in answer.sentence


def test_a_target_without_memory_or_down_or_paused_is_refused() -> None:
    world = with_vm(formed(b={"memory_bytes": 32 * MIB}))
    small = world.ask(MOVE)
    assert isinstance(small, Declined)
    assert small.code == "no-memory"
    world.ask(PauseNode(C, False))
    paused = world.ask(MigrateVm(SQL, C, "", Verify.OFF))
    assert isinstance(paused, Declined)
    assert paused.code == "node-paused"
    world.die("c")
    world.after(10)
    down = world.ask(MigrateVm(SQL, C, "", Verify.OFF))
    assert isinstance(down, Declined)
    assert down.code == "node-down"
    none = world.ask(MigrateVm(SQL, None, "", Verify.OFF))
    assert isinstance(none, Declined)
    assert none.code == "no-memory"
