"""The receiving end of a page stream: what it brings is written into a VM's memory, in a thread."""

import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import xxhash

from agent import batches
from agent.batches import DECODED, STAGED_BYTES_MAX, STAGED_PAGES_MAX, Header, Kind, checksum_of
from agent.encoding import Content, Decoder
from agent.io.pages import PageStore, gather, vectors_of
from agent.io.stream import Stream, StreamClosed
from agent.runs import PageMap, Pages, Runs
from protocol.errors import BadBatch, ClusterError
from protocol.names import AttemptId


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


@dataclass(slots=True)
class _Tally:
    """What came over the stream in one round."""

    pages: int = 0
    zero_pages: int = 0
    wire_bytes: int = 0


class PageReceiver:
    """Writes what one stream brings into a VM's memory, from round 0 on.

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
        decoder: Decoder | None = None,
        progress_timeout_s: float = 10.0,
    ) -> None:
        assert len(fresh) == store.pages, "one mark for each page"
        self._stream = Stream(sock, progress_timeout_s)
        self._array = store.array
        self._attempt = attempt
        self._on_arrival = on_arrival
        self._fresh = fresh
        self._stream_no = stream_no
        self._decoder = decoder
        self._header = memoryview(bytearray(batches.HEADER_BYTES))
        self._runs = memoryview(bytearray(batches.RUNS_MAX * batches.RUN_BYTES))
        self._room: Content = np.empty((0, 512), np.uint64)
        self._payload = memoryview(b"")
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
            elif header.kind in DECODED:
                self._decode(header, runs)
            else:
                self._fill(header, runs)

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

    def _clear(self, runs: Runs) -> None:
        """Make the pages zero, without touching those that never were anything else."""
        numbers = runs.numbers()
        self._array[numbers[~self._fresh[numbers]]] = 0

    def _fill(self, header: Header, runs: Runs) -> None:
        """Receive the pages' bytes to where they belong. `runs` has been checked against the VM."""
        self._touched(runs)
        if header.checksum == 0:
            self._stream.receive_vectors(vectors_of(runs, self._array))
            return
        if len(runs) == 1:
            start = int(runs.starts[0])
            content = self._array[start : start + int(runs.counts[0])]
            self._stream.receive_into(content.data.cast("B"))
            checksum = checksum_of(content)
        else:
            checksum = self._scatter(runs.numbers())
        _refuse_if_changed(header, runs, checksum)

    def _scatter(self, numbers: Pages) -> int:
        """Receive pages that lie apart in one piece, which costs less than a place for each."""
        hashed, room = xxhash.xxh3_64(), self._staging()
        for first in range(0, len(numbers), STAGED_PAGES_MAX):
            part = numbers[first : first + STAGED_PAGES_MAX]
            content = room[: len(part)]
            self._stream.receive_into(content.data.cast("B"))
            hashed.update(content.data)
            self._array[part] = content
        return hashed.intdigest() or 1

    def _touched(self, runs: Runs) -> None:
        """These pages are not the zeros any more that they were reserved as."""
        if len(runs) == 1:
            start = int(runs.starts[0])
            self._fresh[start : start + int(runs.counts[0])] = False
        else:
            self._fresh[runs.numbers()] = False

    def _decode(self, header: Header, runs: Runs) -> None:
        """Make the pages from what came; only what has the right checksum gets into the memory."""
        if self._decoder is None:
            raise BadBatch(f"nobody here can read a batch of kind {header.kind.name}")
        if len(self._payload) == 0:
            self._payload = memoryview(bytearray(STAGED_BYTES_MAX))
        payload = self._payload[: header.payload_bytes]
        self._stream.receive_into(payload)
        numbers, room = runs.numbers(), self._staging()
        content = room[: len(numbers)]
        if header.kind is Kind.DELTA:
            gather(self._array, numbers, room)
        self._decoder.decode(header.kind, numbers, payload.toreadonly(), content)
        if header.checksum:
            _refuse_if_changed(header, runs, checksum_of(content))
        self._fresh[numbers] = False
        self._array[numbers] = content

    def _staging(self) -> Content:
        if len(self._room) == 0:
            self._room = np.empty((STAGED_PAGES_MAX, 512), np.uint64)
        return self._room


def _refuse_if_changed(header: Header, runs: Runs, checksum: int) -> None:
    if checksum != header.checksum:
        raise BadBatch(
            f"{runs.pages} pages from page {int(runs.starts[0])} on in round {header.round_no} "
            "are not what the source sent: their checksum is another"
        )
