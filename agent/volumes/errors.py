"""What may go wrong with a disk and with the volume on it, and what of it may still have happened.

```text
DiskError                 indefinite unless a class says otherwise
├── PathLost              indefinite  the way to the disk broke: a write may have arrived
├── Conflict              definite    this node's registration is gone: it may not write any more
├── MediumError           indefinite  the disk could not do it, or only a part of it
└── OutOfRange            definite    past the end of the disk, or not in whole blocks
VolumeError               definite    the volume says no, and nothing was changed
├── VolumeFull                        no free blocks, or no room to remember more
├── BatchFull                         commit what is pending, then ask again
├── BadName, NoSuchFile, FileExists, WrongKind, FolderNotEmpty, BadRange
├── FileInUse                         somebody else has it open
├── NoSuchGrant                       it was returned or fenced
├── StaleEpoch                        a newer epoch of the VM has opened the file
├── VolumeReadOnly                    its metadata is damaged; the sentence says where
└── NotMountable                      the disk stays as it is
    ├── ForeignContent                it holds something else, or nothing
    ├── DiskTooSmall                  the sentence names the minimum
    ├── Deposed                       a newer owner has written to it
    └── Damaged                       no copy of something needed is whole
```
"""

from typing import ClassVar

from protocol.errors import ClusterError


class DiskError(ClusterError):
    """A command to a disk failed."""


class PathLost(DiskError):
    """Nobody knows whether the command was carried out: repeat it over another path."""


class Conflict(DiskError):
    """The disk is lost for this life of the node: it never registers again without a new grant."""

    definite: ClassVar[bool] = True


class MediumError(DiskError):
    """The disk itself cannot read or write there."""


class OutOfRange(DiskError):
    """Nothing was read or written."""

    definite = True


class VolumeError(ClusterError):
    """The volume refused; nothing was changed, in memory or on the disk."""

    definite = True


class VolumeFull(VolumeError):
    """The sentence tells what is full: the blocks for data, or the place for metadata."""


class BatchFull(VolumeError):
    """One record of the journal holds only so much: commit, then ask again."""


class BadName(VolumeError):
    """The path or one of its names cannot be on a volume."""


class NoSuchFile(VolumeError):
    """Nothing has this path."""


class FileExists(VolumeError):
    """Something has this path already."""


class WrongKind(VolumeError):
    """A folder where a file is wanted, or a file where a folder is wanted."""


class FolderNotEmpty(VolumeError):
    """Only empty folders can be deleted."""


class BadRange(VolumeError):
    """Not inside the file, or not in whole blocks."""


class FileInUse(VolumeError):
    """Somebody else has the file open; the sentence names who."""


class NoSuchGrant(VolumeError):
    """The grant was returned or its holder was fenced: open the file anew."""


class StaleEpoch(VolumeError):
    """The VM runs elsewhere under a newer epoch: who asks must stop."""


class VolumeReadOnly(VolumeError):
    """The volume was found damaged, and only reading is allowed."""


class NotMountable(VolumeError):
    """The volume cannot be mounted from this disk."""


class ForeignContent(NotMountable):
    """The disk does not hold a volume of ours, and what it holds is not overwritten unasked."""


class DiskTooSmall(NotMountable):
    """The disk is smaller than the file system needs."""


class Deposed(NotMountable):
    """The disk has seen a newer owner than this one."""


class Damaged(NotMountable):
    """Metadata is broken beyond what the second copies can mend."""


def told(code: str, sentence: str) -> VolumeError | MediumError:
    """What the owner of a volume named by its class; a name of nothing here is a `VolumeError`."""
    kind = globals().get(code)
    if isinstance(kind, type) and issubclass(kind, VolumeError | MediumError):
        return kind(sentence)
    return VolumeError(sentence)
