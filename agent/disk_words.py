"""What a node wants done with its disks, and what can happen to them. The disks have an event loop
of their own; these words go between it and the agent's.

They are not the messages of the control link: whose order it was (term, incarnation) has been
settled when a disk is touched, and when it has answered another leader may be there to be told.
"""

from dataclasses import dataclass

from protocol.disks import (
    DiskContent,
    DiskId,
    FencedLife,
    FolderTrouble,
    RegistrationKey,
    VolumeMode,
    VolumeStatus,
)
from protocol.names import ClusterId, Epoch, Incarnation, Member, NetworkName, VmName, VolumeName

# ---- events


@dataclass(frozen=True, slots=True)
class SeenDisk:
    """One disk as the paths show it; the rest of its `DiskStatus` the agent knows itself."""

    disk: DiskId
    size_bytes: int
    block_bytes: int
    product: str
    paths: int
    paths_up: int
    content: DiskContent
    label: str
    epoch: Epoch
    key: RegistrationKey
    registrations: int
    reason: str = ""


@dataclass(frozen=True, slots=True)
class DisksSeen:
    """All disks that the node sees now, and the folder of the volumes."""

    disks: tuple[SeenDisk, ...]
    root: str = ""
    trouble: FolderTrouble = FolderTrouble.NONE
    trouble_text: str = ""


@dataclass(frozen=True, slots=True)
class DiskConflicted:
    """The target refused `key`: it was preempted, or the reservation is another's."""

    disk: DiskId
    key: RegistrationKey
    reason: str


@dataclass(frozen=True, slots=True)
class KeyGivenUp:
    """This node uses `key` no more, of its own accord: a volume on the disk is redirected."""

    disk: DiskId
    key: RegistrationKey


@dataclass(frozen=True, slots=True)
class LivesRemoved:
    """Answers RemoveLives; with a `reason` some key may be left."""

    disk: DiskId
    lives: tuple[FencedLife, ...]
    reason: str = ""


@dataclass(frozen=True, slots=True)
class DiskTaken:
    """Answers TakeDisk; with a `reason` it could not be taken and nothing is served."""

    disk: DiskId
    epoch: Epoch
    reason: str = ""


@dataclass(frozen=True, slots=True)
class DiskGiven:
    """Answers GiveDisk, or says that what was owned could not be kept. Nothing is served any more;
    `is_clean`: and nothing is under way.
    """

    disk: DiskId
    epoch: Epoch
    is_clean: bool
    reason: str = ""


@dataclass(frozen=True, slots=True)
class VolumeMade:
    """Answers FormatVolume."""

    disk: DiskId
    epoch: Epoch
    label: str
    reason: str = ""


@dataclass(frozen=True, slots=True)
class VolumeLookedOver:
    """Answers LookOver."""

    disk: DiskId
    epoch: Epoch
    check: int
    files: int
    findings: tuple[str, ...]
    reason: str = ""


@dataclass(frozen=True, slots=True)
class FolderRemoved:
    """Answers RemoveFolder; with a `reason` something of it is left."""

    disk: DiskId
    epoch: Epoch
    vm: VmName
    vm_epoch: Epoch
    reason: str = ""


@dataclass(frozen=True, slots=True)
class VolumeTurned:
    """The node uses the volume otherwise than before."""

    status: VolumeStatus


DiskEvent = (
    DisksSeen
    | DiskConflicted
    | KeyGivenUp
    | LivesRemoved
    | DiskTaken
    | DiskGiven
    | VolumeMade
    | VolumeLookedOver
    | FolderRemoved
    | VolumeTurned
)

# ---- actions


@dataclass(frozen=True, slots=True)
class UseDisk:
    """Register `key` on every path, also on those that come later."""

    disk: DiskId
    key: RegistrationKey


@dataclass(frozen=True, slots=True)
class LetGo:
    """The cluster does not use it any more: no I/O, and nothing is registered on new paths."""

    disk: DiskId


@dataclass(frozen=True, slots=True)
class AdmitDisk:
    """I/O may go through the first `registrations` that were made."""

    disk: DiskId
    registrations: int


@dataclass(frozen=True, slots=True)
class RemoveLives:
    """PREEMPT AND ABORT all their keys. Ends in LivesRemoved."""

    cluster: ClusterId
    disk: DiskId
    lives: tuple[FencedLife, ...]


@dataclass(frozen=True, slots=True)
class TakeDisk:
    """Own it: the reservation, and the volume if there is one. Ends in DiskTaken.

    `is_private`: no other node uses the volume.
    """

    cluster: ClusterId
    disk: DiskId
    epoch: Epoch
    volume: VolumeName
    is_private: bool = False


@dataclass(frozen=True, slots=True)
class GiveDisk:
    """Own it no more. Ends in DiskGiven."""

    disk: DiskId
    epoch: Epoch
    clear: bool


@dataclass(frozen=True, slots=True)
class FormatVolume:
    """Ends in VolumeMade."""

    disk: DiskId
    epoch: Epoch
    label: str
    force: bool


@dataclass(frozen=True, slots=True)
class LookOver:
    """Check the volume. Ends in VolumeLookedOver."""

    disk: DiskId
    epoch: Epoch
    check: int


@dataclass(frozen=True, slots=True)
class RemoveFolder:
    """Delete the folder of a VM that is gone for good, unless one of that name has been there
    since `vm_epoch`. Ends in FolderRemoved.
    """

    disk: DiskId
    epoch: Epoch
    vm: VmName
    vm_epoch: Epoch


@dataclass(frozen=True, slots=True)
class ReachVolume:
    """Use the volume there. Each change of how is a VolumeTurned."""

    cluster: ClusterId
    disk: DiskId
    volume: VolumeName
    root: str
    epoch: Epoch
    owner: Member | None
    mode: VolumeMode
    networks: tuple[NetworkName, ...]


@dataclass(frozen=True, slots=True)
class LeaveVolume:
    """It is no shared volume any more."""

    disk: DiskId


@dataclass(frozen=True, slots=True)
class SetMembers:
    """The lives that this node's view holds."""

    members: frozenset[Incarnation]


DiskAction = (
    UseDisk
    | LetGo
    | AdmitDisk
    | RemoveLives
    | TakeDisk
    | GiveDisk
    | FormatVolume
    | LookOver
    | RemoveFolder
    | ReachVolume
    | LeaveVolume
    | SetMembers
)
