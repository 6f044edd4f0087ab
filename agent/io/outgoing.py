"""The source's hands: connect, send rounds of pages, take the digest, talk with the target."""

import asyncio
import contextlib
import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import structlog

from agent.actions import Connect, SendLastPages, SendRound
from agent.events import Connected, Event, LastPagesSent, PagesMoved, PeerLost, RoundSent
from agent.io import greeting, kept
from agent.io.codecs import encoders_for
from agent.io.connecting import Streams, open_streams
from agent.io.listing import send_listed
from agent.io.marking import DirtyPages
from agent.io.page_sender import PageSender
from agent.io.passes import Pass, send_pass
from agent.io.serving import Serving
from agent.io.talk import Talk
from agent.io.tracker import DirtyTracker
from agent.io.vm import VmWorker
from agent.io.vms import Vms, boottime
from agent.kept_image import Hashes
from agent.pull_words import MapDrawn, MapSent, SendMap
from agent.pulls import missing_of, missing_parts
from protocol.errors import ClusterError, PeerUnreachable
from protocol.messages import (
    MigrationMessage,
    RoundRecord,
)
from protocol.names import AttemptId, NetworkName, Verify, VmName
from protocol.travel import Travel

PROGRESS_EVERY_S = 0.2
GONE = "the VM is gone from the source."


@dataclass(slots=True)
class Outgoing:
    """One attempt, seen from the source. `dirty`: pages written since they were last sent."""

    vm: VmName
    travel: Travel
    stop: threading.Event = field(default_factory=threading.Event)
    job: asyncio.Task[None] | None = None
    pass_job: asyncio.Task[RoundRecord] | None = None
    talk: Talk | None = None
    sender: PageSender | None = None
    tracker: DirtyTracker | None = None
    dirty: DirtyPages | None = None
    order: Connect | None = None
    serving: Serving | None = None


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
        self._log = structlog.get_logger(part="source")
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
        going = self._attempts[order.attempt] = Outgoing(order.vm, order.travel, order=order)
        going.job = self._spawn(self._connect(order, going))

    async def _connect(self, order: Connect, going: Outgoing) -> None:
        try:
            streams = await open_streams(order, self._addresses)
        except ClusterError as error:
            self._feed(PeerLost(order.attempt, str(error)))
            return
        with contextlib.ExitStack() as opened:
            for sock in streams.socks:
                opened.enter_context(sock)
            try:
                image = await self._kept_there(order.vm, streams)
            except PeerUnreachable as error:
                self._feed(PeerLost(order.attempt, str(error)))
                return
            vm = self._vms.get(order.vm)
            if vm is None or vm.is_ending or vm.memory is None:
                self._feed(PeerLost(order.attempt, GONE))
                return
            link = await greeting.conversation(streams.socks[0], order.target.node)
            going.talk = Talk(order.attempt, link, self._feed)
            self._spawn(going.talk.run())
            going.sender = PageSender(
                streams.socks[1:],
                vm.memory,
                order.attempt,
                checked=order.travel.checked,
                encoders=encoders_for(order.travel, vm.memory.pages, image),
            )
            opened.pop_all()
        for reason in streams.left_out:
            self._log.warning("network-left-out", attempt=order.attempt, reason=reason)
        self._feed(Connected(order.attempt, streams.network))

    async def _kept_there(self, name: VmName, streams: Streams) -> Hashes | None:
        """What the target has kept of the VM from an earlier stay, if it has and it is asked."""
        vm = self._vms.get(name)
        if vm is None or not streams.kept:
            return None
        return await kept.hear(streams.socks[1], vm.spec.pages)

    # ---- S5 to S9

    def send_round(self, order: SendRound) -> None:
        """Ends in RoundSent or PeerLost."""
        going = self._attempts[order.attempt]
        going.job = self._spawn(self._send_round(order, going))

    async def _send_round(self, order: SendRound, going: Outgoing) -> None:
        asked = Pass(order.round, rate_bytes_per_s=_least(order.rate_bytes_per_s, going))
        if (record := await self._round(order.attempt, going, asked)) is not None:
            self._feed(RoundSent(order.attempt, record))

    def send_last_pages(self, order: SendLastPages) -> None:
        """Ends in LastPagesSent or PeerLost."""
        going = self._attempts[order.attempt]
        going.job = self._spawn(self._send_last_pages(order, going))

    async def _send_last_pages(self, order: SendLastPages, going: Outgoing) -> None:
        rate = _least(order.rate_bytes_per_s, going)
        record = await self._round(order.attempt, going, Pass(order.round, True, rate))
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

    # ---- S8, S9 and S14 of a post-copy

    def open_pull(self, attempt: AttemptId) -> None:
        """Ends in MapDrawn."""
        going = self._attempts[attempt]
        vm = self._vms.get(going.vm)
        if vm is None or vm.is_ending or going.order is None or going.dirty is None:
            asyncio.get_running_loop().call_soon(self._feed, PeerLost(attempt, GONE))
            return
        going.serving = Serving(going.order, self._addresses, vm, self._feed, self._spawn)
        left = missing_of(going.dirty.left, vm.spec)
        parts = missing_parts(attempt, left.to_map(vm.spec.pages))
        asyncio.get_running_loop().call_soon(self._feed, MapDrawn(attempt, parts))

    def send_map(self, order: SendMap) -> None:
        """Ends in MapSent or PeerLost."""
        going = self._attempts[order.attempt]
        going.job = self._spawn(self._send_map(order, going))

    async def _send_map(self, order: SendMap, going: Outgoing) -> None:
        vm = self._vms.get(going.vm)
        if vm is None or vm.is_ending or not (going.serving and going.dirty and going.sender):
            self._feed(PeerLost(order.attempt, GONE))
            return
        try:
            await going.serving.joined()
            work = (order.round, going.dirty, going.sender, going.stop, vm.spec)
            job = asyncio.create_task(asyncio.to_thread(send_listed, *work))
            vm.use(job)
            record, missing = await asyncio.shield(job)
        except (ClusterError, OSError) as error:
            self._feed(PeerLost(order.attempt, f"missing pages could not be listed: {error}"))
            return
        going.serving.round = order.round + 1
        parts = missing_parts(order.attempt, missing.to_map(vm.spec.pages))
        self._feed(MapSent(order.attempt, record, parts, missing.pages))

    def serve(self, attempt: AttemptId) -> None:
        """Ends in PullServed, if the target lasts."""
        if (serving := self._attempts[attempt].serving) is not None:
            serving.tell()

    async def _round(self, attempt: AttemptId, going: Outgoing, asked: Pass) -> RoundRecord | None:
        vm = self._vms.get(going.vm)
        if vm is not None and going.tracker is None:
            await vm.end_watches()
        if vm is None or vm.is_ending or going.sender is None:
            self._feed(PeerLost(attempt, GONE))
            return None
        assert going.pass_job is None or going.pass_job.done(), "one pass at a time"
        assert vm.worker is not None, "a VM that migrates has a worker"
        assert vm.memory is not None, "and memory"
        throttle = vm.worker.throttle
        try:
            if going.tracker is None or going.dirty is None:
                going.tracker = self._tracker(vm.worker)
                going.dirty = DirtyPages(going.tracker, going.travel.marking, vm.memory.pages)
            job = asyncio.create_task(self._pass(asked, going.dirty, going.sender, going.stop))
            vm.use(job)
            going.pass_job = job
            while not job.done():
                await asyncio.wait({job}, timeout=PROGRESS_EVERY_S)
                if not job.done():
                    self._feed(PagesMoved(attempt, going.sender.moved_pages))
            return replace(job.result(), throttle=throttle)
        except ClusterError as error:
            self._feed(PeerLost(attempt, str(error)))
        except OSError as error:  # a worker that dies takes its page table along
            self._feed(PeerLost(attempt, f"the guest's writes cannot be found: {error.strerror}."))
        return None

    def _tracker(self, worker: VmWorker) -> DirtyTracker:
        return worker.tracker()

    async def _pass(
        self, asked: Pass, dirty: DirtyPages, sender: PageSender, stop: threading.Event
    ) -> RoundRecord:
        """In a thread, so that the event loop is free for heartbeats."""
        return await asyncio.to_thread(send_pass, asked, dirty, sender, stop)

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
        if going.serving is not None:
            await going.serving.close()
        if going.sender is not None:
            await asyncio.to_thread(going.sender.close)
        if going.pass_job is not None:
            await asyncio.gather(going.pass_job, return_exceptions=True)
        if going.tracker is not None:
            going.tracker.close()

    async def close_all(self) -> None:
        closing = [self.close(attempt) for attempt in sorted(self._attempts)]
        await asyncio.gather(*(task for task in closing if task is not None))


def _least(rate_bytes_per_s: int, going: Outgoing) -> int:
    """The lower of what is asked for this pass and for all; 0 is no limit."""
    rates = (rate_bytes_per_s, going.travel.rate_bytes_per_s)
    return min((rate for rate in rates if rate), default=0)
