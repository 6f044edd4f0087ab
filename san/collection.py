"""The data of one write on their way in: with the command, unsolicited, and as R2Ts asked for.

Each part lands in a buffer of its own and stays there until the medium has it. Pieces come in
order (DataPDUInOrder and DataSequenceInOrder are always agreed), so what has come is one number.
"""

from dataclasses import dataclass

from protocol.iscsi.buffers import fresh
from protocol.iscsi.digests import Buffer
from protocol.iscsi.errors import BadPdu, IscsiError
from protocol.iscsi.negotiation import Agreed
from protocol.iscsi.requests import NO_TAG, DataOut


class LostData(IscsiError):
    """A piece before this one never came: the command fails, the connection goes on."""


@dataclass(slots=True)
class Burst:
    """A part of the data that comes without further asking."""

    offset: int
    data: memoryview
    came: int = 0
    sequence: int = 0

    @property
    def missing(self) -> int:
        return len(self.data) - self.came


@dataclass(frozen=True, slots=True)
class Wanted:
    """An R2T that is to be sent."""

    transfer_tag: int
    sequence: int
    offset: int
    length: int


class Collection:
    """`wanted_bytes` of data for a write, for which the initiator has announced so many."""

    def __init__(
        self, wanted_bytes: int, announced_bytes: int, agreed: Agreed, data: Buffer, final: bool
    ) -> None:
        self.wanted_bytes = wanted_bytes
        self._agreed = agreed
        self._chunks: list[memoryview] = [memoryview(data)] if len(data) else []
        self._asked = len(data)  # up to here data came or were asked for
        self._bursts: dict[int, Burst] = {}
        self._sequence = 0
        limit = min(agreed.first_burst_bytes_max, announced_bytes)
        if len(data) > limit:
            raise BadPdu(f"{len(data)} bytes came with the command, {limit} may come unasked")
        if not final:
            if agreed.initial_r2t:
                raise BadPdu("more data are announced unasked, and none may come")
            self._bursts[NO_TAG] = Burst(len(data), fresh(limit - len(data)))

    @property
    def is_unsolicited_open(self) -> bool:
        """Whether the initiator is still sending what nobody has asked for."""
        return NO_TAG in self._bursts

    @property
    def is_complete(self) -> bool:
        return not self._bursts and self._asked >= self.wanted_bytes

    @property
    def requests(self) -> int:
        """How many R2Ts were sent."""
        return self._sequence

    def buffers(self) -> tuple[memoryview, ...]:
        """What came, as far as it is wanted."""
        rest, found = self.wanted_bytes, []
        for chunk in self._chunks:
            if rest <= 0:
                break
            found.append(chunk[:rest])
            rest -= len(chunk)
        return tuple(found)

    def place(self, transfer_tag: int, offset: int, length: int) -> memoryview | None:
        """Where the next piece belongs; None where none is due."""
        burst = self._bursts.get(transfer_tag)
        if burst is None or offset != burst.offset + burst.came or length > burst.missing:
            return None
        return burst.data[burst.came : burst.came + length]

    def take(self, pdu: DataOut) -> None:
        """A piece has arrived, in its place. Raises `BadPdu`, or `LostData`."""
        burst = self._bursts.get(pdu.transfer_tag)
        if burst is None:
            raise BadPdu(f"data for transfer {pdu.transfer_tag:#x}, which nobody has asked for")
        if pdu.data_sn != burst.sequence:
            raise LostData(f"piece {pdu.data_sn} of data, where {burst.sequence} is due")
        if pdu.offset != burst.offset + burst.came or len(pdu.data) > burst.missing:
            raise BadPdu(f"{len(pdu.data)} bytes at {pdu.offset}, out of turn or too many")
        place = burst.data[burst.came : burst.came + len(pdu.data)]
        if not (isinstance(pdu.data, memoryview) and pdu.data.obj is burst.data.obj):
            place[:] = pdu.data  # it came some other way than into the place that was given out
        burst.came += len(pdu.data)
        burst.sequence += 1
        if pdu.final:
            if burst.missing and pdu.transfer_tag != NO_TAG:
                raise BadPdu(f"a sequence ends {burst.missing} bytes early")
            del self._bursts[pdu.transfer_tag]
            self._chunks.append(burst.data[: burst.came])
            self._asked = max(self._asked, burst.offset + burst.came)
        elif not burst.missing:
            raise BadPdu("a sequence has all its bytes and does not end")

    def next_request(self, transfer_tag: int) -> Wanted | None:
        """What to ask for next under this new tag; None while enough is on its way."""
        if (
            self.is_unsolicited_open
            or self._asked >= self.wanted_bytes
            or len(self._bursts) >= self._agreed.r2t_outstanding_max
        ):
            return None
        length = min(self._agreed.burst_bytes_max, self.wanted_bytes - self._asked)
        wanted = Wanted(transfer_tag, self._sequence, self._asked, length)
        self._bursts[transfer_tag] = Burst(self._asked, fresh(length))
        self._asked += length
        self._sequence += 1
        return wanted
