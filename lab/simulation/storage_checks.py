"""What must be true of shared storage after every event: no write of a deposed owner, nothing
acknowledged is lost, one owner for each volume.

It believes what the disk took, what the store's rows say, and what guests were told, and nobody
else.
"""

from collections.abc import Callable, Mapping
from typing import Any

from lab.simulation.ballots import Violation
from lab.simulation.ledger import FIRST_BLOCK, HEAD_BLOCK, entry_block, head_entries
from lab.simulation.san import Accepted, SimSan
from lab.simulation.store import MemoryStore
from lab.simulation.volume_files import FILE_BLOCKS, FIRST_FILE_LBA, VolumeFiles
from protocol.disks import DiskId

Value = Mapping[str, Any]


class StorageChecks:
    """Fed by the san, the owners, the guests and the store."""

    def __init__(self, san: SimSan, truth: MemoryStore, vms: Mapping[str, Value]) -> None:
        self.san = san
        self.disks: dict[str, Value] = {}
        self.entries: dict[str, int] = {}
        """Of each VM: how many its guest was told are safe."""

        self.accepted = 0
        self.acks = 0
        self._began: dict[str, int] = {}
        """Under which epoch the copy that writes now began on its node."""

        self._vms = vms
        self._owners: dict[tuple[str, int], str] = {}
        self._serving: dict[DiskId, dict[str, int]] = {}
        self.has_key: Callable[[DiskId, str], bool] = lambda disk, life: False
        """Whether a life still has a key on the disk."""

        truth.on_change("disk/", lambda row: self.disk_written(row.key, row.value))
        san.on_accepted = self.took

    # ---- rows: one owner for each epoch, and epochs only grow (I11)

    def disk_written(self, key: str, new: Value | None) -> None:
        disk = key.removeprefix("disk/")
        if new is None:
            self.disks.pop(disk, None)
            return
        old, self.disks[disk] = self.disks.get(disk), new
        if old is not None and new["epoch"] < old["epoch"]:
            raise Violation(f"the epoch of {disk} went from {old['epoch']} to {new['epoch']}")
        life, epoch = new["owner_incarnation"], new["epoch"]
        if life is not None and self._owners.setdefault((disk, epoch), life) != life:
            raise Violation(
                f"epoch {epoch} of {disk} was {self._owners[disk, epoch]}'s and is {life}'s"
            )

    def serves(self, disk: DiskId, life: str, epoch: int) -> None:
        """An owner begins to serve: nobody else can, whatever they believe.

        One that slept while it was deposed may believe it; without a key it can do nothing.
        """
        row = self.disks.get(disk)
        if not self.has_key(disk, life):
            return
        if row is None or row["owner_incarnation"] != life or row["epoch"] != epoch:
            raise Violation(f"{life} serves {disk} under epoch {epoch}, and the row says {row}")
        for other, older in self._serving.get(disk, {}).items():
            if other != life and self.has_key(disk, other):
                raise Violation(
                    f"{life} serves {disk} under epoch {epoch}, and {other}, which did so under"
                    f" epoch {older}, can still write"
                )
        self._serving[disk] = {life: epoch}

    def serves_no_more(self, disk: DiskId, life: str) -> None:
        self._serving.get(disk, {}).pop(life, None)

    # ---- writes: none of a deposed owner (I3), none that takes back (I4)

    def took(self, write: Accepted) -> None:
        self.accepted += 1
        match write.stamp:
            case ("head", disk, epoch, life):
                row = self.disks.get(disk)
                if row is not None and epoch < row["epoch"]:
                    raise Violation(
                        f"{disk} took a write of {life} under epoch {epoch}, after epoch"
                        f" {row['epoch']} was {row['owner_incarnation']}'s"
                    )
            case ("file", vm, epoch, life):
                self._file_written(str(vm), epoch, str(life), write)
            case _:
                raise Violation(f"nobody knows whose write {write.lba} of {write.disk} is")

    def _file_written(self, vm: str, epoch: int, life: str, write: Accepted) -> None:
        row = self._vms.get(vm)
        if row is None:
            raise Violation(f"the disk took a write of {vm}, which is not there any more")
        # An aborted attempt raises the epoch of a VM that goes on where it was, with its writes.
        since = self._began.get(vm, 0)
        if life != row["owner_incarnation"] or not since <= epoch <= row["epoch"]:
            raise Violation(
                f"the disk took a write of {vm} from {life} under epoch {epoch}, and it is"
                f" {row['owner_incarnation']}'s under epoch {row['epoch']}"
            )
        block, known = (write.lba - FIRST_FILE_LBA) % FILE_BLOCKS, self.entries.get(vm, 0)
        for at, piece in enumerate(write.data, start=block):
            if at == HEAD_BLOCK:
                if head_entries(piece) < known:
                    raise Violation(f"the head of {vm} goes back: {piece[:8]!r} after {known}")
            elif at - FIRST_BLOCK < known and piece != entry_block(vm, at - FIRST_BLOCK):
                raise Violation(f"entry {at - FIRST_BLOCK} of {vm} was overwritten: {piece[:16]!r}")

    # ---- guests (I4)

    def acknowledged(self, vm: str, entries: int, epoch: int) -> None:
        """A copy that was replaced while it slept may still hear of what was safe before."""
        known = self.entries.get(vm, 0)
        if epoch < self._began.get(vm, 0) and entries <= known:
            return
        if entries != known + 1:
            raise Violation(f"{vm} counts entry {entries} after {known}: they are not contiguous")
        self.entries[vm] = entries
        self.acks += 1

    def booted(self, vm: str, found: list[bytes], epoch: int) -> None:
        """The guest has read its disk: every entry that it ever counted is there."""
        self._began[vm] = epoch
        known = self.entries.get(vm, 0)
        if len(found) < known:
            raise Violation(f"{vm} finds {len(found)} entries, and had counted {known}")
        if len(found) > known + 1:
            raise Violation(f"{vm} finds {len(found)} entries, and can have written {known + 1}")
        for number, block in enumerate(found):
            if block != entry_block(vm, number):
                raise Violation(f"{vm} finds {block[:16]!r} as its entry {number}")
        self.entries[vm] = len(found)

    def handed_over(self, vm: str, ram: int, disk: int) -> None:
        """S10, before the outcome is known: RAM and disk are in lockstep, RAM is the newest."""
        if not ram == disk == self.entries.get(vm, 0):
            known = self.entries.get(vm, 0)
            raise Violation(
                f"{vm} moves with {ram} entries in RAM, {disk} on disk, {known} counted"
            )

    # ---- the end

    def all_there(self) -> None:
        """What guests were told is on stable storage, read past everybody."""
        for vm, count in sorted(self.entries.items()):
            for number in range(count):
                if self._stable(vm, FIRST_BLOCK + number) != entry_block(vm, number):
                    raise Violation(f"entry {number} of {vm} was acknowledged and is lost")

    def _stable(self, vm: str, block: int) -> bytes | None:
        for kept in self.san.media.values():
            head = VolumeFiles.read(kept.read(0))
            for path, file in () if head is None else head.files.items():
                if path.startswith(f"{vm}/"):
                    return kept.stable.get(file.extents[0].start + block)
        return None
