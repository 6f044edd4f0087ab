"""Turns what operators ask of shared storage into plans."""

from coordinator.events import RequestId
from coordinator.pen import Plan
from coordinator.requests import (
    AddClusterDisk,
    AddSharedVolume,
    CancelStorageMove,
    CheckSharedVolume,
    ForceDisk,
    MaintainDisk,
    MoveClusterDisk,
    MoveVmStorage,
    RedirectVolume,
    RemoveClusterDisk,
    RemoveSharedVolume,
    RenameSharedVolume,
    Request,
)
from coordinator.storage.csv_checks import AskCheck
from coordinator.storage.disk_plans import AddDisk, MoveDisk, RemoveDisk, SetMaintenance
from coordinator.storage.exemption import Exempt
from coordinator.storage.moves import AbortMove, OpenMove
from coordinator.storage.volume_plans import (
    AddVolume,
    RemoveVolume,
    RenameVolume,
    SetRedirected,
)


def storage_plan(request: RequestId, body: Request) -> Plan | None:
    """The one transaction that does what is asked; None for what is none of storage."""
    match body:
        case AddClusterDisk(disk):
            return AddDisk(request, disk)
        case RemoveClusterDisk(disk):
            return RemoveDisk(request, disk)
        case MoveClusterDisk(disk, node, is_volume):
            return MoveDisk(request, disk, node, is_volume)
        case MaintainDisk(disk, on, is_volume):
            return SetMaintenance(request, disk, on, is_volume)
        case ForceDisk(disk, oath):
            return Exempt(request, disk, oath)
        case AddSharedVolume(disk, force):
            return AddVolume(request, disk, force)
        case RemoveSharedVolume(volume):
            return RemoveVolume(request, volume)
        case RenameSharedVolume(volume, name):
            return RenameVolume(request, volume, name)
        case RedirectVolume(volume, on):
            return SetRedirected(request, volume, on)
        case CheckSharedVolume(volume):
            return AskCheck(request, volume)
        case MoveVmStorage(vm, volume):
            return OpenMove(request, vm, volume)
        case CancelStorageMove(vm):
            return AbortMove(vm, None, "an operator cancelled it", True, request)
        case _:
            return None
