"""What of a VM lies on disks. S10 opens it on the target; that can fail, and then nothing moves.

Until VMs have virtual hard disks, it is the VM's configuration: the file that the group's
"Virtual Machine Configuration" resource stands for, written to the node's own state folder.
"""

import json
import os
from pathlib import Path

from protocol.names import Epoch, VmName, VmSpec


class Storage:
    """The configurations of the VMs that this node has open."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def open(self, vm: VmName, epoch: Epoch, spec: VmSpec) -> None:
        """Register the VM here under `epoch`; raises OSError, and then nothing is registered."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        configuration = {
            "name": vm,
            "epoch": epoch,
            "memory_bytes": spec.memory_bytes,
            "workload": spec.workload.name,
            "rate_bytes_per_s": spec.workload.rate_bytes_per_s,
            "set_bytes": spec.workload.set_bytes,
            "fill": spec.fill.value,
            "seed": spec.seed,
        }
        fresh = self._path(vm).with_suffix(".new")
        fd = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            os.write(fd, json.dumps(configuration, indent=1).encode())
        finally:
            os.close(fd)
        fresh.replace(self._path(vm))

    def close(self, vm: VmName) -> None:
        """The VM is not this node's any more; that it never was is no error."""
        self._path(vm).unlink(missing_ok=True)

    def _path(self, vm: VmName) -> Path:
        return self._folder / f"{vm}.json"
