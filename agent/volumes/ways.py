"""What a node's use of one shared volume is made of: what can happen, what is wanted then, and how
a piece of I/O goes at this moment.
"""

import enum
from dataclasses import dataclass

from agent.volumes.extents import Extent, Run
from protocol.disks import VolumeAccess, VolumeMode
from protocol.names import Epoch, Incarnation, VmName

Address = tuple[str, str, int]
"""This node's address on a network, the owner's there, and the owner's port."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a volume is served, under which epoch, and how everybody is to use it."""

    epoch: Epoch
    owner: Incarnation | None
    mode: VolumeMode
    addresses: tuple[Address, ...] = ()


# ---- events


@dataclass(frozen=True, slots=True)
class Placed:
    """The coordinator said where the volume is."""

    place: Place


@dataclass(frozen=True, slots=True)
class OwnerReached:
    """A connection to the owner under `epoch` stands where none stood."""

    epoch: Epoch


@dataclass(frozen=True, slots=True)
class OwnerLost:
    """The owner could not be reached on any network, or does not serve the volume any more."""

    epoch: Epoch
    reason: str


@dataclass(frozen=True, slots=True)
class DiskSeen:
    """How this node's own way to the disk is. `is_usable`: a path is up whose registration, under
    the key of `generation`, was granted.
    """

    generation: int
    is_usable: bool
    is_lost: bool = False
    reason: str = ""


@dataclass(frozen=True, slots=True)
class IoFailed:
    """Direct I/O that began in `turn` got no answer: nobody knows what became of it."""

    turn: int
    reason: str


@dataclass(frozen=True, slots=True)
class KeyRefused:
    """Direct I/O that began in `turn` was refused: this node's key is not registered any more."""

    turn: int
    reason: str


@dataclass(frozen=True, slots=True)
class Drained:
    """Nothing that began before `turn` is under way any more."""

    turn: int


@dataclass(frozen=True, slots=True)
class RedirectAgreed:
    """The owner has ended whatever this node had under way, and serves it redirected."""

    turn: int


@dataclass(frozen=True, slots=True)
class DirectAgreed:
    """The owner knows that file data of this node goes straight to the disk."""

    turn: int


@dataclass(frozen=True, slots=True)
class FileWanted:
    """Somebody on this node opens a file; `handle` is its number here, never used again."""

    handle: int
    path: str
    is_writable: bool
    vm: VmName
    vm_epoch: Epoch


@dataclass(frozen=True, slots=True)
class FileFound:
    """The owner under `epoch` opened it, or says anew where it lies."""

    handle: int
    epoch: Epoch
    grant: int
    size_bytes: int
    extents: tuple[Extent, ...]


@dataclass(frozen=True, slots=True)
class FileRefused:
    """The owner under `epoch` will not open it, whoever asks how often."""

    handle: int
    epoch: Epoch
    code: str
    reason: str


@dataclass(frozen=True, slots=True)
class FileLeft:
    """Nobody on this node needs it any more, and nothing of it is under way."""

    handle: int


ClientEvent = (
    Placed
    | OwnerReached
    | OwnerLost
    | DiskSeen
    | IoFailed
    | KeyRefused
    | Drained
    | RedirectAgreed
    | DirectAgreed
    | FileWanted
    | FileFound
    | FileRefused
    | FileLeft
)

# ---- actions


@dataclass(frozen=True, slots=True)
class Reach:
    """Connect to the owner there, network after network, again and again, until told otherwise.

    Ends in OwnerReached; in OwnerLost after each round in vain, and when the connection goes.
    """

    place: Place


@dataclass(frozen=True, slots=True)
class HangUp:
    """There is nobody to be connected to."""


@dataclass(frozen=True, slots=True)
class Drain:
    """Wait until all I/O that began before `turn` has ended. Ends in Drained."""

    turn: int


@dataclass(frozen=True, slots=True)
class GiveUpKey:
    """Use the disk no more under the key of `generation`; the next registration is another."""

    generation: int


@dataclass(frozen=True, slots=True)
class AskRedirect:
    """Ends in RedirectAgreed, or with the connection."""

    turn: int
    generation: int


@dataclass(frozen=True, slots=True)
class AskDirect:
    """Ends in DirectAgreed, or with the connection."""

    turn: int


@dataclass(frozen=True, slots=True)
class AskFile:
    """Ends in FileFound or FileRefused, or with the connection."""

    handle: int
    path: str
    is_writable: bool
    vm: VmName
    vm_epoch: Epoch


@dataclass(frozen=True, slots=True)
class LookAgain:
    """Where does the file lie by now? Ends in FileFound or FileRefused, or with the connection."""

    handle: int
    grant: int


@dataclass(frozen=True, slots=True)
class ReturnGrant:
    grant: int


@dataclass(frozen=True, slots=True)
class Wake:
    """Let all that waits ask again how it goes, in the order in which it came."""


@dataclass(frozen=True, slots=True)
class Show:
    """The volume is used otherwise than before."""

    access: VolumeAccess
    reason: str


ClientAction = (
    Reach
    | HangUp
    | Drain
    | GiveUpKey
    | AskRedirect
    | AskDirect
    | AskFile
    | LookAgain
    | ReturnGrant
    | Wake
    | Show
)

# ---- how a piece of I/O goes


@dataclass(frozen=True, slots=True)
class Straight:
    """To the disk, as long as `turn` is the present one when it begins."""

    turn: int
    runs: tuple[Run, ...]


@dataclass(frozen=True, slots=True)
class ConvertFirst:
    """A write to what was never written: the owner prepares it, then ask again."""

    turn: int
    grant: int


@dataclass(frozen=True, slots=True)
class ThroughOwner:
    turn: int
    grant: int


@dataclass(frozen=True, slots=True)
class Wait:
    """Until `Wake`, then ask again."""


class Never(enum.Enum):
    """Why no I/O on a file will ever be done by this life of the node."""

    DISK_LOST = "disk-lost"
    REFUSED = "refused"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True)
class Ended:
    why: Never
    code: str
    reason: str


Way = Straight | ConvertFirst | ThroughOwner | Wait | Ended
