import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from agent.events import GuestPaused, GuestResumed, VmCreated, VmDestroyed, VmFailed
from protocol.names import Epoch, Fill, Hold, VmName, Workload
from tests.agent.io.machine import VM, E, Machine, spec_of, with_guest

BUSY = spec_of(16 << 20, Workload("uniform", 50_000_000), Fill.ZERO)
LARGE = spec_of(2 << 30, Workload("uniform"))


@contextlib.asynccontextmanager
async def machine(tmp_path: Path) -> AsyncIterator[Machine]:
    one = Machine("127.88.4.1", tmp_path)
    try:
        yield one
    finally:
        await one.close()


async def test_a_vm_is_created_observed_and_destroyed(tmp_path: Path) -> None:
    async with machine(tmp_path) as one:
        await with_guest(one, BUSY)
        memory = one.vms[VM].memory
        assert memory is not None
        async with asyncio.timeout(10):
            while not memory.array[1:].any():  # noqa: ASYNC110 - a worker sets no event
                await asyncio.sleep(0)
        (seen,) = one.vms.observe()
        assert seen.running
        assert seen.dirty_bytes_per_s > 1e6, "the first look counts from the start"

        await one.vms.destroy(VM)

        await one.heard(VmDestroyed)
        assert list(one.vms.observe()) == []
        assert not any(isinstance(event, VmFailed) for event in one.events)


async def test_destroying_what_is_not_there_is_done_at_once(tmp_path: Path) -> None:
    async with machine(tmp_path) as one:
        await one.vms.destroy(VM)
        assert (await one.heard(VmDestroyed)).vm == VM


async def test_a_vm_destroyed_while_it_is_filled_was_never_created(tmp_path: Path) -> None:
    async with machine(tmp_path) as one:
        one.vms.create(VM, E, LARGE, Hold.NONE)
        async with asyncio.timeout(10):
            while (worker := one.vms[VM].worker) is None or not worker.filled_bytes:  # noqa: ASYNC110
                await asyncio.sleep(0)

        assert list(one.vms.observe()) == []
        one.vms.set_holds(VM, Epoch(4), Hold.OPERATOR)
        await one.vms.destroy(VM)

        await one.heard(VmDestroyed)
        assert one.vms.get(VM) is None
        assert not any(isinstance(event, VmCreated | VmFailed) for event in one.events)


async def test_ending_all_while_vms_are_being_made_leaves_none(tmp_path: Path) -> None:
    async with machine(tmp_path) as one:
        for number in range(3):
            one.vms.create(VmName(f"vm{number}"), E, BUSY, Hold.NONE)
            await asyncio.sleep(0)

        await one.vms.end_all()

        assert list(one.vms.observe()) == []
        assert not any(isinstance(event, VmCreated) for event in one.events)


async def test_a_look_at_a_vm_whose_memory_is_being_given_back_finds_nothing(
    tmp_path: Path,
) -> None:
    async with machine(tmp_path) as one:
        await with_guest(one, BUSY)
        ending = asyncio.create_task(one.vms.destroy(VM))
        while not ending.done():
            one.vms.set_holds(VM, Epoch(4), Hold.OPERATOR)
            seen = list(one.vms.observe())
            await asyncio.sleep(0)
        await ending
        assert seen == []


async def test_a_vm_that_does_not_fit_fails_with_a_sentence(tmp_path: Path) -> None:
    async with machine(tmp_path) as one:
        one.vms.create(VM, E, spec_of(1 << 50, Workload("idle")), Hold.NONE)
        assert "more memory than this machine has" in (await one.heard(VmFailed)).reason
        assert one.vms.get(VM) is None


async def test_a_worker_that_is_killed_fails_its_vm_alone(tmp_path: Path) -> None:
    other = VmName("web01")
    async with machine(tmp_path) as one:
        await with_guest(one, BUSY)
        one.vms.create(other, E, BUSY, Hold.NONE)
        await one.heard(VmCreated)
        worker = one.vms[VM].worker
        assert worker is not None
        assert worker.pid is not None

        one.warm.kill(worker.pid)

        assert "killed by SIGKILL" in (await one.heard(VmFailed)).reason
        assert [seen.vm for seen in one.vms.observe()] == [other]


async def test_the_end_of_a_dead_vm_is_told_once_and_never_of_a_new_one_of_its_name(
    tmp_path: Path,
) -> None:
    async with machine(tmp_path) as one:
        await with_guest(one, spec_of(256 << 20, Workload("uniform"), Fill.RANDOM))
        dead = one.vms[VM]
        assert dead.worker is not None
        assert dead.worker.pid is not None
        one.warm.kill(dead.worker.pid)
        async with asyncio.timeout(10):
            while not dead.is_ending:  # noqa: ASYNC110 - nothing is told until its memory is free
                await asyncio.sleep(0)

        await one.vms.destroy(VM)
        one.vms.create(VM, Epoch(4), BUSY, Hold.NONE)

        await one.heard(VmDestroyed)
        await one.heard(VmCreated)
        await asyncio.gather(*one.jobs)
        assert not any(isinstance(event, VmFailed) for event in one.events)
        assert one.vms[VM] is not dead


@pytest.mark.parametrize("workload", ["idle", "wave"])
async def test_holds_pause_with_the_first_and_resume_with_the_last(
    tmp_path: Path, workload: str
) -> None:
    async with machine(tmp_path) as one:
        await with_guest(one, spec_of(4 << 20, Workload(workload)))
        one.vms.set_holds(VM, E, Hold.ATTEMPT)
        assert (await one.heard(GuestPaused)).pause_s < 5
        one.vms.set_holds(VM, E, Hold.ATTEMPT | Hold.OPERATOR)
        one.vms.set_holds(VM, Epoch(4), Hold.OPERATOR)
        one.vms.set_holds(VM, Epoch(4), Hold.NONE)
        assert (await one.heard(GuestResumed)).vm == VM
        assert not any(isinstance(event, GuestPaused) for event in one.events)


async def test_a_guest_whose_lease_ended_goes_on_at_once_with_the_next(tmp_path: Path) -> None:
    async with machine(tmp_path) as one:
        await with_guest(one, BUSY)
        worker = one.vms[VM].worker
        assert worker is not None
        end_s, one.lease.end_s = one.lease.end_s, 0.0
        await asyncio.wait_for(worker.paused(), 10)

        one.lease.end_s = end_s
        one.vms.wake_all()

        await asyncio.wait_for(worker.resumed(), 10)
        assert worker.holds is Hold.NONE


async def test_a_throttle_is_the_guests_own_and_ends_with_the_vm(tmp_path: Path) -> None:
    async with machine(tmp_path) as one:
        await with_guest(one, BUSY)
        worker = one.vms[VM].worker
        assert worker is not None
        one.vms.set_throttle(VM, 0.5)
        assert worker.throttle == 0.5

        await one.vms.destroy(VM)
        one.vms.set_throttle(VM, 0.5)
        one.vms.set_throttle(VmName("never-there"), 0.5)
        await one.heard(VmDestroyed)
        await with_guest(one, BUSY)

        again = one.vms[VM].worker
        assert again is not None
        assert again.throttle == 0.0


async def test_a_guest_without_a_process_can_be_throttled_like_any_other(tmp_path: Path) -> None:
    async with machine(tmp_path) as one:
        await with_guest(one, spec_of(4 << 20, Workload("idle")))

        for share in (0.99, 0.0):
            one.vms.set_throttle(VM, share)
            worker = one.vms[VM].worker
            assert worker is not None
            assert worker.throttle == share
