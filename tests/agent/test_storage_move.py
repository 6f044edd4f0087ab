"""A move of storage on its node: every state meets every event."""

import itertools
from dataclasses import replace

import pytest

from agent import storage_moves
from agent.actions import LeaveMirror, MirrorStorage, Note, SwitchStorage
from agent.disk_reports import Said
from agent.events import MirrorFailed, StorageCopied, StorageStands
from agent.storage_move import Asked, Copying, Failed, Mirrored, MoveEvent, State, step
from agent.vms import Phase, Vm, Vms
from protocol.messages import (
    MoveStorage,
    StorageDecided,
    StorageMirrored,
    StorageMoveEnded,
    StorageMoveFailed,
    StorageProgress,
)
from protocol.names import (
    ClusterId,
    Epoch,
    Fill,
    Incarnation,
    Term,
    VmDisk,
    VmName,
    VmSpec,
    VolumeName,
    Workload,
)

VM, E = VmName("sql01"), Epoch(4)
HEAD = (ClusterId("c1"), Term(3), Incarnation("node1-a"), VM, E)
V1, V2 = VolumeName("Volume1"), VolumeName("Volume2")
OLD = VmSpec(4096, Workload("idle"), Fill.ZERO, 7, (VmDisk(V1, "sql01/disk1.vhd", 512),), V1)
NEW = replace(OLD, disks=(VmDisk(V2, "sql01/disk1.vhd", 512),), home=V2)
MOVE, NEXT = MoveStorage(*HEAD, 2, NEW), MoveStorage(*HEAD, 3, NEW)
SWITCHED, STAYS = StorageDecided(*HEAD, 2, True, NEW), StorageDecided(*HEAD, 2, False, NEW)

STATES: tuple[State | None, ...] = (
    None,
    Copying(MOVE, 1, 2),
    Mirrored(MOVE),
    Mirrored(MOVE, "late"),
    Failed(MOVE, "full"),
)
EVENTS: tuple[MoveEvent, ...] = (
    MOVE,
    NEXT,
    SWITCHED,
    STAYS,
    StorageDecided(*HEAD, 1, True, NEW),
    StorageDecided(*HEAD, 3, False, NEW),
    StorageCopied(VM, 2, 2, 2),
    StorageCopied(VM, 1, 2, 2),
    StorageStands(VM, 2),
    StorageStands(VM, 1),
    MirrorFailed(VM, 2, "gone"),
    MirrorFailed(VM, 1, "gone"),
    Asked(),
)


def kinds(done: tuple[object, ...]) -> list[object]:
    return [one.kind if isinstance(one, Said) else type(one) for one in done]


@pytest.mark.parametrize(("state", "event"), list(itertools.product(STATES, EVENTS)))
def test_whatever_comes_only_the_decision_ends_what_was_consented_to(
    state: State | None, event: MoveEvent
) -> None:
    after, done = step(state, event)
    told = kinds(done)

    if isinstance(state, Mirrored) and event not in (SWITCHED, STAYS):
        assert isinstance(after, Mirrored)
        assert after.order == MOVE
        assert not {LeaveMirror, SwitchStorage, MirrorStorage} & set(told)
    if SwitchStorage in told:
        assert isinstance(state, Mirrored)
        assert event == SWITCHED
    if StorageMirrored in told:
        assert isinstance(after, Mirrored)
    if isinstance(after, Mirrored) and not isinstance(state, Mirrored):
        assert (type(state), event) == (Copying, StorageStands(VM, 2))
    if LeaveMirror in told:
        assert isinstance(state, Copying | Mirrored), "what was left is not left again"
    if isinstance(event, StorageDecided) and event.move <= 2 and Note not in told:
        assert told[-1:] == [StorageMoveEnded]


def test_a_move_goes_from_the_order_to_the_switch() -> None:
    copying, began = step(None, MOVE)
    assert began == (MirrorStorage(VM, E, 2, NEW),)
    copying, said = step(copying, StorageCopied(VM, 2, 100, 512))
    assert said == (Said(StorageProgress, (VM, E, 2, 100, 512)),)
    stands, said = step(copying, StorageStands(VM, 2))
    assert said == (Said(StorageMirrored, (VM, E, 2)),)
    assert step(stands, SWITCHED) == (
        None,
        (SwitchStorage(VM, 2, NEW), Said(StorageMoveEnded, (VM, E, 2))),
    )


def test_before_its_consent_a_node_leaves_a_place_that_fails_and_afterwards_it_asks() -> None:
    failed, done = step(Copying(MOVE), MirrorFailed(VM, 2, "full"))
    assert failed == Failed(MOVE, "full")
    assert kinds(done) == [LeaveMirror, StorageMoveFailed]

    late, done = step(Mirrored(MOVE), MirrorFailed(VM, 2, "full"))
    assert late == Mirrored(MOVE, "full")
    assert kinds(done) == [StorageMirrored, StorageMoveFailed]
    assert kinds(step(late, STAYS)[1]) == [LeaveMirror, StorageMoveEnded]
    assert kinds(step(late, SWITCHED)[1]) == [SwitchStorage, StorageMoveEnded]


def test_a_switch_that_nobody_consented_to_is_not_believed() -> None:
    for state in (Copying(MOVE), Failed(MOVE, "full")):
        after, done = step(state, SWITCHED)
        assert after == state
        assert kinds(done) == [Note]


def test_only_a_vm_that_runs_here_under_that_epoch_has_its_files_moved() -> None:
    vms = Vms()
    assert storage_moves.told(vms, MOVE) == [
        Said(StorageMoveFailed, (VM, E, 2, "sql01 does not run here under epoch 4."))
    ]
    assert storage_moves.told(vms, STAYS) == [Said(StorageMoveEnded, (VM, E, 2))]
    vms.vms[VM] = here = Vm(VM, Epoch(5), OLD, Phase.HERE)
    assert kinds(tuple(storage_moves.told(vms, MOVE))) == [StorageMoveFailed]
    here.epoch, here.phase = E, Phase.CREATING
    assert kinds(tuple(storage_moves.told(vms, MOVE))) == [StorageMoveFailed]
    here.phase, here.spec = Phase.HERE, NEW
    assert storage_moves.told(vms, MOVE) == [
        Said(StorageMoveFailed, (VM, E, 2, "Files of sql01 lie on Volume2 already."))
    ]
    assert here.move is None


def test_the_vm_has_its_new_files_from_the_decision_on() -> None:
    vms = Vms()
    vms.vms[VM] = here = Vm(VM, E, OLD, Phase.HERE)
    storage_moves.told(vms, MOVE)
    storage_moves.happened(vms, StorageStands(VM, 2))
    assert here.spec == OLD
    assert kinds(tuple(storage_moves.again(vms))) == [StorageMirrored]
    storage_moves.told(vms, SWITCHED)

    assert (here.spec, here.move) == (NEW, None)
    assert storage_moves.again(vms) == []
