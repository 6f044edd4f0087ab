import asyncio
import contextlib
import os
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable

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
from lab.procfs import stat
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


@contextlib.asynccontextmanager
async def a_node() -> AsyncIterator[Node]:
    one = Node()
    yield one
    one.warm.close()
    for worker in one.workers:
        await soon(worker.destroyed())
    one.lease.close()
    for memory in one.memories:
        memory.close()


@pytest.fixture
async def node() -> AsyncIterator[Node]:
    async with a_node() as one:
        yield one


async def soon(what: Awaitable[None]) -> None:
    await asyncio.wait_for(what, PATIENCE_S)


async def boundaries(worker: VmWorker, count: int = 1) -> None:
    """Its guest comes to so many boundaries: the worker answers each order at one."""
    for _ in range(count):
        worker.set_holds(worker.holds)
        await soon(worker.paused() if worker.holds else worker.resumed())


async def until(worker: VmWorker, happened: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not happened():
            await boundaries(worker)


def stand_still_until(happened: Callable[[], bool]) -> None:
    """The agent is frozen meanwhile: its event loop does nothing, and it orders nothing."""
    give_up_s = now_s() + PATIENCE_S
    while not happened():
        assert now_s() < give_up_s, "nothing happened"
        os.sched_yield()


def is_alive(pid: int) -> bool:
    found = stat(pid)
    return found is not None and found.state not in "ZX"


async def until_gone(*pids: int) -> None:
    """A process that has ended but was not waited for is gone, too."""
    loop = asyncio.get_running_loop()
    for pid in pids:
        try:
            process = os.pidfd_open(pid)
        except ProcessLookupError:
            continue
        gone = asyncio.Event()
        loop.add_reader(process, gone.set)
        try:
            async with asyncio.timeout(PATIENCE_S):
                await gone.wait()
        finally:
            loop.remove_reader(process)
            os.close(process)


@pytest.mark.parametrize("tracker", TRACKERS)
async def test_a_held_guest_stands_still_and_goes_on_when_the_hold_is_gone(
    node: Node, tracker: str
) -> None:
    worker = await node.spawn(order_of("wave", tracker))
    await soon(worker.resumed())
    await until(worker, lambda: worker.steps > 100)

    worker.set_holds(Hold.ATTEMPT, Epoch(4))
    await soon(worker.paused())
    before, steps = worker.memory.digest(sampled=False), worker.steps
    await boundaries(worker, 20)
    assert worker.memory.digest(sampled=False) == before
    assert worker.epoch == 4
    assert check_wave(worker.memory.array) is None

    worker.set_holds(Hold.NONE)
    await soon(worker.resumed())
    await until(worker, lambda: worker.steps > steps)
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
    await until(worker, lambda: worker.steps > steps)


async def test_a_frozen_agent_leaves_no_guest_running_past_the_lease(node: Node) -> None:
    """Nobody tells the worker anything from here on: what it does, it does by itself."""
    worker = await node.spawn(order_of("uniform"))
    await soon(worker.resumed())
    end_s = node.lease.end_s = now_s() + 0.05

    stand_still_until(lambda: worker.state is WorkerState.PAUSED)
    steps, paused_s, beat_ns = worker.steps, worker.changed_ns / 1e9, worker.beat_ns
    stand_still_until(lambda: worker.beat_ns > beat_ns + 50e6)

    assert worker.steps == steps
    assert end_s <= paused_s < end_s + 0.5


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
        written = worker.bytes_written
        await until(worker, lambda: worker.bytes_written > written)  # noqa: B023 - awaited here
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
    await until(here, lambda: here.steps > 100)
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
    await until(there, lambda: there.steps > steps + 100)
    there.set_holds(Hold.ATTEMPT)
    await soon(there.paused())

    assert check_wave(memory.array) is None
    assert here.steps == steps


async def test_a_guest_whose_registers_never_came_ends_and_says_why(node: Node) -> None:
    order = WorkerOrder(order_of("wave").spec, boot=False, tracker=KERNEL)
    worker = await node.spawn(order, Hold.ATTEMPT)

    worker.set_holds(Hold.NONE)
    await soon(worker.destroyed())

    assert "ended with status 1: Page 0 holds no registers of a wave guest." in node.deaths[0]
    with pytest.raises(WorkerDied):
        await soon(worker.resumed())


async def test_an_idle_guest_leaves_no_process_behind_once_its_memory_is_filled(node: Node) -> None:
    worker = await node.spawn(order_of("idle", fill=Fill.RANDOM))
    assert worker.pid is not None
    await until_gone(worker.pid)

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


async def test_a_worker_that_is_ended_on_purpose_is_gone_and_nobody_hears_of_a_death(
    node: Node,
) -> None:
    worker = await node.spawn(order_of("uniform"))
    assert worker.pid is not None

    worker.destroy()

    await soon(worker.destroyed())
    await until_gone(worker.pid)
    assert node.deaths == []


@pytest.mark.parametrize("workload", ["idle", "uniform"])
async def test_a_worker_that_ends_while_it_fills_the_memory_never_becomes_ready(
    node: Node, workload: str
) -> None:
    memory = VmMemory.create("test", MEMORY_BYTES)
    node.memories.append(memory)
    order = order_of(workload, fill=Fill.RANDOM)
    worker = await VmWorker.spawn(
        *(node.warm, memory, node.lease, order), epoch=Epoch(3), died=node.deaths.append
    )
    node.workers.append(worker)
    assert worker.pid is not None

    os.kill(worker.pid, signal.SIGKILL)

    with pytest.raises(WorkerDied, match="was killed by SIGKILL"):
        await soon(worker.ready())
    assert worker.state is WorkerState.ENDED


async def test_workers_end_with_their_warm_parent(node: Node) -> None:
    workers = [await node.spawn(order_of("uniform")) for _ in range(2)]

    os.kill(node.warm.pid, signal.SIGKILL)

    for worker in workers:
        await soon(worker.destroyed())
    await until_gone(*(worker.pid for worker in workers if worker.pid))
    assert len(node.deaths) == 2
    assert "lost with the warm parent" in node.deaths[0]


async def test_a_worker_can_be_ended_before_the_loss_of_the_warm_parent_is_seen(node: Node) -> None:
    worker = await node.spawn(order_of("uniform"))

    os.kill(node.warm.pid, signal.SIGKILL)
    stand_still_until(lambda: not is_alive(node.warm.pid))
    worker.destroy()

    await soon(worker.destroyed())
    assert node.deaths == [], "it was told to end"


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

    asyncio.run(until_gone(*pids))
    os.close(told)


def _be_an_agent(tells: int) -> None:
    """In a process of its own: two VMs, and then nothing until it is killed."""

    async def work() -> None:
        node = Node()
        running = await node.spawn(order_of("wave"))
        paused = await node.spawn(order_of("wave"), Hold.OPERATOR)
        os.write(tells, f"{node.warm.pid} {running.pid} {paused.pid}".encode())
        await asyncio.Event().wait()

    try:
        asyncio.run(work())
    finally:
        os._exit(1)


async def test_workers_of_a_closed_warm_parent_are_gone(node: Node) -> None:
    worker = await node.spawn(order_of("wave"))
    assert worker.pid is not None

    node.warm.close()

    await soon(worker.destroyed())
    await until_gone(worker.pid)
    assert "lost with the warm parent" in node.deaths[0]
