"""What of a VM lies on disks: its configuration and its virtual disks, which S10 opens on the
target. That can fail, and then nothing moves.

On a shared volume a VM has the folder `/NAME`: `NAME.json` and its disks. The configuration is
written last, so a folder without one is of a VM that was not made to its end. Each node also keeps
the configurations of the VMs that it has open, which the group's "Virtual Machine Configuration"
resource stands for, in its own state folder.
"""

import asyncio
import os
from collections.abc import Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agent.io.virtual_disk import DiskThread, VhdFolder, VirtualDisk
from agent.vm_configuration import configuration, configuration_path, is_made
from protocol.errors import Refused
from protocol.names import Epoch, VmName, VmSpec
from protocol.workload import why_no_disk


@dataclass(frozen=True, slots=True)
class OpenDisks:
    """A VM's disks, opened under `epoch`, in the order of its specification."""

    epoch: Epoch
    disks: tuple[VirtualDisk, ...] = ()

    async def close(self) -> None:
        """On the loop of the disks."""
        for disk in self.disks:
            await disk.close()


class Storage:
    """Opens what VMs of this node have on disks. Without `volumes` there is no shared storage."""

    def __init__(
        self, folder: Path, volumes: VhdFolder | None = None, disks: DiskThread | None = None
    ) -> None:
        assert (volumes is None) == (disks is None), "disks have a loop to live on"
        self.thread = disks
        self._folder = folder
        self._volumes = volumes

    # ---- disks

    async def open(self, vm: VmName, epoch: Epoch, spec: VmSpec, *, boot: bool) -> OpenDisks:
        """Open all disks under `epoch`, or none; raises ClusterError or OSError.

        To boot is also to make what is not there yet.
        """
        if wrong := why_no_disk(spec.workload, tuple(disk.size_bytes for disk in spec.disks)):
            raise Refused(wrong)
        if not spec.volumes:
            return OpenDisks(epoch)
        if self.thread is None or self._volumes is None:
            raise Refused(
                f"{vm} needs volume {spec.volumes[0]}, and this node has no shared storage: start "
                "its agent with the portals of a SAN."
            )
        return await self.thread.run(self._open(self._volumes, vm, epoch, spec, boot))

    async def _open(
        self, volumes: VhdFolder, vm: VmName, epoch: Epoch, spec: VmSpec, boot: bool
    ) -> OpenDisks:
        if boot:
            await self._make(volumes, vm, spec)
        opened: list[VirtualDisk] = []
        try:
            for disk in spec.disks:
                opened.append(await volumes.open_vhd(disk.volume, disk.path, vm, epoch))
                if opened[-1].size_bytes != disk.size_bytes:
                    raise Refused(
                        f"{disk.path} on {disk.volume} holds {opened[-1].size_bytes} bytes, and "
                        f"{vm} wants a disk of {disk.size_bytes}."
                    )
        except BaseException:
            await OpenDisks(epoch, tuple(opened)).close()
            raise
        return OpenDisks(epoch, tuple(opened))

    async def _make(self, volumes: VhdFolder, vm: VmName, spec: VmSpec) -> None:
        """Once in a VM's life: a disk that has gone since then is not made anew."""
        if await _check_own(volumes, vm, spec):
            return
        await _make_disks(volumes, spec)
        if spec.home:
            await _configure(volumes, vm, spec)

    async def open_elsewhere(self, vm: VmName, epoch: Epoch, spec: VmSpec) -> OpenDisks:
        """Make the VM's disks where `spec` has them, and open them; raises as `open` does."""
        if self.thread is None or self._volumes is None:
            raise Refused(f"{vm} cannot be moved: this node has no shared storage.")
        return await self.thread.run(self._open_elsewhere(self._volumes, vm, epoch, spec))

    async def _open_elsewhere(
        self, volumes: VhdFolder, vm: VmName, epoch: Epoch, spec: VmSpec
    ) -> OpenDisks:
        await _check_own(volumes, vm, spec)
        await _make_disks(volumes, spec)
        return await self._open(volumes, vm, epoch, spec, boot=False)

    async def configure(self, vm: VmName, spec: VmSpec) -> None:
        """Write the VM's configuration where `spec` has it: last, once its disks are whole."""
        assert self._volumes is not None, "its disks are open"
        await self.run(_configure(self._volumes, vm, spec))

    async def remove(self, vm: VmName, spec: VmSpec) -> None:
        """The VM is deleted for good, and its files with it."""
        if self.thread is not None and self._volumes is not None:
            for volume in spec.volumes:
                await self.thread.run(self._volumes.remove_folder(volume, f"/{vm}"))

    async def close(self, opened: OpenDisks) -> None:
        if opened.disks:
            await self.run(opened.close())

    async def run(self, work: Coroutine[Any, Any, None]) -> None:
        """On the loop of the disks: what is to be done with disks that are open."""
        assert self.thread is not None, "a disk that is open has a loop"
        await self.thread.run(work)

    # ---- the configuration of this node's own

    async def register(self, vm: VmName, epoch: Epoch, spec: VmSpec) -> None:
        """The VM is here under `epoch`; raises OSError, and then it is not registered."""
        await asyncio.to_thread(self._register, vm, epoch, spec)

    def _register(self, vm: VmName, epoch: Epoch, spec: VmSpec) -> None:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        fresh = self._path(vm).with_suffix(".new")
        fd = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            os.write(fd, configuration(vm, spec, epoch).encode())
        finally:
            os.close(fd)
        fresh.replace(self._path(vm))

    def unregister(self, vm: VmName) -> None:
        """The VM is not this node's any more; that it never was is no error."""
        self._path(vm).unlink(missing_ok=True)

    def _path(self, vm: VmName) -> Path:
        return self._folder / f"{vm}.json"


async def _check_own(volumes: VhdFolder, vm: VmName, spec: VmSpec) -> bool:
    """Whether the VM has been made where `spec` has it; Refused if that is another one's place."""
    found = await volumes.read_text(spec.home, configuration_path(vm)) if spec.home else None
    return is_made(found, vm, spec)


async def _make_disks(volumes: VhdFolder, spec: VmSpec) -> None:
    for disk in spec.disks:
        await volumes.make_vhd(disk.volume, disk.path, disk.size_bytes)


async def _configure(volumes: VhdFolder, vm: VmName, spec: VmSpec) -> None:
    await volumes.write_text(spec.home, configuration_path(vm), configuration(vm, spec))
