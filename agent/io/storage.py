"""What of a VM lies on disks: its configuration and its virtual disks, which S10 opens on the
target. That can fail, and then nothing moves.

On a shared volume a VM has the folder `/NAME`: `NAME.json` and its disks. The configuration is
written last, so a folder without one is of a VM that was not made to its end. Each node also keeps
the configurations of the VMs that it has open, which the group's "Virtual Machine Configuration"
resource stands for, in its own state folder.
"""

import asyncio
import json
import os
from dataclasses import dataclass
from pathlib import Path

from agent.io.virtual_disk import DiskThread, VhdFolder, VirtualDisk
from protocol.errors import Refused
from protocol.names import Epoch, VmName, VmSpec
from protocol.workload import format_workload, why_no_disk


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
                opened.append(await volumes.open_vhd(disk.volume, rooted(disk.path), vm, epoch))
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
        path = configuration_path(vm)
        configuration = {"name": vm, **_configuration(spec)}
        if await _check_own(volumes, vm, spec):
            return
        for disk in spec.disks:
            await volumes.make_vhd(disk.volume, rooted(disk.path), disk.size_bytes)
        if spec.home:
            await volumes.write_text(spec.home, path, json.dumps(configuration, indent=1))

    async def open_elsewhere(self, vm: VmName, epoch: Epoch, spec: VmSpec) -> OpenDisks:
        """Make the VM's disks where `spec` has them, and open them; raises as `open` does."""
        if self.thread is None or self._volumes is None:
            raise Refused(f"{vm} cannot be moved: this node has no shared storage.")
        return await self.thread.run(self._open_elsewhere(self._volumes, vm, epoch, spec))

    async def _open_elsewhere(
        self, volumes: VhdFolder, vm: VmName, epoch: Epoch, spec: VmSpec
    ) -> OpenDisks:
        await _check_own(volumes, vm, spec)
        for disk in spec.disks:
            await volumes.make_vhd(disk.volume, rooted(disk.path), disk.size_bytes)
        return await self._open(volumes, vm, epoch, spec, boot=False)

    async def configure(self, vm: VmName, spec: VmSpec) -> None:
        """Write the VM's configuration where `spec` has it: last, once its disks are whole."""
        assert self.thread is not None, "its disks are open"
        assert self._volumes is not None, "its disks are open"
        text = json.dumps({"name": vm, **_configuration(spec)}, indent=1)
        await self.thread.run(self._volumes.write_text(spec.home, configuration_path(vm), text))

    async def remove(self, vm: VmName, spec: VmSpec) -> None:
        """The VM is deleted for good, and its files with it."""
        if self.thread is not None and self._volumes is not None:
            for volume in spec.volumes:
                await self.thread.run(self._volumes.remove_folder(volume, f"/{vm}"))

    async def close(self, opened: OpenDisks) -> None:
        if opened.disks:
            assert self.thread is not None, "what was opened is on the loop of the disks"
            await self.thread.run(opened.close())

    # ---- the configuration of this node's own

    async def register(self, vm: VmName, epoch: Epoch, spec: VmSpec) -> None:
        """The VM is here under `epoch`; raises OSError, and then it is not registered."""
        await asyncio.to_thread(self._register, vm, epoch, spec)

    def _register(self, vm: VmName, epoch: Epoch, spec: VmSpec) -> None:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        configuration = {"name": vm, "epoch": epoch, **_configuration(spec)}
        fresh = self._path(vm).with_suffix(".new")
        fd = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            os.write(fd, json.dumps(configuration, indent=1).encode())
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
    path = configuration_path(vm)
    found = await volumes.read_text(spec.home, path) if spec.home else None
    if not found:  # an empty one was never written
        return False
    if _identity(found) != (vm, spec.seed):
        raise Refused(
            f"{path} on {spec.home} is of another VM; remove its folder, or choose another name."
        )
    return True


def rooted(path: str) -> str:
    """A path as the volume has it; a specification names it from the volume's folder on."""
    return f"/{path.lstrip('/')}"


def configuration_path(vm: VmName) -> str:
    return f"/{vm}/{vm}.json"


def _configuration(spec: VmSpec) -> dict[str, object]:
    return {
        "memory_bytes": spec.memory_bytes,
        "workload": format_workload(spec.workload),
        "fill": spec.fill.value,
        "seed": spec.seed,
        "disks": [[disk.volume, disk.path, disk.size_bytes] for disk in spec.disks],
    }


def _identity(text: str) -> tuple[object, object]:
    """Whose configuration it is: its name, and the seed that no other VM of that name has."""
    try:
        said = json.loads(text)
        return said["name"], said["seed"]
    except (ValueError, KeyError, TypeError) as error:
        raise Refused(f"The VM's configuration cannot be read: {error!r}.") from error
