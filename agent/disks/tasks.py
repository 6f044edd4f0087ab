"""One SCSI command on its way: what it takes along, what it brings back, and what its end means."""

import enum
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from agent.disks.errors import NoSpace
from agent.volumes.errors import Conflict, DiskError, MediumError, OutOfRange, PathLost
from protocol.iscsi.digests import Buffer
from protocol.scsi.errors import BadResponse
from protocol.scsi.sense import (
    LBA_OUT_OF_RANGE,
    REGISTRATIONS_PREEMPTED,
    RESERVATIONS_PREEMPTED,
    SPACE_EXHAUSTED,
    UNIT_NOT_SUPPORTED,
    Sense,
    SenseKey,
    read_sense,
)
from protocol.scsi.status import Status

JOINED_BYTES_MAX: Final = 64 << 10
NOTHING = memoryview(b"")


@dataclass(slots=True, eq=False)
class Task:
    """A command and its place in the memory of who asked; the session fills in the rest."""

    lun: int
    """As it stands in a header."""

    cdb: bytes
    target: memoryview = NOTHING
    """Where what is read belongs."""

    pieces: tuple[memoryview, ...] = ()
    """What is written, one behind the other."""

    waiter: Any = None
    """Whom the edge tells; the machine does not look at it."""

    out_bytes: int = 0
    tag: int = 0
    got_bytes: int = 0
    data_sn: int = 0
    r2t_sn: int = 0
    sent_bytes: int = 0
    sent_at: float = 0.0
    status: int = -1
    sense: bytes = b""

    def __post_init__(self) -> None:
        if self.pieces:
            self.out_bytes = sum(map(len, self.pieces))

    def again(self) -> "Task":
        """The same command, to be sent anew."""
        return Task(self.lun, self.cdb, self.target, self.pieces, self.waiter)

    def cut(self, offset: int, length: int, most: int) -> list[tuple[int, memoryview]]:
        """This part of the data in segments of at most `most`, each with its offset; not copied."""
        found = []
        start = 0
        end = offset + length
        for piece in self.pieces:
            stop = start + len(piece)
            at, last = max(offset, start), min(end, stop)
            while at < last:
                count = min(most, last - at)
                found.append((at, piece[at - start : at - start + count]))
                at += count
            start = stop
            if start >= end:
                break
        return found


def pieces_of(buffers: Sequence[Buffer]) -> tuple[memoryview, ...]:
    """Views of bytes; a few small buffers become one, which is cheaper than a PDU for each."""
    if len(buffers) == 1:
        return (flat(buffers[0]),)
    views = tuple(view for view in map(flat, buffers) if len(view))
    small = any(len(view) % 4 or len(view) < 4096 for view in views)
    if len(views) > 1 and (small or sum(map(len, views)) <= JOINED_BYTES_MAX):
        return (memoryview(b"".join(views)),)
    return views


def flat(buffer: Buffer) -> memoryview:
    view = memoryview(buffer)
    return view if view.format == "B" and view.ndim == 1 else view.cast("B")


class Verdict(enum.Enum):
    """What to do after a command ended."""

    FINE = "it was carried out"
    AGAIN = "it was not carried out, for a reason that has passed with this answer"
    LATER = "it was not carried out; the target is busy for a while"
    PREEMPTED = "this node's registration or reservation was taken away"
    FAILED = "repeating it makes no difference"


@dataclass(frozen=True, slots=True)
class Ending:
    """A verdict, and the error for who asked where there is one."""

    verdict: Verdict
    error: DiskError | None = None
    sense: Sense | None = field(default=None, compare=False)

    @property
    def is_attention(self) -> bool:
        """PREEMPTED by a unit attention: it tells of the past, once, and perhaps of a former key.
        RESERVATION CONFLICT is about this command.
        """
        return self.verdict is Verdict.PREEMPTED and self.sense is not None


FINE = Ending(Verdict.FINE)
_PREEMPTIONS = {RESERVATIONS_PREEMPTED.code, REGISTRATIONS_PREEMPTED.code}


def ending(task: Task) -> Ending:
    """What the status and the sense data of an answered command mean."""
    match task.status:
        case Status.GOOD:
            return FINE
        case Status.RESERVATION_CONFLICT:
            return Ending(Verdict.PREEMPTED, Conflict("a reservation keeps this node out"))
        case Status.BUSY | Status.TASK_SET_FULL:
            return Ending(Verdict.LATER, MediumError("the target stays busy"))
        case Status.TASK_ABORTED:
            return Ending(Verdict.AGAIN, MediumError("others abort the command again and again"))
        case Status.CHECK_CONDITION:
            return _by_sense(task.sense)
    return Ending(Verdict.FAILED, MediumError(f"the target answers with status {task.status:02x}h"))


def _by_sense(data: bytes) -> Ending:
    try:
        sense = read_sense(data)
    except BadResponse as error:
        return Ending(Verdict.FAILED, MediumError(error.sentence))
    match sense.key:
        case SenseKey.UNIT_ATTENTION if sense.code in _PREEMPTIONS:
            return Ending(Verdict.PREEMPTED, Conflict(f"the target says {sense.name}"), sense)
        case SenseKey.UNIT_ATTENTION | SenseKey.ABORTED_COMMAND:
            return Ending(Verdict.AGAIN, MediumError(f"the target says {sense.name}"), sense)
        case SenseKey.NO_SENSE | SenseKey.RECOVERED_ERROR:
            return Ending(Verdict.FINE, None, sense)
        case SenseKey.NOT_READY:
            return Ending(Verdict.LATER, MediumError(f"the target says {sense.name}"), sense)
        case _:
            return Ending(Verdict.FAILED, _failure(sense), sense)


def _failure(sense: Sense) -> DiskError:
    words = f"the target says {sense.name}"
    if sense.code == SPACE_EXHAUSTED.code:
        return NoSpace(words)
    if sense.code == LBA_OUT_OF_RANGE.code:
        return OutOfRange(words)
    if sense.code == UNIT_NOT_SUPPORTED.code:
        # Not one bad place of a disk, but no disk: whoever owns it has to let it go.
        return PathLost(f"there is no disk behind the path any more: {words}")
    return MediumError(words)
