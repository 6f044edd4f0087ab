"""The source's hands: connect, send rounds of pages, take the digest, talk with the target."""

import asyncio
import contextlib
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from agent.actions import Connect, SendLastPages, SendRound
from agent.events import Connected, Event, LastPagesSent, PagesMoved, PeerLost, RoundSent
from agent.io import greeting
from agent.io.memory import VmMemory
from agent.io.pages import PageSender
from agent.io.talk import Talk
from agent.io.tracker import DirtyTracker
from agent.io.vms import Vms, boottime
from agent.runs import Runs, all_pages, no_runs, union
from protocol.errors import ClusterError, PeerUnreachable
from protocol.io.link import link_to
from protocol.messages import (
    Abandoned,
    Greeted,
    Greeting,
    MigrationMessage,
    RoundRecord,
)
from protocol.names import AttemptId, NetworkName, Verify, VmName

CONNECT_WITHIN_S = 3.0
PROGRESS_EVERY_S = 0.2
GONE = "the VM is gone from the source."


@dataclass(slots=True)
class Outgoing:
    """One attempt, seen from the source. `pending`: pages written since they were last sent."""

    vm: VmName
    stop: threading.Event = field(default_factory=threading.Event)
    job: asyncio.Task[None] | None = None
    pass_job: asyncio.Task[RoundRecord] | None = None
    talk: Talk | None = None
    sender: PageSender | None = None
    tracker: DirtyTracker | None = None
    pending: Runs = field(default_factory=no_runs)


class Source:
    """Carries out the source's part of attempts."""

    def __init__(
        self,
        vms: Vms,
        addresses: dict[NetworkName, str],
        feed: Callable[[Event], None],
        spawn: Callable[..., asyncio.Task[None]],
    ) -> None:
        self._vms = vms
        self._addresses = addresses
        self._feed = feed
        self._spawn = spawn
        self._attempts: dict[AttemptId, Outgoing] = {}

    def has(self, attempt: AttemptId) -> bool:
        return attempt in self._attempts

    def say(self, attempt: AttemptId, message: MigrationMessage) -> None:
        talk = self._attempts[attempt].talk
        if talk is not None:
            talk.say(message)

    # ---- S4

    def connect(self, order: Connect) -> None:
        """Ends in Connected or PeerLost."""
        going = self._attempts[order.attempt] = Outgoing(order.vm)
        going.job = self._spawn(self._connect(order, going))

    async def _connect(self, order: Connect, going: Outgoing) -> None:
        there = dict(order.target.endpoint.addresses)
        failures = []
        for network in order.networks:
            if network not in there or network not in self._addresses:
                failures.append(f"{network}: not on both nodes")
                continue
            try:
                async with asyncio.timeout(CONNECT_WITHIN_S):
                    await self._open_streams(order, going, network, there[network])
            except (ClusterError, TimeoutError) as error:
                failures.append(f"{network}: {str(error) or 'no answer in time'}")
                continue
            self._feed(Connected(order.attempt, network))
            return
        tried = "; ".join(failures) or "there is no network to try"
        self._feed(PeerLost(order.attempt, f"no connection to {order.target.node} ({tried})."))

    async def _open_streams(
        self, order: Connect, going: Outgoing, network: NetworkName, address: str
    ) -> None:
        port = order.target.endpoint.migration_port
        with contextlib.ExitStack() as opened:
            socks = []
            for stream in range(order.travel.streams + 1):
                sock = opened.enter_context(socket.socket(socket.AF_INET, socket.SOCK_STREAM))
                sock.setblocking(False)
                with link_to(order.target.node):
                    sock.bind((self._addresses[network], 0))
                    await asyncio.get_running_loop().sock_connect(sock, (address, port))
                    await greeting.say(sock, _greeting(order, stream))
                    answer = await greeting.hear_one(sock, Greeted | Abandoned)  # type: ignore[arg-type]
                if isinstance(answer, Abandoned):
                    raise PeerUnreachable(f"{order.target.node} refused: {answer.reason}")
                socks.append(sock)
            vm = self._vms.get(order.vm)
            if vm is None or vm.is_ending or vm.memory is None:
                raise PeerUnreachable(f"{order.vm} is gone from this node")
            link = await greeting.conversation(socks[0], order.target.node)
            going.talk = Talk(order.attempt, link, self._feed)
            self._spawn(going.talk.run())
            going.sender = PageSender(socks[1:], vm.memory, order.attempt)
            opened.pop_all()

    # ---- S5 to S9

    def send_round(self, order: SendRound) -> None:
        """Ends in RoundSent or PeerLost."""
        going = self._attempts[order.attempt]
        going.job = self._spawn(self._send_round(order, going))

    async def _send_round(self, order: SendRound, going: Outgoing) -> None:
        if (record := await self._round(order.attempt, going, order.round)) is not None:
            self._feed(RoundSent(order.attempt, record))

    def send_last_pages(self, order: SendLastPages) -> None:
        """Ends in LastPagesSent or PeerLost."""
        going = self._attempts[order.attempt]
        going.job = self._spawn(self._send_last_pages(order, going))

    async def _send_last_pages(self, order: SendLastPages, going: Outgoing) -> None:
        record = await self._round(order.attempt, going, order.round)
        if record is None:
            return
        digest, began_s = b"", boottime()
        if order.verify is not Verify.OFF:
            vm = self._vms.get(going.vm)
            if vm is None or vm.is_ending:
                self._feed(PeerLost(order.attempt, GONE))
                return
            digest = await vm.digest(order.verify)
        self._feed(LastPagesSent(order.attempt, record, digest, boottime() - began_s))

    async def _round(self, attempt: AttemptId, going: Outgoing, number: int) -> RoundRecord | None:
        vm = self._vms.get(going.vm)
        if vm is None or vm.is_ending or going.sender is None:
            self._feed(PeerLost(attempt, GONE))
            return None
        assert going.pass_job is None or going.pass_job.done(), "one pass at a time"
        assert vm.worker is not None, "a VM that migrates has a worker"
        assert vm.memory is not None, "and memory"
        try:
            if going.tracker is None:
                going.tracker = vm.worker.tracker()
            job = asyncio.create_task(
                self._pass(going, going.tracker, going.sender, vm.memory, number)
            )
            vm.use(job)
            going.pass_job = job
            while not job.done():
                await asyncio.wait({job}, timeout=PROGRESS_EVERY_S)
                if not job.done():
                    self._feed(PagesMoved(attempt, going.sender.moved_pages))
            return job.result()
        except ClusterError as error:
            self._feed(PeerLost(attempt, str(error)))
        except OSError as error:  # a worker that dies takes its page table along
            self._feed(PeerLost(attempt, f"the guest's writes cannot be found: {error.strerror}."))
        return None

    async def _pass(
        self,
        going: Outgoing,
        tracker: DirtyTracker,
        sender: PageSender,
        memory: VmMemory,
        number: int,
    ) -> RoundRecord:
        """In a thread, so that the event loop is free for heartbeats."""
        return await asyncio.to_thread(send_pass, going, tracker, sender, memory, number)

    # ---- the end

    def close(self, attempt: AttemptId) -> asyncio.Task[None] | None:
        """Say what still waits to be said, end the streams, forget the attempt."""
        going = self._attempts.pop(attempt, None)
        return None if going is None else self._spawn(self._close(going))

    async def _close(self, going: Outgoing) -> None:
        going.stop.set()
        if going.job is not None:  # first, since it may still be opening what is closed below
            going.job.cancel()
            await asyncio.gather(going.job, return_exceptions=True)
        if going.talk is not None:
            going.talk.close()
        if going.sender is not None:
            await asyncio.to_thread(going.sender.close)
        if going.pass_job is not None:
            await asyncio.gather(going.pass_job, return_exceptions=True)
        if going.tracker is not None:
            going.tracker.close()

    async def close_all(self) -> None:
        closing = [self.close(attempt) for attempt in sorted(self._attempts)]
        await asyncio.gather(*(task for task in closing if task is not None))


def send_pass(
    going: Outgoing, tracker: DirtyTracker, sender: PageSender, memory: VmMemory, number: int
) -> RoundRecord:
    """One pass, in a thread. Pages are protected before they are read: what the guest writes while
    they travel is found by the next look.
    """
    if number == 0:
        tracker.begin()
        runs = all_pages(memory.pages)
    else:
        runs = union(going.pending, tracker.collect())
    sent = sender.send_round(number, runs, zero_check=True, stop=going.stop)
    going.pending = tracker.collect()
    return RoundRecord(
        number, sent.pages, sent.zero_pages, sent.wire_bytes, sent.seconds, going.pending.pages
    )


def _greeting(order: Connect, stream: int) -> Greeting:
    return Greeting(
        order.cluster,
        order.attempt,
        order.vm,
        order.epoch,
        order.source_incarnation,
        order.target.incarnation,
        order.token,
        stream,
        order.travel.streams,
        0,
        greeting.CAPABILITIES,
    )
