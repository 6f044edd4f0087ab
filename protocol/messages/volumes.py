"""A shared volume between agents: what a node asks the volume's owner, over TCP.

One connection is for one volume under one epoch, which `Attach` names; when the epoch is over the
owner ends it, so nothing said on it can be of another. Requests are numbered by who asks, many may
be under way, and each is answered once. Of a message with `payload_bytes` so many bytes of file
data follow the frame as they are: they go from the socket to where they belong.
"""

from dataclasses import dataclass

from protocol.disks import DiskId
from protocol.names import ClusterId, Epoch, Incarnation, VmName

PAYLOAD_BYTES_MAX = 1024 * 1024
"""Of file data behind one frame. Whoever has more asks more often."""

EXTENTS_MAX = 2048
"""In one answer; the rest is asked for by `LookAtFile`."""

ENTRIES_MAX = 1024
"""Of a folder in one answer; the rest is asked for by `ListFolder` with the last name that came."""


@dataclass(frozen=True, slots=True)
class FileExtent:
    """Neighbouring blocks of the disk, of 4096 bytes each, in the order of the file; not `written`:
    they are zeros.
    """

    start: int
    blocks: int
    written: bool


@dataclass(frozen=True, slots=True)
class FolderEntry:
    """A file or a folder, as its folder lists it."""

    name: str
    is_folder: bool
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Attach:
    """First frame: `incarnation` will use the volume on `disk`, which is owned under `epoch`."""

    cluster: ClusterId
    disk: DiskId
    epoch: Epoch
    incarnation: Incarnation


@dataclass(frozen=True, slots=True)
class Attached:
    """The owner takes this connection."""

    disk: DiskId
    epoch: Epoch
    owner: Incarnation


@dataclass(frozen=True, slots=True)
class OpenFile:
    """Open what is at `path`; for writing on behalf of `vm` under its epoch, which shuts out every
    older one.
    """

    request: int
    path: str
    is_writable: bool
    vm: VmName
    vm_epoch: Epoch


@dataclass(frozen=True, slots=True)
class LookAtFile:
    """The extents of an open file again, from the one with this number on."""

    request: int
    grant: int
    first: int


@dataclass(frozen=True, slots=True)
class FileOpened:
    """Where the file lies: its extents from number `first` on, of `extents_total`."""

    request: int
    grant: int
    file: int
    size_bytes: int
    first: int
    extents_total: int
    extents: tuple[FileExtent, ...]


@dataclass(frozen=True, slots=True)
class CloseFile:
    """The grant goes back: none of its I/O is under way, and none will be."""

    request: int
    grant: int


@dataclass(frozen=True, slots=True)
class ConvertExtents:
    """Make these bytes of the file writable straight on the disk: what was never written there
    becomes zeros. Answered by FileOpened with the new extents.
    """

    request: int
    grant: int
    offset: int
    length_bytes: int


@dataclass(frozen=True, slots=True)
class CreateFile:
    """Make a file of this size, all zeros, or a folder (then the size is 0)."""

    request: int
    path: str
    is_folder: bool
    size_bytes: int


@dataclass(frozen=True, slots=True)
class DeleteFile:
    request: int
    path: str


@dataclass(frozen=True, slots=True)
class RenameFile:
    """`replaces`: a file that has the new path already is deleted by it."""

    request: int
    path: str
    to: str
    replaces: bool


@dataclass(frozen=True, slots=True)
class GrowFile:
    request: int
    path: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class ListFolder:
    """What lies in a folder, by name, from the one after `after` on."""

    request: int
    path: str
    after: str


@dataclass(frozen=True, slots=True)
class FolderListed:
    """`is_whole`: nothing comes after these."""

    request: int
    entries: tuple[FolderEntry, ...]
    is_whole: bool


@dataclass(frozen=True, slots=True)
class ReadFile:
    request: int
    grant: int
    offset: int
    length_bytes: int


@dataclass(frozen=True, slots=True)
class FileRead:
    """Answers ReadFile; the bytes follow."""

    request: int
    payload_bytes: int


@dataclass(frozen=True, slots=True)
class WriteFile:
    """Write the bytes that follow; `is_durable`: on stable storage when it is answered."""

    request: int
    grant: int
    offset: int
    is_durable: bool
    payload_bytes: int


@dataclass(frozen=True, slots=True)
class FlushVolume:
    """All that was written before is on stable storage when it is answered."""

    request: int


@dataclass(frozen=True, slots=True)
class Redirect:
    """All file data of this node goes through the owner from now on. Its keys up to `generation`
    are removed first (0: it has none out, and none of its direct I/O is under way).
    """

    request: int
    generation: int


@dataclass(frozen=True, slots=True)
class GoDirect:
    """File data goes straight to the disk from now on; none is under way through the owner."""

    request: int


@dataclass(frozen=True, slots=True)
class Done:
    """It is done, and durable if it was about names, sizes or grants."""

    request: int


@dataclass(frozen=True, slots=True)
class Failed:
    """It is not done. `code` is the kind of error, `definite` whether nothing of it ever will be;
    request 0 is the connection itself, which ends.
    """

    request: int
    code: str
    reason: str
    definite: bool


VolumeRequest = (
    OpenFile
    | LookAtFile
    | CloseFile
    | ConvertExtents
    | CreateFile
    | DeleteFile
    | RenameFile
    | GrowFile
    | ListFolder
    | ReadFile
    | WriteFile
    | FlushVolume
    | Redirect
    | GoDirect
)
VolumeAnswer = FileOpened | FolderListed | FileRead | Done | Failed
VolumeMessage = Attach | Attached | VolumeRequest | VolumeAnswer
