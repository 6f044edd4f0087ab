"""A machine for tests of the agent's edge: real workers, real memory, real sockets; no core."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Coroutine
from pathlib import Path
from typing import Any, TypeVar

from agent.actions import Connect, Reserve
from agent.events import Connected, Event, ReserveDone, SourceConnected, VmCreated
from agent.io.control import LeasePage
from agent.io.incoming import Target
from agent.io.kept import KeptImages
from agent.io.outgoing import Source
from agent.io.storage import Storage
from agent.io.tracker import choose_tracker
from agent.io.vms import Vms, boottime
from agent.io.warm import WarmParent
from protocol.names import (
    AttemptId,
    ClusterId,
    Endpoint,
    Epoch,
    Fill,
    Hold,
    Incarnation,
    Member,
    NetworkName,
    NodeName,
    VmName,
    VmSpec,
    Workload,
)
from protocol.travel import Travel

Heard = TypeVar("Heard")

PATIENCE_S = 20.0
CLUSTER = ClusterId("c")
VM = VmName("sql01")
A = AttemptId(7)
E = Epoch(3)
LAN = NetworkName("migration")
TOKEN = "t" * 32
HERE, THERE = Incarnation("node1-a"), Incarnation("node2-b")
TRACKER, _ = choose_tracker()


def spec_of(memory_bytes: int, workload: Workload, fill: Fill = Fill.RANDOM) -> VmSpec:
    return VmSpec(memory_bytes, workload, fill, seed=7)


WAVE = spec_of(64 << 20, Workload("wave", 80_000_000))


class Machine:
    """The edge of one agent. What it feeds is kept until a test asks for it."""

    def __init__(
        self,
        address: str,
        folder: Path,
        storage: Storage | None = None,
        tracker: str = TRACKER,
        kept_bytes: int = 0,
    ) -> None:
        self.warm = WarmParent.fork()
        self.lease = LeasePage.create()
        self.lease.end_s = boottime() + 1000
        self.events: list[Event] = []
        self.jobs: set[asyncio.Task[None]] = set()
        self.failures: list[BaseException] = []
        self._news = asyncio.Event()
        addresses = {LAN: address}
        self.address = address
        self.storage = storage or Storage(folder / "vms")
        self.kept = KeptImages(kept_bytes)
        self.vms = Vms(
            self.warm, self.lease, tracker, self.storage, self.feed, self.spawn, kept=self.kept
        )
        self.source = Source(self.vms, addresses, self.feed, self.spawn)
        self.target = Target(self.vms, self.storage, self.feed, self.spawn)
        self.target.listen(addresses, 0)
        self.accepting = asyncio.create_task(self.target.accept())

    def feed(self, event: Event) -> None:
        self.events.append(event)
        self._news.set()

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        job = asyncio.create_task(work)
        self.jobs.add(job)
        job.add_done_callback(self._ended)
        return job

    def _ended(self, job: asyncio.Task[None]) -> None:
        self.jobs.discard(job)
        if not job.cancelled() and (failure := job.exception()) is not None:
            self.failures.append(failure)

    async def heard(self, kind: type[Heard]) -> Heard:
        """The next event of that kind, whatever else came before it."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                for event in self.events:
                    if isinstance(event, kind):
                        self.events.remove(event)
                        return event
                self._news.clear()
                await self._news.wait()

    @property
    def member(self) -> Member:
        endpoint = Endpoint(((LAN, self.address),), 1, self.target.port)
        return Member(NodeName("node2"), THERE, endpoint)

    async def close(self) -> None:
        """As an agent ends. A job that failed would have ended the agent, so it fails the test."""
        self.accepting.cancel()
        await asyncio.gather(self.accepting, return_exceptions=True)
        self.target.stop_listening()
        await self.source.close_all()
        await self.target.close_all()
        await self.vms.end_all()
        await self.kept.drop_all()
        while self.jobs:
            await asyncio.wait(self.jobs)
        self.warm.close()
        self.lease.close()
        assert self.failures == []


@contextlib.asynccontextmanager
async def machines(tmp_path: Path) -> AsyncIterator[tuple[Machine, Machine]]:
    """A source and a target."""
    here, there = Machine("127.88.1.1", tmp_path / "a"), Machine("127.88.1.2", tmp_path / "b")
    try:
        yield here, there
    finally:
        await here.close()
        await there.close()


async def with_guest(machine: Machine, spec: VmSpec = WAVE) -> None:
    machine.vms.create(VM, E, spec, Hold.NONE)
    await machine.heard(VmCreated)


def reserve_order(spec: VmSpec = WAVE, attempt: AttemptId = A, epoch: Epoch = E) -> Reserve:
    return Reserve(CLUSTER, attempt, VM, epoch, spec, HERE, THERE, TOKEN)


def connect_order(there: Machine, attempt: AttemptId = A, epoch: Epoch = E) -> Connect:
    return Connect(
        CLUSTER, attempt, VM, epoch, HERE, there.member, (LAN,), TOKEN, Travel(streams=2)
    )


async def connected(
    here: Machine,
    there: Machine,
    spec: VmSpec = WAVE,
    attempt: AttemptId = A,
    epoch: Epoch = E,
) -> None:
    """S3 and S4."""
    there.target.reserve(reserve_order(spec, attempt, epoch))
    await there.heard(ReserveDone)
    here.source.connect(connect_order(there, attempt, epoch))
    await there.heard(SourceConnected)
    assert (await here.heard(Connected)).network == LAN
