"""What an agent reports of disks and volumes, before it is known to whom: the core adds cluster,
term and incarnation.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from agent.disk_words import DisksSeen
from protocol import messages
from protocol.disks import DiskId, DiskStatus, FencedLife, RegistrationKey, VolumeStatus
from protocol.messages import MoveReport, StorageReport
from protocol.names import ClusterId, Epoch, Incarnation, Term, VmName


@dataclass(frozen=True, slots=True)
class Said:
    """A report that lacks its first three fields."""

    kind: Callable[..., StorageReport | MoveReport]
    fields: tuple[Any, ...]

    def addressed(
        self, cluster: ClusterId, term: Term, me: Incarnation
    ) -> StorageReport | MoveReport:
        return self.kind(cluster, term, me, *self.fields)


def report(
    disks: tuple[DiskStatus, ...], volumes: tuple[VolumeStatus, ...], folder: DisksSeen
) -> Said:
    fields = (disks, volumes, folder.root, folder.trouble, folder.trouble_text)
    return Said(messages.DiskReport, fields)


def fenced(disk: DiskId, lives: tuple[FencedLife, ...], reason: str) -> Said:
    return Said(messages.DiskFenced, (disk, lives, reason))


def owned(disk: DiskId, epoch: Epoch, reason: str = "") -> Said:
    return Said(messages.DiskOwned, (disk, epoch, reason))


def released(disk: DiskId, epoch: Epoch, is_clean: bool, generation: int, reason: str) -> Said:
    fields = (disk, epoch, is_clean, 0 if is_clean else generation, reason)
    return Said(messages.DiskReleased, fields)


def lost(disk: DiskId, key: RegistrationKey, reason: str) -> Said:
    return Said(messages.DiskLost, (disk, key, reason))


def formatted(disk: DiskId, epoch: Epoch, label: str, reason: str) -> Said:
    return Said(messages.DiskFormatted, (disk, epoch, label, reason))


def checked(
    disk: DiskId,
    epoch: Epoch,
    check: int,
    files: int,
    findings: tuple[str, ...],
    reason: str,
) -> Said:
    return Said(messages.VolumeChecked, (disk, epoch, check, files, findings, reason))


def files_removed(disk: DiskId, epoch: Epoch, vm: VmName, vm_epoch: Epoch, reason: str) -> Said:
    return Said(messages.FilesRemoved, (disk, epoch, vm, vm_epoch, reason))


def request_refused(vm: VmName, epoch: Epoch, deed: str) -> Said:
    return Said(messages.RequestRefused, (vm, epoch, deed))
