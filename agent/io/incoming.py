"""The target's hands: reserve, listen for the source, receive pages, open the VM's disks."""

import asyncio
import contextlib
import hmac
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import structlog

from agent.actions import DigestMemory, OpenStorage, Reserve
from agent.events import (
    Event,
    MemoryDigested,
    PeerLost,
    ReserveDone,
    ReserveFailed,
    RoundLanded,
    SourceConnected,
    StorageDone,
    StorageFailed,
)
from agent.io import greeting, kept
from agent.io.codecs import decoder_for
from agent.io.page_receiver import Arrival, PageReceiver, RoundReceived, StreamFailed
from agent.io.pulling import Pulling
from agent.io.storage import Storage
from agent.io.talk import Talk
from agent.io.vms import Vm, Vms, boottime
from agent.pull_words import PunchPages
from agent.runs import PageMap
from protocol.errors import ClusterError, ProtocolError, Refused
from protocol.messages import Abandoned, Greeted, Greeting, MigrationMessage, PullGreeting
from protocol.names import AttemptId, Hold, NetworkName, VmName

GREETED_WITHIN_S = 5.0
ACCEPT_AGAIN_S = 0.1
STREAMS_MAX = 16
STRANGERS_MAX = 64
"""Connections that have not greeted yet; one more is closed unheard."""


@dataclass(slots=True)
class Incoming:
    """One attempt, seen from the target. `landed`: pages and streams that are in, by round."""

    order: Reserve
    vm: Vm
    job: asyncio.Task[None] | None = None
    talk: Talk | None = None
    receivers: dict[int, PageReceiver] = field(default_factory=dict)
    streams: int = 0
    is_connected: bool = False
    fresh: PageMap | None = None
    landed: dict[int, list[int]] = field(default_factory=dict)
    pulling: Pulling | None = None


class Target:
    """Carries out the target's part of attempts, and listens for sources on every network."""

    def __init__(
        self,
        vms: Vms,
        storage: Storage,
        feed: Callable[[Event], None],
        spawn: Callable[..., asyncio.Task[None]],
    ) -> None:
        self._vms = vms
        self._storage = storage
        self._feed = feed
        self._spawn = spawn
        self._log = structlog.get_logger(part="target")
        self._attempts: dict[AttemptId, Incoming] = {}
        self._listeners: list[socket.socket] = []
        self._strangers = 0
        self.port = 0

    def has(self, attempt: AttemptId) -> bool:
        return attempt in self._attempts

    def say(self, attempt: AttemptId, message: MigrationMessage) -> None:
        talk = self._attempts[attempt].talk
        if talk is not None:
            talk.say(message)

    # ---- listening

    def listen(self, addresses: Mapping[NetworkName, str], port: int) -> None:
        """The same port on all networks; the first one taken decides which."""
        self.port = port
        for address in addresses.values():
            sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
            sock.setblocking(False)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                sock.bind((address, self.port))
                sock.listen(STREAMS_MAX)
            except OSError as error:
                sock.close()
                raise Refused(
                    f"cannot listen for migrations on {address} TCP port {self.port}: "
                    f"{error.strerror}; end what uses it or choose another --migration-port"
                ) from error
            self.port = sock.getsockname()[1]
            self._listeners.append(sock)

    async def accept(self) -> None:
        """Take connections on every network until cancelled."""
        async with asyncio.TaskGroup() as group:
            for listener in self._listeners:
                group.create_task(self._accept(listener, group))

    def stop_listening(self) -> None:
        """Free the ports; once nobody accepts any more."""
        for listener in self._listeners:
            listener.close()

    async def _accept(self, listener: socket.socket, group: asyncio.TaskGroup) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                sock, peer = await loop.sock_accept(listener)
            except OSError as error:  # no descriptors left, or the peer left the queue
                self._log.warning("not-accepted", reason=error.strerror)
                await asyncio.sleep(ACCEPT_AGAIN_S)
                continue
            if self._strangers >= STRANGERS_MAX:
                sock.close()
                continue
            self._strangers += 1
            group.create_task(self._greet(sock, f"{peer[0]}:{peer[1]}"))

    async def _greet(self, sock: socket.socket, peer: str) -> None:
        """Hear who it is; give the connection to its attempt, or close it."""
        is_taken = False
        try:
            sock.setblocking(False)
            async with asyncio.timeout(GREETED_WITHIN_S):
                said = await greeting.hear_one(sock, Greeting | PullGreeting)  # type: ignore[arg-type]
                incoming = self._attempts.get(said.attempt)
                refusal = "no such attempt is expected here" if incoming is None else None
                if incoming is not None:
                    refusal = _why_not(said, incoming)
                if incoming is None or refusal is not None:
                    self._log.warning("stream-refused", peer=peer, reason=refusal)
                    await greeting.say(sock, Abandoned(said.attempt, refusal or ""))
                    return
                await greeting.say(sock, _greeted(said, incoming.vm))
            # Another connection may have taken its place, or the attempt ended, meanwhile.
            if self._attempts.get(said.attempt) is incoming and not _why_not(said, incoming):
                await self._take(sock, said, incoming)
                is_taken = True
        except (ProtocolError, OSError, TimeoutError) as error:
            self._log.info("stranger-left", peer=peer, reason=str(error) or type(error).__name__)
        finally:
            self._strangers -= 1
            if not is_taken:
                sock.close()

    async def _take(
        self, sock: socket.socket, said: Greeting | PullGreeting, incoming: Incoming
    ) -> None:
        attempt = said.attempt
        if isinstance(said, PullGreeting):
            self._pulling(attempt).join(sock)
            return
        incoming.streams = said.streams
        if said.stream == 0:
            link = await greeting.conversation(sock, "the source")
            if self._attempts.get(attempt) is not incoming:
                await link.close()
                return
            incoming.talk = Talk(attempt, link, partial(self._heard, incoming))
            self._spawn(incoming.talk.run())
        else:
            memory = incoming.vm.memory
            assert memory is not None, "a source is let in once the memory is reserved"
            assert incoming.fresh is not None
            if _tells_kept(said, incoming.vm):
                await self._tell_kept(sock, said, incoming)
            incoming.receivers[said.stream] = PageReceiver(
                sock,
                memory,
                attempt,
                on_arrival=self._from_thread(attempt),
                fresh=incoming.fresh,
                stream_no=said.stream,
                decoder=decoder_for(memory.array if incoming.vm.has_old_pages else None),
            )
        if incoming.talk is not None and len(incoming.receivers) == incoming.streams:
            incoming.is_connected = True
            self._feed(SourceConnected(attempt))
            for receiver in incoming.receivers.values():
                receiver.start()

    async def _tell_kept(self, sock: socket.socket, said: Greeting, incoming: Incoming) -> None:
        """Once: after the first batch the pages are not what they were."""
        image, incoming.vm.image = incoming.vm.image, None
        assert image is not None, "it was there when the source was greeted"
        await kept.tell(sock, image)
        if self._attempts.get(said.attempt) is not incoming or _why_not(said, incoming):
            raise ConnectionAbortedError("the attempt has ended, or has this stream already")

    def _heard(self, incoming: Incoming, event: Event) -> None:
        """A source that is lost before all its streams stand may come again on another network."""
        if not isinstance(event, PeerLost) or incoming.is_connected:
            self._feed(event)
            return
        for receiver in incoming.receivers.values():
            receiver.close()  # none of them has begun, so there is nothing to wait for
        incoming.talk, incoming.streams = None, 0
        incoming.receivers.clear()

    def _from_thread(self, attempt: AttemptId) -> Callable[[Arrival], None]:
        loop = asyncio.get_running_loop()

        def arrived(news: Arrival) -> None:
            loop.call_soon_threadsafe(self._arrived, attempt, news)

        return arrived

    def _arrived(self, attempt: AttemptId, news: Arrival) -> None:
        incoming = self._attempts.get(attempt)
        if incoming is None:
            return
        match news:
            case RoundReceived(round_no=number, pages=pages):
                streams = incoming.landed.setdefault(number, [])
                streams.append(pages)
                if len(streams) == incoming.streams:
                    self._feed(RoundLanded(attempt, number, sum(incoming.landed.pop(number))))
            case StreamFailed(error=error):
                self._feed(PeerLost(attempt, str(error)))

    # ---- S3, S9, S10

    def reserve(self, order: Reserve) -> None:
        """Ends in ReserveDone or ReserveFailed."""
        vm = self._vms.reserve(order.vm, order.spec, Hold.ATTEMPT)
        incoming = self._attempts[order.attempt] = Incoming(order, vm)
        vm.making = incoming.job = self._spawn(self._reserve(order, incoming))

    async def _reserve(self, order: Reserve, incoming: Incoming) -> None:
        vm = incoming.vm
        try:
            await self._vms.make(order.vm, vm, order.epoch, boot=False)
        except (ClusterError, OSError) as error:
            self._attempts.pop(order.attempt, None)
            vm.making = None
            await self._vms.discard(order.vm, vm)
            self._feed(ReserveFailed(order.attempt, str(error)))
            return
        vm.making = None
        incoming.fresh = np.full(order.spec.pages, not vm.has_old_pages)
        self._feed(ReserveDone(order.attempt))

    # ---- S8, S9 and S14 of a post-copy

    def punch(self, order: PunchPages) -> None:
        self._pulling(order.attempt).punch(order.first, order.bitmap)

    def count_missing(self, attempt: AttemptId) -> None:
        """Ends in MissingCounted."""
        self._pulling(attempt).count()

    def pull(self, attempt: AttemptId) -> None:
        """Ends in PullDone, if the source lasts."""
        self._pulling(attempt).begin()

    def _pulling(self, attempt: AttemptId) -> Pulling:
        incoming = self._attempts[attempt]
        if incoming.pulling is None:
            incoming.pulling = Pulling(attempt, incoming.vm, self._feed, self._spawn)
        return incoming.pulling

    def digest(self, order: DigestMemory) -> None:
        """Ends in MemoryDigested."""
        self._spawn(self._digest(order, self._attempts[order.attempt].vm))

    async def _digest(self, order: DigestMemory, vm: Vm) -> None:
        if vm.is_ending:
            return  # the core hears VmFailed
        began_s = boottime()
        digest = await vm.digest(order.verify)
        self._feed(MemoryDigested(order.attempt, digest, boottime() - began_s))

    def open_storage(self, order: OpenStorage) -> None:
        """Ends in StorageDone or StorageFailed."""
        self._spawn(self._open_storage(order, self._attempts[order.attempt].vm))

    async def _open_storage(self, order: OpenStorage, vm: Vm) -> None:
        try:
            await self._storage.register(order.vm, order.epoch, vm.spec)
            await self._vms.open_disk(order.vm, vm, order.epoch)
        except (ClusterError, OSError) as error:
            self._feed(StorageFailed(order.attempt, f"{order.vm}: {error}"))
        else:
            self._feed(StorageDone(order.attempt))

    def close_storage(self, vm: VmName) -> None:
        with contextlib.suppress(OSError):  # what is left there is replaced by the next open
            self._storage.unregister(vm)

    # ---- the end

    def close(self, attempt: AttemptId) -> asyncio.Task[None] | None:
        """Say what still waits to be said, end the streams, forget the attempt."""
        incoming = self._attempts.pop(attempt, None)
        return None if incoming is None else self._spawn(self._close(incoming))

    async def _close(self, incoming: Incoming) -> None:
        if incoming.talk is not None:
            incoming.talk.close()
        if incoming.pulling is not None:
            await incoming.pulling.close()
            incoming.pulling = None
        if incoming.vm.worker is not None:
            incoming.vm.worker.leave_watch()
        for receiver in incoming.receivers.values():
            await asyncio.to_thread(receiver.close)
        # They keep the VM's mapping, and its descriptor; the collector of cycles is in no hurry.
        incoming.receivers.clear()
        incoming.talk = None

    async def close_all(self) -> None:
        closing = [self.close(attempt) for attempt in sorted(self._attempts)]
        await asyncio.gather(*(task for task in closing if task is not None))


def _greeted(said: Greeting | PullGreeting, vm: Vm) -> Greeted:
    if isinstance(said, PullGreeting):
        return Greeted(said.attempt, 0, ())
    more = (kept.KEPT_PAGES,) if _tells_kept(said, vm) else ()
    return Greeted(said.attempt, said.stream, (*greeting.common(said.capabilities), *more))


def _tells_kept(said: Greeting, vm: Vm) -> bool:
    return said.stream == 1 and vm.image is not None and kept.KEPT_PAGES in said.capabilities


def _why_not(said: Greeting | PullGreeting, incoming: Incoming) -> str | None:
    """Why this connection is not the one that was announced; None if it is."""
    order = incoming.order
    if not hmac.compare_digest(said.token.encode(), order.token.encode()):
        return "it does not know the attempt's token"
    told = (said.cluster, said.vm, said.epoch, said.source_incarnation, said.target_incarnation)
    known = (
        order.cluster,
        order.vm,
        order.epoch,
        order.source_incarnation,
        order.target_incarnation,
    )
    if told != known:
        return "it names another cluster, VM, epoch or incarnation than the attempt's"
    if incoming.fresh is None or incoming.vm.is_ending:
        return "the memory is not reserved"
    if isinstance(said, PullGreeting):
        return None if incoming.is_connected else "its streams are not there yet"
    if not 1 <= said.streams <= STREAMS_MAX or not 0 <= said.stream <= said.streams:
        return f"stream {said.stream} of {said.streams} is none of 1 to {STREAMS_MAX}"
    if incoming.streams not in (0, said.streams):
        return "its streams are not as many as those before it said"
    taken = incoming.talk is not None if said.stream == 0 else said.stream in incoming.receivers
    return f"stream {said.stream} is there already" if taken else None
