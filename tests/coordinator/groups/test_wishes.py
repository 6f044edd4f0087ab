import copy
from dataclasses import replace
from typing import Any

import pytest

from coordinator.events import RequestId
from coordinator.groups.stops import TakeStopped
from coordinator.groups.wishes import Create, Remove, TurnOff, TurnOn
from coordinator.requests import CreateVm
from coordinator.store.rows import CLUSTER
from protocol.names import NodeName, VmName, VmSpec, Workload
from tests.coordinator.ground import MIB, spec
from tests.coordinator.stage import NODE_BYTES, SQL, WEB, A, B, C, Stage, ids_of, life

ASKER = RequestId(1)
HUGE_SET = replace(spec(8192), workload=Workload("hotspot", 0, 8193))


def create(
    vm: VmName = SQL, size: VmSpec | None = None, node: str | None = None, start: bool = True
) -> Create:
    at = None if node is None else NodeName(node)
    return Create(ASKER, CreateVm(vm, size or spec(), at, start))


# ---- creating


def test_a_new_vm_starts_under_epoch_1_on_the_node_with_the_fewest_groups() -> None:
    stage = Stage()
    stage.vm(WEB, owner="a")
    draft = stage.write(create())

    row = stage.row()
    assert (row.owner, row.owner_incarnation, row.epoch) == (B, "b-1", 1)
    assert (row.on, row.live) == (True, True)
    assert ids_of(draft) == [9030, 1200]
    assert {"view", "node/b", "vm/sql01"} <= Stage().compared(create(node="b"))


def test_a_vm_that_is_not_started_belongs_to_nobodys_life() -> None:
    stage = Stage()
    stage.write(create(node="c", start=False))

    row = stage.row()
    assert (row.owner, row.owner_incarnation, row.epoch) == (C, None, 0)
    assert (row.on, row.live) == (False, False)


@pytest.mark.parametrize(
    ("plan", "status", "code", "words"),
    [
        (create(WEB), 409, "vm-exists", "another name"),
        (create(VmName("a/b")), 422, "bad-name", "letters"),
        (create(VmName("..")), 422, "bad-name", "either end"),
        (create(size=spec(0)), 422, "bad-memory", "0 bytes"),
        (create(size=spec(-4096)), 422, "bad-memory", "-4096 bytes"),
        (create(size=spec(5000)), 422, "bad-memory", "multiple of the page"),
        (create(size=spec(2 * NODE_BYTES)), 422, "too-large", "largest has"),
        (create(size=HUGE_SET), 422, "bad-workload", "working set of 8193"),
        (create(size=spec(NODE_BYTES), node="b"), 409, "no-memory", "Node b has"),
        (create(node="x"), 404, "unknown-node", "'x'"),
        (create(node="c"), 409, "node-paused", "resume it"),
    ],
)
def test_a_vm_that_cannot_be_is_declined_and_leaves_the_book_as_it_was(
    plan: Create, status: int, code: str, words: str
) -> None:
    stage = Stage()
    stage.vm(WEB, owner="b")
    stage.node("c", paused=True)
    before = copy.deepcopy(stage.scene.book)

    refusal = stage.declined(plan)

    assert (refusal.status, refusal.code) == (status, code)
    assert words in refusal.sentence
    assert stage.scene.book.revisions == before.revisions
    assert stage.scene.book.vms == before.vms
    assert stage.scene.book.nodes == before.nodes


def test_without_room_anywhere_and_without_a_cluster_the_sentence_says_so() -> None:
    stage = Stage()
    for number, owner in enumerate("abc"):
        stage.vm(VmName(f"vm{number}"), owner=owner)
    full = stage.declined(create(size=spec(NODE_BYTES)))
    assert (full.code, "add a node" in full.sentence) == ("no-memory", True)

    stage.put(CLUSTER, None)
    assert "form one first" in stage.declined(create()).sentence


def test_a_name_that_is_used_again_goes_on_above_the_epochs_that_nodes_have_seen() -> None:
    stage = Stage()
    stage.vm(epoch=4, on=False, live=False)
    stage.write(Remove(ASKER, SQL))
    assert SQL not in stage.scene.book.vms

    assert {"vm/sql01", "deleted/sql01"} <= stage.compared(create())
    stage.write(create())
    assert stage.row().epoch == 5
    assert stage.scene.book.deleted == {}

    stage.write(TurnOff(ASKER, SQL))
    stage.write(TakeStopped(SQL, life("a"), stage.row().epoch, ""))
    stage.write(Remove(ASKER, SQL))
    stage.write(create(start=False))
    assert stage.row().epoch == 5, "no start, no new epoch"
    stage.write(TurnOn(ASKER, SQL))
    assert stage.row().epoch == 6


# ---- deleting


@pytest.mark.parametrize(
    ("fields", "code", "words"),
    [
        ({}, "vm-on", "stop it"),
        ({"on": False}, "vm-on", "until it is Offline"),
        ({"live": False}, "vm-on", "stop it"),
        ({"on": False, "live": False, "attempt": 7}, "vm-busy", "attempt 7"),
    ],
)
def test_only_a_vm_that_is_off_is_deleted(fields: dict[str, Any], code: str, words: str) -> None:
    stage = Stage()
    stage.vm(**fields)

    refusal = stage.declined(Remove(ASKER, SQL))
    assert (refusal.status, refusal.code) == (409, code)
    assert words in refusal.sentence
    assert stage.declined(Remove(ASKER, VmName("nope"))).status == 404


def test_a_failed_vm_is_deleted_without_being_stopped_first() -> None:
    stage = Stage()
    stage.vm(live=False, failed="crash")
    assert stage.draft(Remove(ASKER, SQL)).deletes == ("vm/sql01",)


# ---- starting


def test_a_vm_starts_where_it_was_and_elsewhere_if_it_cannot() -> None:
    stage = Stage()
    stage.vm(owner="b", on=False, live=False, epoch=2)
    stage.vm(WEB, owner="b")
    stage.write(TurnOn(ASKER, SQL))
    assert (stage.row().owner, stage.row().epoch) == (B, 3)

    stage.vm(owner="b", on=False, live=False, epoch=3)
    stage.node("b", paused=True)
    stage.write(TurnOn(ASKER, SQL))
    assert (stage.row().owner, stage.row().epoch) == (A, 4)


def test_a_vm_that_has_room_nowhere_is_not_started() -> None:
    stage = Stage(memory_bytes=100 * MIB)
    stage.vm(on=False, live=False, memory_bytes=128 * MIB)

    refusal = stage.declined(TurnOn(ASKER, SQL))
    assert (refusal.code, str(128 * MIB) in refusal.sentence) == ("no-memory", True)
    assert stage.declined(TurnOn(ASKER, VmName("nope"))).status == 404


def test_a_failed_vm_is_not_started_where_its_attempt_is_still_being_cleaned_up() -> None:
    stage = Stage()
    stage.vm(live=False, failed="crash", epoch=2)
    stage.aborted()

    stage.write(TurnOn(ASKER, SQL))
    row = stage.row()
    assert (row.owner, row.failed) == (C, "")


def test_a_vm_that_is_still_stopping_starts_anew_once_it_has_stopped() -> None:
    stage = Stage()
    stage.vm(on=False, epoch=2)
    stage.write(TurnOn(ASKER, SQL))

    assert (stage.row().on, stage.row().live, stage.row().epoch) == (True, True, 2)
    again = stage.declined(TurnOn(ASKER, SQL))
    assert (again.status, "on already" in again.sentence) == (409, True)


# ---- stopping


def test_a_vm_that_is_stopped_stays_with_its_owner_until_that_one_has_stopped_it() -> None:
    stage = Stage()
    stage.vm()
    draft = stage.write(TurnOff(ASKER, SQL))

    row = stage.row()
    assert (row.on, row.live, row.owner_incarnation, row.epoch) == (False, True, "a-1", 1)
    assert ids_of(draft) == [1203]
    assert stage.declined(TurnOff(ASKER, SQL)).code == "vm-off"
    assert stage.declined(TurnOff(ASKER, VmName("nope"))).status == 404


def test_a_vm_is_not_stopped_in_the_middle_of_its_migration() -> None:
    stage = Stage()
    stage.vm()
    stage.attempt()

    refusal = stage.declined(TurnOff(ASKER, SQL))
    assert (refusal.code, "attempt 1" in refusal.sentence) == ("vm-busy", True)
