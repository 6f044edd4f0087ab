import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.guests import (
    MAX_STEP_PAGES,
    WORKLOADS,
    Marks,
    Pages,
    RegistersLost,
    check_wave,
    guest_of,
    mixed,
    rate_bytes_per_s,
    validate_workload,
)
from protocol.names import PAGE_BYTES, Workload
from protocol.workload import DISK_WORKLOADS

PAGES = 64
BUSY = [name for name in WORKLOADS if name not in ("idle", *DISK_WORKLOADS)]


def memory_of(pages: int = PAGES) -> Pages:
    return mixed(7, pages * 512).reshape(pages, 512)


def run(workload: Workload, memory: Pages, pages: int, cuts: list[int]) -> None:
    """Go on until `pages` were written, each step by a new guest object, as long as `cuts` say."""
    done = 0
    while done < pages:
        cut = cuts.pop(0) if cuts else pages
        done += guest_of(workload, memory).step(min(cut, pages - done))


@pytest.mark.parametrize("name", BUSY)
@given(cuts=st.lists(st.integers(1, 70), max_size=40), set_pages=st.integers(0, PAGES - 1))
@settings(max_examples=25, deadline=None)
def test_what_a_guest_writes_does_not_depend_on_how_its_work_is_cut(
    name: str, cuts: list[int], set_pages: int
) -> None:
    workload = Workload(name, set_bytes=set_pages * PAGE_BYTES)
    cut, whole = memory_of(), memory_of()
    for memory in (cut, whole):
        guest_of(workload, memory).boot(seed=3)

    run(workload, cut, 500, cuts)
    run(workload, whole, 500, [])

    assert np.array_equal(cut, whole)
    assert guest_of(workload, cut).steps == 500


@pytest.mark.parametrize("name", BUSY)
def test_a_guest_goes_on_in_a_copy_of_its_pages_as_it_would_have_where_it_was(name: str) -> None:
    here = memory_of()
    guest = guest_of(Workload(name), here)
    guest.boot(seed=5)
    for _ in range(9):
        guest.step(13)

    there = here.copy()
    moved = guest_of(Workload(name), there)
    for _ in range(9):
        assert guest.step(11) == moved.step(11)

    assert np.array_equal(here, there)


@pytest.mark.parametrize("name", BUSY)
def test_a_guest_marks_exactly_the_pages_that_it_changed(name: str) -> None:
    memory = memory_of()
    marks: Marks = np.zeros(PAGES, np.uint8)
    guest = guest_of(Workload(name, set_bytes=20 * PAGE_BYTES), memory, marks)
    guest.boot(seed=1)
    before = memory.copy()

    guest.step(12)

    changed = (memory != before).any(axis=1)
    assert np.array_equal(marks.astype(bool), changed)


@pytest.mark.parametrize("name", BUSY)
def test_a_step_keeps_to_its_budget_and_to_the_longest_step(name: str) -> None:
    memory = memory_of(2048)
    guest = guest_of(Workload(name), memory)
    guest.boot(seed=1)

    assert guest.step(0) == 0
    assert guest.step(5) == 5
    assert guest.step(10**9) == MAX_STEP_PAGES


def test_an_idle_guest_changes_nothing() -> None:
    memory = memory_of()
    guest = guest_of(Workload("idle"), memory)
    guest.boot(seed=1)

    assert guest.step(100) == 0
    assert np.array_equal(memory, memory_of())


@pytest.mark.parametrize("name", BUSY)
def test_a_guest_refuses_to_go_on_without_its_registers(name: str) -> None:
    memory = memory_of()
    with pytest.raises(RegistersLost, match=f"no registers of a {name} guest"):
        guest_of(Workload(name), memory).step(1)


def test_registers_that_name_pages_outside_the_vm_are_not_believed() -> None:
    memory = memory_of()
    guest = guest_of(Workload("wave"), memory)
    guest.boot(seed=1)
    memory[0, 6] = PAGES

    with pytest.raises(RegistersLost, match="which the VM cannot have"):
        guest.step(1)
    assert "which the VM cannot have" in (check_wave(memory) or "")


def test_nine_of_ten_writes_of_a_hotspot_go_to_its_hot_set() -> None:
    memory: Pages = np.zeros((20_000, 512), np.uint64)
    marks: Marks = np.zeros(20_000, np.uint8)
    guest = guest_of(Workload("hotspot", set_bytes=100 * PAGE_BYTES), memory, marks)
    guest.boot(seed=1)
    for _ in range(40):
        guest.step(100)

    outside = int(marks[101:].sum())
    assert marks[1:101].all()
    assert 300 < outside < 500


def test_a_whole_wave_is_whole_after_every_step() -> None:
    memory = memory_of()
    guest = guest_of(Workload("wave"), memory)
    guest.boot(seed=1)
    for _ in range(200):
        assert check_wave(memory) is None
        guest.step(5)


@pytest.mark.parametrize("page", [1, 17, 40, PAGES - 1])
def test_a_wave_shows_a_page_that_was_left_old_or_torn(page: int) -> None:
    memory = memory_of()
    guest = guest_of(Workload("wave"), memory)
    guest.boot(seed=1)
    run(Workload("wave"), memory, 100, [])
    old = memory[page].copy()
    run(Workload("wave"), memory, 100, [])
    whole = memory.copy()

    memory[page] = old
    assert f"Page {page} starts" in (check_wave(memory) or "")
    memory[:] = whole
    memory[page, 256:] = old[256:]
    assert f"Page {page} ends" in (check_wave(memory) or "")
    memory[0, 0] = 0
    assert "no registers of a wave guest" in (check_wave(memory) or "")


@pytest.mark.parametrize(
    ("workload", "wrong"),
    [
        (Workload("ledger2"), "no workload 'ledger2'; there are idle, uniform"),
        (Workload("sweep", rate_bytes_per_s=-1), "must be 0 .its default. or more"),
        (Workload("sweep", set_bytes=-4096), "must be 0 .its default. or a multiple of 4096"),
        (Workload("sweep", set_bytes=100), "must be 0 .its default. or a multiple of 4096"),
        (Workload("wave", set_bytes=1 << 30), "but the VM has only 1048576"),
    ],
)
def test_a_workload_that_cannot_run_is_told_why(workload: Workload, wrong: str) -> None:
    with pytest.raises(AssertionError, match=wrong):
        raise AssertionError(validate_workload(workload, 1 << 20))


def test_every_workload_runs_by_its_defaults() -> None:
    for name in WORKLOADS:
        assert validate_workload(Workload(name), 1 << 20) is None
        assert (rate_bytes_per_s(Workload(name)) > 0) == (name != "idle")
    assert "at least 8192 bytes" in (validate_workload(Workload("wave"), 4096) or "")
