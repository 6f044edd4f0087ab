"""Memories and streams for the tests of the page path, and a receiver to abuse."""

import mmap
import os
import queue
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from agent.batches import Kind, encode
from agent.encoding import Encoder
from agent.io.codecs import decoder_for
from agent.io.page_receiver import Arrival, PageReceiver, RoundReceived, StreamFailed
from agent.io.page_sender import PageSender, RoundSent
from agent.runs import Runs, runs_from_map
from protocol.names import PAGE_BYTES, AttemptId

ATTEMPT = AttemptId(7)
PATIENCE_S = 20.0
"""Only a broken test waits this long."""

SocketPair = tuple[socket.socket, socket.socket]


class Memory:
    """A VM's memory, with a page behind it that nobody may write."""

    def __init__(self, pages: int) -> None:
        self.pages = pages
        self.fd = os.memfd_create("test-vm")
        os.ftruncate(self.fd, (pages + 1) * PAGE_BYTES)
        self.view = memoryview(mmap.mmap(self.fd, (pages + 1) * PAGE_BYTES))
        words: NDArray[np.uint64] = np.frombuffer(self.view, dtype=np.uint64).reshape(-1, 512)
        self.array, self.behind = words[:pages], words[pages]

    def close(self) -> None:
        os.close(self.fd)


def tcp_pair() -> SocketPair:
    with socket.create_server(("127.0.0.1", 0)) as server:
        client = socket.create_connection(server.getsockname())
        return client, server.accept()[0]


@dataclass
class Path:
    """A sender and its receivers, wired back to back."""

    source: Memory
    target: Memory
    sender: PageSender
    receivers: list[PageReceiver]
    arrivals: "queue.Queue[Arrival]"

    def send(
        self, round_no: int, runs: Runs, *, zero_check: bool = False, rate_bytes_per_s: int = 0
    ) -> RoundSent:
        return self.sender.send_round(
            round_no,
            runs,
            zero_check=zero_check,
            stop=threading.Event(),
            rate_bytes_per_s=rate_bytes_per_s,
        )

    def landed(self) -> list[RoundReceived]:
        """Wait until the round has ended on every stream."""
        arrivals = [self.arrivals.get(timeout=PATIENCE_S) for _ in self.receivers]
        return [arrival for arrival in arrivals if isinstance(arrival, RoundReceived)]


@contextmanager
def path(
    vm_pages: int,
    streams: int = 1,
    pair: Callable[[], SocketPair] = tcp_pair,
    *,
    checked: bool = True,
    encoders: Sequence[Encoder] = (),
) -> Iterator[Path]:
    arrivals: queue.Queue[Arrival] = queue.Queue()
    pairs = [pair() for _ in range(streams)]
    fresh = np.ones(vm_pages, dtype=np.bool_)
    with closing(Memory(vm_pages)) as source, closing(Memory(vm_pages)) as target:
        receivers = [
            PageReceiver(
                there,
                target,
                ATTEMPT,
                on_arrival=arrivals.put,
                fresh=fresh,
                stream_no=number,
                decoder=decoder_for(),
            )
            for number, (_, there) in enumerate(pairs, 1)
        ]
        socks = [here for here, _ in pairs]
        with closing(
            PageSender(socks, source, ATTEMPT, checked=checked, encoders=encoders)
        ) as sender:
            for receiver in receivers:
                receiver.start()
            try:
                yield Path(source, target, sender, receivers, arrivals)
            finally:
                for receiver in receivers:
                    receiver.close()


def scattered(rng: np.random.Generator, vm_pages: int, share: float) -> Runs:
    return runs_from_map(rng.random(vm_pages) < share)


def scribble(rng: np.random.Generator, memory: Memory, runs: Runs) -> None:
    memory.array[runs.numbers()] = rng.integers(1, 2**63, (runs.pages, 512), dtype=np.uint64)


Abused = tuple[socket.socket, "queue.Queue[Arrival]", Memory, PageReceiver]


@contextmanager
def hostile(vm_pages: int = 16, patience_s: float = PATIENCE_S) -> Iterator[Abused]:
    """A receiver whose other end is ours to abuse."""
    arrivals: queue.Queue[Arrival] = queue.Queue()
    here, there = tcp_pair()
    with closing(Memory(vm_pages)) as target, here:
        receiver = PageReceiver(
            there,
            target,
            ATTEMPT,
            on_arrival=arrivals.put,
            fresh=np.ones(vm_pages, dtype=np.bool_),
            decoder=decoder_for(),
            progress_timeout_s=patience_s,
        )
        receiver.start()
        try:
            yield here, arrivals, target, receiver
        finally:
            receiver.close()
            assert not target.behind.any(), "written outside the VM"


def failure(arrivals: "queue.Queue[Arrival]") -> Exception:
    arrival = arrivals.get(timeout=PATIENCE_S)
    assert isinstance(arrival, StreamFailed)
    return arrival.error


def batch(
    kind: Kind,
    attempt: int,
    round_no: int,
    start: int,
    count: int,
    *,
    payload_bytes: int = 0,
    checksum: int = 0,
) -> bytes:
    runs = Runs(np.array([start]), np.array([count]))
    return encode(
        kind,
        AttemptId(attempt),
        round_no,
        runs,
        payload_bytes=payload_bytes,
        checksum=checksum,
    )
