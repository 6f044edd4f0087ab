import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.guests import Guest, Marks, Pages, RegistersLost, guest_of
from agent.guests.disk_guest import PHASE, DiskBroken, Phase
from agent.guests.disk_queue import RequestRefused
from agent.guests.ledger import recorded
from agent.guests.ledger_log import WINDOW
from agent.guests.sealed import ENTRY, unsealed
from protocol.names import PAGE_BYTES, Workload
from tests.agent.guests.disk_model import ModelDisk, settled

PAGES = 256
WORK = Workload("ledger", set_bytes=8 * PAGE_BYTES)
PLACES = 80
DISK_BYTES = PLACES * 512


def memory_of() -> Pages:
    return np.zeros((PAGES, 512), np.uint64)


def guest_in(memory: Pages, work: Workload = WORK, disk_bytes: int = DISK_BYTES) -> Guest:
    return guest_of(work, memory, None, disk_bytes)


def booted(disk: ModelDisk, work: Workload = WORK) -> tuple[Guest, Pages]:
    memory = memory_of()
    guest = guest_in(memory, work, len(disk.content))
    guest.boot(seed=9)
    settled(guest, disk, memory)
    return guest, memory


def on_disk(disk: ModelDisk, size: int = 512) -> dict[int, int]:
    """The sum of each whole entry, by its sequence."""
    blocks = np.frombuffer(bytes(disk.content), np.uint8)
    blocks = blocks[: len(blocks) // size * size].reshape(-1, size)
    found = [unsealed(block, ENTRY) for block in blocks]
    return {block.sequence: block.sum for block in found if block is not None}


def test_entries_come_to_disk_and_memory_alike_and_count_when_they_are_stable() -> None:
    disk = ModelDisk(DISK_BYTES)
    guest, memory = booted(disk)

    assert guest.step(5) == 5
    assert guest.steps == 0
    disk.serve(memory)
    guest.step(0)

    assert guest.steps == 5
    entries = recorded(memory, WORK)
    assert [entry.sequence for entry in entries] == [1, 2, 3, 4, 5]
    assert {entry.sequence: entry.sum for entry in entries} == on_disk(disk)


def test_no_more_than_a_window_is_under_way() -> None:
    guest, _ = booted(ModelDisk(DISK_BYTES))

    assert guest.step(1000) == WINDOW
    assert guest.step(1000) == 0


def test_an_entry_is_acknowledged_only_with_all_before_it() -> None:
    disk = ModelDisk(DISK_BYTES, seed=3)
    guest, memory = booted(disk)
    guest.step(WINDOW)
    while (left := disk.serve(memory, at_most=1)) > 1:
        before = guest.steps
        guest.step(0)
        assert guest.steps >= before
        whole = set(on_disk(disk))
        assert set(range(1, guest.steps + 1)) <= whole
        assert left <= WINDOW
    guest.step(0)

    assert guest.steps == WINDOW


def test_entries_bear_the_epoch_under_which_they_were_begun() -> None:
    disk = ModelDisk(DISK_BYTES)
    guest, memory = booted(disk)
    for epoch in (3, 4):
        guest.epoch = epoch
        guest.step(2)
        disk.serve(memory)
        guest.step(0)

    assert [entry.epoch for entry in recorded(memory, WORK)] == [3, 3, 4, 4]


@given(
    cuts=st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9), st.booleans()), max_size=60),
    seed=st.integers(0, 999),
)
@settings(max_examples=60, deadline=None)
def test_a_ledger_can_be_stopped_and_moved_after_any_step(
    cuts: list[tuple[int, int, bool]], seed: int
) -> None:
    """Also while it looks for its end, and with requests that were not begun yet."""
    disk = ModelDisk(DISK_BYTES, seed)
    _, old = booted(disk)
    for _ in range(30):
        guest_in(old).step(4)
        disk.serve(old)
    guest_in(old).step(0)
    held = guest_in(old).steps
    memory = memory_of()
    guest_in(memory).boot(seed=9)

    for budget, served, moves in cuts:
        if moves:
            memory = memory.copy()
        guest_in(memory).step(budget)
        disk.serve(memory, served)
        recorded(memory, WORK)
    settled(guest_in(memory), disk, memory)

    guest_in(memory).step(0)
    assert guest_in(memory).steps >= held
    recorded(memory, WORK)
    assert set(range(guest_in(memory).steps - 60, guest_in(memory).steps + 1)) <= set(on_disk(disk))


@given(
    lives=st.lists(
        st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), max_size=40),
        min_size=1,
        max_size=6,
    ),
    entry=st.sampled_from([512, 1024, 1536]),
    seed=st.integers(0, 99_999),
)
@settings(max_examples=150, deadline=None)
def test_no_acknowledged_entry_is_lost_wherever_the_ledger_crashes(
    lives: list[list[tuple[int, int]]], entry: int, seed: int
) -> None:
    work = Workload("ledger", set_bytes=8 * PAGE_BYTES, block_bytes=entry)
    disk = ModelDisk(PLACES * entry, seed)
    told: dict[int, int] = {}
    for life in lives:
        guest, memory = booted(disk, work)
        acked = max(told, default=0)
        assert guest.steps >= acked, "what was acknowledged is found again"
        disks = on_disk(disk, entry)
        for sequence in range(max(1, acked - PLACES + WINDOW + 1), acked + 1):
            assert disks[sequence] == told[sequence]
        for budget, served in life:
            guest.step(budget)
            disk.serve(memory, served)
        guest.step(0)
        for block in recorded(memory, work):
            assert told.setdefault(block.sequence, block.sum) == block.sum, "no number twice"
        disks = on_disk(disk, entry)
        told |= {number: disks[number] for number in range(1, guest.steps + 1) if number in disks}
        disk.crash(memory)


def test_a_full_disk_is_written_around() -> None:
    disk = ModelDisk(DISK_BYTES)
    guest, memory = booted(disk)
    for _ in range(3 * PLACES):
        guest.step(1)
        disk.serve(memory)
    guest.step(0)
    again, _ = booted(disk)

    assert guest.steps == again.steps == 3 * PLACES
    assert sorted(on_disk(disk)) == list(range(2 * PLACES + 1, 3 * PLACES + 1))


def test_a_ledger_whose_acknowledged_entries_are_gone_refuses_to_go_on() -> None:
    disk = ModelDisk(DISK_BYTES)
    guest, memory = booted(disk)
    for _ in range(40):
        guest.step(1)
        disk.serve(memory)
    disk.content[10 * 512 : 11 * 512] = bytes(512)

    with pytest.raises(DiskBroken, match="breaks after entry 10"):
        booted(disk)


def test_another_owners_entries_are_none_of_this_ledger() -> None:
    disk = ModelDisk(DISK_BYTES)
    guest, memory = booted(disk)
    guest.step(5)
    disk.serve(memory)
    other = memory_of()
    guest_in(other).boot(seed=10)
    settled(guest_in(other), disk, other)

    assert guest_in(other).steps == 0


def test_a_ledger_marks_every_page_that_it_or_its_device_changed() -> None:
    memory, disk = memory_of(), ModelDisk(DISK_BYTES)
    marks: Marks = np.zeros(PAGES, np.uint8)
    guest = guest_of(WORK, memory, marks, DISK_BYTES)
    guest.boot(seed=9)
    settled(guest, disk, memory)
    for _ in range(20):
        marks[:] = 0
        before = memory.copy()
        guest.step(3)
        changed = (memory != before).any(axis=1)
        assert not (changed & ~marks.astype(bool)).any()
        disk.serve(memory)


def test_a_ledger_without_its_registers_or_with_another_block_does_not_go_on() -> None:
    memory = memory_of()
    with pytest.raises(RegistersLost, match="no registers of a ledger guest"):
        guest_in(memory).step(1)
    guest_in(memory).boot(seed=1)
    with pytest.raises(RegistersLost, match="blocks of 512 bytes"):
        guest_in(memory, Workload("ledger", block_bytes=1024), 1 << 20).step(1)
    memory[0, PHASE] = Phase.REDOING
    with pytest.raises(RegistersLost, match="a phase that it does not have"):
        guest_in(memory).step(1)


def test_a_ledger_without_a_disk_or_with_too_small_a_one_says_so() -> None:
    with pytest.raises(DiskBroken, match="the VM has none"):
        guest_in(memory_of(), WORK, 0)
    with pytest.raises(DiskBroken, match="at least 33280 bytes"):
        guest_in(memory_of(), WORK, 512)


def test_a_guest_whose_request_was_refused_goes_no_further() -> None:
    from agent.guests.disk_queue import DiskQueue

    disk = ModelDisk(DISK_BYTES)
    guest, memory = booted(disk)
    guest.step(1)
    queue = DiskQueue(memory)
    for request in list(queue.asked()):
        queue.finish(request.slot, refused=True)

    with pytest.raises(RequestRefused, match="refused request 3 for 512 bytes at 0"):
        guest.step(1)


def test_a_ledger_broken_in_memory_is_seen() -> None:
    disk = ModelDisk(DISK_BYTES)
    guest, memory = booted(disk)
    guest.step(6)
    disk.serve(memory)
    guest.step(0)
    own = 2 + 8 * 16
    memory[own, 70] ^= np.uint64(1)

    with pytest.raises(AssertionError, match="entry 2 is torn"):
        recorded(memory, WORK)
