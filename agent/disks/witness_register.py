"""The register of a disk witness: compare and set by a reservation that only its holder may write
under (WRITE EXCLUSIVE), in steps of one SCSI command each.

A step is a command that is yielded and what the disk said to it, which is sent back in. Why no two
write the same version: from the first hold on the disk is never without a holder, since nobody
releases it, and the disk takes a write from its holder alone. Who holds it all the while between
its look and its write has seen the newest version. (docs/protocol.md, on a disk of the SAN.)
"""

import enum
from collections.abc import Generator
from dataclasses import dataclass
from typing import TypeVar

import msgpack  # type: ignore[import-untyped]

from agent.disks import commands
from agent.disks.tasks import Task, Verdict, ending
from agent.disks.witness_area import (
    RECORDS_BYTES,
    newest_of,
    sealed,
    slot_at,
    version_in,
)
from agent.volumes.errors import Conflict, DiskError, MediumError, PathLost
from agent.witness_record import WitnessRecord, packed, unpacked
from protocol.disks import witness_key
from protocol.errors import NotReady, ProtocolError
from protocol.names import ClusterId, Incarnation
from protocol.scsi.errors import BadResponse
from protocol.scsi.persistent import Keys, Kind, Reservation
from protocol.scsi.sense import SenseKey
from protocol.scsi.status import Status

TRIES = 8
"""A disk may have as much news for one session before it carries a command out."""


class Outcome(enum.Enum):
    """What became of one command."""

    DONE = "it was carried out"
    CONFLICT = "it was not, since another one holds the disk or a key is gone"
    NEWS = "it was not; the disk had something to tell first"
    ABORTED = "it has ended, and may have been carried out"
    FAILED = "the disk could not, and perhaps did a part of it"


@dataclass(frozen=True, slots=True)
class Ask:
    """One SCSI command: its block, what goes along, and how much may come back."""

    cdb: bytes
    out: bytes = b""
    in_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Told:
    """The answer to an `Ask`."""

    outcome: Outcome
    data: bytes | bytearray = b""
    error: DiskError | None = None


Got = TypeVar("Got")
Talk = Generator[Ask, Told, Got]


def told(task: Task) -> Told:
    """What an answered command says. A session that broke is not told at all: the talk ends."""
    found = ending(task)
    data = bytes(task.target[: task.got_bytes])
    match found.verdict:
        case Verdict.FINE:
            return Told(Outcome.DONE, data)
        case Verdict.PREEMPTED:
            outcome = Outcome.NEWS if found.is_attention else Outcome.CONFLICT
            return Told(outcome, b"", found.error)
        case Verdict.AGAIN:
            aborted = task.status == Status.TASK_ABORTED or (
                found.sense is not None and found.sense.key is SenseKey.ABORTED_COMMAND
            )
            return Told(Outcome.ABORTED if aborted else Outcome.NEWS, b"", found.error)
    return Told(Outcome.FAILED, b"", found.error)


def asked(ask: Ask) -> Talk[bytes | None]:
    """What came back; None for a conflict. For commands that may be repeated."""
    answer = Told(Outcome.FAILED)
    for _ in range(TRIES):
        answer = yield ask
        if answer.outcome is Outcome.DONE:
            return bytes(answer.data)
        if answer.outcome is Outcome.CONFLICT:
            return None
        if answer.outcome is Outcome.FAILED:
            break
    raise answer.error or MediumError("the disk does not carry a command out, for no reason given")


class WitnessRegister:
    """Of one life of one node, over one nexus. Its talks come one after the other."""

    def __init__(self, incarnation: Incarnation, block_bytes: int) -> None:
        self.block_bytes = block_bytes
        self.key = 0
        self.holds = 0
        """Grows each time that the disk was taken: what was begun before is void."""

        self._incarnation = incarnation
        self._has_entered = False
        """This life has taken the place of whoever used its nexus before."""

    # ---- what the port has

    def read(self) -> Talk[tuple[int, WitnessRecord | None]]:
        records = yield from self._records()
        version, body = newest_of(records)
        return version, None if body is None else _opened(body)

    def write_if(self, version: int, record: WitnessRecord) -> Talk[bool]:
        """False: it was not done, and is never done later."""
        newest, _ = newest_of((yield from self._records()))
        if newest != version:
            return False
        has_held = yield from self._holds(record.cluster)
        if not has_held:
            if not (yield from self._take()):
                return False
            # The holder before may have written between the look and the taking; not any more.
            newest, _ = newest_of((yield from self._records()))
            if newest != version:
                return False
        return (yield from self._write(version + 1, msgpack.packb(packed(record))))

    # ---- the hold

    def _holds(self, cluster: ClusterId) -> Talk[bool]:
        self.key = int.from_bytes(witness_key(cluster, self._incarnation), "big")
        found = yield from self._reservation()
        return found.kind is Kind.WRITE_EXCLUSIVE and found.key == self.key

    def is_held(self) -> Talk[bool]:
        """Whether this life is the holder; only the holder's copies are worth anything."""
        if not self.key:
            return False
        found = yield from self._reservation()
        return found.kind is Kind.WRITE_EXCLUSIVE and found.key == self.key

    def _take(self) -> Talk[bool]:
        """Take the disk from nobody, or from the very one that was seen to hold it: should that
        one have lost it meanwhile, to whomever, nothing is taken.
        """
        yield from self._register()
        found = yield from self._reservation()
        self.holds += 1
        if found.kind is None:
            request = commands.reserve(self.key, Kind.WRITE_EXCLUSIVE)
        elif found.kind.held_by_all:
            raise NotReady("the disk is reserved by another program, for all who register with it")
        elif found.key != self.key:
            request = commands.preempt(self.key, found.key, True, Kind.WRITE_EXCLUSIVE)
        else:
            return found.kind is Kind.WRITE_EXCLUSIVE
        if (yield from asked(Ask(*request))) is None:
            return False
        found = yield from self._reservation()
        return found.kind is Kind.WRITE_EXCLUSIVE and found.key == self.key

    def _register(self) -> Talk[None]:
        """A life takes its node's place at the disk once. Later it registers only where there is
        no registration: the one that stands there would be of the life that followed.
        """
        data = yield from self._told(commands.READ_CAPABILITIES, 255)
        persists = commands.can_persist(data)
        if not self._has_entered:
            request = commands.register_anyhow(self.key, persists)
        else:
            keys = _read(Keys, (yield from self._told(commands.READ_KEYS, commands.KEYS_BYTES)))
            if self.key in keys.keys:
                return
            request = commands.register(0, self.key, persists)
        if (yield from asked(Ask(*request))) is None:
            raise Conflict("a later life of this node uses the disk witness")
        self._has_entered = True

    def _reservation(self) -> Talk[Reservation]:
        return _read(Reservation, (yield from self._told(commands.READ_RESERVATION, 255)))

    # ---- the blocks

    def _told(self, cdb: bytes, most: int) -> Talk[bytes]:
        data = yield from asked(Ask(cdb, b"", most))
        if data is None:
            raise Conflict("somebody has reserved the disk witness against being read")
        return data

    def read_at(self, at: int, length: int) -> Talk[bytes]:
        """These bytes, which are whole blocks."""
        lba, blocks = at // self.block_bytes, length // self.block_bytes
        data = yield from self._told(commands.read_cdb(lba, blocks), length)
        if len(data) != length:
            raise MediumError(f"{len(data)} bytes came where {length} were asked")
        return data

    def _records(self) -> Talk[bytes]:
        return (yield from self.read_at(0, RECORDS_BYTES))

    def _write(self, version: int, body: bytes) -> Talk[bool]:
        """Said again where the disk had only news: what it takes it takes from the holder, and this
        life has taken nothing anew since it looked.
        """
        content = sealed(version, body)
        lba = slot_at(version) // self.block_bytes
        cdb = commands.write_cdb(lba, len(content) // self.block_bytes, fua=True)
        answer = Told(Outcome.FAILED)
        for _ in range(TRIES):
            answer = yield Ask(cdb, content)
            match answer.outcome:
                case Outcome.DONE:
                    return True
                case Outcome.CONFLICT:
                    return False
                case Outcome.ABORTED:
                    return (yield from self._came_of(version, body))
                case Outcome.FAILED:
                    break
        raise answer.error or MediumError("the disk did not say what became of a write")

    def _came_of(self, version: int, body: bytes) -> Talk[bool]:
        """A write that was aborted has ended, and the disk shows whether it was in time."""
        records = yield from self._records()
        newest, _ = newest_of(records)
        if newest < version:
            return False
        found = version_in(records, version)
        if found is None:
            raise PathLost("the disk has gone on too far to show what became of a write")
        return found == body


def _read(kind: type[Got], data: bytes) -> Got:
    try:
        read: Got = kind.read(data)  # type: ignore[attr-defined]
        return read
    except BadResponse as error:
        raise MediumError(error.sentence) from None


def _opened(body: bytes) -> WitnessRecord:
    try:
        return unpacked(msgpack.unpackb(body))
    except (ValueError, TypeError, ProtocolError, msgpack.UnpackException) as error:
        raise NotReady(
            f"the record on the disk witness cannot be read ({error}); give the cluster another"
            " witness, or a blank disk once no node runs"
        ) from error
