"""The control link about shared storage: disks, their owners, and the volumes on them.

What the orders mean and when they may be given is in docs/protocol.md, shared volumes.
"""

from dataclasses import dataclass

from protocol.disks import (
    DiskId,
    DiskRole,
    DiskStatus,
    DiskUse,
    FencedLife,
    FolderTrouble,
    RegistrationKey,
    VolumeMode,
    VolumeStatus,
)
from protocol.names import (
    ClusterId,
    Epoch,
    Incarnation,
    Member,
    NetworkName,
    Term,
    VmName,
    VolumeName,
)


@dataclass(frozen=True, slots=True)
class UseDisks:
    """All clustered disks: register with each. With one that is not named the node has no
    business any more.
    """

    cluster: ClusterId
    term: Term
    incarnation: Incarnation
    disks: tuple[DiskUse, ...]


@dataclass(frozen=True, slots=True)
class GrantDisk:
    """Guests' I/O and mounting are allowed through the first `registrations` that were made."""

    cluster: ClusterId
    term: Term
    incarnation: Incarnation
    disk: DiskId
    registrations: int


@dataclass(frozen=True, slots=True)
class FenceDisk:
    """Remove all keys of `lives` with PREEMPT AND ABORT, and answer DiskFenced."""

    cluster: ClusterId
    term: Term
    incarnation: Incarnation
    disk: DiskId
    lives: tuple[FencedLife, ...]


@dataclass(frozen=True, slots=True)
class OwnDisk:
    """Be the owner under `epoch`: see to the reservation, mount, answer DiskOwned.

    `volume` is empty for a disk that has none to mount.
    """

    cluster: ClusterId
    term: Term
    incarnation: Incarnation
    disk: DiskId
    epoch: Epoch
    role: DiskRole
    volume: VolumeName
    mode: VolumeMode


@dataclass(frozen=True, slots=True)
class ReleaseDisk:
    """Own it no more: stop serving, flush, unmount, answer DiskReleased. `clear`: it leaves the
    cluster, so all keys and the reservation are removed from it as well.
    """

    cluster: ClusterId
    term: Term
    incarnation: Incarnation
    disk: DiskId
    epoch: Epoch
    clear: bool = False


@dataclass(frozen=True, slots=True)
class FormatDisk:
    """Make an empty volume with this label; to the owner, before it mounts. Over what is not
    blank only with `force`.
    """

    cluster: ClusterId
    term: Term
    incarnation: Incarnation
    disk: DiskId
    epoch: Epoch
    label: str
    force: bool


@dataclass(frozen=True, slots=True)
class CheckVolume:
    """To the owner: compare everything on the volume with everything else, and answer."""

    cluster: ClusterId
    term: Term
    incarnation: Incarnation
    disk: DiskId
    epoch: Epoch
    check: int


@dataclass(frozen=True, slots=True)
class RemoveFiles:
    """To the owner: the VM is deleted for good, and its folder on the volume with it.

    `vm_epoch` was its last: what a newer VM of that name has opened is not meant.
    """

    cluster: ClusterId
    term: Term
    incarnation: Incarnation
    disk: DiskId
    epoch: Epoch
    vm: VmName
    vm_epoch: Epoch


@dataclass(frozen=True, slots=True)
class VolumeAt:
    """Where a volume is served, and how it is to be used. No owner: its I/O waits.

    `networks` is the order in which to try the owner's addresses.
    """

    cluster: ClusterId
    term: Term
    incarnation: Incarnation
    disk: DiskId
    volume: VolumeName
    root: str
    epoch: Epoch
    owner: Member | None
    mode: VolumeMode
    networks: tuple[NetworkName, ...]


@dataclass(frozen=True, slots=True)
class VolumeGone:
    """The disk is no shared volume any more: its folder goes."""

    cluster: ClusterId
    term: Term
    incarnation: Incarnation
    disk: DiskId
    volume: VolumeName


@dataclass(frozen=True, slots=True)
class DiskReport:
    """All that the node sees of disks and volumes; what is not in it is not seen any more."""

    cluster: ClusterId
    term: Term
    incarnation: Incarnation
    disks: tuple[DiskStatus, ...]
    volumes: tuple[VolumeStatus, ...]
    root: str = ""
    """The folder of the volumes as it stands on this node; empty where there is none."""

    trouble: FolderTrouble = FolderTrouble.NONE
    trouble_text: str = ""


@dataclass(frozen=True, slots=True)
class DiskFenced:
    """No key of `lives` is left on the disk and none of their commands is under way; with a
    `reason` that is not known, and why.
    """

    cluster: ClusterId
    term: Term
    incarnation: Incarnation
    disk: DiskId
    lives: tuple[FencedLife, ...]
    reason: str = ""


@dataclass(frozen=True, slots=True)
class DiskOwned:
    """It is the owner's: reserved, and mounted if it has a volume; with a `reason` it is not, and
    this life will do nothing more under this epoch.
    """

    cluster: ClusterId
    term: Term
    incarnation: Incarnation
    disk: DiskId
    epoch: Epoch
    reason: str = ""


@dataclass(frozen=True, slots=True)
class DiskReleased:
    """This life owns it no more, under this epoch or an older one, and never will again.

    `is_clean`: all that it sent has been answered, and its registration stands. Otherwise its keys
    up to `generation` have to be preempted before anybody else owns it; `reason` says why.
    """

    cluster: ClusterId
    term: Term
    incarnation: Incarnation
    disk: DiskId
    epoch: Epoch
    is_clean: bool
    generation: int = 0
    reason: str = ""


@dataclass(frozen=True, slots=True)
class DiskLost:
    """The target has refused the sender's key: it was preempted, or the reservation is another's.
    Guests that need the disk end as failed.
    """

    cluster: ClusterId
    term: Term
    incarnation: Incarnation
    disk: DiskId
    key: RegistrationKey
    reason: str


@dataclass(frozen=True, slots=True)
class DiskFormatted:
    """Answers FormatDisk: a volume of this label is there; with a `reason` it is not, and why."""

    cluster: ClusterId
    term: Term
    incarnation: Incarnation
    disk: DiskId
    epoch: Epoch
    label: str
    reason: str = ""


@dataclass(frozen=True, slots=True)
class VolumeChecked:
    """Answers CheckVolume: `findings` are sentences, none if all is well; `reason`: it could not
    be checked.
    """

    cluster: ClusterId
    term: Term
    incarnation: Incarnation
    disk: DiskId
    epoch: Epoch
    check: int
    files: int
    findings: tuple[str, ...]
    reason: str = ""


@dataclass(frozen=True, slots=True)
class FilesRemoved:
    """Answers RemoveFiles: nothing of the VM is on the volume; with a `reason` something is."""

    cluster: ClusterId
    term: Term
    incarnation: Incarnation
    disk: DiskId
    epoch: Epoch
    vm: VmName
    vm_epoch: Epoch
    reason: str = ""


@dataclass(frozen=True, slots=True)
class RequestRefused:
    """A guest that stands still for a migration asked for something of its disk under `epoch`. It
    was not carried out: after the commit nothing that comes from the source may be.
    """

    cluster: ClusterId
    term: Term
    incarnation: Incarnation
    vm: VmName
    epoch: Epoch
    deed: str
