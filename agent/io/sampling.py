"""Watches what a guest writes, beside everything else: a window begins when the pages are
protected, and each look adds the pages written since.

A migration of the VM has the tracker to itself: it ends every watch before it begins to use it.
"""

import asyncio
from collections.abc import Callable
from typing import TypeVar

import numpy as np
import zstandard

from agent import sampling
from agent.actions import SampleWrites
from agent.events import Event, WritesSampled
from agent.forecast.looks import Looks, moments_s, passes_s
from agent.forecast.prediction import Sample
from agent.io.memory import VmMemory
from agent.io.tracker import DirtyTracker
from agent.io.vms import Vm, Vms, Watch, boottime
from agent.runs import no_runs, union
from protocol.errors import ClusterError
from protocol.names import PAGE_BYTES
from protocol.travel import Compress, Travel

Found = TypeVar("Found")

PROBE_GROUPS = 64
GROUP_PAGES = 8


class Sampler:
    """Carries out SampleWrites."""

    def __init__(
        self,
        vms: Vms,
        feed: Callable[[Event], None],
        spawn: Callable[..., asyncio.Task[None]],
    ) -> None:
        self._vms = vms
        self._feed = feed
        self._spawn = spawn

    def sample(self, action: SampleWrites) -> None:
        """Ends in WritesSampled."""
        vm = self._vms.get(action.order.vm)
        if vm is None or vm.is_ending or vm.memory is None or vm.worker is None:
            gone = sampling.refused(action.order, f"{action.order.vm} is gone from this node.")
            self._feed(WritesSampled(gone))
            return
        watch = Watch()
        vm.watches.add(watch)
        self._spawn(self._sample(action, vm, watch))

    async def _sample(self, action: SampleWrites, vm: Vm, watch: Watch) -> None:
        order = action.order
        try:
            try:
                seen = await look(vm, order.longest_s, watch.stop)
            finally:
                watch.over.set()
                vm.watches.discard(watch)
            sample = await self._probe(vm, seen, order.travel)
            told = await asyncio.to_thread(sampling.answer, action, sample, seen.cost_s)
        except ClusterError as error:
            told = sampling.refused(order, error.sentence)
        except OSError as error:  # a worker that dies takes its page table along
            reason = f"The writes of {order.vm} cannot be found: {error.strerror}."
            told = sampling.refused(order, reason)
        self._feed(WritesSampled(told))

    async def _probe(self, vm: Vm, seen: Looks, travel: Travel) -> Sample:
        """What its pages are like, from some of them. Memory that is going is not looked at."""
        windows, memory = seen.windows(), vm.memory
        if vm.is_ending or vm.lacks_pages or memory is None:
            return Sample((), 0)
        job = asyncio.create_task(asyncio.to_thread(probe, memory, travel))
        vm.use(job)
        zero_share, packed_share, speed = await asyncio.shield(job)
        places = seen.places(memory.pages)
        return Sample(windows, memory.pages, zero_share, packed_share, speed, places)


async def look(vm: Vm, longest_s: float, stop: asyncio.Event) -> Looks:
    """Several passes, each with looks at ever later moments, until all are made or `stop`."""
    assert vm.worker is not None, "a guest that is watched has a worker"
    seen = Looks()
    if (tracker := vm.worker.tracker()).name == "idle":
        return Looks({1.0: [(1.0, 0)]})
    try:
        await _timed(tracker.begin, seen)  # the first look finds what was ever written
        for until_s in passes_s(longest_s):
            if stop.is_set():
                break
            await _pass(tracker, until_s, stop, seen)
    finally:
        tracker.close()
    return seen


async def _pass(tracker: DirtyTracker, until_s: float, stop: asyncio.Event, seen: Looks) -> None:
    began_s, _ = await _timed(tracker.collect, seen)
    pages = no_runs()
    for moment_s in moments_s(until_s):
        try:
            async with asyncio.timeout(max(0.0, began_s + moment_s - boottime())):
                await stop.wait()
            return
        except TimeoutError:
            at_s, more = await _timed(tracker.collect, seen)
            pages = union(pages, more)
            seen.add(moment_s, at_s - began_s, pages)


async def _timed(call: Callable[[], Found], seen: Looks) -> tuple[float, Found]:
    """When the look was, on average over the pages, and what it found."""

    def timed() -> tuple[float, float, Found]:
        began_s = boottime()
        found = call()
        return began_s, boottime(), found

    began_s, ended_s, found = await asyncio.to_thread(timed)
    seen.cost_s += ended_s - began_s
    return (began_s + ended_s) / 2, found


def probe(memory: VmMemory, travel: Travel) -> tuple[float, float, float]:
    """The share of zero pages among some groups of neighbours; what compressing leaves of the
    others, and how many bytes a second one thread compresses.
    """
    starts = np.unique(np.linspace(0, max(0, memory.pages - GROUP_PAGES), PROBE_GROUPS).astype(int))
    groups = [np.array(memory.array[start : start + GROUP_PAGES]) for start in starts]
    pages = np.concatenate(groups)
    full = pages[pages.any(axis=1)]
    zero_share = 1 - len(full) / len(pages)
    if travel.compress is Compress.OFF or not len(full):
        return zero_share, 1.0, 0.0
    packer, began_s = zstandard.ZstdCompressor(level=travel.level), boottime()
    packed = sum(len(packer.compress(part.tobytes())) for part in np.array_split(full, 8))
    raw = len(full) * PAGE_BYTES
    return zero_share, min(1.0, packed / raw), raw / max(boottime() - began_s, 1e-6)
