"""The page streams of a migration: memory out of one VM, into another, in threads of their own.

Pages travel outside the event loop, so heartbeats do not wait for them, and straight between
memory and socket: neither side ever holds a copy of them, nor an object for one of them.
"""

import concurrent.futures
import socket
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from agent import batches
from agent.batches import Header, Kind
from agent.io.stream import IOVEC, Stream, StreamClosed, Vectors
from agent.runs import PageMap, Runs, no_runs, runs_from_numbers, stripes
from agent.runs import batches as split
from protocol.errors import BadBatch, ClusterError
from protocol.names import PAGE_BYTES, AttemptId

BATCH_PAGES = batches.PAGES_MAX
"""Pages behind one header: as many as it may name, since each is a wait for the other side."""

STRIPE_PAGES = 1024
"""How many neighbouring pages keep to one stream when there are several."""


class PageStore(Protocol):
    """A VM's memory, mapped into this process.

    Sender and receiver keep their own hold on the mapping, so that memory which is closed under
    them is only useless to them, never somebody else's.
    """

    @property
    def pages(self) -> int: ...
    @property
    def array(self) -> NDArray[np.uint64]: ...


@dataclass(frozen=True, slots=True)
class RoundSent:
    """One round, as it left this side. `zero_pages` are among `pages`; they cost no payload."""

    round_no: int
    pages: int
    zero_pages: int
    wire_bytes: int
    seconds: float


@dataclass(frozen=True, slots=True)
class RoundReceived:
    """`stream` has delivered its pages of this round, which has ended when every stream has."""

    stream: int
    round_no: int
    pages: int
    zero_pages: int
    wire_bytes: int


@dataclass(frozen=True, slots=True)
class StreamFailed:
    """Nothing more comes on `stream`, although nobody here closed it."""

    stream: int
    error: ClusterError


Arrival = RoundReceived | StreamFailed


class RoundStopped(ClusterError):
    """The round was ended before all its pages had left, because its owner asked for it."""


@dataclass(slots=True)
class _Tally:
    """What went over one stream in one round."""

    pages: int = 0
    zero_pages: int = 0
    wire_bytes: int = 0


class PageSender:
    """Sends rounds of pages over one or more connected sockets, which it owns from now on.

    `send_round` blocks: call it in a thread, one round at a time. `close` may come from anywhere,
    but not before the target has said that the last round landed: its end is a failure there.
    """

    def __init__(
        self,
        socks: Sequence[socket.socket],
        store: PageStore,
        attempt: AttemptId,
        *,
        progress_timeout_s: float = 10.0,
    ) -> None:
        assert socks, "pages need a stream to travel on"
        self._streams = [Stream(sock, progress_timeout_s) for sock in socks]
        self._array = store.array
        self._attempt = attempt
        self._busy = threading.Lock()
        self._failed: ClusterError | None = None
        self._tallies: list[_Tally] = []
        self._pool = concurrent.futures.ThreadPoolExecutor(len(socks), "pages-out")

    def send_round(
        self, round_no: int, runs: Runs, *, zero_check: bool, stop: threading.Event
    ) -> RoundSent:
        """Send these pages as they are now and end the round on every stream.

        `stop` ends it with `RoundStopped` before the next batch; a stream that breaks ends it
        with `PeerUnreachable`, `close` with `StreamClosed`. All streams are over then.
        """
        assert len(runs) == 0 or int(runs.ends[-1]) <= len(self._array), "pages outside the VM"
        with self._busy:
            began = time.monotonic()
            self._tallies = tallies = [_Tally() for _ in self._streams]
            shares = stripes(runs, len(self._streams), STRIPE_PAGES)
            work = list(zip(self._streams, shares, tallies, strict=True))
            jobs = [
                self._pool.submit(self._send_share, *part, round_no, zero_check, stop)
                for part in work[1:]
            ]
            self._send_share(*work[0], round_no, zero_check, stop)
            for job in jobs:
                job.result()
            if self._failed is not None:
                raise self._failed
            return RoundSent(
                round_no,
                runs.pages,
                sum(tally.zero_pages for tally in tallies),
                sum(tally.wire_bytes for tally in tallies),
                time.monotonic() - began,
            )

    @property
    def moved_pages(self) -> int:
        """How many pages of the round that is being sent have left; another thread may ask."""
        return sum(tally.pages for tally in self._tallies)

    def close(self) -> None:
        """End the streams at once, also under a round that is being sent, and free the sockets."""
        for stream in self._streams:
            stream.interrupt()
        with self._busy:
            self._pool.shutdown()
            for stream in self._streams:
                stream.close()

    def _send_share(
        self,
        stream: Stream,
        runs: Runs,
        tally: _Tally,
        round_no: int,
        zero_check: bool,
        stop: threading.Event,
    ) -> None:
        """One stream's part of a round. The first failure of any is kept and ends them all."""
        try:
            for batch in split(runs, BATCH_PAGES):
                if stop.is_set():
                    raise RoundStopped(
                        f"round {round_no} was stopped before all its pages had left"
                    )
                self._send_batch(stream, round_no, batch, zero_check, tally)
                tally.pages += batch.pages
            self._send_header(stream, Kind.END, round_no, no_runs(), tally)
        except ClusterError as error:
            if self._failed is None:
                self._failed = error
            for other in self._streams:
                other.interrupt()

    def _send_batch(
        self, stream: Stream, round_no: int, runs: Runs, zero_check: bool, tally: _Tally
    ) -> None:
        if zero_check:
            zero, runs = part_zero_pages(runs, self._array)
            if len(zero):
                self._send_header(stream, Kind.ZERO, round_no, zero, tally)
                tally.zero_pages += zero.pages
        if len(runs) == 0:
            return
        self._send_header(stream, Kind.PAGES, round_no, runs, tally)
        stream.send_vectors(vectors_of(runs, self._array))
        tally.wire_bytes += runs.pages * PAGE_BYTES

    def _send_header(
        self, stream: Stream, kind: Kind, round_no: int, runs: Runs, tally: _Tally
    ) -> None:
        data = batches.encode(kind, self._attempt, round_no, runs)
        stream.send(data, more=kind is Kind.PAGES)
        tally.wire_bytes += len(data)


class PageReceiver:
    """Writes what one stream brings into a VM's memory, in a thread of its own, from round 0 on.

    `fresh` marks the pages that have held nothing but zeros since they were reserved; all streams
    of an attempt share it. `on_arrival` is called in the receiver's thread. The receiver is silent
    after `close`. A stream on which nothing comes for `progress_timeout_s` in the middle of a round
    has failed; between rounds it may be silent.
    """

    def __init__(
        self,
        sock: socket.socket,
        store: PageStore,
        attempt: AttemptId,
        *,
        on_arrival: Callable[[Arrival], None],
        fresh: PageMap,
        stream_no: int = 1,
        progress_timeout_s: float = 10.0,
    ) -> None:
        assert len(fresh) == store.pages, "one mark for each page"
        self._stream = Stream(sock, progress_timeout_s)
        self._array = store.array
        self._attempt = attempt
        self._on_arrival = on_arrival
        self._fresh = fresh
        self._stream_no = stream_no
        self._header = memoryview(bytearray(batches.HEADER_BYTES))
        self._runs = memoryview(bytearray(batches.RUNS_MAX * batches.RUN_BYTES))
        self._thread = threading.Thread(
            target=self._receive, name=f"pages-in-{attempt}-{stream_no}", daemon=True
        )

    @property
    def is_running(self) -> bool:
        return self._thread.is_alive()

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        """End the stream and its thread; once this returns nobody writes to the memory any more."""
        self._stream.interrupt()
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join()
        self._stream.close()

    def _receive(self) -> None:
        round_no = 0
        try:
            while True:
                self._on_arrival(self._receive_round(round_no))
                round_no += 1
        except StreamClosed:
            pass  # the end that its owner wanted
        except ClusterError as error:
            self._on_arrival(StreamFailed(self._stream_no, error))
        finally:
            # Closed over unread bytes it resets the connection, so the sender learns at once.
            self._stream.close()

    def _receive_round(self, round_no: int) -> RoundReceived:
        tally = _Tally()
        # Between rounds a source may wait for its coordinator: only silence within one is an end.
        # That the source is gone is noticed on the connection of the conversation, too.
        self._stream.await_bytes()
        while True:
            header = self._receive_header(round_no)
            tally.wire_bytes += batches.HEADER_BYTES + header.runs_bytes + header.payload_bytes
            if header.kind is Kind.END:
                return RoundReceived(
                    self._stream_no, round_no, tally.pages, tally.zero_pages, tally.wire_bytes
                )
            runs = self._receive_runs(header)
            tally.pages += runs.pages
            if tally.pages > len(self._array):
                raise BadBatch(f"round {round_no} has more pages than the VM")
            if header.kind is Kind.ZERO:
                tally.zero_pages += runs.pages
                self._clear(runs)
            else:
                self._fill(runs)

    def _receive_header(self, round_no: int) -> Header:
        self._stream.receive_into(self._header)
        header = batches.decode_header(self._header)
        if header.attempt != self._attempt:
            raise BadBatch(f"a batch of attempt {header.attempt} on a stream of {self._attempt}")
        if header.round_no != round_no:
            raise BadBatch(f"a batch of round {header.round_no} in round {round_no}")
        return header

    def _receive_runs(self, header: Header) -> Runs:
        data = self._runs[: header.runs_bytes]
        self._stream.receive_into(data)
        return batches.decode_runs(header, data, len(self._array))

    def _fill(self, runs: Runs) -> None:
        """Receive the pages' bytes to where they belong. `runs` has been checked against the VM."""
        self._fresh[runs.numbers()] = False
        self._stream.receive_vectors(vectors_of(runs, self._array))

    def _clear(self, runs: Runs) -> None:
        """Make the pages zero, without touching those that never were anything else."""
        numbers = runs.numbers()
        self._array[numbers[~self._fresh[numbers]]] = 0


def vectors_of(runs: Runs, array: NDArray[np.uint64]) -> Vectors:
    """Where the runs lie in this process, for the kernel. `array` must outlive them."""
    vectors = np.empty(len(runs), dtype=IOVEC)
    vectors["base"] = array.ctypes.data + runs.starts * PAGE_BYTES
    vectors["bytes"] = runs.counts * PAGE_BYTES
    return vectors


def part_zero_pages(runs: Runs, array: NDArray[np.uint64]) -> tuple[Runs, Runs]:
    """The pages that hold only zeros now, and the others."""
    numbers = runs.numbers()
    # Three words decide for nearly every page in use, so that few pages are read whole.
    maybe = (array[numbers, 0] | array[numbers, 255] | array[numbers, 511]) == 0
    if not maybe.any():
        return no_runs(), runs
    zero = maybe.copy()
    zero[maybe] = np.bitwise_or.reduce(array[numbers[maybe]], axis=1) == 0
    return runs_from_numbers(numbers[zero]), runs_from_numbers(numbers[~zero])
