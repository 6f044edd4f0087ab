"""Each promise about shared storage, broken once by hand: the checker has to notice."""

from collections.abc import Callable

import pytest

from lab.simulation.ballots import Violation
from lab.simulation.ledger import FIRST_BLOCK, HEAD_BLOCK, entry_block, head_block
from lab.simulation.san import Accepted, SimSan
from lab.simulation.storage_checks import StorageChecks
from lab.simulation.store import MemoryStore
from lab.simulation.volume_files import FIRST_FILE_LBA, VolumeFiles
from lab.simulation.world import World
from protocol.disks import DiskId
from san.nexus import Nexus

DISK = DiskId("6" + "0" * 31)


class Stage:
    """A disk of node1-1 under epoch 3, and vm1, which node1-1 runs under epoch 2."""

    def __init__(self) -> None:
        self.san = SimSan(World(1), (DISK,), 1 << 20)
        self.vms = {"vm1": {"owner_incarnation": "node1-1", "epoch": 2}}
        self.checks = StorageChecks(self.san, MemoryStore(), self.vms)
        self.keys = {"node1-1", "node2-1"}
        self.checks.has_key = lambda disk, life: life in self.keys
        self.row("node1-1", 3)
        self.checks.serves(DISK, "node1-1", 3)
        self.checks.booted("vm1", [], 2)

    def row(self, life: str, epoch: int) -> None:
        row = {"owner_incarnation": life, "epoch": epoch}
        self.checks.disk_written(f"disk/{DISK}", row)

    def head(self, life: str, epoch: int) -> None:
        self.checks.took(self.write(0, b"", ("head", DISK, epoch, life)))

    def file(self, block: int, data: bytes, life: str = "node1-1", epoch: int = 2) -> None:
        self.checks.took(self.write(FIRST_FILE_LBA + block, data, ("file", "vm1", epoch, life)))

    def write(self, lba: int, data: bytes, stamp: object) -> Accepted:
        return Accepted(DISK, Nexus("iqn.2026-01.hvlab:node1"), 1, lba, (data,), stamp)

    def append(self, number: int) -> None:
        self.file(FIRST_BLOCK + number, entry_block("vm1", number))
        self.file(HEAD_BLOCK, head_block(number + 1))
        self.checks.acknowledged("vm1", number + 1, 2)


def test_a_right_history_is_right() -> None:
    stage = Stage()
    stage.append(0)
    stage.append(1)
    stage.head("node1-1", 3)
    stage.checks.handed_over("vm1", 2, 2)
    stage.keys.clear()
    stage.row("node2-1", 4)
    stage.checks.serves(DISK, "node2-1", 4)
    stage.head("node2-1", 4)
    stage.vms["vm1"] = {"owner_incarnation": "node2-1", "epoch": 3}
    stage.checks.booted("vm1", [entry_block("vm1", 0), entry_block("vm1", 1)], 3)
    stage.checks.acknowledged("vm1", 2, 2)  # a copy that slept hears of it late
    assert stage.checks.entries == {"vm1": 2}


def _deposed_owner_writes(stage: Stage) -> None:
    stage.row("node2-1", 4)
    stage.head("node1-1", 3)


def _deposed_guest_writes(stage: Stage) -> None:
    stage.vms["vm1"] = {"owner_incarnation": "node2-1", "epoch": 3}
    stage.file(FIRST_BLOCK, entry_block("vm1", 0))


def _stopped_copy_writes_after_a_new_start_on_its_node(stage: Stage) -> None:
    stage.vms["vm1"] = {"owner_incarnation": "node1-1", "epoch": 3}
    stage.checks.booted("vm1", [], 3)
    stage.file(FIRST_BLOCK, entry_block("vm1", 0), epoch=2)


def _write_without_a_name(stage: Stage) -> None:
    stage.checks.took(stage.write(5, b"", None))


def _write_of_no_vm(stage: Stage) -> None:
    del stage.vms["vm1"]
    stage.file(FIRST_BLOCK, entry_block("vm1", 0))


def _entry_overwritten(stage: Stage) -> None:
    stage.append(0)
    stage.file(FIRST_BLOCK, entry_block("vm1", 7))


def _late_write_takes_the_head_back(stage: Stage) -> None:
    stage.append(0)
    stage.append(1)
    stage.file(HEAD_BLOCK, head_block(1))


def _entry_lost_at_boot(stage: Stage) -> None:
    stage.append(0)
    stage.append(1)
    stage.checks.booted("vm1", [entry_block("vm1", 0)], 2)


def _entry_replaced_at_boot(stage: Stage) -> None:
    stage.append(0)
    stage.checks.booted("vm1", [entry_block("vm1", 1)], 2)


def _entries_from_nowhere(stage: Stage) -> None:
    stage.checks.booted("vm1", [entry_block("vm1", n) for n in range(2)], 2)


def _entry_counted_twice(stage: Stage) -> None:
    stage.append(0)
    stage.checks.acknowledged("vm1", 1, 2)


def _entry_skipped(stage: Stage) -> None:
    stage.checks.acknowledged("vm1", 2, 2)


def _ram_behind_disk(stage: Stage) -> None:
    stage.append(0)
    stage.checks.handed_over("vm1", 0, 1)


def _disk_behind_ram(stage: Stage) -> None:
    stage.append(0)
    stage.checks.handed_over("vm1", 1, 0)


def _epoch_goes_back(stage: Stage) -> None:
    stage.row("node1-1", 2)


def _epoch_has_two_owners(stage: Stage) -> None:
    stage.row("node2-1", 3)


def test_who_slept_while_it_was_deposed_may_believe_what_it_likes() -> None:
    stage = Stage()
    stage.keys.discard("node2-1")

    stage.checks.serves(DISK, "node2-1", 3)

    stage.row("node2-1", 4)
    stage.keys = {"node2-1"}
    stage.checks.serves(DISK, "node2-1", 4)
    assert stage.checks.has_key(DISK, "node2-1")


def _owner_of_no_row(stage: Stage) -> None:
    stage.checks.serves(DISK, "node2-1", 3)


def _two_can_write_as_owners(stage: Stage) -> None:
    stage.row("node2-1", 4)
    stage.checks.serves(DISK, "node2-1", 4)


def _acknowledged_and_not_safe(stage: Stage) -> None:
    files = VolumeFiles("label", 3)
    files.opened("vm1/vm1.vhd", "vm1", 2)
    stage.san.media[0].write(0, [files.block()], is_safe=True)
    stage.append(0)
    stage.checks.all_there()


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (_deposed_owner_writes, "took a write of node1-1 under epoch 3, after epoch 4"),
        (_deposed_guest_writes, "from node1-1 under epoch 2, and it is node2-1's"),
        (_stopped_copy_writes_after_a_new_start_on_its_node, "under epoch 2, and it is node1-1's"),
        (_write_without_a_name, "nobody knows whose write"),
        (_write_of_no_vm, "which is not there any more"),
        (_entry_overwritten, "entry 0 of vm1 was overwritten"),
        (_late_write_takes_the_head_back, "the head of vm1 goes back"),
        (_entry_lost_at_boot, "finds 1 entries, and had counted 2"),
        (_entry_replaced_at_boot, "as its entry 0"),
        (_entries_from_nowhere, "can have written 1"),
        (_entry_counted_twice, "not contiguous"),
        (_entry_skipped, "not contiguous"),
        (_ram_behind_disk, "moves with 0 entries in RAM, 1 on disk"),
        (_disk_behind_ram, "moves with 1 entries in RAM, 0 on disk"),
        (_epoch_goes_back, "went from 3 to 2"),
        (_epoch_has_two_owners, "was node1-1's and is node2-1's"),
        (_owner_of_no_row, "serves .* and the row says"),
        (_two_can_write_as_owners, "node1-1, which did so under epoch 3, can still write"),
        (_acknowledged_and_not_safe, "was acknowledged and is lost"),
    ],
)
def test_a_wrong_history_is_noticed(wrong: Callable[[Stage], None], says: str) -> None:
    stage = Stage()

    with pytest.raises(Violation, match=says):
        wrong(stage)
