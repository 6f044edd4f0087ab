"""The sending end of the page streams: rounds of pages out of one VM, in threads of their own.

Pages travel outside the event loop, so heartbeats do not wait for them, and without an object for
one of them.
"""

import concurrent.futures
import socket
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass

from agent.encoding import Encoder
from agent.io.lane import Lane, Ready, Round, Tally
from agent.io.pace import Pace
from agent.io.pages import PageStore
from agent.io.stream import Stream
from agent.runs import Runs, stripes
from protocol.errors import ClusterError
from protocol.names import AttemptId

STRIPE_PAGES = 1024
"""How many neighbouring pages keep to one stream when there are several."""


@dataclass(frozen=True, slots=True)
class RoundSent:
    """One round, as it left this side; `left_pages` did not, and are not among `pages`.

    Zero and kept pages cost no payload. `cpu_s`: of all threads that sent it.
    """

    round_no: int
    pages: int
    zero_pages: int
    wire_bytes: int
    seconds: float
    packed_pages: int = 0
    delta_pages: int = 0
    kept_pages: int = 0
    left_pages: int = 0
    cpu_s: float = 0.0


class PageSender:
    """Sends rounds of pages over one or more connected sockets, which it owns from now on.

    `send_round` blocks: call it in a thread, one round at a time. `close` may come from anywhere,
    but not before the target has said that the last round landed: its end is a failure there.
    `encoders`: one for each socket, or none.
    """

    def __init__(
        self,
        socks: Sequence[socket.socket],
        store: PageStore,
        attempt: AttemptId,
        *,
        checked: bool = True,
        encoders: Sequence[Encoder] = (),
        progress_timeout_s: float = 10.0,
    ) -> None:
        assert socks, "pages need a stream to travel on"
        assert len(encoders) in (0, len(socks)), "an encoder for each stream, or none"
        self._pages = store.pages
        self._lanes = [
            Lane(
                Stream(sock, progress_timeout_s),
                store,
                attempt,
                checked=checked,
                encoder=encoders[number] if encoders else None,
            )
            for number, sock in enumerate(socks)
        ]
        self._busy = threading.Lock()
        self._failed: ClusterError | OSError | None = None
        self._pace = Pace(0)
        self._closing = False
        self._pool = concurrent.futures.ThreadPoolExecutor(len(socks), "pages-out")

    def send_round(
        self,
        round_no: int,
        runs: Runs,
        *,
        zero_check: bool,
        stop: threading.Event,
        rate_bytes_per_s: int = 0,
        ready: Ready | None = None,
    ) -> RoundSent:
        """Send these pages as they are when their turn comes, and end the round on every stream.

        `ready` is asked before each batch which of its pages to send; the others are left. `stop`
        ends it with `RoundStopped` before the next batch; a stream that breaks ends it with
        `PeerUnreachable`, `close` with `StreamClosed`. All streams are over then.
        """
        assert len(runs) == 0 or int(runs.ends[-1]) <= self._pages, "pages outside the VM"
        with self._busy:
            began = time.monotonic()
            self._pace = Pace(rate_bytes_per_s)
            if self._closing:
                self._pace.release()
            job = Round(round_no, zero_check, stop, ready, self._pace)
            for lane in self._lanes:
                lane.tally = Tally()
            shares = stripes(runs, len(self._lanes), STRIPE_PAGES)
            work = list(zip(self._lanes, shares, strict=True))
            jobs = [self._pool.submit(self._send_share, job, *part) for part in work[1:]]
            self._send_share(job, *work[0])
            for one in jobs:
                one.result()
            if self._failed is not None:
                raise self._failed
            return self._sent(round_no, time.monotonic() - began)

    @property
    def moved_pages(self) -> int:
        """How many pages of the round that is being sent have left; another thread may ask."""
        return sum(lane.tally.pages for lane in self._lanes)

    def close(self) -> None:
        """End the streams at once, also under a round that is being sent, and free the sockets."""
        self._closing = True
        self._pace.release()
        for lane in self._lanes:
            lane.stream.interrupt()
        with self._busy:
            self._pool.shutdown()
            for lane in self._lanes:
                lane.stream.close()

    def _send_share(self, job: Round, lane: Lane, runs: Runs) -> None:
        """One stream's part of a round. The first failure of any is kept and ends them all."""
        try:
            lane.send_share(job, runs)
        except (ClusterError, OSError) as error:
            if self._failed is None:
                self._failed = error
            self._pace.release()
            for other in self._lanes:
                other.stream.interrupt()

    def _sent(self, round_no: int, seconds: float) -> RoundSent:
        tallies = [lane.tally for lane in self._lanes]
        return RoundSent(
            round_no,
            sum(tally.pages for tally in tallies),
            sum(tally.zero_pages for tally in tallies),
            sum(tally.wire_bytes for tally in tallies),
            seconds,
            sum(tally.packed_pages for tally in tallies),
            sum(tally.delta_pages for tally in tallies),
            sum(tally.kept_pages for tally in tallies),
            sum(tally.left_pages for tally in tallies),
            sum(tally.cpu_s for tally in tallies),
        )
