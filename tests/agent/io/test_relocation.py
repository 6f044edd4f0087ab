"""The files of a VM move while its guest, in a real worker, writes a ledger."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from agent.actions import MirrorStorage
from agent.events import DiskFlows, MirrorFailed, StorageCopied, StorageStands
from agent.guests.ledger import recorded
from protocol.errors import Refused
from protocol.names import AttemptId, Epoch, Hold, VmDisk, VmName, VolumeName
from tests.agent.io.disk_machines import (
    DATA,
    DISK_BYTES,
    LEDGER,
    NEXT,
    WORK,
    more,
    moved,
    nodes,
    on_disk,
    pages,
    stood,
    until,
    with_guest,
)
from tests.agent.io.machine import VM, A, E, Machine
from tests.agent.io.volume_model import ModelVhd, ModelVolume

V2 = VolumeName("Volume2")
THERE = replace(LEDGER, disks=(VmDisk(V2, DATA, DISK_BYTES),), home=V2)
MOVE = MirrorStorage(VM, E, 1, THERE)
NEW = f"{V2}{DATA}"


class TwoVolumes(ModelVolume):
    """What is on Volume2 goes by its name."""

    full = ""
    """Why Volume2 takes no new disk."""

    def at(self, volume: VolumeName, path: str) -> str:
        return f"{V2}{path}" if volume == V2 else path

    async def open_vhd(self, volume: VolumeName, path: str, vm: VmName, epoch: Epoch) -> ModelVhd:
        return await super().open_vhd(volume, self.at(volume, path), vm, epoch)

    async def make_vhd(self, volume: VolumeName, path: str, size_bytes: int) -> None:
        if volume == V2 and self.full:
            raise Refused(self.full)
        await super().make_vhd(volume, self.at(volume, path), size_bytes)

    async def read_text(self, volume: VolumeName, path: str) -> str | None:
        return await super().read_text(volume, self.at(volume, path))

    async def write_text(self, volume: VolumeName, path: str, text: str) -> None:
        await super().write_text(volume, self.at(volume, path), text)


@asynccontextmanager
async def ledger(tmp_path: Path) -> AsyncIterator[tuple[Machine, Machine, TwoVolumes]]:
    volumes = TwoVolumes()
    async with nodes(tmp_path, volume=volumes) as (here, there, _):
        await with_guest(here, LEDGER)
        await more(here, 100)
        yield here, there, volumes


def assert_has_all(here: Machine, volumes: TwoVolumes, path: str) -> None:
    told, stable = recorded(pages(here), WORK), on_disk(volumes, path)
    assert [entry.sequence for entry in told] == list(range(1, told[-1].sequence + 1))
    assert all(stable[entry.sequence] == entry for entry in told)


async def test_both_places_have_every_entry_until_one_is_left(tmp_path: Path) -> None:
    async with ledger(tmp_path) as (here, _, volumes):
        here.vms.mirror(MOVE)
        copied = await here.heard(StorageCopied)
        await here.heard(StorageStands)
        await more(here, 100)
        await stood(here, E, Hold.OPERATOR)

        assert (copied.move, copied.total_bytes) == (1, DISK_BYTES)
        assert volumes.disks[DATA] == volumes.disks[NEW]
        assert_has_all(here, volumes, NEW)
        assert volumes.texts[f"{V2}/{VM}/{VM}.json"]


async def test_after_the_switch_the_guest_goes_on_in_the_new_place_alone(tmp_path: Path) -> None:
    async with ledger(tmp_path) as (here, _, volumes):
        here.vms.mirror(MOVE)
        await here.heard(StorageStands)
        here.vms.switch_storage(VM, 1, THERE)
        await until(lambda: volumes.open_count == 1)
        before = bytes(volumes.disks[DATA])
        await more(here, 200)
        await stood(here, E, Hold.OPERATOR)

        assert bytes(volumes.disks[DATA]) == before
        assert_has_all(here, volumes, NEW)


@pytest.mark.parametrize("late", [False, True])
async def test_a_place_that_is_left_is_closed_and_the_guest_goes_on_in_the_old_one(
    tmp_path: Path, late: bool
) -> None:
    async with ledger(tmp_path) as (here, _, volumes):
        here.vms.mirror(MOVE)
        if late:
            await here.heard(StorageStands)
        here.vms.leave_mirror(VM, 1)
        await more(here, 200)
        await until(lambda: volumes.open_count == 1)
        await stood(here, E, Hold.OPERATOR)

        assert_has_all(here, volumes, DATA)


async def test_a_place_that_cannot_be_made_is_told_of_and_the_next_move_may_succeed(
    tmp_path: Path,
) -> None:
    async with ledger(tmp_path) as (here, _, volumes):
        volumes.full = "Volume2 is full."
        here.vms.mirror(MOVE)
        assert await here.heard(MirrorFailed) == MirrorFailed(VM, 1, "Volume2 is full.")
        here.vms.leave_mirror(VM, 1)
        volumes.full = ""
        here.vms.mirror(replace(MOVE, move=2))
        assert await here.heard(StorageStands) == StorageStands(VM, 2)
        here.vms.leave_mirror(VM, 2)
        await until(lambda: volumes.open_count == 1)


async def test_the_folder_of_another_vm_is_not_touched(tmp_path: Path) -> None:
    async with ledger(tmp_path) as (here, _, volumes):
        volumes.texts[f"{V2}/{VM}/{VM}.json"] = '{"name": "sql01", "seed": 8}'
        here.vms.mirror(MOVE)
        failed = await here.heard(MirrorFailed)

        assert "is of another VM" in failed.reason
        assert NEW not in volumes.disks


async def test_a_vm_that_ends_while_its_files_move_leaves_nothing_open(tmp_path: Path) -> None:
    async with ledger(tmp_path) as (here, _, volumes):
        here.vms.mirror(MOVE)
        await here.heard(StorageStands)
        await here.vms.destroy(VM)

        assert volumes.open_count == 0


async def test_what_was_switched_migrates_live_from_its_new_place(tmp_path: Path) -> None:
    async with ledger(tmp_path) as (here, there, volumes):
        here.vms.mirror(MOVE)
        await here.heard(StorageStands)
        here.vms.switch_storage(VM, 1, THERE)
        await until(lambda: volumes.open_count == 1)
        await moved(here, there, THERE, E, AttemptId(A))
        await stood(there, NEXT, Hold.OPERATOR)

        assert_has_all(there, volumes, NEW)


async def test_an_epoch_that_comes_while_files_move_counts_once_it_is_decided(
    tmp_path: Path,
) -> None:
    async with ledger(tmp_path) as (here, _, volumes):
        here.vms.mirror(MOVE)
        await here.heard(StorageStands)
        here.vms.set_holds(VM, NEXT, Hold.NONE)
        here.vms.switch_storage(VM, 1, THERE)
        await here.heard(DiskFlows)
        await until(lambda: volumes.open_count == 1)
        await more(here, 100)
        await stood(here, NEXT, Hold.OPERATOR)

        assert_has_all(here, volumes, NEW)
