"""The source's hands in post-copy: a connection that is always made again, and pages on it.

What the guest at the target stands before travels first, the rest in the order of memory from
there on. Nothing here can change a page: the guest is paused, and after the commit it is ended.
"""

import asyncio
import contextlib
import enum
import select
import socket
import threading
import time
from collections.abc import Callable, Mapping

import numpy as np

from agent import pulls
from agent.actions import Connect
from agent.events import Event
from agent.io import greeting
from agent.io.memory import VmMemory
from agent.io.pull_wire import tuned
from agent.io.vms import Vm
from agent.pacing import TokenBucket
from agent.pull_order import PullOrder
from agent.pull_words import PullBroke, PullJoined, PullServed
from agent.runs import Pages
from protocol.errors import BadBatch, ClusterError, PeerUnreachable
from protocol.framing import FrameReader
from protocol.messages import (
    Abandoned,
    Message,
    PagesComplete,
    PagesLacking,
    PagesWanted,
    PullGreeting,
    RoundRecord,
)
from protocol.names import PAGE_BYTES, NetworkName

CONNECT_WITHIN_S = 3.0
AGAIN_S = 0.1
PUSH_PAGES = 64
"""Pages of one batch: what the guest may have to wait for at most before its own comes."""

_LOOK_MS = 200


class Ending(enum.Enum):
    """How a connection ended."""

    COMPLETE = "the target has all pages"
    OVER = "the target will not ask any more"
    BROKEN = "it broke"


class PageServer:
    """Answers one target, on one connection after the other; in a thread."""

    def __init__(self, order: Connect, memory: VmMemory, is_unwanted: Callable[[], bool]) -> None:
        self._attempt = order.attempt
        self._array = memory.array
        self._is_unwanted = is_unwanted
        self._bucket = TokenBucket(order.travel.rate_bytes_per_s, time.monotonic())
        self._order = PullOrder(memory.pages, PUSH_PAGES)
        self._began_s: float | None = None
        self._sent = self._zero = self._wire_bytes = 0

    def serve(self, sock: socket.socket, stop: threading.Event) -> tuple[Ending, str]:
        """Until the connection has ended; `stop` and a shutdown end it, too."""
        self._order.begin_anew()
        reader, poll = FrameReader(), select.poll()
        poll.register(sock, select.POLLIN)
        try:
            while not stop.is_set():
                if poll.poll(self._patience_ms()):
                    data = sock.recv(64 * 1024)
                    if not data:
                        return Ending.BROKEN, "the target closed the connection."
                    for message in reader.feed(data):
                        if (ending := self._hear(message)) is not None:
                            return ending
                elif self._began_s is None and self._is_unwanted():
                    return Ending.OVER, "the VM is gone from the source."
                self._send_next(sock)
        except (OSError, ClusterError) as error:
            return Ending.BROKEN, f"the connection for missing pages broke: {error}."
        return Ending.OVER, "the source has ended it."

    def record(self, number: int) -> RoundRecord:
        began_s = time.monotonic() if self._began_s is None else self._began_s
        return RoundRecord(
            number, self._sent, self._zero, self._wire_bytes, time.monotonic() - began_s, 0
        )

    # ---- what is asked for

    def _hear(self, message: Message) -> tuple[Ending, str] | None:
        match message:
            case PagesLacking(_, first, bitmap, is_last):
                self._order.told(first, bitmap, is_last)
                if is_last:
                    self._began_s = self._began_s or time.monotonic()
            case PagesWanted(_, pages):
                self._order.wanted(pages)
            case PagesComplete():
                return Ending.COMPLETE, "the target has all pages."
            case Abandoned(_, reason):
                return Ending.OVER, f"the target gave up: {reason}"
            case _:
                raise BadBatch(f"{type(message).__name__} on a connection for missing pages")
        return None

    # ---- what is sent

    def _patience_ms(self) -> float:
        if not self._order.left:
            return _LOOK_MS
        return 0 if self._order.is_waited_for else self._owed_s() * 1000

    def _owed_s(self) -> float:
        return self._bucket.wait_s(time.monotonic())

    def _send_next(self, sock: socket.socket) -> None:
        if self._order.is_waited_for or self._owed_s() == 0:
            numbers = self._order.take()
            if len(numbers):
                self._send(sock, numbers)

    def _send(self, sock: socket.socket, numbers: Pages) -> None:
        content = self._array[numbers]
        is_zero = ~content.any(axis=1)
        for part in (is_zero, ~is_zero):
            if not part.any():
                continue
            head, payload = pulls.encode(self._attempt, numbers[part], content[part])
            sock.sendall(head, socket.MSG_MORE if len(payload) else 0)
            if len(payload):
                sock.sendall(payload.reshape(-1).view(np.uint8).data)
            sent_bytes = len(head) + len(payload) * PAGE_BYTES
            self._wire_bytes += sent_bytes
            self._bucket.spend(time.monotonic(), sent_bytes)
        self._sent += len(numbers)
        self._zero += int(is_zero.sum())


class Serving:
    """One attempt's pull, from the source: connects, and connects again, until it is closed."""

    def __init__(
        self,
        order: Connect,
        addresses: Mapping[NetworkName, str],
        vm: Vm,
        feed: Callable[[Event], None],
        spawn: Callable[..., asyncio.Task[None]],
    ) -> None:
        assert vm.memory is not None, "only a VM with memory is served"
        self._order = order
        self._addresses = addresses
        self._vm = vm
        self._feed = feed
        self._server = PageServer(order, vm.memory, lambda: vm.is_ending)
        self._stop = threading.Event()
        self._first = asyncio.Event()
        self._sock: socket.socket | None = None
        self._why_not = "it was not tried yet"
        self._job = spawn(self._keep())
        self.round = 0
        """Under which number what is served is recorded."""

    async def joined(self) -> None:
        """The connection stood once; `PeerUnreachable` if it could not be made in time."""
        try:
            async with asyncio.timeout(CONNECT_WITHIN_S):
                await self._first.wait()
        except TimeoutError:
            why = f"no connection for missing pages ({self._why_not})."
            raise PeerUnreachable(why) from None

    def tell(self) -> None:
        """Say how it stands with the connection, to who asks only now."""
        asyncio.get_running_loop().call_soon(self._told_now)

    def _told_now(self) -> None:
        if not self._stop.is_set():
            attempt = self._order.attempt
            broken = PullBroke(attempt, self._why_not)
            self._feed(broken if self._sock is None else PullJoined(attempt))

    async def close(self) -> None:
        """End the connection; nobody reads the VM's memory afterwards."""
        self._stop.set()
        if self._sock is not None:
            with contextlib.suppress(OSError):
                self._sock.shutdown(socket.SHUT_RDWR)
        else:
            self._job.cancel()
        await asyncio.gather(self._job, return_exceptions=True)

    async def _keep(self) -> None:
        attempt = self._order.attempt
        while not self._stop.is_set():
            try:
                self._sock = await self._connect()
            except ClusterError as error:
                self._why_not = str(error)
                await asyncio.sleep(AGAIN_S)
                continue
            with self._sock:
                self._first.set()
                self._feed(PullJoined(attempt))
                job = asyncio.create_task(
                    asyncio.to_thread(self._server.serve, self._sock, self._stop)
                )
                self._vm.use(job)
                ending, self._why_not = await asyncio.shield(job)
            self._sock = None
            if self._stop.is_set():
                return
            if ending is Ending.COMPLETE:
                self._feed(PullServed(attempt, self._server.record(self.round)))
                return
            self._feed(PullBroke(attempt, self._why_not, ending is Ending.OVER))
            if ending is Ending.OVER:
                return

    async def _connect(self) -> socket.socket:
        order, failures = self._order, []
        there = dict(order.target.endpoint.addresses)
        for network in order.networks:
            if network not in there or network not in self._addresses:
                continue
            try:
                async with asyncio.timeout(CONNECT_WITHIN_S):
                    return await self._try(network, there[network])
            except (ClusterError, TimeoutError) as error:
                failures.append(f"{network}: {str(error) or 'no answer in time'}")
        raise PeerUnreachable("; ".join(failures) or "there is no network to try")

    async def _try(self, network: NetworkName, address: str) -> socket.socket:
        order = self._order
        there = (address, order.target.endpoint.migration_port)
        here, words = self._addresses[network], _greeting(order)
        sock, _ = await greeting.knock(here, order.target.node, there, words, tuned)
        sock.setblocking(True)
        return sock


def _greeting(order: Connect) -> PullGreeting:
    return PullGreeting(
        order.cluster,
        order.attempt,
        order.vm,
        order.epoch,
        order.source_incarnation,
        order.target.incarnation,
        order.token,
    )
