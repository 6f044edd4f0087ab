"""Where a witness lies: in a folder, or on a disk of the SAN; and the ports to either."""

from pathlib import Path
from typing import Protocol

from agent.copy_record import CopyPort
from agent.io.copies import CopyFolder
from agent.io.witness import WitnessFolder
from agent.witness_record import WitnessPort
from protocol.disks import DiskId, witness_disk
from protocol.errors import NotReady


class DiskPort(WitnessPort, CopyPort, Protocol):
    """A disk has both."""


class Disks(Protocol):
    """The node's way to the SAN."""

    def at(self, disk: DiskId) -> DiskPort: ...


class WitnessPlaces:
    """Called in threads. Without a SAN there are only folders."""

    def __init__(self, disks: Disks | None) -> None:
        self._disks = disks

    def records(self, path: Path) -> WitnessPort:
        disk = witness_disk(str(path))
        return WitnessFolder(path) if disk is None else self._disk(disk)

    def copies(self, path: Path) -> CopyPort:
        disk = witness_disk(str(path))
        return CopyFolder(path) if disk is None else self._disk(disk)

    def _disk(self, disk: DiskId) -> DiskPort:
        if self._disks is None:
            raise NotReady(
                f"the witness lies on disk {disk}, and this node has no way to a SAN: start its"
                " agent with --portal"
            )
        return self._disks.at(disk)
