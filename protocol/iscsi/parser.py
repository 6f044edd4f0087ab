"""An incoming byte stream cut into PDUs, its payload copied at most once.

Made for a protocol that reads into buffers: `get_buffer` says where the next bytes belong, `filled`
how many came, `next_pdu` gives out one whole PDU at a time, so that what one PDU changes (digests
after a login) counts for the next. The bulk of a large data segment is read straight into the
buffer that `place` chose for it; small ones are copied out of the window that headers arrive in.
"""

from collections.abc import Callable
from typing import TypeAlias

from protocol.iscsi.buffers import fresh
from protocol.iscsi.digests import DIGEST_BYTES, Buffer, is_digest_of
from protocol.iscsi.errors import DigestMismatch, PduTooBig
from protocol.iscsi.pdus import HEADER_BYTES, Pdu, ahs_bytes, data_bytes, decode

WINDOW_BYTES = 64 << 10
DATA_BYTES_DEFAULT = 8192
"""What a side takes before it has declared anything else (MaxRecvDataSegmentLength)."""

Place: TypeAlias = Callable[[Buffer, int], "memoryview | None"]
"""Where the data behind a header belong, given the header and their length. None: wherever.

A place is as long as the data, and only the parser writes there until the PDU is out."""


class PduParser:
    """Feed it what arrives; ask for PDUs until there is none."""

    def __init__(
        self, data_bytes_max: int = DATA_BYTES_DEFAULT, place: Place | None = None
    ) -> None:
        self.data_bytes_max = data_bytes_max
        self.place = place
        self.header_digest = False
        self.data_digest = False
        self._window = bytearray(WINDOW_BYTES)
        self._view = memoryview(self._window)
        self._start = 0  # of what is not parsed yet
        self._end = 0  # of what has arrived
        self._header: bytes | None = None  # of the PDU whose data are arriving
        self._ahs = b""
        self._data: memoryview = memoryview(b"")
        self._missing = 0  # bytes of `_data` that have not arrived
        self._straight = False  # the buffer that was given out last is `_data`'s

    def get_buffer(self) -> memoryview:
        """Where to write what arrives next. Never empty."""
        self._straight = self._missing > 0 and self._start == self._end
        if self._straight:
            return self._data[-self._missing :]
        if self._start == self._end:
            self._start = self._end = 0
        elif self._end == WINDOW_BYTES or self._start > WINDOW_BYTES // 2:
            rest = bytes(self._view[self._start : self._end])
            self._window[: len(rest)] = rest
            self._start, self._end = 0, len(rest)
        return self._view[self._end :]

    def filled(self, count: int) -> None:
        """The first `count` bytes of the buffer that was given out last have arrived."""
        if self._straight:
            self._missing -= count
        else:
            self._end += count

    def next_pdu(self) -> Pdu | None:
        """The next whole PDU, None if there is none yet. An `IscsiError` is the stream's end."""
        header = self._header
        if header is None:
            header = self._take_header()
            if header is None:
                return None
            length = data_bytes(header)
            if length == 0:
                return decode(header, self._ahs)
            self._begin(header, length)
        if self._missing:
            self._fill()
            if self._missing:
                return None
        return self._finish(header)

    def feed(self, data: Buffer) -> list[Pdu]:
        """All PDUs that `data` completes, for who has the bytes already."""
        found: list[Pdu] = []
        rest = memoryview(data)
        while len(rest):
            target = self.get_buffer()
            count = min(len(target), len(rest))
            target[:count] = rest[:count]
            self.filled(count)
            rest = rest[count:]
            while (pdu := self.next_pdu()) is not None:
                found.append(pdu)
        return found

    @property
    def is_between_pdus(self) -> bool:
        """Whether the stream may end here without cutting a PDU."""
        return self._header is None and self._start == self._end

    def _take_header(self) -> bytes | None:
        have = self._end - self._start
        if have < HEADER_BYTES:
            return None
        start = self._start
        header = bytes(self._view[start : start + HEADER_BYTES])
        extra = ahs_bytes(header)
        length = HEADER_BYTES + extra
        digest = DIGEST_BYTES if self.header_digest else 0
        if have < length + digest:
            return None
        if digest and not is_digest_of(
            self._view[start + length : start + length + digest],
            [self._view[start : start + length]],
        ):
            raise DigestMismatch("the header's digest is another than its bytes have")
        self._ahs = bytes(self._view[start + HEADER_BYTES : start + length]) if extra else b""
        self._start = start + length + digest
        return header

    def _begin(self, header: bytes, length: int) -> None:
        if length > self.data_bytes_max:
            raise PduTooBig(f"a segment of {length} bytes, {self.data_bytes_max} were declared")
        place = self.place(header, length) if self.place is not None else None
        self._data = fresh(length) if place is None else place
        assert len(self._data) == length, "a place of another length than the data"
        self._header, self._missing = header, length

    def _fill(self) -> None:
        count = min(self._missing, self._end - self._start)
        if count:
            at = len(self._data) - self._missing
            self._data[at : at + count] = self._view[self._start : self._start + count]
            self._start += count
            self._missing -= count

    def _finish(self, header: bytes) -> Pdu | None:
        data = self._data
        padding = -len(data) % 4
        tail = padding + (DIGEST_BYTES if self.data_digest else 0)
        if self._end - self._start < tail:
            return None
        if self.data_digest:
            behind = self._view[self._start : self._start + tail]
            if not is_digest_of(behind[padding:], [data, behind[:padding]]):
                raise DigestMismatch("the data's digest is another than their bytes have", header)
        self._start += tail
        self._header, self._data = None, memoryview(b"")
        return decode(header, self._ahs, data)
