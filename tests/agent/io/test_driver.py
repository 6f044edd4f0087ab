"""A whole agent but for its process, led by a coordinator that says what the test wants said."""

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import TypeVar

import pytest

from agent.actions import Action, Tell
from agent.config import AgentConfig
from agent.io.driver import Driver
from agent.io.record import StateFolder
from agent.io.warm import WarmParent
from lab.procfs import family, stat
from protocol.errors import NotReady
from protocol.io.link import Link, serve_links
from protocol.messages import (
    Hello,
    Ping,
    Pong,
    ProposeView,
    StartVm,
    StopVm,
    ToAgent,
    ViewAcked,
    VmStarted,
    VmStopped,
    Welcome,
    WitnessStatus,
)
from protocol.names import (
    ClusterId,
    Endpoint,
    Epoch,
    Incarnation,
    Member,
    NetworkName,
    NodeName,
    QuorumMode,
    Term,
    Timing,
    View,
    ViewNumber,
    VmName,
    VmSpec,
    VoteConfig,
    Witness,
    WitnessKind,
    WitnessState,
    Workload,
)
from tests.agent.io.machine import TRACKER, spec_of

PATIENCE_S = 20.0
HOST, THERE = "127.88.7.1", "127.88.7.250"
LAN = NetworkName("lan")
CLUSTER, TERM, NODE, VM = ClusterId("c"), Term(1), NodeName("node1"), VmName("sql01")
OTHER = Member(NodeName("node2"), Incarnation("node2-x"), Endpoint(((LAN, "127.88.7.2"),), 9, 9))
VOTES = VoteConfig(1, ((NODE, 1),))
TIMING = Timing(0.05, 4)
BUSY = spec_of(16 << 20, Workload("wave", 20_000_000))
LARGE = spec_of(1 << 30, Workload("wave"))
Said = TypeVar("Said")


class Coordinator:
    """Leads by hand. `life` is the incarnation that said hello last."""

    def __init__(self) -> None:
        self.links: asyncio.Queue[Link] = asyncio.Queue()
        self.link: Link
        self.hello: Hello

    async def serve(self, link: Link) -> None:
        self.links.put_nowait(link)
        await asyncio.Event().wait()

    @property
    def life(self) -> Incarnation:
        return self.hello.incarnation

    async def meet(self) -> Hello:
        """The first words of the next life."""
        self.link = await asyncio.wait_for(self.links.get(), PATIENCE_S)
        self.hello = await self.said(Hello)
        return self.hello

    async def say(self, *messages: ToAgent) -> None:
        for message in messages:
            await self.link.send(message)

    async def said(self, kind: type[Said]) -> Said:
        async with asyncio.timeout(PATIENCE_S):
            while not isinstance(message := await self.link.receive(), kind):
                pass
            return message

    async def lead(self, number: int = 1, votes: VoteConfig = VOTES) -> None:
        """Welcome the agent and let it live in a view of its own, in which its vote is enough."""
        await self.say(Welcome(CLUSTER, TERM, self.life, TIMING))
        me = Member(NODE, self.life, self.hello.endpoint)
        await self.say(ProposeView(CLUSTER, TERM, View(ViewNumber(number), (me,), votes)))
        assert (await self.said(ViewAcked)).view == number

    async def pong(self, fits: Callable[[Pong], bool]) -> Pong:
        """Ping until the answer fits."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                await self.say(Ping(CLUSTER, TERM, 1))
                if fits(pong := await self.said(Pong)):
                    return pong

    def start(self, epoch: int = 1, spec: VmSpec = BUSY) -> StartVm:
        return StartVm(CLUSTER, TERM, self.life, VM, Epoch(epoch), spec)

    def leave_out(self, number: int) -> ProposeView:
        return ProposeView(CLUSTER, TERM, View(ViewNumber(number), (OTHER,), VOTES))


class Agent:
    def __init__(
        self, folder: Path, coordinator: tuple[str, str, int], driver: type[Driver] = Driver
    ) -> None:
        self.state = StateFolder(folder)
        self.warm = WarmParent.fork()
        self.driver = driver(self.state, self.warm, TRACKER, {LAN: HOST}, [coordinator])
        self.stop = asyncio.Event()

    async def begin(self) -> None:
        beats, migrations = await self.driver.listen(0, 0)
        config = AgentConfig(
            node=NODE, endpoint=Endpoint(((LAN, HOST),), beats, migrations), memory_bytes=4 << 30
        )
        self.running = asyncio.create_task(self.driver.run(config, self.stop))

    @property
    def workers(self) -> int:
        warm = stat(self.warm.pid)
        assert warm is not None
        return len(family(warm.process))

    async def no_worker_left(self) -> None:
        """One that nobody wanted any more when it was forked is ended a moment later."""
        async with asyncio.timeout(PATIENCE_S):
            while self.workers:  # noqa: ASYNC110 - a process that ends sets no event
                await asyncio.sleep(0)

    async def end(self) -> None:
        self.stop.set()
        await self.ended()

    async def ended(self) -> None:
        try:
            await asyncio.wait_for(self.running, PATIENCE_S)
        finally:
            await self.no_worker_left()
            self.warm.close()
            self.state.close()


@contextlib.asynccontextmanager
async def led(tmp_path: Path) -> AsyncIterator[tuple[Agent, Coordinator]]:
    coordinator = Coordinator()
    async with await serve_links(THERE, 0, coordinator.serve) as server:
        agent = Agent(tmp_path, (HOST, THERE, server.port))
        await agent.begin()
        try:
            await coordinator.meet()
            await coordinator.lead()
            yield agent, coordinator
        finally:
            await agent.end()


async def test_a_vm_runs_is_reported_and_is_stopped(tmp_path: Path) -> None:
    async with led(tmp_path) as (agent, coordinator):
        await coordinator.say(coordinator.start())
        assert (await coordinator.said(VmStarted)).epoch == 1
        assert agent.workers == 1
        while True:
            await coordinator.say(Ping(CLUSTER, TERM, 1))
            (report,) = (await coordinator.said(Pong)).vms
            if report.running and report.steps > 0 and report.dirty_bytes_per_s > 0:
                break

        await coordinator.say(StopVm(CLUSTER, TERM, coordinator.life, VM, Epoch(1)))
        assert (await coordinator.said(VmStopped)).epoch == 1
        assert agent.workers == 0


async def test_where_only_the_disk_counts_a_guest_runs_while_its_node_holds_the_disk(
    tmp_path: Path,
) -> None:
    disk = Witness("Cluster Disk 1", WitnessKind.DISK, str(tmp_path / "disk"))
    (tmp_path / "disk").mkdir()
    votes = VoteConfig(1, ((NODE, 0),), QuorumMode.DISK_ONLY, disk, 1)
    coordinator = Coordinator()
    async with await serve_links(THERE, 0, coordinator.serve) as server:
        agent = Agent(tmp_path / "state", (HOST, THERE, server.port))
        await agent.begin()
        try:
            await coordinator.meet()
            await coordinator.lead(1, votes)
            assert (await coordinator.said(ViewAcked)).with_witness
            await coordinator.say(coordinator.start())
            await coordinator.said(VmStarted)
            pong = await coordinator.pong(lambda pong: pong.vms[0].running)
            assert pong.witness == WitnessStatus(1, WitnessState.HELD, 1, ViewNumber(1))

            (tmp_path / "disk").rename(tmp_path / "away")
            pong = await coordinator.pong(lambda pong: not pong.vms[0].running)
            assert pong.lease_s == 0.0
            (tmp_path / "away").rename(tmp_path / "disk")
            await coordinator.pong(lambda pong: pong.vms[0].running)
        finally:
            await agent.end()


async def test_an_agent_that_ends_takes_its_vms_along(tmp_path: Path) -> None:
    async with led(tmp_path) as (agent, coordinator):
        await coordinator.say(coordinator.start())
        await coordinator.said(VmStarted)
        assert agent.workers == 1
    assert agent.running.done()


@pytest.mark.parametrize("spec", [BUSY, LARGE], ids=["running", "being filled"])
async def test_a_life_that_is_left_out_ends_with_its_vms_and_the_next_one_has_none(
    tmp_path: Path, spec: VmSpec
) -> None:
    async with led(tmp_path) as (agent, coordinator):
        first = coordinator.life
        await coordinator.say(coordinator.start(1, spec))
        if spec is BUSY:
            await coordinator.said(VmStarted)
        await coordinator.say(coordinator.leave_out(2))

        hello = await coordinator.meet()

        assert hello.incarnation != first
        assert hello.vms == ()
        assert (hello.cluster, hello.highest_term) == (CLUSTER, TERM)
        await agent.no_worker_left()
        await coordinator.lead(3)
        await coordinator.say(coordinator.start(2))
        assert (await coordinator.said(VmStarted)).epoch == 2
        assert agent.workers == 1


async def test_an_end_in_the_middle_of_a_new_life_is_an_end(tmp_path: Path) -> None:
    async with led(tmp_path) as (agent, coordinator):
        await coordinator.say(coordinator.start(1, LARGE), coordinator.leave_out(2))
        await asyncio.sleep(0)
        agent.stop.set()
        await asyncio.wait_for(agent.running, PATIENCE_S)
        await agent.no_worker_left()
        assert coordinator.links.empty()


class Broken(Driver):
    """Breaks a promise when a VM is there."""

    def _perform(self, wanted: Sequence[Action]) -> None:
        for action in wanted:
            match action:
                case Tell(VmStarted()):
                    raise AssertionError("a promise was broken")
        super()._perform(wanted)


async def test_a_broken_promise_of_the_core_ends_the_agent_and_its_guests(tmp_path: Path) -> None:
    coordinator = Coordinator()
    async with await serve_links(THERE, 0, coordinator.serve) as server:
        agent = Agent(tmp_path, (HOST, THERE, server.port), Broken)
        await agent.begin()
        await coordinator.meet()
        await coordinator.lead()
        await coordinator.say(coordinator.start())

        with pytest.raises(AssertionError, match="a promise was broken"):
            await agent.ended()


async def test_an_agent_whose_warm_parent_is_gone_can_run_no_vm_and_ends(tmp_path: Path) -> None:
    coordinator = Coordinator()
    async with await serve_links(THERE, 0, coordinator.serve) as server:
        agent = Agent(tmp_path, (HOST, THERE, server.port))
        await agent.begin()
        await coordinator.meet()

        os.kill(agent.warm.pid, signal.SIGKILL)

        with pytest.raises(NotReady, match="can run no VM"):
            await asyncio.wait_for(agent.running, PATIENCE_S)
        agent.warm.close()
        agent.state.close()
