"""Guests whose whole state lies in the VM's own pages: they write memory, each by a rule.

Page 0 is a guest's registers. A guest object keeps nothing between two steps, so it can be stopped
after any step, its pages moved, and another guest object goes on exactly where it was. What a guest
writes follows from its registers alone, however its work is cut into steps.

The rule of the wave (memory that proves itself): the set is pages 1..set_pages. In round r, at
position p, the first p pages of the set hold r + 1 and the others r, each in its first and in its
last word. A page that was lost, left old, torn or put elsewhere breaks the wave where it is.
"""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from agent.guests.pages import MAGIC, MASK, PAGE_WORDS, Marks, Pages, advanced, mixed
from agent.guests.workloads import RegistersLost, set_pages
from protocol.names import Workload
from protocol.workload import WORKLOADS

# Words of page 0.
_MAGIC, _KIND, _STEPS, _POSITION, _ROUND, _RANDOM, _SET_PAGES = range(7)
_LAST = PAGE_WORDS - 1

_HOT_TENTHS = 9

MAX_STEP_PAGES = 256
"""With a kernel fault of 2 us on each page of a step, a boundary still comes every 0.5 ms."""


class Idle:
    """Does nothing, and has no registers."""

    steps = 0
    epoch = 0

    def boot(self, seed: int) -> None:
        pass

    def step(self, budget_pages: int) -> int:
        return 0


Written = npt.NDArray[np.intp] | slice
Write = Callable[[Pages, Pages, int], Written]
"""Write at most `count` pages as the registers say, move the registers on, and name the pages."""


class Writer:
    """A guest that writes pages, by one of the rules below."""

    def __init__(self, workload: Workload, memory: Pages, marks: Marks | None = None) -> None:
        self.epoch = 0
        self._kind = WORKLOADS.index(workload.name)
        self._write = _WRITES[workload.name]
        self._set_pages = set_pages(workload, len(memory))
        self._memory = memory
        self._registers = memory[0]
        self._marks = marks

    @property
    def steps(self) -> int:
        """How many pages the guest has written since it was booted, wherever it ran."""
        return int(self._registers[_STEPS])

    def boot(self, seed: int) -> None:
        registers = self._registers
        registers[:] = 0
        registers[_KIND] = self._kind
        registers[_RANDOM] = seed & MASK
        registers[_SET_PAGES] = self._set_pages
        if self._write is _write_wave:
            self._memory[1 : self._set_pages + 1, 0] = 0
            self._memory[1 : self._set_pages + 1, _LAST] = 0
        registers[_MAGIC] = MAGIC

    def step(self, budget_pages: int) -> int:
        self._check_registers()
        budget_pages = min(budget_pages, MAX_STEP_PAGES)
        if budget_pages <= 0:
            return 0
        written = self._write(self._memory, self._registers, budget_pages)
        count = written.stop - written.start if isinstance(written, slice) else len(written)
        self._registers[_STEPS] += np.uint64(count)
        if (
            self._marks is not None
        ):  # after the write, so that a mark that is seen has its write before it
            self._marks[written] = 1
            self._marks[0] = 1
        return count

    def _check_registers(self) -> None:
        """The registers may have come over the network: nothing in them is believed unseen."""
        magic, kind, _, position, _, _, pages = self._registers[: _SET_PAGES + 1].tolist()
        if magic != MAGIC or kind != self._kind:
            wanted = WORKLOADS[self._kind]
            raise RegistersLost(f"Page 0 holds no registers of a {wanted} guest.")
        if not position < pages < len(self._memory):
            raise RegistersLost(
                f"The registers say page {position} of {pages}, which the VM cannot have."
            )


def _write_uniform(memory: Pages, registers: Pages, count: int) -> Written:
    values = _next_random(registers, count)
    pages: npt.NDArray[np.intp] = (values % registers[_SET_PAGES]).astype(np.intp) + 1
    _scatter(memory, pages, values)
    return pages


def _write_hotspot(memory: Pages, registers: Pages, count: int) -> Written:
    """Nine writes of ten go to the hot set, the others anywhere."""
    values = _next_random(registers, count)
    hot = (values >> np.uint64(40)) % np.uint64(10) < _HOT_TENTHS
    limits = np.where(hot, registers[_SET_PAGES], np.uint64(len(memory) - 1))
    pages = (values % limits).astype(np.intp) + 1
    _scatter(memory, pages, values)
    return pages


def _write_sweep(memory: Pages, registers: Pages, count: int) -> Written:
    """Each page of the set in turn, around and around."""
    around = registers[_ROUND] + np.uint64(1)
    pages = _next_in_turn(registers, count)
    memory[pages, 1] = around
    return pages


def _write_wave(memory: Pages, registers: Pages, count: int) -> Written:
    """Add one to each page in turn; the rule of the wave is told at the top of this module."""
    pages = _next_in_turn(registers, count)
    memory[pages, 0] += np.uint64(1)
    memory[pages, _LAST] += np.uint64(1)
    return pages


_WRITES: dict[str, Write] = {
    "uniform": _write_uniform,
    "hotspot": _write_hotspot,
    "sweep": _write_sweep,
    "wave": _write_wave,
}


def _next_random(registers: Pages, count: int) -> Pages:
    state = int(registers[_RANDOM])
    registers[_RANDOM] = advanced(state, count)
    return mixed(state, count)


def _scatter(memory: Pages, pages: npt.NDArray[np.intp], values: Pages) -> None:
    memory[pages, (values >> np.uint64(55)).astype(np.intp)] = values


def _next_in_turn(registers: Pages, count: int) -> slice:
    """The next pages of the set, at most up to its end; there a new round begins."""
    position, pages = int(registers[_POSITION]), int(registers[_SET_PAGES])
    end = min(position + count, pages)
    registers[_POSITION] = end % pages
    if end == pages:
        registers[_ROUND] += np.uint64(1)
    return slice(position + 1, end + 1)


def check_wave(memory: Pages) -> str | None:
    """Where the wave is broken, as a sentence; None where it is whole."""
    registers = memory[0]
    if registers[_MAGIC] != MAGIC or registers[_KIND] != WORKLOADS.index("wave"):
        return "Page 0 holds no registers of a wave guest."
    position, around, pages = (int(registers[word]) for word in (_POSITION, _ROUND, _SET_PAGES))
    if not position < pages < len(memory):
        return f"The registers say page {position} of {pages}, which the VM cannot have."
    expected = around + (np.arange(pages, dtype=np.uint64) < position).astype(np.uint64)
    for word, place in ((0, "starts"), (_LAST, "ends")):
        found = memory[1 : pages + 1, word]
        broken = np.flatnonzero(found != expected)
        if len(broken):
            first = int(broken[0])
            return (
                f"Page {first + 1} {place} with {found[first]} where the wave is at "
                f"{expected[first]}; {len(broken)} of {pages} pages are off."
            )
    return None
