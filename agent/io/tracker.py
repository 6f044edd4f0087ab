"""Which pages a guest wrote since the last look, behind one interface.

Whoever copies pages looks first and reads them afterwards: a write in between is found by the next
look, so none is ever lost.
"""

import mmap
import os
from collections.abc import Callable
from typing import Protocol

import numpy as np

from agent.guests import Marks
from agent.io.memory import VmMemory
from agent.io.userfault import PagemapScan, track_writes
from agent.runs import Runs, no_runs, runs_from_map, runs_from_numbers, spans
from protocol.names import PAGE_BYTES

KERNEL = "kernel"
MAP = "map"
PREFERENCES = ("auto", KERNEL, MAP)
_GAP_PAGES = 512
"""Where so many pages lie between two, looking twice costs less than looking at those, too."""

_PROBE_PAGES = 16
_PROBE_PAGE = 11


class DirtyTracker(Protocol):
    """`begin` a copy by forgetting what was written before; then `collect` it, again and again.

    `peek` and `take` are for those who copy, of pages that they are about to read. Several threads
    may ask at once.
    """

    name: str

    def begin(self) -> None: ...

    def collect(self) -> Runs:
        """The pages written since they were last watched; now they are watched again."""

    def look(self) -> Runs:
        """The same pages, and the next look finds them again."""

    def peek(self, among: Runs) -> Runs:
        """As `look`, but only pages of this set, and maybe some between them."""

    def take(self, among: Runs) -> Runs:
        """As `collect`, but only pages of this set, and maybe some between them."""

    def close(self) -> None: ...


class KernelTracker:
    """The kernel finds the pages, in the page table of the worker that writes them."""

    name = KERNEL

    def __init__(self, pid: int, address: int, pages: int) -> None:
        self._scan = PagemapScan(pid, address, pages)

    def begin(self) -> None:
        self._scan.written(protect=True)

    def collect(self) -> Runs:
        return self._scan.written(protect=True)

    def look(self) -> Runs:
        return self._scan.written(protect=False)

    def peek(self, among: Runs) -> Runs:
        return self._scan.written(protect=False, spans=spans(among, _GAP_PAGES))

    def take(self, among: Runs) -> Runs:
        return self._scan.written(protect=True, spans=spans(among, _GAP_PAGES))

    def close(self) -> None:
        self._scan.close()


class MarkMap:
    """One byte a page in a memfd, which guests set after they wrote the page.

    A byte and not a bit: two processes that change bits of one word would lose some.
    """

    def __init__(self, fd: int, pages: int) -> None:
        self.fd = fd
        self._map = mmap.mmap(fd, max(pages, PAGE_BYTES), mmap.MAP_SHARED)
        self.marks: Marks = np.frombuffer(self._map, np.uint8, pages)

    @classmethod
    def create(cls, name: str, pages: int) -> "MarkMap":
        fd = os.memfd_create(f"marks-{name}"[:200], os.MFD_CLOEXEC)
        os.ftruncate(fd, max(pages, PAGE_BYTES))
        return cls(fd, pages)

    def close(self) -> None:
        self.marks = np.empty(0, np.uint8)
        self._map.close()
        os.close(self.fd)


class MapTracker:
    """Guests mark what they write; it works on every kernel, but only with guests that do."""

    name = MAP

    def __init__(self, marked: MarkMap) -> None:
        self._marked = marked

    def begin(self) -> None:
        self.collect()

    def collect(self) -> Runs:
        marks = self._marked.marks
        seen = marks.astype(np.bool_)  # a copy: guests go on marking meanwhile
        # Only marks that were seen are cleared: one that was set after the copy stays for the next
        # look, and one that was set again names a page that is yet to be read.
        marks[seen] = 0
        return runs_from_map(seen)

    def look(self) -> Runs:
        return runs_from_map(self._marked.marks.astype(np.bool_))

    def peek(self, among: Runs) -> Runs:
        numbers = among.numbers()
        return runs_from_numbers(numbers[self._marked.marks[numbers] != 0])

    def take(self, among: Runs) -> Runs:
        found = self.peek(among)
        self._marked.marks[found.numbers()] = 0
        return found

    def close(self) -> None:
        pass


class IdleTracker:
    """Nobody writes the pages of a VM without a worker."""

    name = "idle"

    def begin(self) -> None:
        pass

    def collect(self) -> Runs:
        return no_runs()

    def look(self) -> Runs:
        return no_runs()

    def peek(self, among: Runs) -> Runs:
        return no_runs()

    def take(self, among: Runs) -> Runs:
        return no_runs()

    def close(self) -> None:
        pass


def choose_tracker(
    preference: str = "auto", probe: Callable[[], str | None] | None = None
) -> tuple[str, str]:
    """The tracker for this machine and the reason for it, as a sentence that the agent reports."""
    assert preference in PREFERENCES, f"{preference!r} is none of {PREFERENCES}"
    if preference == MAP:
        return MAP, "Guests mark the pages they write, as the settings ask."
    wrong = (probe or probe_kernel)()
    if wrong is None:
        return KERNEL, "The kernel tracks writes (userfaultfd and PAGEMAP_SCAN): tried, and exact."
    return MAP, f"Guests mark the pages they write, because the kernel cannot track: {wrong}."


def probe_kernel() -> str | None:
    """What is wrong with the kernel's tracking; None after it named a page that a child wrote.

    It is tried and not asked for: some kernels accept the calls and then report nothing. To be
    called before there is an event loop, or from a thread, since it waits for a child.
    """
    memory = VmMemory.create("probe", _PROBE_PAGES * PAGE_BYTES)
    here, there = os.pipe(), os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(here[1])  # else the child would wait for itself
        os.close(there[0])
        _write_one_page_when_told(memory, here[0], there[1])
    try:
        os.close(here[0])
        os.close(there[1])
        return _wrong_of(pid, here[1], there[0])
    except OSError as error:
        return f"{error.strerror or error}"
    finally:
        os.close(here[1])
        os.close(there[0])
        os.waitpid(pid, 0)
        memory.close()


def _wrong_of(pid: int, to_child: int, from_child: int) -> str | None:
    answer = os.read(from_child, 400).decode()
    if not answer.isdecimal():
        return answer or "the probe ended without an answer"
    scan = PagemapScan(pid, int(answer), _PROBE_PAGES)
    try:
        scan.written(protect=True)
        os.write(to_child, b"w")
        os.read(from_child, 1)
        found = scan.written(protect=True).numbers().tolist()
    finally:
        scan.close()
    return None if found == [_PROBE_PAGE] else f"page {_PROBE_PAGE} was written, it found {found}"


def _write_one_page_when_told(memory: VmMemory, told: int, answers: int) -> None:
    """In the forked child: never returns."""
    try:
        mine = VmMemory(os.dup(memory.fd), memory.memory_bytes)
        mine.populate()
        track_writes(mine.address, mine.memory_bytes)
        os.write(answers, str(mine.address).encode())
        if os.read(told, 1):
            mine.array[_PROBE_PAGE, 3] = 1
        os.write(answers, b"w")
        os.read(told, 1)  # the parent reads this process's page table until it closes the pipe
    except BaseException as error:
        os.write(answers, str(getattr(error, "strerror", None) or error).encode()[:400])
    finally:
        os._exit(0)
