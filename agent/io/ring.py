"""The ring between a VM's worker and its agent: requests to the VM's disk, and their data.

The data are copies: a write's bytes stay what they were when the guest asked, however long the
disk takes and whatever becomes of the VM's memory; and what was read is brought into the VM's
pages by its worker, so whatever finds the pages that a worker writes finds these, too.

```text
slot i, 64 bytes at 64 i, native byte order
  word 0  state    0 free, the worker's; 1 asked, the agent's; 2 answered, the worker's
       1  deed     what is wanted
       2  offset   in bytes of the disk
       3  length   in bytes
       4  epoch    under which the guest asked
data of slot i: 64 KiB at 4096 + 65536 i
```

The state is written last, by the side that gives the slot away, and each side is then woken by an
eventfd.
"""

import enum
import mmap
import os
from dataclasses import dataclass

from agent.guests.disk_queue import BUFFER_BYTES, SLOTS, Deed
from protocol.names import Epoch

_HEAD_BYTES = 4096
_SLOT_WORDS = 8
_STATE, _DEED, _OFFSET, _LENGTH, _EPOCH = range(5)
RING_BYTES = _HEAD_BYTES + SLOTS * BUFFER_BYTES


class Turn(enum.IntEnum):
    """Whose a slot is."""

    FREE = 0
    ASKED = 1
    ANSWERED = 2


@dataclass(frozen=True, slots=True)
class Wanted:
    """One request as the agent sees it; `data` is what to write, or where to read to."""

    slot: int
    deed: Deed
    offset: int
    epoch: Epoch
    data: memoryview


class Ring:
    """One VM's ring, as either side maps it."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self._map = mmap.mmap(fd, RING_BYTES, mmap.MAP_SHARED)
        self._bytes = memoryview(self._map)
        self._words = self._bytes[:_HEAD_BYTES].cast("Q")

    @classmethod
    def create(cls, name: str) -> "Ring":
        fd = os.memfd_create(f"ring-{name}"[:200], os.MFD_CLOEXEC)
        os.ftruncate(fd, RING_BYTES)
        return cls(fd)

    def turn(self, slot: int) -> Turn:
        return Turn(self._words[slot * _SLOT_WORDS + _STATE])

    @property
    def unanswered(self) -> int:
        """How many requests are the agent's, or answered and not yet in the VM's pages."""
        return sum(self.turn(slot) is not Turn.FREE for slot in range(SLOTS))

    def data(self, slot: int, length_bytes: int) -> memoryview:
        start = _HEAD_BYTES + slot * BUFFER_BYTES
        return self._bytes[start : start + length_bytes]

    # ---- the worker's side

    def hand_over(
        self, slot: int, deed: Deed, offset: int, length_bytes: int, epoch: Epoch
    ) -> None:
        """The data of a write lie in `data` already."""
        at = slot * _SLOT_WORDS
        for word, value in (
            (_DEED, int(deed)),
            (_OFFSET, offset),
            (_LENGTH, length_bytes),
            (_EPOCH, epoch),
        ):
            self._words[at + word] = value
        self._words[at + _STATE] = Turn.ASKED

    def free(self, slot: int) -> None:
        self._words[slot * _SLOT_WORDS + _STATE] = Turn.FREE

    def length_bytes(self, slot: int) -> int:
        return min(self._words[slot * _SLOT_WORDS + _LENGTH], BUFFER_BYTES)

    def deed(self, slot: int) -> Deed:
        return Deed(self._words[slot * _SLOT_WORDS + _DEED])

    # ---- the agent's side

    def wanted(self, slot: int) -> Wanted:
        at = slot * _SLOT_WORDS
        offset, epoch = self._words[at + _OFFSET], Epoch(self._words[at + _EPOCH])
        data = self.data(slot, self.length_bytes(slot))
        return Wanted(slot, self.deed(slot), offset, epoch, data)

    def answer(self, slot: int) -> None:
        self._words[slot * _SLOT_WORDS + _STATE] = Turn.ANSWERED

    def close(self) -> None:
        """Whoever still has a view of its data keeps the data, and nothing else does."""
        self._words.release()
        os.close(self.fd)
        try:
            self._bytes.release()
            self._map.close()
        except BufferError:
            pass  # the mapping goes with the last view of it
