import asyncio
import contextlib
import os
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import numpy as np
import pytest

from agent.guests import Pages, check_wave
from agent.io.control import LeasePage, WorkerState
from agent.io.memory import VmMemory
from agent.io.tracker import KERNEL, MAP, probe_kernel
from agent.io.vm import VmWorker, WorkerDied
from agent.io.warm import WarmParent
from agent.io.worker import WorkerOrder
from agent.runs import Runs
from protocol.names import Epoch, Fill, Hold, VmSpec, Workload

MEMORY_BYTES = 16 << 20
PATIENCE_S = 10.0
TRACKERS = [
    pytest.param(KERNEL, marks=pytest.mark.skipif(probe_kernel() is not None, reason="kernel")),
    MAP,
]


class Node:
    """What an agent has: a warm parent, a lease, and the deaths that it heard of."""

    def __init__(self) -> None:
        self.warm = WarmParent.fork()
        self.lease = LeasePage.create()
        self.lease.end_s = now_s() + 1000
        self.deaths: list[str] = []
        self.memories: list[VmMemory] = []
        self.workers: list[VmWorker] = []

    async def spawn(
        self, order: WorkerOrder, holds: Hold = Hold.NONE, memory: VmMemory | None = None
    ) -> VmWorker:
        if memory is None:
            memory = VmMemory.create("test", order.spec.memory_bytes)
            self.memories.append(memory)
        worker = await VmWorker.spawn(
            *(self.warm, memory, self.lease, order),
            epoch=Epoch(3),
            holds=holds,
            died=self.deaths.append,
        )
        self.workers.append(worker)
        await soon(worker.ready())
        return worker


def now_s() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def order_of(workload: str, tracker: str = KERNEL, fill: Fill = Fill.ZERO) -> WorkerOrder:
    spec = VmSpec(MEMORY_BYTES, Workload(workload), fill, seed=1)
    return WorkerOrder(spec, boot=True, tracker=tracker)


@pytest.fixture
async def node() -> AsyncIterator[Node]:
    a_node = Node()
    yield a_node
    for worker in a_node.workers:
        worker.destroy()
        await soon(worker.destroyed())
    a_node.warm.close()
    a_node.lease.close()
    for memory in a_node.memories:
        memory.close()


async def soon(what: Awaitable[None]) -> None:
    await asyncio.wait_for(what, PATIENCE_S)


async def until(happened: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not happened():  # noqa: ASYNC110 - other processes set no event
            await asyncio.sleep(0.001)


async def until_gone(pids: list[int]) -> None:
    await until(lambda: not any(is_alive(pid) for pid in pids))


def is_alive(pid: int) -> bool:
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    return False


@pytest.mark.parametrize("tracker", TRACKERS)
async def test_a_held_guest_stands_still_and_goes_on_when_the_hold_is_gone(
    node: Node, tracker: str
) -> None:
    worker = await node.spawn(order_of("wave", tracker))
    await soon(worker.resumed())
    await until(lambda: worker.steps > 100)

    worker.set_holds(Hold.ATTEMPT, Epoch(4))
    await soon(worker.paused())
    before, steps = worker.memory.digest(sampled=False), worker.steps
    await asyncio.sleep(0.02)
    assert worker.memory.digest(sampled=False) == before
    assert worker.epoch == 4
    assert check_wave(worker.memory.array) is None

    worker.set_holds(Hold.NONE)
    await soon(worker.resumed())
    await until(lambda: worker.steps > steps)
    assert worker.state is WorkerState.RUNNING


async def test_a_guest_obeys_the_newest_of_many_orders(node: Node) -> None:
    worker = await node.spawn(order_of("uniform"))
    for _ in range(200):
        worker.set_holds(Hold.NONE)
        worker.set_holds(Hold.OPERATOR)
        await soon(worker.paused())
        before = worker.memory.array[0].copy()
        await asyncio.sleep(0)
        assert np.array_equal(worker.memory.array[0], before)


async def test_a_guest_stops_by_itself_when_the_lease_ends_and_goes_on_with_a_new_one(
    node: Node,
) -> None:
    worker = await node.spawn(order_of("sweep"))
    await soon(worker.resumed())

    end_s = node.lease.end_s = now_s() + 0.05
    await soon(worker.paused())
    steps = worker.steps
    assert worker.changed_ns / 1e9 >= end_s
    assert worker.holds is Hold.NONE

    node.lease.end_s = now_s() + 1000
    await soon(worker.resumed())
    await until(lambda: worker.steps > steps)


async def test_a_frozen_agent_leaves_no_guest_running_past_the_lease(node: Node) -> None:
    """Nobody tells the worker anything from here on: what it does, it does by itself."""
    worker = await node.spawn(order_of("uniform"))
    await soon(worker.resumed())
    end_s = node.lease.end_s = now_s() + 0.05

    time.sleep(0.15)  # noqa: ASYNC251 - the agent's event loop stands still
    steps, written_s = worker.steps, worker.changed_ns / 1e9
    time.sleep(0.05)  # noqa: ASYNC251

    assert worker.steps == steps
    assert end_s <= written_s < end_s + 0.1


@pytest.mark.parametrize("tracker", TRACKERS)
@pytest.mark.parametrize("workload", ["uniform", "hotspot", "sweep", "wave"])
async def test_copying_what_was_written_loses_no_write(
    node: Node, tracker: str, workload: str
) -> None:
    worker = await node.spawn(order_of(workload, tracker, Fill.RANDOM))
    source, target = worker.memory.array, np.zeros_like(worker.memory.array)
    found = worker.tracker()
    await soon(worker.resumed())

    found.begin()
    np.copyto(target, source)
    for _ in range(20):
        await asyncio.sleep(0.002)
        copy_runs(source, target, found.collect())
    worker.set_holds(Hold.ATTEMPT)
    await soon(worker.paused())
    last = found.collect()
    assert last.pages < worker.memory.pages // 2
    copy_runs(source, target, last)

    assert np.array_equal(source, target)
    assert len(found.collect()) == 0
    found.close()


def copy_runs(source: Pages, target: Pages, runs: Runs) -> None:
    pages = runs.numbers()
    target[pages] = source[pages]


async def test_a_guest_goes_on_in_another_worker_exactly_where_it_was(node: Node) -> None:
    here = await node.spawn(order_of("wave"))
    await until(lambda: here.steps > 100)
    here.set_holds(Hold.ATTEMPT)
    await soon(here.paused())
    steps = here.steps
    memory = VmMemory.create("there", MEMORY_BYTES)
    node.memories.append(memory)
    there = await node.spawn(
        WorkerOrder(here.order.spec, boot=False, tracker=KERNEL), Hold.ATTEMPT, memory
    )

    memory.array[:] = here.memory.array
    there.set_holds(Hold.NONE, Epoch(4))
    await soon(there.resumed())
    await until(lambda: there.steps > steps + 100)
    there.set_holds(Hold.ATTEMPT)
    await soon(there.paused())

    assert check_wave(memory.array) is None
    assert here.steps == steps


async def test_a_guest_whose_registers_never_came_ends_and_says_why(node: Node) -> None:
    order = WorkerOrder(order_of("wave").spec, boot=False, tracker=KERNEL)
    worker = await node.spawn(order)

    await soon(worker.destroyed())

    assert "ended with status 1: Page 0 holds no registers of a wave guest." in node.deaths[0]
    with pytest.raises(WorkerDied):
        await soon(worker.resumed())


async def test_an_idle_guest_leaves_no_process_behind_once_its_memory_is_filled(node: Node) -> None:
    worker = await node.spawn(order_of("idle", fill=Fill.RANDOM))
    assert worker.pid is not None
    await until_gone([worker.pid])

    assert worker.memory.array.any(axis=1).all()
    states = [worker.state]
    worker.set_holds(Hold.OPERATOR)
    await soon(worker.paused())
    states.append(worker.state)
    assert states == [WorkerState.RUNNING, WorkerState.PAUSED]
    assert len(worker.tracker().collect()) == 0
    assert node.deaths == []


async def test_a_worker_that_is_killed_is_reported_with_the_signal(node: Node) -> None:
    worker = await node.spawn(order_of("uniform"))
    assert worker.pid is not None

    os.kill(worker.pid, signal.SIGKILL)
    await soon(worker.destroyed())

    assert node.deaths == [f"The VM's worker {worker.pid} was killed by SIGKILL."]


async def test_workers_end_with_their_warm_parent(node: Node) -> None:
    workers = [await node.spawn(order_of("uniform")) for _ in range(2)]

    os.kill(node.warm.pid, signal.SIGKILL)

    await until_gone([worker.pid for worker in workers if worker.pid])
    await until(lambda: len(node.deaths) == 2)
    assert "lost with the warm parent" in node.deaths[0]


def test_the_warm_parent_and_all_workers_end_when_the_agent_is_killed() -> None:
    told, tells = os.pipe()
    agent_pid = os.fork()
    if agent_pid == 0:
        _be_an_agent(tells)
    os.close(tells)
    pids = [int(word) for word in os.read(told, 100).split()]
    assert len(pids) == 3
    assert all(is_alive(pid) for pid in pids)

    os.kill(agent_pid, signal.SIGKILL)
    os.waitpid(agent_pid, 0)

    asyncio.run(until_gone(pids))
    os.close(told)


def _be_an_agent(tells: int) -> None:
    """In a process of its own: two VMs, and then nothing until it is killed."""

    async def work() -> None:
        node = Node()
        running = await node.spawn(order_of("wave"))
        paused = await node.spawn(order_of("wave"), Hold.OPERATOR)
        os.write(tells, f"{node.warm.pid} {running.pid} {paused.pid}".encode())
        await asyncio.sleep(3600)

    try:
        asyncio.run(work())
    finally:
        os._exit(1)


async def test_workers_of_a_closed_warm_parent_are_gone() -> None:
    node = Node()
    worker = await node.spawn(order_of("wave"))
    assert worker.pid is not None
    node.warm.close()
    await soon(worker.destroyed())
    await until_gone([worker.pid])
    assert "lost with the warm parent" in node.deaths[0]
    node.lease.close()
    node.memories[0].close()
