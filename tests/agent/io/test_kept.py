"""A VM that comes back to a node that has kept its pages."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from agent.actions import SendLastPages, SendRound
from agent.events import Connected, LastPagesSent, ReserveDone, RoundLanded, RoundSent, VmDestroyed
from agent.io import kept
from agent.io.kept import KeptImages, hash_image
from agent.io.memory import VmMemory
from agent.kept_image import hashes_of
from protocol.errors import PeerUnreachable
from protocol.messages import RoundRecord
from protocol.names import PAGE_BYTES, AttemptId, Verify, VmName, Workload
from protocol.travel import Compress, Travel
from tests.agent.contents import random_pages
from tests.agent.io.machine import (
    VM,
    A,
    Machine,
    connect_order,
    connected,
    reserve_order,
    spec_of,
    with_guest,
)

BACK = AttemptId(8)
PAGES = 2048
SPEC = spec_of(PAGES * PAGE_BYTES, Workload("idle"))
CHANGED = np.array([3, 700, 701, 702, 2047])


@asynccontextmanager
async def left_behind(tmp_path: Path, kept_bytes: int) -> AsyncIterator[tuple[Machine, Machine]]:
    """A VM has moved from the first machine to the second, and a few pages were written there."""
    async with AsyncExitStack() as opened:
        here = Machine("127.88.2.1", tmp_path / "a", kept_bytes=kept_bytes)
        opened.push_async_callback(here.close)
        there = Machine("127.88.2.2", tmp_path / "b")
        opened.push_async_callback(there.close)
        await with_guest(here, SPEC)
        await connected(here, there, SPEC)
        here.source.send_last_pages(SendLastPages(A, 0, Verify.OFF))
        await here.heard(LastPagesSent)
        await there.heard(RoundLanded)
        for closing in (here.source.close(A), there.target.close(A)):
            assert closing is not None
            await closing
        await here.vms.destroy(VM, moved=True)
        await here.heard(VmDestroyed)
        memory_of(there).array[CHANGED] += np.uint64(5)
        yield here, there


def memory_of(machine: Machine) -> VmMemory:
    memory = machine.vms[VM].memory
    assert memory is not None
    return memory


async def comes_back(source: Machine, target: Machine, travel: Travel) -> RoundRecord:
    """Round 0 of the way back."""
    target.target.reserve(reserve_order(SPEC, BACK))
    await target.heard(ReserveDone)
    source.source.connect(replace(connect_order(target, BACK), travel=travel))
    await source.heard(Connected)
    source.source.send_round(SendRound(BACK, 0))
    record = (await source.heard(RoundSent)).record
    await target.heard(RoundLanded)
    assert np.array_equal(memory_of(source).array, memory_of(target).array)
    return record


@pytest.mark.parametrize("compress", [Compress.OFF, Compress.ZSTD])
@pytest.mark.parametrize("streams", [1, 3])
@pytest.mark.parametrize("checked", [True, False])
async def test_only_pages_that_were_written_elsewhere_come_back(
    tmp_path: Path, compress: Compress, streams: int, checked: bool
) -> None:
    travel = Travel(streams, compress, kept=True, checked=checked)
    async with left_behind(tmp_path, 1 << 30) as (here, there):
        record = await comes_back(there, here, travel)
        assert record.kept_pages == PAGES - len(CHANGED)
        assert record.pages == PAGES
        assert record.wire_bytes < 0.05 * PAGES * PAGE_BYTES
        assert here.kept.kept_bytes == 0


async def test_pages_that_became_zero_are_zero_on_the_kept_memory(tmp_path: Path) -> None:
    async with left_behind(tmp_path, 1 << 30) as (here, there):
        memory_of(there).array[CHANGED] = 0
        record = await comes_back(there, here, Travel(kept=True))
        assert record.zero_pages == len(CHANGED)


async def test_a_source_that_does_not_ask_sends_everything(tmp_path: Path) -> None:
    async with left_behind(tmp_path, 1 << 30) as (here, there):
        record = await comes_back(there, here, Travel())
        assert record.kept_pages == 0


async def test_without_a_budget_nothing_is_kept_and_everything_travels(tmp_path: Path) -> None:
    async with left_behind(tmp_path, 0) as (here, there):
        assert here.kept.kept_bytes == 0
        record = await comes_back(there, here, Travel(kept=True))
        assert record.kept_pages == 0


async def test_a_vm_that_is_destroyed_for_good_leaves_nothing(tmp_path: Path) -> None:
    async with left_behind(tmp_path, 1 << 30) as (here, _):
        assert here.kept.kept_bytes == SPEC.memory_bytes
        await with_guest(here, SPEC)
        assert here.kept.kept_bytes == 0
        await here.vms.destroy(VM)
        assert here.kept.kept_bytes == 0


async def test_what_is_kept_stays_within_the_budget_and_gives_its_memory_back() -> None:
    images, size = KeptImages(3 * 64 * PAGE_BYTES), 64 * PAGE_BYTES
    memories = [VmMemory.create(f"vm{number}", size) for number in range(10)]
    for number, memory in enumerate(memories):
        await images.keep(VmName(f"vm{number}"), memory)
    assert images.kept_bytes == 3 * size
    assert [len(memory.array) for memory in memories] == [0] * 7 + [64] * 3
    assert images.take(VmName("vm0"), size) is None
    assert images.take(VmName("vm9"), size + PAGE_BYTES) is None
    assert images.take(VmName("vm9"), size) is memories[9]
    await images.make_room(1 << 62)
    assert images.kept_bytes == 0
    assert [len(memory.array) for memory in memories[7:]] == [0, 0, 64]
    memories[9].close()


def test_an_image_is_hashed_page_by_page() -> None:
    memory = VmMemory.create("image", 5000 * PAGE_BYTES)
    memory.array[:] = random_pages(5000)
    assert np.array_equal(hash_image(memory), hashes_of(random_pages(5000)))
    memory.close()


async def test_a_target_that_leaves_while_it_tells_ends_the_attempt_in_a_sentence() -> None:
    here, there = socket.socketpair()
    with here, there:
        here.setblocking(False)
        there.sendall(bytes(100))
        there.close()
        with pytest.raises(PeerUnreachable, match="kept"):
            await kept.hear(here, 64)


async def test_a_table_is_read_to_the_byte() -> None:
    here, there = socket.socketpair()
    with here, there:
        here.setblocking(False)
        there.setblocking(False)
        table = hashes_of(random_pages(3000))
        async with asyncio.TaskGroup() as group:
            heard = group.create_task(kept.hear(here, 3000))
            group.create_task(kept.tell(there, table))
        there.send(b"next")
        assert np.array_equal(heard.result(), table)
        assert here.recv(10) == b"next"
