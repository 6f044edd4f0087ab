"""The VMs of this node: their memory, their workers, and what is seen of them."""

import asyncio
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, TypeVar

from agent.actions import MirrorStorage
from agent.events import (
    Event,
    GuestObserved,
    GuestPaused,
    GuestResumed,
    GuestSettled,
    MirrorFailed,
    VmCreated,
    VmDestroyed,
    VmFailed,
)
from agent.io.control import LeasePage, WorkerState
from agent.io.kept import KeptImages, hash_image
from agent.io.memory import VmMemory
from agent.io.storage import Storage
from agent.io.tracker import KERNEL
from agent.io.vm import VmWorker, WorkerDied
from agent.io.vm_disk import DiskOfVm
from agent.io.warm import WarmParent
from agent.io.worker import WorkerOrder
from agent.kept_image import Hashes
from protocol.errors import ClusterError
from protocol.names import Epoch, Hold, Verify, VmName, VmSpec
from protocol.workload import DISK_WORKLOADS, disk_bytes

T = TypeVar("T")


def boottime() -> float:
    """Seconds since boot, suspended ones included: the clock of leases."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


@dataclass(slots=True, eq=False)
class Watch:
    """Somebody who watches a guest's writes: asked to end it, and it is over."""

    stop: asyncio.Event = field(default_factory=asyncio.Event)
    over: asyncio.Event = field(default_factory=asyncio.Event)


@dataclass(slots=True)
class Vm:
    """One VM that is here, or on its way. `uses` keeps its memory while threads work on it."""

    spec: VmSpec
    memory: VmMemory | None = None
    worker: VmWorker | None = None
    disk: DiskOfVm | None = None
    holds: Hold = Hold.NONE
    watching: asyncio.Task[None] | None = None
    making: asyncio.Task[None] | None = None
    uses: set[asyncio.Task[Any]] = field(default_factory=set)
    watches: set[Watch] = field(default_factory=set)
    """Who watches what the guest writes, and so uses what finds it."""

    is_ending: bool = False
    lacks_pages: bool = False
    """Some of its pages have not come: whoever reads one in this process makes it one of zeros."""

    is_unwanted: bool = False
    is_moved: bool = False
    image: Hashes | None = None
    """Of its pages, if this node had kept them; until the source has been told, or is not to be."""

    has_old_pages: bool = False
    seen_at_s: float = 0.0
    seen_bytes: int = 0

    def use(self, job: asyncio.Task[Any]) -> None:
        """Keep the memory until `job` has ended, whoever stops waiting for it."""
        self.uses.add(job)
        job.add_done_callback(self.uses.discard)

    async def end_watches(self) -> None:
        """Afterwards nobody else looks for the guest's writes: what one finds is lost to others."""
        watches = list(self.watches)
        for watch in watches:
            watch.stop.set()
        for watch in watches:
            await watch.over.wait()

    def keep_worker(self, spawned: asyncio.Task[VmWorker]) -> None:
        if not spawned.cancelled() and spawned.exception() is None:
            self.worker = spawned.result()

    async def digest(self, verify: Verify) -> bytes:
        """The hash of its pages, taken in a thread that keeps them."""
        assert self.memory is not None, "only a VM with memory is compared"
        assert not self.lacks_pages, "what has not come cannot be hashed"
        job = asyncio.create_task(asyncio.to_thread(self.memory.digest, verify is Verify.SAMPLED))
        self.use(job)
        return await asyncio.shield(job)

    def look_from_now(self, written_bytes: int) -> None:
        """The next look at the guest's rate counts from here."""
        self.seen_at_s, self.seen_bytes = boottime(), written_bytes


class Vms:
    """Makes, holds, watches and ends VMs as the core wants it."""

    def __init__(
        self,
        warm: WarmParent,
        lease: LeasePage,
        tracker: str,
        storage: Storage,
        feed: Callable[[Event], None],
        spawn: Callable[..., asyncio.Task[None]],
        *,
        kept: KeptImages | None = None,
    ) -> None:
        self._kept = KeptImages() if kept is None else kept
        self._warm = warm
        self._lease = lease
        self._tracker = tracker
        self._storage = storage
        self._feed = feed
        self._spawn = spawn
        self._vms: dict[VmName, Vm] = {}

    def __getitem__(self, name: VmName) -> Vm:
        return self._vms[name]

    def get(self, name: VmName) -> Vm | None:
        return self._vms.get(name)

    # ---- making and ending

    def create(self, name: VmName, epoch: Epoch, spec: VmSpec, holds: Hold) -> None:
        """Ends in VmCreated or VmFailed."""
        vm = self._vms[name] = Vm(spec, holds=holds)
        vm.making = self._spawn(self._create(name, vm, epoch))

    async def _create(self, name: VmName, vm: Vm, epoch: Epoch) -> None:
        try:
            await self.make(name, vm, epoch, boot=True)
        except (ClusterError, OSError) as error:
            await self.discard(name, vm)
            self._feed(VmFailed(name, str(error)))
        else:
            vm.making = None
            self._feed(VmCreated(name))

    def reserve(self, name: VmName, spec: VmSpec, holds: Hold) -> Vm:
        """A VM whose pages will come from elsewhere; `make` it with boot=False."""
        vm = self._vms[name] = Vm(spec, holds=holds)
        return vm

    async def make(self, name: VmName, vm: Vm, epoch: Epoch, *, boot: bool) -> None:
        """Memory and worker; a target's memory is populated first, so that no copy waits for it."""
        if boot:
            await self.open_disk(name, vm, epoch, boot=True)
            await self._kept.drop(name)
        memory = vm.memory = await self._memory(name, vm)
        if not boot:
            await self._in_thread(vm, memory.populate, lambda _done_bytes: not vm.is_ending)
            if vm.has_old_pages:
                vm.image = await self._in_thread(vm, hash_image, memory)
        spawning = asyncio.create_task(
            VmWorker.spawn(
                self._warm,
                vm.memory,
                self._lease,
                WorkerOrder(
                    vm.spec,
                    boot,
                    self._tracker,
                    disk_bytes(vm.spec),
                    may_miss=not boot and self._tracker == KERNEL,
                ),
                epoch=epoch,
                holds=vm.holds,
                died=lambda reason: self._died(name, vm, reason),
            )
        )
        # To its end, whatever becomes of the VM: a worker that nobody knows of is ended by nobody.
        spawning.add_done_callback(vm.keep_worker)
        vm.use(spawning)
        worker = await asyncio.shield(spawning)
        if vm.disk is not None:
            await vm.disk.serve(worker)
        await worker.ready()
        worker.set_holds(vm.holds, epoch)
        vm.look_from_now(worker.bytes_written)

    async def open_disk(self, name: VmName, vm: Vm, epoch: Epoch, *, boot: bool = False) -> None:
        """The VM's disks under `epoch`, and served from now on if its worker is there."""
        if vm.is_ending or not (vm.spec.volumes or vm.spec.workload.name in DISK_WORKLOADS):
            return
        disk = vm.disk = DiskOfVm(name, vm.spec, self._storage, self._feed)
        await disk.open(epoch, boot=boot)
        if vm.worker is not None:
            await disk.serve(vm.worker)

    async def _memory(self, name: VmName, vm: Vm) -> VmMemory:
        """What this node has kept of the VM, or as many zero pages."""
        kept = self._kept.take(name, vm.spec.memory_bytes)
        vm.has_old_pages = kept is not None
        if kept is not None:
            return kept
        await self._kept.make_room(vm.spec.memory_bytes)
        return VmMemory.create(name, vm.spec.memory_bytes)

    async def _in_thread(self, vm: Vm, work: Callable[..., T], *args: object) -> T:
        """With the VM's memory, which stays until the work has ended."""
        job = asyncio.create_task(asyncio.to_thread(work, *args))
        vm.use(job)
        return await asyncio.shield(job)

    async def destroy(self, name: VmName, moved: bool = False) -> None:
        """Ends in VmDestroyed, also when there is nothing."""
        vm = self._vms.get(name)
        if vm is not None:
            vm.is_unwanted, vm.is_moved = True, moved
            await self._end(name, vm)
        self._feed(VmDestroyed(name))

    async def discard(self, name: VmName, vm: Vm) -> None:
        """Give back what `make` had already taken when it failed."""
        await self._give_back(name, vm)
        self._forget(name, vm)

    async def end_all(self) -> None:
        """End every VM without a word to the core: for an incarnation that is over."""
        await asyncio.gather(*(self._end(name, vm) for name, vm in sorted(self._vms.items())))

    def abandon(self) -> None:
        """The program ends: its workers end with it, and nobody is left to hear of that."""
        self._vms.clear()

    async def _end(self, name: VmName, vm: Vm) -> None:
        vm.is_ending = True
        for task in (vm.making, vm.watching):
            if task is not None:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
        await vm.end_watches()
        if vm.worker is not None:
            vm.worker.destroy()
        if vm.uses:
            await asyncio.gather(*vm.uses, return_exceptions=True)
        await self.discard(name, vm)

    async def _give_back(self, name: VmName, vm: Vm) -> None:
        vm.is_ending = True  # from here on there is nothing to look at
        if vm.worker is not None:
            vm.worker.destroy()
        if vm.disk is not None:  # before the worker's ring goes, and the word that it has stopped
            await vm.disk.end()
        if vm.worker is not None:
            await vm.worker.destroyed()
        if vm.memory is not None and vm.is_moved:
            await self._kept.keep(name, vm.memory)
        elif vm.memory is not None:
            await asyncio.to_thread(vm.memory.close)
        # Not left to the collector of cycles: the mapping keeps a descriptor open.
        vm.worker = vm.memory = vm.disk = None

    def _forget(self, name: VmName, vm: Vm) -> None:
        if self._vms.get(name) is vm:
            del self._vms[name]

    def _died(self, name: VmName, vm: Vm, reason: str) -> None:
        """A worker ended by itself. While the VM is being made, `make` hears of it."""
        if vm.making is None and self._vms.get(name) is vm:
            self._spawn(self._bury(name, vm, reason))

    async def _bury(self, name: VmName, vm: Vm, reason: str) -> None:
        await self._end(name, vm)
        if not vm.is_unwanted:  # else VmDestroyed says it, and the name may be a new VM's by now
            self._feed(VmFailed(name, reason))

    # ---- moving files

    def mirror(self, order: MirrorStorage) -> None:
        """Its steps are StorageCopied, StorageStands or MirrorFailed."""
        vm = self._vms.get(order.vm)
        if vm is None or vm.disk is None or vm.is_ending:
            self._feed(MirrorFailed(order.vm, order.move, "its disks are not open here"))
        else:
            vm.disk.mirror(order)

    def leave_mirror(self, name: VmName, move: int) -> None:
        vm = self._vms.get(name)
        if vm is not None and vm.disk is not None:
            vm.disk.leave_mirror(move)

    def switch_storage(self, name: VmName, move: int, spec: VmSpec) -> None:
        vm = self._vms.get(name)
        if vm is not None and vm.disk is not None and not vm.is_ending:
            vm.spec = spec
            vm.disk.switch(move, spec)

    # ---- holding and watching

    def set_holds(self, name: VmName, epoch: Epoch, holds: Hold) -> None:
        """Ends in GuestPaused when the first hold or an attempt's comes, and in GuestResumed when
        the last goes.
        """
        vm = self._vms.get(name)
        if vm is None or vm.worker is None or vm.is_ending:
            return
        ordered_s = boottime()
        was, vm.holds = vm.holds, holds
        if vm.disk is not None:
            vm.disk.live_by(epoch)
            if Hold.ATTEMPT not in holds:
                vm.disk.shut(False)
        vm.worker.set_holds(holds, epoch)
        asked_anew = Hold.ATTEMPT in holds and Hold.ATTEMPT not in was
        if bool(was) == bool(holds) and not asked_anew:
            return
        if vm.watching is not None:
            vm.watching.cancel()
        vm.watching = self._spawn(self._watch(name, vm, vm.worker, ordered_s))

    def set_throttle(self, name: VmName, share: float) -> None:
        """What its guest loses of its time; of a VM that goes nobody asks any more."""
        vm = self._vms.get(name)
        if vm is not None and vm.worker is not None and not vm.is_ending:
            vm.worker.set_throttle(share)

    async def _watch(self, name: VmName, vm: Vm, worker: VmWorker, ordered_s: float) -> None:
        try:
            if vm.holds:
                await worker.paused()
                left = worker.unanswered
                self._feed(GuestPaused(name, worker.steps, boottime() - ordered_s, left))
                await worker.settled()
                if vm.disk is not None and Hold.ATTEMPT in vm.holds:
                    vm.disk.shut(True)
                if left:
                    self._feed(GuestSettled(name))
            else:
                await worker.resumed()
                vm.look_from_now(worker.bytes_written)
                self._feed(GuestResumed(name, boottime() - ordered_s))
        except WorkerDied:
            return  # the core hears VmFailed

    def end_guest(self, name: VmName) -> None:
        """The VM is another node's: its worker ends and its disks close, its pages stay."""
        vm = self._vms.get(name)
        if vm is None or vm.is_ending:
            return
        if vm.watching is not None:
            vm.watching.cancel()
        if vm.worker is not None:
            vm.worker.destroy()
        if vm.disk is not None:
            disk, vm.disk = vm.disk, None
            ending = asyncio.create_task(disk.end())
            vm.use(ending)

    def wake_all(self) -> None:
        """The lease has begun again: have every worker look at once."""
        for vm in self._vms.values():
            if vm.worker is not None:
                vm.worker.wake()

    def observe(self) -> Iterator[GuestObserved]:
        """A look at every guest. The rate is over the time since the last look."""
        for name, vm in sorted(self._vms.items()):
            worker = vm.worker
            if worker is None or vm.making is not None or vm.is_ending:
                continue
            now_s, written = boottime(), worker.bytes_written
            since_s = max(now_s - vm.seen_at_s, 1e-3)
            rate = max(0.0, (written - vm.seen_bytes) / since_s)
            vm.look_from_now(written)
            running = worker.state is WorkerState.RUNNING
            yield GuestObserved(name, running, worker.steps, rate)
