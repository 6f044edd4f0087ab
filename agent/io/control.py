"""What an agent and its VM workers tell each other through shared memory.

Every field is one aligned word of 8 bytes with one writer, stored and loaded at once, so neither
side ever sees half of it.

```text
control block, one for each VM, native byte order
  byte   0  command   agent    sequence << 8 | holds
        8  epoch      agent    under which epoch the guest may run; written before the command
       16  throttle   agent    millionths of its time that the guest loses while it may run
       64  reply      worker   sequence of the command that was obeyed << 8 | state
       72  steps      worker   what the guest has done since it was booted
       80  written    worker   bytes that this worker's guest has written
       88  beat       worker   CLOCK_BOOTTIME of its last boundary, ns
       96  changed    worker   CLOCK_BOOTTIME of its last change of state, ns
      104  epoch      worker   the epoch of the command that was obeyed
      112  address    worker   where the VM's memory is in the worker, 0 until it is tracked
      120  filled     worker   bytes of memory filled so far
     1024  reason     worker   why it ended: length in a word, then UTF-8

lease page, one for each agent
  byte   0  end       agent    CLOCK_BOOTTIME in seconds, as a double
```

The command holds both the order and its number, and the reply both the state and the number of the
order that it answers: a state can never be mistaken for the answer to a later order.
"""

import enum
import mmap
import os
from dataclasses import dataclass

from protocol.names import Epoch, Hold

_BLOCK_BYTES = 4096
_COMMAND, _GRANTED_EPOCH, _THROTTLE = range(3)
_REPLY, _STEPS, _WRITTEN, _BEAT, _CHANGED, _EPOCH, _ADDRESS, _FILLED = range(8, 16)
_REASON_BYTE = 1024
_REASON_BYTES_MAX = 1000
_THROTTLE_UNITS = 1_000_000


class WorkerState(enum.Enum):
    """What a VM's worker is doing; ENDED is its last word, written before it exits by itself."""

    FILLING = 0
    PAUSED = 1
    RUNNING = 2
    ENDED = 3


@dataclass(frozen=True, slots=True)
class Command:
    """What the agent wants: the guest runs only while `holds` is empty."""

    sequence: int
    holds: Hold


@dataclass(frozen=True, slots=True)
class Reply:
    """What the worker does, having obeyed the command of that sequence."""

    sequence: int
    state: WorkerState


class _SharedPage:
    def __init__(self, fd: int, writable: bool) -> None:
        access = mmap.PROT_READ | (mmap.PROT_WRITE if writable else 0)
        self.fd = fd
        self._map = mmap.mmap(fd, _BLOCK_BYTES, mmap.MAP_SHARED, access)
        self._bytes = memoryview(self._map)

    @staticmethod
    def new_fd(name: str) -> int:
        fd = os.memfd_create(name, os.MFD_CLOEXEC)
        os.ftruncate(fd, _BLOCK_BYTES)
        return fd

    def close(self) -> None:
        self._bytes.release()
        self._map.close()
        os.close(self.fd)


class ControlBlock(_SharedPage):
    """Orders to one VM worker, and what it says of itself."""

    def __init__(self, fd: int) -> None:
        super().__init__(fd, writable=True)
        self._words = self._bytes.cast("Q")

    @classmethod
    def create(cls, name: str) -> "ControlBlock":
        return cls(cls.new_fd(f"control-{name}"[:200]))

    def close(self) -> None:
        self._words.release()
        super().close()

    # The agent's side.

    @property
    def command(self) -> Command:
        word = self._words[_COMMAND]
        return Command(word >> 8, Hold(word & 0xFF))

    def order(self, holds: Hold, epoch: Epoch) -> int:
        """Write a new command and return its sequence; the worker sees it at its next boundary."""
        sequence = (self._words[_COMMAND] >> 8) + 1
        self._words[_GRANTED_EPOCH] = epoch
        self._words[_COMMAND] = sequence << 8 | holds.value
        return sequence

    def set_throttle(self, share: float) -> None:
        self._words[_THROTTLE] = round(share * _THROTTLE_UNITS)

    @property
    def reply(self) -> Reply:
        word = self._words[_REPLY]
        return Reply(word >> 8, WorkerState(word & 0xFF))

    @property
    def steps(self) -> int:
        return self._words[_STEPS]

    @property
    def bytes_written(self) -> int:
        return self._words[_WRITTEN]

    @property
    def beat_ns(self) -> int:
        return self._words[_BEAT]

    @property
    def changed_ns(self) -> int:
        return self._words[_CHANGED]

    @property
    def epoch(self) -> Epoch:
        return Epoch(self._words[_EPOCH])

    @property
    def address(self) -> int:
        return self._words[_ADDRESS]

    @property
    def filled_bytes(self) -> int:
        return self._words[_FILLED]

    @property
    def reason(self) -> str:
        length = min(self._words[_REASON_BYTE // 8], _REASON_BYTES_MAX)
        start = _REASON_BYTE + 8
        return bytes(self._bytes[start : start + length]).decode(errors="replace")

    # The worker's side.

    @property
    def granted_epoch(self) -> Epoch:
        return Epoch(self._words[_GRANTED_EPOCH])

    @property
    def throttle(self) -> float:
        return self._words[_THROTTLE] / _THROTTLE_UNITS

    def answer(self, sequence: int, state: WorkerState, epoch: Epoch, now_ns: int) -> None:
        self._words[_EPOCH] = epoch
        self._words[_CHANGED] = now_ns
        self._words[_REPLY] = sequence << 8 | state.value

    def beat(self, steps: int, bytes_written: int, now_ns: int) -> None:
        self._words[_STEPS] = steps
        self._words[_WRITTEN] = bytes_written
        self._words[_BEAT] = now_ns

    def set_filled(self, filled_bytes: int) -> None:
        self._words[_FILLED] = filled_bytes

    def set_address(self, address: int) -> None:
        self._words[_ADDRESS] = address

    def set_reason(self, reason: str) -> None:
        text = reason.encode(errors="backslashreplace")[:_REASON_BYTES_MAX]
        start = _REASON_BYTE + 8
        self._bytes[start : start + len(text)] = text
        self._words[_REASON_BYTE // 8] = len(text)


class LeasePage(_SharedPage):
    """Until when this node's guests may run: the agent writes it, every worker obeys it."""

    def __init__(self, fd: int, writable: bool) -> None:
        super().__init__(fd, writable)
        self._ends = self._bytes.cast("d")

    @classmethod
    def create(cls) -> "LeasePage":
        """A lease that has not begun: its end is 0."""
        return cls(cls.new_fd("lease"), writable=True)

    @classmethod
    def watched(cls, fd: int) -> "LeasePage":
        """The agent's lease as a worker sees it."""
        return cls(fd, writable=False)

    @property
    def end_s(self) -> float:
        return self._ends[0]

    @end_s.setter
    def end_s(self, end_s: float) -> None:
        self._ends[0] = end_s

    def close(self) -> None:
        self._ends.release()
        super().close()
