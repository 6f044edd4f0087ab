"""A VM's configuration as JSON: on its volume, and in the state folder of the node that has it."""

import json

from protocol.errors import Refused
from protocol.names import Epoch, VmName, VmSpec
from protocol.workload import format_workload


def configuration_path(vm: VmName) -> str:
    """On the VM's volume, in the VM's own folder."""
    return f"/{vm}/{vm}.json"


def configuration(vm: VmName, spec: VmSpec, epoch: Epoch | None = None) -> str:
    """With the epoch only on the node that runs it: on the volume it would soon be of the past."""
    content: dict[str, object] = {"name": vm}
    if epoch is not None:
        content["epoch"] = epoch
    content |= {
        "memory_bytes": spec.memory_bytes,
        "workload": format_workload(spec.workload),
        "fill": spec.fill.value,
        "seed": spec.seed,
        "disks": [[disk.volume, disk.path, disk.size_bytes] for disk in spec.disks],
    }
    return json.dumps(content, indent=1)


def is_made(found: str | None, vm: VmName, spec: VmSpec) -> bool:
    """Whether the VM has been made, from what was `found` at its path: the seed is what no other VM
    of that name has. `Refused` if it is another one's place, or nobody knows whose.
    """
    if not found:  # an empty one was never written
        return False
    try:
        said = json.loads(found)
        whose = said["name"], said["seed"]
    except (ValueError, KeyError, TypeError) as error:
        raise Refused(f"The VM's configuration cannot be read: {error!r}.") from error
    if whose != (vm, spec.seed):
        raise Refused(
            f"{configuration_path(vm)} on {spec.home} is of another VM; remove its folder, or"
            " choose another name."
        )
    return True
