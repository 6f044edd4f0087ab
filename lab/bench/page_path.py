"""How fast pages move: A against B on this machine, in turns, as ratios with their spread.

A machine that is slow for a while is slow for both sides of a ratio; single figures in bytes per
second say more about the machine's mood than about the program.
"""

import multiprocessing
import multiprocessing.connection
import queue
import resource
import socket
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import rich.table

from agent.io.fill import filled
from agent.io.memory import VmMemory
from agent.io.page_receiver import PageReceiver, RoundReceived
from agent.io.page_sender import PageSender
from agent.io.stream import CONGESTION_CONTROL
from agent.runs import Runs, all_pages, runs_from_map
from protocol.names import PAGE_BYTES, AttemptId, Fill

PIECE_BYTES = 1024 * 1024
GIB = 1024**3
WIPED = 0xA5A5_A5A5_A5A5_A5A5
SCATTERED_SHARE = 0.1
ATTEMPT = AttemptId(1)
DEADLINE_S = 60.0
COMPARED_PAGES = 4096


Socks = list[socket.socket]
Ends = tuple[VmMemory, VmMemory]
Sending = Callable[[Socks, VmMemory, Runs], None]
Receiving = Callable[[Socks, VmMemory], None]


@dataclass(frozen=True, slots=True)
class Way:
    """One way to bring pages from a process to another; the first of a part is its measure."""

    name: str
    send: Sending
    receive: Receiving
    streams: int = 1
    scattered: bool = False


@dataclass(slots=True)
class Result:
    """What a way took, one figure for each interleaved round."""

    way: Way
    bytes_per_s: list[float] = field(default_factory=list)
    ratios: list[float] = field(default_factory=list)
    cpu_s_per_gib: list[float] = field(default_factory=list)


# The ways


def send_bare(socks: Socks, memory: VmMemory, runs: Runs) -> None:
    """What any program does that sends a buffer and knows nothing of pages."""
    socks[0].setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, CONGESTION_CONTROL)
    for start in range(0, memory.memory_bytes, PIECE_BYTES):
        socks[0].sendall(memory.view[start : start + PIECE_BYTES])


def receive_bare(socks: Socks, memory: VmMemory) -> None:
    got = 0
    while got < memory.memory_bytes:
        count = socks[0].recv_into(memory.view[got : got + PIECE_BYTES])
        assert count, "the sender went away"
        got += count


def send_pages(socks: Socks, memory: VmMemory, runs: Runs, *, checked: bool = False) -> None:
    """`checked`: with a checksum on every batch, and a look for zero pages."""
    sender = PageSender(socks, memory, ATTEMPT, checked=checked)
    sender.send_round(0, runs, zero_check=checked, stop=threading.Event())
    # Not closed: one stream's end would be news to the receiver while it reads the other.


def send_checked_pages(socks: Socks, memory: VmMemory, runs: Runs) -> None:
    send_pages(socks, memory, runs, checked=True)


def receive_pages(socks: Socks, memory: VmMemory) -> None:
    arrivals: queue.Queue[object] = queue.Queue()
    fresh = np.ones(memory.pages, dtype=np.bool_)
    receivers = [
        PageReceiver(sock, memory, ATTEMPT, on_arrival=arrivals.put, fresh=fresh, stream_no=number)
        for number, sock in enumerate(socks, 1)
    ]
    for receiver in receivers:
        receiver.start()
    for _ in receivers:
        arrival = arrivals.get(timeout=DEADLINE_S)
        assert isinstance(arrival, RoundReceived), arrival
    for receiver in receivers:
        receiver.close()


PAGE_PATH = (
    Way("bare loop, 1 MiB", send_bare, receive_bare),
    Way("pages, 1 stream", send_pages, receive_pages),
    Way("pages, 2 streams", send_pages, receive_pages, streams=2),
    Way("checked, 1 stream", send_checked_pages, receive_pages),
    Way("checked, 2 streams", send_checked_pages, receive_pages, streams=2),
    Way("10 %, 1 stream", send_pages, receive_pages, scattered=True),
    Way("10 %, 2 streams", send_pages, receive_pages, streams=2, scattered=True),
)


# One transfer, between two processes


@dataclass(frozen=True, slots=True)
class Moment:
    """When one end of a transfer began and ended, on the machine's clock, and the CPU it took."""

    began: float
    ended: float
    cpu_s: float


def measure(way: Way, ends: Ends, runs: Runs) -> tuple[float, float]:
    """Seconds from the first byte sent to the last byte in place, and CPU seconds of both ends."""
    source, target = ends
    server = socket.create_server(("127.0.0.1", 0), backlog=way.streams)

    def send() -> tuple[Socks, Callable[[], None]]:
        socks = [socket.create_connection(server.getsockname()) for _ in range(way.streams)]
        source.populate()
        return socks, lambda: way.send(socks, source, runs)

    def receive() -> tuple[Socks, Callable[[], None]]:
        socks = [server.accept()[0] for _ in range(way.streams)]
        target.populate()
        return socks, lambda: way.receive(socks, target)

    with closing(server), _forked(receive) as receiving, _forked(send) as sending:
        for end in (receiving, sending):
            _hear(end)  # its memory is mapped and its sockets are connected
        for end in (receiving, sending):
            end.send("go")
        moments: list[Moment] = [_hear(end) for end in (sending, receiving)]
    sent, received = moments
    return received.ended - sent.began, sent.cpu_s + received.cpu_s


def _hear(end: multiprocessing.connection.Connection) -> Any:
    if not end.poll(DEADLINE_S):
        raise TimeoutError(f"one end of a transfer said nothing for {DEADLINE_S:g} s")
    return end.recv()


@contextmanager
def _forked(
    prepare: Callable[[], tuple[Socks, Callable[[], None]]],
) -> Iterator[multiprocessing.connection.Connection]:
    """A process that prepares, says so, waits for the word, runs, and reports its moments."""
    fork = multiprocessing.get_context("fork")
    here, there = fork.Pipe()

    def live() -> None:
        socks, job = prepare()
        there.send("ready")
        there.recv()
        cpu_s = _cpu_s()
        began = time.monotonic()
        job()
        there.send(Moment(began, time.monotonic(), _cpu_s() - cpu_s))
        there.recv()  # the sockets stay open until both ends are done
        for sock in socks:
            sock.close()

    process = fork.Process(target=live)
    process.start()
    there.close()  # the child has its own: if it dies, hearing it ends at once
    try:
        yield here
        here.send("done")
    except BaseException:
        process.kill()
        raise
    finally:
        process.join()


def _cpu_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def verify(ends: Ends, runs: Runs) -> None:
    """The sent pages are the same on both sides, and no other page was touched."""
    source, target = ends
    sent = runs.to_map(source.pages)
    for start in range(0, source.pages, COMPARED_PAGES):
        part = slice(start, start + COMPARED_PAGES)
        here, there, moved = source.array[part], target.array[part], sent[part]
        assert np.array_equal(here[moved], there[moved]), f"pages differ from {start} on"
        assert bool((there[~moved] == WIPED).all()), f"pages were touched from {start} on"


# The parts of the benchmark


def page_path(memory_bytes: int, rounds: int, note: Callable[[str], None]) -> list[Result]:
    """Round 0 of a migration and a round of scattered pages, against the bare loop."""
    results = [Result(way) for way in PAGE_PATH]
    with (
        closing(VmMemory.create("bench-source", memory_bytes)) as source,
        closing(VmMemory.create("bench-target", memory_bytes)) as target,
    ):
        note(f"filling {memory_bytes / GIB:g} GiB")
        target.populate()
        for _ in filled(source, Fill.RANDOM, seed=1):
            pass
        some = runs_from_map(np.random.default_rng(1).random(source.pages) < SCATTERED_SHARE)
        whole = all_pages(source.pages)
        for round_no in range(rounds):
            note(f"round {round_no + 1} of {rounds}")
            # Every other round goes backwards, so that no way always follows the same one.
            for result in results if round_no % 2 == 0 else reversed(results):
                runs = some if result.way.scattered else whole
                target.array.fill(WIPED)
                seconds, cpu_s = measure(result.way, (source, target), runs)
                verify((source, target), runs)
                sent_bytes = runs.pages * PAGE_BYTES
                result.bytes_per_s.append(sent_bytes / seconds)
                result.cpu_s_per_gib.append(cpu_s * GIB / sent_bytes)
            for result in results:
                result.ratios.append(result.bytes_per_s[-1] / results[0].bytes_per_s[-1])
    return results


def spread(figures: list[float]) -> dict[str, float]:
    return {"median": statistics.median(figures), "min": min(figures), "max": max(figures)}


def as_data(results: list[Result]) -> list[dict[str, object]]:
    return [
        {
            "name": result.way.name,
            "goodput_bytes_per_s": spread(result.bytes_per_s),
            "ratio": spread(result.ratios),
            "cpu_s_per_gib": spread(result.cpu_s_per_gib),
        }
        for result in results
    ]


def as_table(title: str, results: list[Result]) -> rich.table.Table:
    table = rich.table.Table(
        title=title, caption="median (min - max); 10 %: scattered pages; memory compared each time"
    )
    table.add_column("way")
    for heading in ("GB/s", "ratio", "CPU s/GiB"):
        table.add_column(heading, justify="right")
    for result in results:
        columns = (
            [rate / 1e9 for rate in result.bytes_per_s],
            result.ratios,
            result.cpu_s_per_gib,
        )
        table.add_row(result.way.name, *map(in_words, columns))
    return table


def in_words(figures: list[float]) -> str:
    return f"{statistics.median(figures):.2f} ({min(figures):.2f} - {max(figures):.2f})"
