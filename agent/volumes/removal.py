"""A folder that goes with all that is in it."""

from agent.volumes.errors import NoSuchFile, WrongKind
from agent.volumes.filesystem import Filesystem
from protocol.names import Epoch, VmName


def remove_folder(filesystem: Filesystem, path: str, vm: VmName, vm_epoch: Epoch) -> None:
    """Also what somebody has open, unless a newer VM of the name has it: then nothing of the older
    one is left. That there is no such folder is no error.

    Raises `BatchFull` when some of it has gone: commit, and ask again.
    """
    try:
        entries = filesystem.list(path)
    except (NoSuchFile, WrongKind):
        return
    if any(entry.epochs.get(vm, 0) > vm_epoch for entry in entries):
        return
    for entry in entries:
        inner = f"{path}/{entry.name}"
        if entry.is_folder:
            remove_folder(filesystem, inner, vm, vm_epoch)
        else:
            filesystem.delete(inner, even_open=True)
    filesystem.delete(path)
