"""A worker whose guest loses a share of its time: what it still does, and how soon it obeys."""

import asyncio
import itertools
from collections.abc import AsyncIterator

import pytest

from agent.io.control import WorkerState
from agent.io.tracker import MAP
from agent.io.vm import VmWorker
from agent.io.worker import WorkerOrder
from protocol.names import Fill, Hold, VmSpec, Workload
from tests.live.test_worker import (
    MEMORY_BYTES,
    PATIENCE_S,
    Node,
    a_node,
    now_s,
    order_of,
    soon,
    until,
)


@pytest.fixture
async def node() -> AsyncIterator[Node]:
    async with a_node() as one:
        yield one


async def seconds_for(worker: VmWorker, written_bytes: int) -> float:
    """How long its guest takes to write so much."""
    began_s, end = now_s(), worker.bytes_written + written_bytes
    await until(worker, lambda: worker.bytes_written >= end)
    return now_s() - began_s


@pytest.mark.parametrize("share", [0.5, 0.8])
async def test_a_throttled_guest_loses_that_share_of_its_work(node: Node, share: float) -> None:
    spec = VmSpec(MEMORY_BYTES, Workload("uniform", 50_000_000), Fill.ZERO, seed=1)
    worker = await node.spawn(WorkerOrder(spec, boot=True, tracker=MAP))
    await soon(worker.resumed())

    whole_s = await seconds_for(worker, 10_000_000)
    worker.set_throttle(share)
    slow_s = await seconds_for(worker, 10_000_000)
    worker.set_throttle(0.0)
    again_s = await seconds_for(worker, 10_000_000)

    # It runs at 50 MB/s where the machine lets it, and never faster than its share.
    assert slow_s >= 0.95 * 0.2 / (1 - share)
    assert slow_s >= 1.5 * min(whole_s, again_s)
    assert again_s < slow_s


async def test_a_throttled_guest_obeys_at_once(node: Node) -> None:
    worker = await node.spawn(order_of("uniform", MAP))
    worker.set_throttle(0.99)
    waits_s = []
    for holds in [Hold.ATTEMPT, Hold.NONE] * 25:
        asked_s = now_s()
        worker.set_holds(holds)
        await soon(worker.paused() if holds else worker.resumed())
        waits_s.append(now_s() - asked_s)

    assert sorted(waits_s)[len(waits_s) // 2] < 0.005
    assert worker.throttle == 0.99


async def test_a_throttled_guest_beats_and_its_state_says_that_it_runs(node: Node) -> None:
    worker = await node.spawn(order_of("wave", MAP))
    await soon(worker.resumed())
    worker.set_throttle(0.99)

    beats: set[int] = set()
    async with asyncio.timeout(PATIENCE_S):
        while len(beats) < 20:
            beats.add(worker.beat_ns)
            assert worker.state is WorkerState.RUNNING
            await asyncio.sleep(0)

    gaps_ns = [after - before for before, after in itertools.pairwise(sorted(beats))]
    assert sorted(gaps_ns)[len(gaps_ns) // 2] < 30_000_000
