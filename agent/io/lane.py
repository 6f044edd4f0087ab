"""One stream of a sender: its share of each round, batch after batch, in one thread at a time.

What needs to be looked at whole (hashed, packed) is copied into a buffer first, because the guest
goes on writing: a checksum of its memory would be one of pages that nobody sent. What needs no
look goes straight from memory to the kernel.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from agent import batches
from agent.batches import DECODED, STAGED_PAGES_MAX, Kind, checksum_of
from agent.encoding import Content, Encoder, Packed
from agent.io.pace import Pace
from agent.io.pages import PageStore, gather, vectors_of, zeros_among, zeros_of
from agent.io.stream import Stream
from agent.pacing import batch_pages
from agent.runs import NO_PAGES, Pages, Runs, no_runs, runs_from_numbers
from agent.runs import batches as split
from protocol.errors import ClusterError
from protocol.names import PAGE_BYTES, AttemptId

DIRECT_PAGES = batches.PAGES_MAX
"""Pages behind one header where nothing is gathered."""


class RoundStopped(ClusterError):
    """The round was ended before all its pages had left, because its owner asked for it."""


Ready = Callable[[Runs], Runs]
"""Asked just before a batch is read: which of its pages to send now. Several threads ask."""


@dataclass(frozen=True, slots=True)
class Round:
    """What all streams of a sender know of the round they share."""

    number: int
    zero_check: bool
    stop: threading.Event
    ready: Ready | None
    pace: Pace

    def refuse_if_stopped(self) -> None:
        if self.stop.is_set():
            raise RoundStopped(f"round {self.number} was stopped before all its pages had left")


@dataclass(slots=True)
class Tally:
    """What went over one stream in one round; `left_pages` did not."""

    pages: int = 0
    zero_pages: int = 0
    packed_pages: int = 0
    delta_pages: int = 0
    kept_pages: int = 0
    left_pages: int = 0
    wire_bytes: int = 0
    cpu_s: float = 0.0

    def count(self, kind: Kind, pages: int) -> None:
        self.pages += pages
        match kind:
            case Kind.ZERO:
                self.zero_pages += pages
            case Kind.ZSTD:
                self.packed_pages += pages
            case Kind.DELTA:
                self.delta_pages += pages
            case Kind.KEPT:
                self.kept_pages += pages


class Lane:
    """Sends its share of a round over `stream`, and keeps `tally` of it."""

    def __init__(
        self,
        stream: Stream,
        store: PageStore,
        attempt: AttemptId,
        *,
        checked: bool,
        encoder: Encoder | None,
    ) -> None:
        self.stream = stream
        self.tally = Tally()
        self._array = store.array
        self._attempt = attempt
        self._checked = checked
        self._encoder = encoder
        self._room: Content = np.empty((0, 512), np.uint64)
        self._wire_s = 0.0

    def send_share(self, job: Round, runs: Runs) -> None:
        """This stream's pages of the round, and its end."""
        began_s = time.thread_time()
        try:
            if self._encoder is not None:
                self._encoder.begin(job.number)
            direct = self._encoder is None and not self._checked
            most = DIRECT_PAGES if direct else STAGED_PAGES_MAX
            for batch in split(runs, batch_pages(job.pace.rate_bytes_per_s, PAGE_BYTES, most)):
                self._send_batch(job, batch)
            # The round has taken its time when its last bytes have had theirs.
            job.pace.wait(job.stop)
            job.refuse_if_stopped()
            self._send_header(job, Kind.END, no_runs())
        finally:
            self.tally.cpu_s += time.thread_time() - began_s

    def _send_batch(self, job: Round, batch: Runs) -> None:
        waits_from_s = time.monotonic()
        job.pace.wait(job.stop)
        self._wire_s = time.monotonic() - waits_from_s
        job.refuse_if_stopped()
        runs = batch if job.ready is None else job.ready(batch)
        self.tally.left_pages += batch.pages - runs.pages
        if len(runs) == 0:
            return
        before_bytes = self.tally.wire_bytes
        packs = self._encoder is not None and self._encoder.wants
        if packs or self._checked:
            self._send_gathered(job, runs, packs)
        else:
            self._send_straight(job, runs)
        sent_bytes = self.tally.wire_bytes - before_bytes
        job.pace.spend(sent_bytes)
        if self._encoder is not None:
            self._encoder.sent(sent_bytes, self._wire_s)

    # ---- without a look at the pages

    def _send_straight(self, job: Round, runs: Runs) -> None:
        if job.zero_check:
            runs = self._part_zero_pages(job, runs)
            if len(runs) == 0:
                return
        if self._encoder is not None:
            self._encoder.passed(runs.numbers())
        self._send_header(job, Kind.PAGES, runs)
        began_s = time.monotonic()
        self.stream.send_vectors(vectors_of(runs, self._array))
        self._wire_s += time.monotonic() - began_s
        self.tally.wire_bytes += runs.pages * PAGE_BYTES
        self.tally.count(Kind.PAGES, runs.pages)

    def _part_zero_pages(self, job: Round, runs: Runs) -> Runs:
        """Send those that are zero now; the others are left to send."""
        numbers = runs.numbers()
        zero = zeros_among(numbers, self._array)
        if zero is None:
            return runs
        self._send_zeros(job, numbers[zero])
        return runs_from_numbers(numbers[~zero])

    # ---- with a look at a copy of them

    def _send_gathered(self, job: Round, runs: Runs, packs: bool) -> None:
        if len(self._room) == 0:
            self._room = np.empty((STAGED_PAGES_MAX, 512), np.uint64)
        numbers = runs.numbers()
        content = gather(self._array, numbers, self._room)
        if job.zero_check:
            zero = zeros_of(content)
            if zero is not None:
                self._send_zeros(job, numbers[zero])
                numbers = numbers[~zero]
                if len(numbers) == 0:
                    return
                runs = runs_from_numbers(numbers)
                content = content[~zero]
        if self._encoder is None:
            self._send_content(job, runs, content)
        elif not packs:
            self._encoder.passed(numbers)
            self._send_content(job, runs, content)
        else:
            parts = self._encoder.encode(numbers, content)
            assert sum(len(part.which) for part in parts) == len(numbers), "every page, once"
            for part in parts:
                self._send_part(job, part, numbers, content)

    def _send_part(self, job: Round, part: Packed, numbers: Pages, content: Content) -> None:
        runs = runs_from_numbers(numbers[part.which])
        if len(part.which) < len(numbers):
            content = content[part.which]
        if part.kind is Kind.PAGES:
            self._send_content(job, runs, content)
            return
        assert part.kind in DECODED, "an encoder packs; what has no content is told by its pages"
        checksum = checksum_of(content) if self._checked or part.kind is Kind.KEPT else 0
        self._send_header(job, part.kind, runs, len(part.payload), checksum)
        if len(part.payload):
            self._send_payload(part.payload)
        self.tally.count(part.kind, runs.pages)

    def _send_content(self, job: Round, runs: Runs, content: Content) -> None:
        checksum = checksum_of(content) if self._checked else 0
        self._send_header(job, Kind.PAGES, runs, content.nbytes, checksum)
        self._send_payload(content.data.cast("B"))
        self.tally.count(Kind.PAGES, runs.pages)

    # ---- on the wire

    def _send_zeros(self, job: Round, numbers: Pages = NO_PAGES) -> None:
        if self._encoder is not None:
            self._encoder.zeroed(numbers)
        self._send_header(job, Kind.ZERO, runs_from_numbers(numbers))
        self.tally.count(Kind.ZERO, len(numbers))

    def _send_payload(self, payload: bytes | memoryview) -> None:
        began_s = time.monotonic()
        self.stream.send(payload)
        self._wire_s += time.monotonic() - began_s
        self.tally.wire_bytes += len(payload)

    def _send_header(
        self, job: Round, kind: Kind, runs: Runs, payload_bytes: int = 0, checksum: int = 0
    ) -> None:
        data = batches.encode(
            kind, self._attempt, job.number, runs, payload_bytes=payload_bytes, checksum=checksum
        )
        self.stream.send(data, more=kind is Kind.PAGES or payload_bytes > 0)
        self.tally.wire_bytes += len(data)
