"""What a VM waits for before it may start, in words, and which nodes reach its files."""

from dataclasses import replace
from typing import Any

import pytest

from coordinator.events import RequestId
from coordinator.groups.ownership import Give
from coordinator.groups.stops import TakeStopped
from coordinator.groups.wishes import Create, TurnOn
from coordinator.pen import Draft, Plan
from coordinator.requests import CreateVm
from coordinator.storage import needs
from coordinator.store.disk_rows import DiskRow, DiskState, Registrant, disk_key
from coordinator.store.rows import VmRow, vm_key
from protocol.disks import (
    DiskContent,
    DiskId,
    DiskRole,
    DiskStatus,
    VolumeAccess,
    VolumeStatus,
    registration_key,
)
from protocol.messages import DiskReport
from protocol.names import Epoch, NodeName, Term, VmName, VolumeName
from tests.coordinator.ground import spec
from tests.coordinator.stage import LAB, A, B, Stage, life

DISK, V1 = DiskId("6001"), VolumeName("Volume1")
STORED = replace(spec(), home=V1)


def staged(**fields: Any) -> Stage:
    stage = Stage()
    lives = tuple(Registrant(life(name), 1) for name in "abc")
    row = DiskRow(DISK, 1, 1 << 30, DiskRole.CSV, DiskState.ONLINE, volume=V1, registrants=lives)
    row = replace(row, owner=NodeName("a"), owner_incarnation=life("a"), epoch=Epoch(3))
    stage.put(disk_key(DISK), replace(row, **fields).data())
    for name in "abc":
        reports(stage, name, VolumeAccess.DIRECT)
    return stage


def reports(stage: Stage, name: str, access: VolumeAccess, epoch: int = 3, **fields: Any) -> None:
    key = registration_key(LAB, life(name), 1)
    seen = DiskStatus(
        DISK, 1 << 30, 512, "", 2, 2, DiskContent.OURS, key=key, registrations=1, granted=1
    )
    volume = VolumeStatus(DISK, V1, Epoch(epoch), access, **fields)
    stage.agent(name).storage = DiskReport(LAB, Term(3), life(name), (seen,), (volume,))


def test_a_vm_that_has_no_files_on_volumes_needs_nothing_of_them() -> None:
    stage = staged(state=DiskState.OFFLINE)

    assert needs.why_waits(stage.scene, spec()) == ""
    assert needs.may_run(stage.scene, A, spec())


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"state": DiskState.OFFLINE, "reason": "it is gone"}, "has no owner: it is gone"),
        ({"maintenance": True}, "in maintenance mode"),
        ({"volume": VolumeName("Data")}, "there is no shared volume Volume1"),
        ({"registrants": (Registrant(life("b", 9), 1),)}, "b-9 may still write to Volume1"),
        ({"registrants": (Registrant(life("b"), 1, 2),)}, "b-1 may still write to Volume1"),
    ],
)
def test_what_it_waits_for_is_said(fields: dict[str, Any], words: str) -> None:
    stage = staged(**fields)

    assert words in needs.why_waits(stage.scene, STORED)
    assert not needs.may_run(stage.scene, A, STORED)


@pytest.mark.parametrize("access", list(VolumeAccess))
def test_only_who_reaches_the_volume_may_run_it(access: VolumeAccess) -> None:
    stage = staged()
    reports(stage, "b", access)

    usable = access in (VolumeAccess.DIRECT, VolumeAccess.REDIRECTED)
    assert needs.may_run(stage.scene, B, STORED) is usable
    assert needs.may_run(stage.scene, A, STORED)


def test_an_older_epoch_or_a_volume_that_cannot_be_written_does_not_count() -> None:
    stage = staged()
    reports(stage, "a", VolumeAccess.DIRECT, epoch=2)
    reports(stage, "b", VolumeAccess.DIRECT, is_read_only=True)

    assert not needs.may_run(stage.scene, A, STORED)
    assert not needs.may_run(stage.scene, B, STORED)


def test_direct_access_needs_a_registration_that_is_in_the_row() -> None:
    stage = staged(registrants=(Registrant(life("a"), 1), Registrant(life("c"), 1)))

    assert not needs.is_reached(stage.scene, B, STORED)
    reports(stage, "b", VolumeAccess.REDIRECTED)
    assert needs.is_reached(stage.scene, B, STORED)


SQL, Q1 = VmName("sql01"), RequestId(1)
OFF = VmRow(SQL, STORED, owner=A, epoch=Epoch(2))
ON = replace(OFF, on=True)
RUNNING = replace(ON, live=True, owner_incarnation=life("a"))


@pytest.mark.parametrize(
    ("vm", "plan"),
    [
        (None, Create(Q1, CreateVm(SQL, STORED, A, start=True))),
        (OFF, TurnOn(Q1, SQL)),
        (ON, Give(SQL)),
        (RUNNING, TakeStopped(SQL, life("a"), Epoch(2), "it crashed")),
    ],
)
def test_whatever_gives_a_vm_to_a_node_rests_on_the_disks_of_its_files(
    vm: VmRow | None, plan: Plan
) -> None:
    stage = staged()
    if vm is not None:
        stage.put(vm_key(SQL), vm.data())

    draft = plan.draft(stage.scene)

    assert isinstance(draft, Draft), draft
    assert dict(draft.puts)[vm_key(SQL)]["owner_incarnation"] == life("a")
    assert disk_key(DISK) in draft.relies
