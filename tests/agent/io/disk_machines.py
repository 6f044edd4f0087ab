"""Two machines that share a volume, for tests of guests with disks: steps of their lives."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from agent.actions import OpenStorage, SendLastPages, SendRound
from agent.events import (
    GuestPaused,
    GuestResumed,
    GuestSettled,
    LastPagesSent,
    RoundLanded,
    RoundSent,
    StorageDone,
    VmCreated,
    VmFailed,
)
from agent.guests import Pages, disk_guest
from agent.guests.disk_queue import SLOTS, Deed, DiskQueue
from agent.guests.sealed import ENTRY, Block, unsealed
from agent.io.disks.loop import DiskLoop
from agent.io.ring import Turn, Wanted
from agent.io.storage import Storage
from agent.io.tracker import MAP, choose_tracker
from protocol.names import (
    AttemptId,
    Epoch,
    Fill,
    Hold,
    Verify,
    VmDisk,
    VmSpec,
    VolumeName,
    Workload,
)
from protocol.workload import LOG_PLACES
from tests.agent.io.machine import (
    PATIENCE_S,
    VM,
    E,
    Machine,
    connected,
)
from tests.agent.io.volume_model import ModelVolume

V1 = VolumeName("Volume1")
DATA = "/sql01/data.vhd"
WORK = Workload("ledger", 1000 * 512, set_bytes=1 << 20)
DISK_BYTES = 4 << 20
LEDGER = VmSpec(4 << 20, WORK, Fill.RANDOM, 7, (VmDisk(V1, DATA, DISK_BYTES),), V1)
DATABASE = replace(LEDGER, workload=Workload("database", 3000 * 4096, set_bytes=64 << 10))
NEXT = Epoch(E + 1)
TRACKERS = sorted({choose_tracker()[0], MAP})


@contextlib.asynccontextmanager
async def nodes(
    tmp_path: Path, tracker: str = TRACKERS[0], volume: ModelVolume | None = None
) -> AsyncIterator[tuple[Machine, Machine, ModelVolume]]:
    """Two nodes that share a volume, and have a loop for disks each."""
    volume, loops = volume or ModelVolume(), (DiskLoop(), DiskLoop())
    machines = []
    for number, disks in enumerate(loops, start=1):
        disks.start()
        folder = tmp_path / f"node{number}"
        storage = Storage(folder, volume, disks)
        machines.append(Machine(f"127.88.3.{number}", folder, storage, tracker))
    try:
        yield machines[0], machines[1], volume
        assert not [event for one in machines for event in one.events if type(event) is VmFailed]
    finally:
        for one, disks in zip(machines, loops, strict=True):
            await one.close()
            await disks.stop()
    assert volume.open_count == 0, "a VM that is gone has left its disk open"


def pages(machine: Machine) -> Pages:
    memory = machine.vms[VM].memory
    assert memory is not None
    return memory.array


def steps(machine: Machine) -> int:
    worker = machine.vms[VM].worker
    assert worker is not None
    return worker.steps


async def until(happened: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not happened():  # noqa: ASYNC110 - workers set no event of this loop
            await asyncio.sleep(0)


async def more(machine: Machine, count: int) -> None:
    """The guest has done so much more."""
    wanted = steps(machine) + count
    await until(lambda: steps(machine) >= wanted)


async def with_guest(machine: Machine, spec: VmSpec, epoch: Epoch = E) -> None:
    machine.vms.create(VM, epoch, spec, Hold.NONE)
    await machine.heard(VmCreated)


async def stood(machine: Machine, epoch: Epoch, holds: Hold = Hold.ATTEMPT) -> GuestPaused:
    machine.vms.set_holds(VM, epoch, holds)
    paused = await machine.heard(GuestPaused)
    if paused.unanswered:
        await machine.heard(GuestSettled)
    return paused


async def stalled(machine: Machine, volume: ModelVolume) -> None:
    """Nothing is answered from now on, and the guest waits for as much as it may ask."""
    volume.flows.clear()
    worker = machine.vms[VM].worker
    assert worker is not None
    ring = worker.ring
    assert ring is not None
    await until(lambda: all(ring.turn(slot) is Turn.ASKED for slot in range(SLOTS)))


async def stalled_in_reads(machine: Machine, volume: ModelVolume) -> None:
    """As `stalled`, and the database waits for pages that its buffers do not have."""
    memory, queue = pages(machine), DiskQueue(pages(machine))
    worker = machine.vms[VM].worker
    assert worker is not None
    ring = worker.ring
    assert ring is not None

    def asked() -> list[Wanted]:
        slots = [slot for slot in range(SLOTS) if ring.turn(slot) is Turn.ASKED]
        return [ring.wanted(slot) for slot in slots]

    def is_news(wanted: Wanted) -> bool:
        found = volume.disks[DATA][wanted.offset : wanted.offset + 4096]
        return wanted.deed is Deed.READ and bytes(queue.buffer(wanted.slot)[:4096]) != found

    def is_full() -> bool:
        """The log is: nothing is begun any more, before a flush."""
        begun, flushed = (int(memory[0, word]) for word in (disk_guest.NEXT, disk_guest.FIRST))
        return begun - flushed > LOG_PLACES

    while True:
        volume.flows.clear()
        await until(lambda: len(asked()) == SLOTS or is_full())
        if any(is_news(wanted) for wanted in asked()):
            return
        let_flow(machine, volume)
        await more(machine, 10)


def let_flow(machine: Machine, volume: ModelVolume) -> None:
    thread = machine.storage.thread
    assert thread is not None
    thread.loop.call_soon_threadsafe(volume.flows.set)


def on_disk(volume: ModelVolume, path: str = DATA) -> dict[int, Block]:
    blocks = np.frombuffer(bytes(volume.disks[path]), np.uint8).reshape(-1, 512)
    found = [unsealed(block, ENTRY) for block in blocks]
    return {block.sequence: block for block in found if block is not None}


async def moved(
    here: Machine, there: Machine, spec: VmSpec, epoch: Epoch, attempt: AttemptId, rounds: int = 2
) -> None:
    """S3 to S13 with a guest that works meanwhile. Both ends have the same pages at the switch."""
    await connected(here, there, spec, attempt, epoch)
    for number in range(rounds):
        await more(here, 5)
        here.source.send_round(SendRound(attempt, number))
        await here.heard(RoundSent)
        await there.heard(RoundLanded)
    stands = await stood(here, epoch)
    here.source.send_last_pages(SendLastPages(attempt, rounds, Verify.FULL))
    await here.heard(LastPagesSent)
    await there.heard(RoundLanded)
    there.target.open_storage(OpenStorage(attempt, VM, Epoch(epoch + 1)))
    await there.heard(StorageDone)
    different = np.flatnonzero((pages(here) != pages(there)).any(axis=1)).tolist()
    assert not different, "these pages were written, and not found"

    here.source.close(attempt)
    await here.vms.destroy(VM)
    there.target.close(attempt)
    there.vms.set_holds(VM, Epoch(epoch + 1), Hold.NONE)
    await there.heard(GuestResumed)
    await until(lambda: steps(there) >= stands.steps + 20)
