"""The words of shared storage: disks, volumes, keys of registration, and who reaches what how."""

import enum
from dataclasses import dataclass
from typing import NewType

import xxhash

from protocol.names import ClusterId, Epoch, Incarnation, VolumeName

DiskId = NewType("DiskId", str)
"""The LUN's own id, which no other has and which never changes: VPD page 83, NAA, in hex."""

DiskName = NewType("DiskName", str)
"""Its resource in the cluster, such as `Cluster Disk 1`."""

RegistrationKey = NewType("RegistrationKey", bytes)
"""Of a persistent reservation: 8 bytes, big-endian. Seven name the cluster and the incarnation,
the last is the generation.
"""

NO_EPOCH = Epoch(0)
NO_KEY = RegistrationKey(b"")
KEY_BYTES = 8
GENERATION_FIRST = 1
GENERATION_LAST = 255
"""An incarnation that has used up this one stays redirected until it begins anew. As what is to be
fenced it means every generation.
"""

SHARED_VOLUMES_ROOT = "ClusterStorage"
"""The folder under which all nodes find the volumes, if nobody has renamed it."""

VOLUME_CHARS_MAX = 64


def registration_key(
    cluster: ClusterId, incarnation: Incarnation, generation: int
) -> RegistrationKey:
    """What `incarnation` registers. A fence preempts all keys with its first seven bytes."""
    assert GENERATION_FIRST <= generation <= GENERATION_LAST, generation
    life = key_of_life(cluster, incarnation)
    return RegistrationKey(life + bytes([generation]))


def key_of_life(cluster: ClusterId, incarnation: Incarnation) -> bytes:
    """The seven bytes that all keys of one incarnation begin with."""
    words = f"{cluster}\0{incarnation}".encode()
    return xxhash.xxh64_digest(words)[: KEY_BYTES - 1]


WITNESS_BYTES_MIN = 9 * 1024 * 1024
"""Of a LUN that is a witness: two records, and two copies of the database."""

WITNESS_PLACE = "lun:"
"""What the path of a witness begins with that lies on a disk of the SAN; its id follows."""


def witness_key(cluster: ClusterId, incarnation: Incarnation) -> RegistrationKey:
    """What `incarnation` registers to hold the disk witness. It is none of its keys for disks, so
    what fences the one leaves the other alone.
    """
    words = f"{cluster}\0{incarnation}\0witness".encode()
    return RegistrationKey(xxhash.xxh64_digest(words)[: KEY_BYTES - 1] + b"\xff")


def witness_path(disk: DiskId) -> str:
    return WITNESS_PLACE + disk


def witness_disk(path: str) -> DiskId | None:
    """The disk on which a witness lies; None for one in a folder."""
    return DiskId(path.removeprefix(WITNESS_PLACE)) if path.startswith(WITNESS_PLACE) else None


class DiskRole(enum.Enum):
    """What a clustered disk is for."""

    AVAILABLE = "Available Storage"
    WITNESS = "Witness"
    CSV = "Cluster Shared Volume"
    VM = "Virtual Machine"


class DiskContent(enum.Enum):
    """What a node found at the beginning of a disk."""

    UNKNOWN = "it has not been read"
    BLANK = "nothing: its first and last blocks are zero"
    OURS = "a volume of hvlab"
    FOREIGN = "something that hvlab did not write"
    DAMAGED = "a volume of hvlab that cannot be mounted"
    WITNESS = "the records of a disk witness"


class VolumeMode(enum.Enum):
    """How all nodes are to use a volume; who has no path is redirected all the same."""

    DIRECT = "direct"
    REDIRECTED = "redirected"
    MAINTENANCE = "maintenance"
    OFFLINE = "offline"


class VolumeAccess(enum.Enum):
    """How one node reaches a volume at this moment."""

    DIRECT = "direct"
    REDIRECTED = "redirected"
    QUEUED = "queued"
    MAINTENANCE = "maintenance"
    OFFLINE = "offline"


class FolderTrouble(enum.Enum):
    """What a node met when it made the root of the volumes."""

    NONE = ""
    RENAMED = "there was a folder of this name, which was renamed"
    FAILED = "it could not be made"


@dataclass(frozen=True, slots=True)
class DiskUse:
    """A clustered disk that a node is to register with. `epoch`: of its newest owner; who gave the
    disk up uncleanly under an older one registers again, for its keys are gone.
    """

    disk: DiskId
    name: DiskName
    role: DiskRole
    epoch: Epoch = NO_EPOCH


@dataclass(frozen=True, slots=True)
class FencedLife:
    """All keys of `incarnation` up to this generation are to go."""

    incarnation: Incarnation
    generation: int = GENERATION_LAST


@dataclass(frozen=True, slots=True)
class DiskStatus:
    """What a node sees of one disk, whether the cluster uses it or not.

    `registrations` counts the registrations that this life has made with the disk over all paths;
    it only grows, and a registration that was repeated counts again. `granted` is the number that
    the newest grant covers.
    """

    disk: DiskId
    size_bytes: int
    block_bytes: int
    product: str
    paths: int
    paths_up: int
    content: DiskContent
    label: str = ""
    """Of a volume of ours: the label that it was formatted with."""

    epoch: Epoch = NO_EPOCH
    """Of a volume of ours: the owner's epoch that its superblock names."""

    key: RegistrationKey = NO_KEY
    """Under which it is registered on every path that is up; none if it is not."""

    registrations: int = 0
    granted: int = 0
    is_lost: bool = False
    """Its key was taken away: this life never registers with the disk again."""

    reason: str = ""
    """Why something is not as it ought to be, as a sentence."""


@dataclass(frozen=True, slots=True)
class VolumeStatus:
    """How a node reaches a volume, and under whose epoch; the sizes are told by its owner."""

    disk: DiskId
    volume: VolumeName
    epoch: Epoch
    access: VolumeAccess
    reason: str = ""
    size_bytes: int = 0
    free_bytes: int = 0
    is_read_only: bool = False
