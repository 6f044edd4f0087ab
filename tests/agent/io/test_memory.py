import os
from collections.abc import Iterator

import numpy as np
import pytest

from agent.io.control import Command, ControlBlock, LeasePage, Reply, WorkerState
from agent.io.fill import filled
from agent.io.memory import SAMPLE_EVERY_PAGES, VmMemory, available_bytes, refuse_size
from protocol.errors import NoMemory, Refused
from protocol.names import PAGE_BYTES, Epoch, Fill, Hold

MEMORY_BYTES = 512 * PAGE_BYTES


@pytest.fixture
def memory() -> Iterator[VmMemory]:
    vm_memory = VmMemory.create("test", MEMORY_BYTES)
    yield vm_memory
    vm_memory.close()


@pytest.mark.parametrize(
    ("memory_bytes", "error", "sentence"),
    [
        (0, Refused, "cannot have 0 bytes of memory; give it a multiple of 4096"),
        (-4096, Refused, "cannot have -4096 bytes"),
        (4097, Refused, "4097 bytes are not; 8192 would be"),
        (1 << 50, NoMemory, "more memory than this machine has free"),
    ],
)
def test_a_size_that_no_vm_can_have_is_refused_with_what_would_be_right(
    memory_bytes: int, error: type[Exception], sentence: str
) -> None:
    with pytest.raises(error, match=sentence):
        VmMemory.create("test", memory_bytes)


def test_the_last_page_that_the_machine_has_free_can_be_had() -> None:
    refuse_size(MEMORY_BYTES, available=MEMORY_BYTES)
    with pytest.raises(NoMemory):
        refuse_size(MEMORY_BYTES, available=MEMORY_BYTES - 1)


def test_whoever_maps_the_descriptor_sees_the_same_pages(memory: VmMemory) -> None:
    other = VmMemory(os.dup(memory.fd), MEMORY_BYTES)
    other.array[3, 4] = 5

    assert memory.array[3, 4] == 5
    assert memory.view[3 * PAGE_BYTES + 32] == 5
    assert (memory.pages, memory.array.shape) == (512, (512, 512))
    other.close()


def test_populating_takes_all_pages_and_changes_none(memory: VmMemory) -> None:
    memory.array[7, 7] = 7
    heard: list[int] = []
    assert memory.populate(lambda done: not heard.append(done))  # type: ignore[func-returns-value]

    assert heard == [MEMORY_BYTES]
    assert os.fstat(memory.fd).st_blocks * 512 == MEMORY_BYTES
    assert memory.array.sum() == 7
    assert not memory.populate(lambda _: False)


def test_a_full_digest_sees_every_byte_and_a_sampled_one_its_sample(memory: VmMemory) -> None:
    full, sampled = memory.digest(sampled=False), memory.digest(sampled=True)
    memory.view[5 * PAGE_BYTES + 9] = 1
    assert memory.digest(sampled=False) != full
    assert memory.digest(sampled=True) == sampled

    memory.view[SAMPLE_EVERY_PAGES * PAGE_BYTES + 9] = 1
    assert memory.digest(sampled=True) != sampled


def test_the_digests_of_equal_memories_are_equal(memory: VmMemory) -> None:
    other = VmMemory.create("other", MEMORY_BYTES)
    for each in (memory, other):
        list(filled(each, Fill.RANDOM, seed=4))
    assert other.digest(sampled=False) == memory.digest(sampled=False)
    other.close()


def test_closed_memory_is_given_back_even_while_somebody_has_a_view_of_it() -> None:
    memory = VmMemory.create("test", MEMORY_BYTES)
    memory.populate()
    kept, fd = memory.array, os.dup(memory.fd)

    memory.close()
    memory.close()

    assert os.fstat(fd).st_blocks == 0
    assert not kept.any()
    os.close(fd)


def test_the_machine_says_how_much_memory_it_has() -> None:
    assert available_bytes() > MEMORY_BYTES


def test_random_memory_has_no_zero_page_and_no_page_twice_and_follows_the_seed(
    memory: VmMemory,
) -> None:
    assert list(filled(memory, Fill.RANDOM, seed=4))[-1] == MEMORY_BYTES
    first = memory.array.copy()
    assert len(np.unique(first[:, 0])) == memory.pages
    assert len(np.unique(first)) > 0.999 * first.size

    list(filled(memory, Fill.RANDOM, seed=4))
    assert np.array_equal(memory.array, first)
    list(filled(memory, Fill.RANDOM, seed=5))
    assert not np.isin(memory.array, first).any()


def test_memory_of_files_is_real_data_from_another_place_for_each_seed(memory: VmMemory) -> None:
    assert list(filled(memory, Fill.FILES, seed=1))[-1] == MEMORY_BYTES
    first = memory.array.copy()
    assert first.any(axis=1).mean() > 0.9

    list(filled(memory, Fill.FILES, seed=2))
    assert not np.array_equal(memory.array, first)


def test_an_order_and_its_answer_reach_the_other_side_whole() -> None:
    agent = ControlBlock.create("test")
    worker = ControlBlock(os.dup(agent.fd))

    assert agent.order(Hold.LEASE | Hold.FAULT, Epoch(7)) == 1
    assert agent.order(Hold.OPERATOR, Epoch(8)) == 2
    assert worker.command == Command(2, Hold.OPERATOR)
    worker.answer(2, WorkerState.PAUSED, worker.granted_epoch, now_ns=11)
    worker.beat(steps=5, bytes_written=6, now_ns=12)
    worker.set_address(13)
    worker.set_filled(14)
    worker.set_reason("The disk is gone.")

    assert agent.reply == Reply(2, WorkerState.PAUSED)
    assert (agent.epoch, agent.changed_ns, agent.beat_ns) == (8, 11, 12)
    assert (agent.steps, agent.bytes_written) == (5, 6)
    assert (agent.address, agent.filled_bytes) == (13, 14)
    assert agent.reason == "The disk is gone."
    agent.close()
    worker.close()


def test_a_lease_begins_ended_and_its_watchers_cannot_change_it() -> None:
    lease = LeasePage.create()
    watched = LeasePage.watched(os.dup(lease.fd))
    assert watched.end_s == 0.0

    lease.end_s = 12.5
    assert watched.end_s == 12.5
    with pytest.raises(TypeError):
        watched.end_s = 99.0
    watched.close()
    lease.close()
