"""What one life of a node has to do with one disk."""

import enum
from dataclasses import dataclass

from agent.disk_words import SeenDisk
from protocol.disks import (
    GENERATION_FIRST,
    NO_KEY,
    DiskId,
    DiskStatus,
    RegistrationKey,
)
from protocol.names import Epoch, VolumeName

NO_VOLUME = VolumeName("")


class Owning(enum.Enum):
    NOT = "another node's, or nobody's"
    TAKING = "being taken"
    OWNED = "this node's"
    GIVING = "being given up"


@dataclass(slots=True)
class DiskHere:
    """One disk, as this life has to do with it."""

    disk: DiskId
    is_used: bool = False
    generation: int = GENERATION_FIRST
    key: RegistrationKey = NO_KEY
    """That the edge was told to register; none while this life uses none."""

    unclean_at: Epoch | None = None
    """It gave the disk up uncleanly under this epoch, and says so until a higher one is heard."""

    unclean_generation: int = 0
    """Of the key that has to be gone before anybody owns the disk under a higher epoch."""

    granted: int = 0
    lost: str = ""
    """Why it is lost for this life."""

    owning: Owning = Owning.NOT
    epoch: Epoch = Epoch(0)
    """Under which it is owned, taken or given up now."""

    over: Epoch = Epoch(0)
    """Never owned again under this epoch or an older one."""

    failure: str = ""
    """Why it could not be taken under that epoch; empty if it was given up."""

    volume: VolumeName = NO_VOLUME
    seen: SeenDisk | None = None


def status_of(here: DiskHere, seen: SeenDisk) -> DiskStatus:
    return DiskStatus(
        here.disk,
        seen.size_bytes,
        seen.block_bytes,
        seen.product,
        seen.paths,
        seen.paths_up,
        seen.content,
        seen.label,
        seen.epoch,
        seen.key if seen.key == here.key else NO_KEY,
        seen.registrations,
        here.granted,
        bool(here.lost),
        here.lost or seen.reason,
    )
