import os
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.io.memory import VmMemory
from agent.io.tracker import (
    KERNEL,
    MAP,
    DirtyTracker,
    IdleTracker,
    KernelTracker,
    MapTracker,
    MarkMap,
    choose_tracker,
    probe_kernel,
)
from agent.io.userfault import track_writes
from protocol.names import PAGE_BYTES

PAGES = 300
Write = Callable[[list[int]], None]

kernel_tracks = pytest.mark.skipif(probe_kernel() is not None, reason="the kernel cannot track")


@pytest.fixture
def memory() -> Iterator[VmMemory]:
    vm_memory = VmMemory.create("test", PAGES * PAGE_BYTES)
    vm_memory.populate()
    yield vm_memory
    vm_memory.close()


@pytest.fixture(params=[pytest.param(KERNEL, marks=kernel_tracks), MAP])
def tracked(
    request: pytest.FixtureRequest, memory: VmMemory
) -> Iterator[tuple[DirtyTracker, Write]]:
    """A tracker, and how a guest writes that it tracks."""
    if request.param == KERNEL:
        uffd = track_writes(memory.address, memory.memory_bytes)
        kernel = KernelTracker(os.getpid(), memory.address, PAGES)

        def write(pages: list[int]) -> None:
            memory.array[pages, 5] += np.uint64(1)

        yield kernel, write
        kernel.close()
        os.close(uffd)
        return
    marked = MarkMap.create("test", PAGES)

    def write_and_mark(pages: list[int]) -> None:
        memory.array[pages, 5] += np.uint64(1)
        marked.marks[pages] = 1

    yield MapTracker(marked), write_and_mark
    marked.close()


def test_a_tracker_finds_what_a_comparison_with_a_copy_finds(
    memory: VmMemory, tracked: tuple[DirtyTracker, Write]
) -> None:
    tracker, write = tracked
    looks = st.lists(st.lists(st.integers(0, PAGES - 1), max_size=60), max_size=6)

    @settings(max_examples=60, deadline=None)
    @given(looks)
    def check(writes: list[list[int]]) -> None:
        tracker.begin()
        for pages in writes:
            copy = memory.array.copy()
            write(pages)
            changed = np.flatnonzero((memory.array != copy).any(axis=1))
            assert tracker.collect().numbers().tolist() == changed.tolist()

    check()


def test_what_was_written_before_the_copy_began_is_forgotten(
    tracked: tuple[DirtyTracker, Write],
) -> None:
    tracker, write = tracked
    write([1, 2, 3])
    tracker.begin()
    assert len(tracker.collect()) == 0


def test_runs_hold_neighbours_together(tracked: tuple[DirtyTracker, Write]) -> None:
    tracker, write = tracked
    tracker.begin()
    write([0, 1, 2, 7, 298, 299])
    found = tracker.collect()
    assert (found.starts.tolist(), found.counts.tolist()) == ([0, 7, 298], [3, 1, 2])


@kernel_tracks
def test_more_runs_than_one_scan_holds_are_all_found() -> None:
    pages = 20_000
    memory = VmMemory.create("test", pages * PAGE_BYTES)
    uffd = track_writes(memory.address, memory.memory_bytes)
    tracker = KernelTracker(os.getpid(), memory.address, pages)
    tracker.begin()
    memory.array[::2, 0] = 1
    assert tracker.collect().numbers().tolist() == list(range(0, pages, 2))
    tracker.close()
    os.close(uffd)
    memory.close()


@kernel_tracks
def test_a_mapping_that_is_not_tracked_is_an_error_and_not_clean(memory: VmMemory) -> None:
    tracker = KernelTracker(os.getpid(), memory.address, PAGES)
    with pytest.raises(PermissionError):
        tracker.collect()
    tracker.close()


class MarkedMeanwhile(np.ndarray[Any, np.dtype[np.uint8]]):
    """Marks of a guest that writes page 5 right after the tracker took its copy of them."""

    def astype(self, *arguments: Any, **options: Any) -> Any:
        copy = super().astype(*arguments, **options)
        self[5] = 1
        return copy


def test_a_mark_set_during_a_look_is_found_by_the_next() -> None:
    marked = MarkMap.create("test", 8)
    tracker = MapTracker(marked)
    plain = marked.marks
    plain[2] = 1

    marked.marks = plain.view(MarkedMeanwhile)
    assert tracker.collect().numbers().tolist() == [2]
    marked.marks = plain
    assert tracker.collect().numbers().tolist() == [5]

    del plain
    marked.close()


def test_nobody_writes_an_idle_vm() -> None:
    tracker = IdleTracker()
    tracker.begin()
    assert len(tracker.collect()) == 0


def test_the_tracker_is_chosen_by_trying_and_says_why() -> None:
    assert choose_tracker("auto", lambda: None)[0] == KERNEL
    name, reason = choose_tracker("kernel", lambda: "Operation not permitted")
    assert name == MAP
    assert reason.endswith("the kernel cannot track: Operation not permitted.")
    assert choose_tracker("map", lambda: None) == (
        MAP,
        "Guests mark the pages they write, as the settings ask.",
    )


def test_this_kernel_is_told_about_in_a_sentence() -> None:
    name, reason = choose_tracker()
    assert name in (KERNEL, MAP)
    assert reason.endswith(".")
