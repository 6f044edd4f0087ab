"""What guests with a disk have in common: registers in page 0, a queue of requests, a life in
phases.
"""

import abc
import enum
from typing import ClassVar

import numpy as np

from agent.guests.disk_queue import OWN_PAGE, Bytes, DiskQueue
from agent.guests.pages import MAGIC, MASK, PAGE_WORDS, Marks, Pages
from agent.guests.workloads import RegistersLost, validate_workload
from protocol.errors import ClusterError
from protocol.names import PAGE_BYTES, Workload
from protocol.workload import block_bytes, why_no_disk

# Words of page 0.
MAGIC_WORD, KIND, STEPS, PHASE, OWNER, BLOCK, ASKED, TAKEN, NEXT, ACKED, LINK, FIRST = range(12)
SCAN = 16
"""From here on lies what the search for the end of the log has found so far."""


class DiskBroken(ClusterError):
    """What was acknowledged is not on the disk, or is not what was written; or there is no disk, or
    no memory, to work with.
    """

    definite = True


class Phase(enum.IntEnum):
    """READING finds out what the disk holds, SETTLING makes that stable, RUNNING is the work."""

    READING = 0
    REDOING = 1
    SETTLING = 2
    RUNNING = 3


class DiskGuest(abc.ABC):
    """A guest keeps nothing between two steps but what is in its pages and on its disk.

    A step does what the phase is for, and says how many units of work that was.
    """

    kind: ClassVar[int]
    name: ClassVar[str]
    set_is_memory: ClassVar[bool]
    """Whether the workload's set bounds what it uses of its memory, or of its disk."""

    def __init__(
        self, workload: Workload, memory: Pages, disk_bytes: int, marks: Marks | None = None
    ) -> None:
        if wrong := why_no_disk(workload, (disk_bytes,) if disk_bytes else ()):
            raise DiskBroken(wrong)
        if wrong := validate_workload(workload, len(memory) * PAGE_BYTES):
            raise DiskBroken(wrong)
        self.epoch = 0
        self._block_bytes = block_bytes(workload)
        self._disk_bytes = disk_bytes
        self._set_bytes = workload.set_bytes
        self._queue = DiskQueue(memory, marks)
        self._registers = memory[0]
        self._marks = marks
        own = memory[OWN_PAGE:]
        if workload.set_bytes and self.set_is_memory:
            own = own[: max(1, workload.set_bytes // PAGE_BYTES)]
        self._own: Pages = own.reshape(-1)

    @property
    def steps(self) -> int:
        return int(self._registers[STEPS])

    def boot(self, seed: int) -> None:
        self._registers[:] = 0
        self._queue.clear()
        self._registers[KIND] = self.kind
        self._registers[OWNER] = seed & MASK
        self._registers[BLOCK] = self._block_bytes
        self._registers[MAGIC_WORD] = MAGIC

    def step(self, budget: int) -> int:
        self._check_registers()
        match Phase(int(self._registers[PHASE])):
            case Phase.READING:
                done = self._read()
            case Phase.REDOING:
                done = self._redo()
            case Phase.SETTLING:
                done = self._settle()
            case Phase.RUNNING:
                done = self._run(budget)
        if self._marks is not None:
            self._marks[0] = 1
        return done

    @abc.abstractmethod
    def _read(self) -> int: ...

    def _redo(self) -> int:
        """Only of who goes to that phase."""
        raise RegistersLost(f"The registers of the {self.name} say a phase that it does not have.")

    @abc.abstractmethod
    def _settle(self) -> int: ...

    @abc.abstractmethod
    def _run(self, budget: int) -> int: ...

    def _go_to(self, phase: Phase) -> None:
        self._registers[PHASE] = int(phase)

    def _data(self, slot: int) -> Bytes:
        return self._queue.buffer(slot)[: self._block_bytes]

    def _mark_own(self, word: int, words: int) -> None:
        if self._marks is not None:
            first = OWN_PAGE + word // PAGE_WORDS
            last = OWN_PAGE + (word + words - 1) // PAGE_WORDS
            self._marks[first : last + 1] = 1

    def _check_registers(self) -> None:
        """They may have come over the network: nothing in them is believed unseen."""
        magic, kind, _, phase, _, block = self._registers[:6].tolist()
        if magic != MAGIC or kind != self.kind:
            raise RegistersLost(f"Page 0 holds no registers of a {self.name} guest.")
        if phase > Phase.RUNNING or block != self._block_bytes:
            raise RegistersLost(
                f"The registers of the {self.name} say phase {phase} and blocks of {block} bytes."
            )

    def _word(self, word: int) -> int:
        return int(self._registers[word])

    def _set(self, word: int, value: int) -> None:
        self._registers[word] = np.uint64(value)
