"""No page is lost, whatever is written while a pass reads, and whenever marks are taken away."""

import os
import queue
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.io.marking import DirtyPages
from agent.io.memory import VmMemory
from agent.io.page_receiver import Arrival, PageReceiver, RoundReceived
from agent.io.page_sender import PageSender
from agent.io.passes import Pass, send_pass
from agent.io.tracker import (
    KERNEL,
    MAP,
    DirtyTracker,
    KernelTracker,
    MapTracker,
    MarkMap,
    probe_kernel,
)
from agent.io.userfault import track_writes
from agent.runs import Runs, batches, stripes
from protocol.names import PAGE_BYTES, AttemptId
from protocol.travel import Marking

PAGES = 96
PATIENCE_S = 30.0
kernel_tracks = pytest.mark.skipif(probe_kernel() is not None, reason="the kernel cannot track")
trackers = pytest.mark.parametrize("kind", [pytest.param(KERNEL, marks=kernel_tracks), MAP])
markings = pytest.mark.parametrize("marking", list(Marking))

Write = Callable[[list[int]], None]


@contextmanager
def tracked(kind: str, memory: VmMemory) -> Iterator[tuple[DirtyTracker, Write]]:
    """A tracker, and a guest's way to write that it notices."""
    marked = MarkMap.create("test", memory.pages)

    def write(pages: list[int]) -> None:
        memory.array[pages, 5] += np.uint64(1)
        marked.marks[pages] = 1

    if kind == MAP:
        yield MapTracker(marked), write
    else:
        uffd = track_writes(memory.address, memory.memory_bytes)
        with closing(KernelTracker(os.getpid(), memory.address, memory.pages)) as tracker:
            yield tracker, write
        os.close(uffd)
    marked.close()


some_pages = st.lists(st.integers(0, PAGES - 1), max_size=12)
passes = st.lists(st.lists(some_pages, max_size=40), min_size=1, max_size=4)


@trackers
@markings
def test_a_copy_is_whole_after_the_last_pass_wherever_the_guest_wrote(
    kind: str, marking: Marking
) -> None:
    with closing(VmMemory.create("test", PAGES * PAGE_BYTES)) as memory:
        memory.populate()
        with tracked(kind, memory) as (tracker, write):

            @settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
            @given(passes, st.integers(1, 40), st.integers(1, 3))
            def check(script: list[list[list[int]]], batch_pages: int, streams: int) -> None:
                copy = np.full_like(memory.array, 7)
                dirty = DirtyPages(tracker, marking, PAGES)
                for number, writes in enumerate(script):
                    guest = iter(writes)
                    copy_pass(dirty, number, copy, memory, batch_pages, streams, guest, write)
                    for left in guest:  # between two passes
                        write(left)
                copy_pass(
                    dirty, len(script), copy, memory, batch_pages, streams, iter([]), write, True
                )
                assert np.array_equal(copy, memory.array)
                assert dirty.left.pages == 0

            check()


def copy_pass(
    dirty: DirtyPages,
    number: int,
    copy: np.ndarray[tuple[int, ...], np.dtype[np.uint64]],
    memory: VmMemory,
    batch_pages: int,
    streams: int,
    guest: Iterator[list[int]],
    write: Write,
    is_last: bool = False,
) -> None:
    """A sender without a wire; the guest writes before and after each look of it."""
    runs = dirty.begin(number, is_last=is_last)
    ready = dirty.ready(is_last=is_last)
    shares = [batches(share, batch_pages) for share in stripes(runs, streams, 4)]
    turns = [
        share[at] for at in range(max(map(len, shares))) for share in shares if at < len(share)
    ]
    for batch in turns:
        write(next(guest, []))
        wanted = batch if ready is None else ready(batch)
        write(next(guest, []))
        numbers = wanted.numbers()
        copy[numbers] = memory.array[numbers]
    dirty.end(is_last=is_last)


@trackers
def test_pages_that_are_written_again_are_left_and_sent_by_the_next_pass(kind: str) -> None:
    with closing(VmMemory.create("test", PAGES * PAGE_BYTES)) as memory:
        memory.populate()
        with tracked(kind, memory) as (tracker, write):
            dirty = DirtyPages(tracker, Marking.PEEK, PAGES)
            runs = dirty.begin(0, is_last=False)
            ready = dirty.ready(is_last=False)
            assert ready is not None
            write([3, 4, 50])
            assert set(range(PAGES)) - set(numbers_of(ready(runs))) == {3, 4, 50}
            assert numbers_of(dirty.end(is_last=False)) == [3, 4, 50]
            assert numbers_of(dirty.begin(1, is_last=True)) == [3, 4, 50]
            assert dirty.ready(is_last=True) is None


@trackers
def test_a_page_that_is_written_before_it_is_sent_is_sent_once_if_marks_go_at_sending(
    kind: str,
) -> None:
    with closing(VmMemory.create("test", PAGES * PAGE_BYTES)) as memory:
        memory.populate()
        with tracked(kind, memory) as (tracker, write):
            for marking, again in ((Marking.ROUND, [9, 40]), (Marking.SENT, [9])):
                dirty = DirtyPages(tracker, marking, PAGES)
                runs = dirty.begin(0, is_last=False)
                ready = dirty.ready(is_last=False) or (lambda batch: batch)
                first, second = batches(runs, PAGES // 2 - 10)[:2]
                ready(first)
                write([9, 40])  # the one was just read, the other is yet to be
                ready(second)
                for rest in batches(runs, PAGES // 2 - 10)[2:]:
                    ready(rest)
                assert numbers_of(dirty.end(is_last=False)) == again


def numbers_of(runs: Runs) -> list[int]:
    pages: list[int] = runs.numbers().tolist()
    return pages


# ---- with a guest in a process of its own, over real streams


@dataclass(frozen=True, slots=True)
class Guest:
    """A child that writes as fast as it can until it is told to pause."""

    pid: int
    address: int
    told: int
    says: int

    def pause(self) -> None:
        os.write(self.told, b"p")
        assert os.read(self.says, 1) == b"p"

    def end(self) -> None:
        os.close(self.told)
        os.waitpid(self.pid, 0)
        os.close(self.says)


def start_guest(memory: VmMemory, marked: MarkMap) -> Guest:
    to_child, to_parent = os.pipe(), os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.close(to_child[1])
            live(memory, marked, to_child[0], to_parent[1])
        finally:
            os._exit(0)
    os.close(to_child[0])
    os.close(to_parent[1])
    address = int(os.read(to_parent[0], 20))
    return Guest(pid, address, to_child[1], to_parent[0])


def live(memory: VmMemory, marked: MarkMap, told: int, says: int) -> None:
    mine = VmMemory(os.dup(memory.fd), memory.memory_bytes)
    mine.populate()
    if probe_kernel() is None:
        track_writes(mine.address, mine.memory_bytes)
    rng = np.random.default_rng(3)
    os.write(says, str(mine.address).encode())
    os.set_blocking(told, False)
    while True:
        pages = rng.integers(0, mine.pages // 3, 16)
        mine.array[pages] += np.uint64(1)
        marked.marks[pages] = 1
        try:
            if os.read(told, 1):
                os.write(says, b"p")
                os.set_blocking(told, True)
                os.read(told, 1)
            return
        except BlockingIOError:
            pass


@trackers
@markings
@pytest.mark.parametrize("streams", [1, 2])
def test_a_guest_that_never_rests_arrives_whole(kind: str, marking: Marking, streams: int) -> None:
    pages = 3000
    arrivals: queue.Queue[Arrival] = queue.Queue()
    with (
        closing(VmMemory.create("here", pages * PAGE_BYTES)) as source,
        closing(VmMemory.create("there", pages * PAGE_BYTES)) as target,
    ):
        source.array[:] = np.random.default_rng(1).integers(0, 9, source.array.shape, np.uint64)
        marked = MarkMap.create("test", pages)
        guest = start_guest(source, marked)
        tracker: DirtyTracker = MapTracker(marked)
        if kind == KERNEL:
            tracker = KernelTracker(guest.pid, guest.address, pages)
        dirty = DirtyPages(tracker, marking, pages)
        pairs = [socket.socketpair() for _ in range(streams)]
        fresh = np.ones(pages, np.bool_)
        receivers = [
            PageReceiver(
                there, target, AttemptId(7), on_arrival=arrivals.put, fresh=fresh, stream_no=number
            )
            for number, (_, there) in enumerate(pairs)
        ]
        with closing(PageSender([here for here, _ in pairs], source, AttemptId(7))) as sender:
            for receiver in receivers:
                receiver.start()
            stop = threading.Event()
            records = [send_pass(Pass(number), dirty, sender, stop) for number in range(4)]
            guest.pause()
            records.append(send_pass(Pass(4, is_last=True), dirty, sender, stop))
            for _ in range(5 * streams):
                assert isinstance(arrivals.get(timeout=PATIENCE_S), RoundReceived)
            assert np.array_equal(source.array, target.array)
        for receiver in receivers:
            receiver.close()
        tracker.close()
        guest.end()
        marked.close()
    assert records[-1].dirty_pages_at_end == 0
    assert all(record.pages + record.left_pages <= pages for record in records)
    assert all(record.cpu_s > 0 for record in records)
    if marking is not Marking.PEEK:
        assert not any(record.left_pages for record in records)
