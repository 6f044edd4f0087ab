"""Clustered disks as rows: who may write to each, who owns it, and what it is for."""

import enum
from dataclasses import dataclass
from typing import Any

from coordinator.store.plain import Data
from protocol.disks import DiskId, DiskName, DiskRole
from protocol.names import NO_VOLUME, Epoch, Incarnation, NodeName, VolumeName


def disk_key(disk: DiskId) -> str:
    return f"disk/{disk}"


def gone_disk_key(disk: DiskId) -> str:
    return f"gone-disk/{disk}"


class DiskState(enum.Enum):
    """Of the disk's resource, by the words of the field; the owner serves in all but two."""

    OFFLINE = "Offline"
    PENDING = "OnlinePending"
    ONLINE = "Online"
    RELEASING = "OfflinePending"


SERVED = (DiskState.PENDING, DiskState.ONLINE, DiskState.RELEASING)


@dataclass(frozen=True, slots=True)
class Registrant:
    """A life that was granted the disk up to this many of its registrations.

    `fenced_to` above 0: it lives, and its keys up to this generation have to go all the same.
    """

    incarnation: Incarnation
    registrations: int
    fenced_to: int = 0


@dataclass(frozen=True, slots=True)
class DiskRow:
    """One clustered disk. `owner` is the last one while the state is Offline.

    `format_as`: a volume with this label is to be made before it is mounted, over what is there
    with `overwrite`. `leaving`: it goes from the cluster once its owner has released it.
    """

    id: DiskId
    number: int
    size_bytes: int
    role: DiskRole = DiskRole.AVAILABLE
    state: DiskState = DiskState.OFFLINE
    owner: NodeName | None = None
    owner_incarnation: Incarnation | None = None
    epoch: Epoch = Epoch(0)
    volume: VolumeName = NO_VOLUME
    format_as: str = ""
    overwrite: bool = False
    registrants: tuple[Registrant, ...] = ()
    maintenance: bool = False
    redirected: bool = False
    move_to: NodeName | None = None
    leaving: bool = False
    reason: str = ""
    """Why it is not online, if that is known."""

    @property
    def name(self) -> DiskName:
        return DiskName(f"Cluster Disk {self.number}")

    @property
    def is_served(self) -> bool:
        return self.state in SERVED

    def registrant(self, incarnation: Incarnation | None) -> Registrant | None:
        return next((r for r in self.registrants if r.incarnation == incarnation), None)

    def data(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "number": self.number,
            "size_bytes": self.size_bytes,
            "role": self.role.value,
            "state": self.state.value,
            "owner": self.owner,
            "owner_incarnation": self.owner_incarnation,
            "epoch": self.epoch,
            "volume": self.volume,
            "format_as": self.format_as,
            "overwrite": self.overwrite,
            "registrants": _registrants_data(self.registrants),
            "maintenance": self.maintenance,
            "redirected": self.redirected,
            "move_to": self.move_to,
            "leaving": self.leaving,
            "reason": self.reason,
        }

    @staticmethod
    def read(data: Data) -> "DiskRow":
        return DiskRow(
            id=data["id"],
            number=data["number"],
            size_bytes=data["size_bytes"],
            role=DiskRole(data["role"]),
            state=DiskState(data["state"]),
            owner=data["owner"],
            owner_incarnation=data["owner_incarnation"],
            epoch=data["epoch"],
            volume=data["volume"],
            format_as=data["format_as"],
            overwrite=data["overwrite"],
            registrants=_read_registrants(data["registrants"]),
            maintenance=data["maintenance"],
            redirected=data["redirected"],
            move_to=data["move_to"],
            leaving=data["leaving"],
            reason=data["reason"],
        )


@dataclass(frozen=True, slots=True)
class GoneDiskRow:
    """What is left of a disk that was removed: its epochs up to this one are used up, and these
    lives may still have keys on it.
    """

    id: DiskId
    epoch: Epoch
    registrants: tuple[Registrant, ...] = ()

    def data(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "epoch": self.epoch,
            "registrants": _registrants_data(self.registrants),
        }

    @staticmethod
    def read(data: Data) -> "GoneDiskRow":
        return GoneDiskRow(data["id"], data["epoch"], _read_registrants(data["registrants"]))


def _registrants_data(registrants: tuple[Registrant, ...]) -> list[list[Any]]:
    return [[r.incarnation, r.registrations, r.fenced_to] for r in registrants]


def _read_registrants(data: Any) -> tuple[Registrant, ...]:
    return tuple(Registrant(life, number, to) for life, number, to in data)
