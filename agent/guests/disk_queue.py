"""The disk of a VM as its guest sees it: requests in page 1, data in the pages behind it.

The queue is part of the VM's pages, and so moves with them. A guest fills a buffer and asks; the
device, which is the worker's, hands the request over and later puts the answer here. Only the
worker's process ever writes here, the data of reads included, so whatever finds the pages that a
worker writes finds these as well.

A slot is FREE (the guest's), ASKED (the device's) or DONE (the guest's again). At the boundary at
which a VM is moved no request has been handed over and not answered: what is ASKED then has not
been begun, and the device at the other end begins it.
"""

import enum
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from agent.guests.pages import Marks, Pages
from protocol.errors import ClusterError
from protocol.names import PAGE_BYTES

SLOTS = 8
BUFFER_BYTES = 64 * 1024
QUEUE_PAGE = 1
BUFFERS_PAGE = 2
_BUFFER_PAGES = BUFFER_BYTES // PAGE_BYTES
OWN_PAGE = BUFFERS_PAGE + SLOTS * _BUFFER_PAGES
"""The first page that a guest with a disk has for itself."""

_STATE, _DEED, _OFFSET, _LENGTH, _TAG, _REFUSED = range(6)
_SLOT_WORDS = 8

Bytes = npt.NDArray[np.uint8]


class RequestRefused(ClusterError):
    """A guest asked for what no disk can do: it is broken, not the disk."""

    definite = True


class SlotState(enum.IntEnum):
    """Whose turn it is, and after what."""

    FREE = 0
    ASKED = 1
    DONE = 2


class Deed(enum.IntEnum):
    """What a disk can be asked for. WRITE_THROUGH is answered when it is on stable storage."""

    READ = 1
    WRITE = 2
    WRITE_THROUGH = 3
    FLUSH = 4


@dataclass(frozen=True, slots=True)
class Request:
    """What a guest asked for."""

    slot: int
    deed: Deed
    offset: int
    length_bytes: int


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of it; `tag` is the guest's own word, as it was asked."""

    slot: int
    deed: int
    tag: int
    length_bytes: int


class DiskQueue:
    """Both sides of the queue, over a VM's pages."""

    def __init__(self, memory: Pages, marks: Marks | None = None) -> None:
        self._words = memory[QUEUE_PAGE, : SLOTS * _SLOT_WORDS].reshape(SLOTS, _SLOT_WORDS)
        flat: Bytes = memory.reshape(-1).view(np.uint8)
        start = BUFFERS_PAGE * PAGE_BYTES
        self._buffers = flat[start : start + SLOTS * BUFFER_BYTES].reshape(SLOTS, BUFFER_BYTES)
        self._marks = marks

    # ---- the guest's side

    def clear(self) -> None:
        self._words[:] = 0
        self._mark_queue()

    def is_free(self, slot: int) -> bool:
        return int(self._words[slot, _STATE]) == SlotState.FREE

    @property
    def is_quiet(self) -> bool:
        """Nothing is asked, and every answer has been taken."""
        return not self._words[:, _STATE].any()

    def buffer(self, slot: int) -> Bytes:
        """Where the data of a request lies; whoever writes it says so by `ask` or `finish`."""
        buffer: Bytes = self._buffers[slot]
        return buffer

    def ask(self, slot: int, deed: Deed, offset: int, length_bytes: int, tag: int = 0) -> None:
        assert self.is_free(slot), f"slot {slot} is taken"
        assert length_bytes <= BUFFER_BYTES, f"{length_bytes} bytes are too many for a request"
        self._mark_buffer(slot, length_bytes)
        self._words[slot, _DEED:] = (deed, offset, length_bytes, tag, 0, 0, 0)
        self._words[slot, _STATE] = SlotState.ASKED
        self._mark_queue()

    def answer(self, slot: int) -> Answer | None:
        """The answer that waits in a slot. A guest whose request made no sense goes no further."""
        state, deed, offset, length_bytes, tag, refused = self._words[slot, :6].tolist()
        if state != SlotState.DONE:
            return None
        if refused:
            raise RequestRefused(
                f"The disk refused request {deed} for {length_bytes} bytes at {offset}."
            )
        return Answer(slot, deed, tag, length_bytes)

    def tags(self) -> list[int]:
        """Of all slots that are not free."""
        return [int(row[_TAG]) for row in self._words if row[_STATE] != SlotState.FREE]

    def release(self, slot: int) -> None:
        self._words[slot, _STATE] = SlotState.FREE
        self._mark_queue()

    # ---- the device's side

    def asked(self) -> Iterator[Request]:
        """What has been asked for and not finished; nothing in it is believed unseen."""
        for slot in np.flatnonzero(self._words[:, _STATE] == SlotState.ASKED).tolist():
            _, deed, offset, length_bytes = self._words[slot, :4].tolist()
            if deed in set(Deed) and length_bytes <= BUFFER_BYTES:
                yield Request(slot, Deed(deed), offset, length_bytes)
            else:
                self.finish(slot, refused=True)

    def finish(self, slot: int, *, data: Bytes | None = None, refused: bool = False) -> None:
        """The data of a read first, then the word that it is there."""
        if data is not None:
            self._buffers[slot, : len(data)] = data
            self._mark_buffer(slot, len(data))
        self._words[slot, _REFUSED] = int(refused)
        self._words[slot, _STATE] = SlotState.DONE
        self._mark_queue()

    def _mark_queue(self) -> None:
        if self._marks is not None:
            self._marks[QUEUE_PAGE] = 1

    def _mark_buffer(self, slot: int, length_bytes: int) -> None:
        if self._marks is not None:
            first = BUFFERS_PAGE + slot * _BUFFER_PAGES
            self._marks[first : first + -(-length_bytes // PAGE_BYTES)] = 1
