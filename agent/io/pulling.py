"""The target's hands in post-copy: pages are taken out of memory, asked for, and brought.

One thread hears from the kernel before which pages the guest stands, another brings what comes.
The agent itself never touches a page that is missing: it would find zeros where the guest waits.
"""

import asyncio
import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterable

import numpy as np
import structlog

from agent import pulls
from agent.events import Event
from agent.io import faults
from agent.io.faults import Faults
from agent.io.pull_wire import receive_into, tuned
from agent.io.vms import Vm
from agent.pull_words import MissingCounted, PullBroke, PullDone, PullJoined
from agent.runs import PageMap, Pages, runs_from_map, runs_from_numbers
from protocol.codec import encode_frame
from protocol.errors import BadBatch, ClusterError
from protocol.messages import Abandoned, Message, PagesComplete, PagesWanted
from protocol.names import PAGE_BYTES, AttemptId

NO_WATCH = "this machine's kernel cannot hold a guest at a page that is not there."


class Pulling:
    """One attempt's missing pages, from the first that is named to the last that comes."""

    def __init__(
        self,
        attempt: AttemptId,
        vm: Vm,
        feed: Callable[[Event], None],
        spawn: Callable[..., asyncio.Task[None]],
    ) -> None:
        assert vm.memory is not None, "the memory was reserved"
        self._attempt = attempt
        self._vm = vm
        self._memory = vm.memory
        self._array = vm.memory.array
        self._feed = feed
        self._spawn = spawn
        self._log = structlog.get_logger(part="target", attempt=attempt)
        self._loop = asyncio.get_running_loop()
        self._turn = asyncio.Lock()
        self._lock = threading.Lock()
        self._missing = np.zeros(vm.memory.pages, np.bool_)
        self._left = 0
        self._awaited: set[int] = set()
        self._trouble = ""
        self._faults: Faults | None = None
        self._sock: socket.socket | None = None
        self._has_begun = self._is_closing = False
        self._began_s = 0.0
        self._demanded = 0
        self._jobs: set[asyncio.Task[None]] = set()
        self._zeros = np.zeros((pulls.PAGES_MAX, PAGE_BYTES // 8), np.uint64)

    # ---- S8, S9: what will be missing

    def punch(self, first: int, bitmap: bytes) -> None:
        self._vm.lacks_pages = True
        before = self._missing.copy()
        try:
            named = pulls.mark(self._missing, first, bitmap) & ~before
        except BadBatch as error:
            self._trouble = str(error)
            return
        if not self._trouble:
            self._trouble = self._watch()
        if not self._trouble:
            self._spawn(self._punch(named))

    def _watch(self) -> str:
        """An empty string, or why the guest would read zeros where a page is missing."""
        worker = self._vm.worker
        if self._faults is None and worker is not None and worker.has_guest:
            self._faults = worker.faults()
            if self._faults is None:
                return NO_WATCH
        return ""

    async def _punch(self, named: PageMap) -> None:
        async with self._turn:
            job = asyncio.create_task(
                asyncio.to_thread(faults.punch, self._memory.fd, runs_from_map(named))
            )
            self._vm.use(job)
            try:
                await asyncio.shield(job)
            except OSError as error:
                self._trouble = str(error)

    def count(self) -> None:
        """Ends in MissingCounted, once all that was named is out of memory."""
        self._spawn(self._count())

    async def _count(self) -> None:
        async with self._turn:
            self._left = int(self._missing.sum())
            self._feed(MissingCounted(self._attempt, self._left, self._trouble))

    # ---- S14

    def join(self, sock: socket.socket) -> None:
        """The source has connected, for the first time or again; the newest connection counts."""
        tuned(sock)
        sock.setblocking(True)
        with self._lock:
            self._shut()
            if self._sock is not None and not self._has_begun:
                self._sock.close()  # else the thread that reads it does
            self._sock = sock
        if self._has_begun:
            self._receive_on(sock)

    def begin(self) -> None:
        """The VM is this node's: ask for all that is missing. Ends in PullDone."""
        self._has_begun = True
        self._began_s = time.monotonic()
        if self._faults is not None:
            self._run(self._ask, self._faults)
        if self._sock is not None:
            self._receive_on(self._sock)
        else:
            broken = PullBroke(self._attempt, "it had not connected.", left_pages=self._left)
            self._loop.call_soon(self._feed, broken)

    def _receive_on(self, sock: socket.socket) -> None:
        self._loop.call_soon(self._feed, PullJoined(self._attempt))
        self._run(self._receive, sock)

    def _run(self, work: Callable[..., None], *args: object) -> None:
        job = asyncio.create_task(asyncio.to_thread(work, *args))
        self._jobs.add(job)
        job.add_done_callback(self._jobs.discard)

    # ---- in threads

    def _ask(self, watch: Faults) -> None:
        """What the guest stands before is asked for at once."""
        while (touched := watch.wanted()) is not None:
            with self._lock:
                new = [
                    page
                    for page in dict.fromkeys(touched)
                    if self._missing[page] and page not in self._awaited
                ]
                self._awaited.update(new)
                self._demanded += len(new)
                if new:
                    self._say(PagesWanted(self._attempt, tuple(new)))

    def _receive(self, sock: socket.socket) -> None:
        """Bring what comes on one connection, until it ends or nothing is missing."""
        reason = "it ended."
        try:
            with self._lock:
                for part in pulls.lacking_parts(self._attempt, self._missing):
                    self._say(part)
                if self._awaited:
                    self._say(PagesWanted(self._attempt, tuple(sorted(self._awaited))))
            header = memoryview(bytearray(pulls.HEADER_BYTES))
            named = memoryview(bytearray(pulls.PAGES_MAX * pulls.NUMBER_BYTES))
            staging = np.empty((pulls.PAGES_MAX, PAGE_BYTES // 8), np.uint64)
            while self._left:
                self._receive_batch(sock, header, named, staging)
        except (OSError, ClusterError) as error:
            reason = f"the connection for missing pages broke: {error}."
        with self._lock, sock:
            if self._sock is not sock:
                return  # another has taken its place
            if not self._left:
                self._say(PagesComplete(self._attempt))
                self._tell(PullDone(self._attempt))
            else:
                self._tell(PullBroke(self._attempt, reason, left_pages=self._left))
            self._sock = None

    def _receive_batch(
        self, sock: socket.socket, header: memoryview, named: memoryview, staging: pulls.Content
    ) -> None:
        receive_into(sock, header)
        head = pulls.decode_header(header)
        if head.attempt != self._attempt:
            raise BadBatch(f"pages of attempt {head.attempt} on a connection of {self._attempt}")
        words = named[: head.numbers_bytes]
        receive_into(sock, words)
        numbers = pulls.decode_numbers(head, words, len(self._missing))
        content = staging[: head.payload_bytes // PAGE_BYTES]
        if len(content):
            receive_into(sock, content.reshape(-1).view(np.uint8).data)
        if pulls.checksum_of(words, content) != head.checksum:
            raise BadBatch(f"the checksum of {head.pages} pages is wrong")
        self._bring(numbers, content if len(content) else self._zeros[: head.pages])

    def _bring(self, numbers: Pages, content: pulls.Content) -> None:
        if self._faults is None:
            # No guest can touch them here; what came before is not overwritten by what comes late.
            new = self._missing[numbers]
            self._array[numbers[new]] = content[new]
        else:
            done = 0
            for start, count in _each(numbers):
                self._faults.bring(start, content[done : done + count])
                done += count
        with self._lock:
            self._left -= int(self._missing[numbers].sum())
            self._missing[numbers] = False
            self._awaited.difference_update(numbers.tolist())

    def _say(self, message: Message) -> None:
        """To the source, if it can be reached; what is awaited is asked for again otherwise."""
        if self._sock is not None:
            with contextlib.suppress(OSError):
                self._sock.sendall(encode_frame(message))

    def _tell(self, event: Event) -> None:
        if not self._is_closing:
            self._loop.call_soon_threadsafe(self._heard, event)

    def _heard(self, event: Event) -> None:
        if self._is_closing:
            return
        if isinstance(event, PullDone):
            self._vm.lacks_pages = False
            self._log.info(
                "pages-pulled",
                seconds=round(time.monotonic() - self._began_s, 3),
                demanded=self._demanded,
            )
        self._feed(event)

    # ---- the end

    def _shut(self) -> None:
        """Whoever waits on the connection goes on; only then its number may be another's."""
        if self._sock is not None:
            with contextlib.suppress(OSError):
                self._sock.shutdown(socket.SHUT_RDWR)

    async def close(self) -> None:
        """Nobody brings a page afterwards. Where some are missing the guest goes no further."""
        self._is_closing = True
        with self._lock:
            if self._left and self._has_begun:
                self._say(Abandoned(self._attempt, "the VM has ended on the target."))
            self._shut()
        if self._faults is not None:
            self._faults.stop()
        await asyncio.gather(*self._jobs, return_exceptions=True)
        async with self._turn:
            if self._sock is not None:
                self._sock.close()
                self._sock = None
            if self._faults is not None:
                self._faults.close()
                self._faults = None


def _each(numbers: Pages) -> Iterable[tuple[int, int]]:
    runs = runs_from_numbers(numbers)
    return zip(runs.starts.tolist(), runs.counts.tolist(), strict=True)
