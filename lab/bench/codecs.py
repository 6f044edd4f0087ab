"""What packing, and sending only what changed, are worth on a wire of a gigabit per second.

Every way carries the same pages between two processes, in turns with pages as they are; the wire is
the sender's own limit. Of a delta the later rounds count: the first one sends everything whole.
"""

import queue
import socket
import threading
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
import rich.table

from agent.io.codecs import decoder_for, encoders_for
from agent.io.fill import filled, python_files
from agent.io.memory import VmMemory
from agent.io.page_receiver import PageReceiver, RoundReceived
from agent.io.page_sender import PageSender
from agent.runs import Runs, all_pages
from lab.bench.page_path import (
    ATTEMPT,
    DEADLINE_S,
    GIB,
    WIPED,
    Socks,
    Way,
    in_words,
    measure,
    spread,
    verify,
)
from protocol.names import PAGE_BYTES, Fill
from protocol.travel import Compress, Travel

WIRE_BYTES_PER_S = 118_000_000
MEMORY_BYTES_MAX = 256 << 20
"""More would only take longer: at this rate pages as they are take seconds."""

LATER_ROUNDS = 3
CHANGED_BYTES = 64
PLAIN = Travel(rate_bytes_per_s=WIRE_BYTES_PER_S)


@dataclass(slots=True)
class Result:
    """A way of travel on one kind of memory; `shares` of the pages' bytes were on the wire."""

    name: str
    travel: Travel
    seconds: list[float] = field(default_factory=list)
    faster: list[float] = field(default_factory=list)
    cpu_s_per_gib: list[float] = field(default_factory=list)
    shares: list[float] = field(default_factory=list)

    def compare(self, first: "Result") -> None:
        self.faster.append(first.seconds[-1] / self.seconds[-1])


def _ways(*others: tuple[str, Travel]) -> list[Result]:
    return [Result("as they are", PLAIN), *(Result(name, travel) for name, travel in others)]


def _travel(compress: Compress, level: int = 1, delta_bytes: int = 0) -> Travel:
    return Travel(
        compress=compress,
        level=level,
        delta_bytes=delta_bytes,
        rate_bytes_per_s=WIRE_BYTES_PER_S,
    )


def codecs(memory_bytes: int, rounds: int, note: Callable[[str], None]) -> dict[str, list[Result]]:
    """For each kind of memory, pages as they are first."""
    size = min(memory_bytes, MEMORY_BYTES_MAX)
    auto, zstd = _travel(Compress.AUTO), _travel(Compress.ZSTD)
    found = {
        "text": _ways(("auto", auto), ("zstd 1", zstd), ("zstd 3", _travel(Compress.ZSTD, 3))),
        "random": _ways(("auto", auto), ("zstd 1", zstd)),
        "delta": _ways(("delta", _travel(Compress.OFF, delta_bytes=2 * size))),
    }
    with (
        closing(VmMemory.create("bench-source", size)) as source,
        closing(VmMemory.create("bench-target", size)) as target,
    ):
        target.populate()
        for kind, results in found.items():
            note(f"filling {size / GIB:g} GiB for {kind}")
            fill_text(source) if kind == "text" else _fill_random(source)
            for number in range(rounds):
                note(f"{kind}, round {number + 1} of {rounds}")
                for result in results if number % 2 == 0 else reversed(results):
                    if kind == "delta":
                        _measure_later_rounds(result, source, target)
                    else:
                        _measure_whole(result, source, target)
                for result in results:
                    result.compare(results[0])
    return found


def fill_text(memory: VmMemory) -> None:
    """The sources of the Python installation, one after the other, again and again."""
    paths = [path for path in python_files() if path.endswith(".py")]
    at = 0
    while at < memory.memory_bytes:
        for path in paths:
            part = Path(path).read_bytes()[: memory.memory_bytes - at]
            memory.view[at : at + len(part)] = part
            at += len(part)


def _fill_random(memory: VmMemory) -> None:
    for _ in filled(memory, Fill.RANDOM, seed=1):
        pass


# All pages once, between two processes


def _measure_whole(result: Result, source: VmMemory, target: VmMemory) -> None:
    way = Way(result.name, partial(_send, result.travel), _receive)
    runs = all_pages(source.pages)
    target.array.fill(WIPED)
    seconds, cpu_s = measure(way, (source, target), runs)
    verify((source, target), runs)
    result.seconds.append(seconds)
    result.cpu_s_per_gib.append(cpu_s * GIB / source.memory_bytes)


def _sender(travel: Travel, socks: Socks, memory: VmMemory) -> PageSender:
    encoders = encoders_for(travel, memory.pages)
    return PageSender(socks, memory, ATTEMPT, checked=travel.checked, encoders=encoders)


def _receiver(socks: Socks, memory: VmMemory, arrivals: "queue.Queue[object]") -> PageReceiver:
    fresh = np.ones(memory.pages, np.bool_)
    return PageReceiver(
        socks[0],
        memory,
        ATTEMPT,
        on_arrival=arrivals.put,
        fresh=fresh,
        decoder=decoder_for(),
    )


def _send(travel: Travel, socks: Socks, memory: VmMemory, runs: Runs) -> None:
    _sender(travel, socks, memory).send_round(
        0,
        runs,
        zero_check=True,
        stop=threading.Event(),
        rate_bytes_per_s=travel.rate_bytes_per_s,
    )


def _receive(socks: Socks, memory: VmMemory) -> None:
    arrivals: queue.Queue[object] = queue.Queue()
    with closing(_receiver(socks, memory, arrivals)) as receiver:
        receiver.start()
        _await_round(arrivals)


def _await_round(arrivals: "queue.Queue[object]") -> None:
    arrival = arrivals.get(timeout=DEADLINE_S)
    assert isinstance(arrival, RoundReceived), arrival


# Hot pages again and again, between two threads


def _measure_later_rounds(result: Result, source: VmMemory, target: VmMemory) -> None:
    """The first quarter of the pages is hot."""
    generator = np.random.default_rng(1)
    hot = all_pages(source.pages // 4)
    seconds, wire_bytes, cpu_s = 0.0, 0, 0.0
    here, there = _connected()
    arrivals: queue.Queue[object] = queue.Queue()
    with (
        closing(_sender(result.travel, [here], source)) as sender,
        closing(_receiver([there], target, arrivals)) as receiver,
    ):
        receiver.start()
        sender.send_round(0, hot, zero_check=True, stop=threading.Event())
        _await_round(arrivals)
        for number in range(1, LATER_ROUNDS + 1):
            _change(source, hot.pages, generator)
            sent = sender.send_round(
                number,
                hot,
                zero_check=True,
                stop=threading.Event(),
                rate_bytes_per_s=result.travel.rate_bytes_per_s,
            )
            _await_round(arrivals)
            seconds, wire_bytes = seconds + sent.seconds, wire_bytes + sent.wire_bytes
            cpu_s += sent.cpu_s
        assert np.array_equal(source.array[: hot.pages], target.array[: hot.pages])
    page_bytes = hot.pages * PAGE_BYTES * LATER_ROUNDS
    result.seconds.append(seconds)
    result.cpu_s_per_gib.append(cpu_s * GIB / page_bytes)
    result.shares.append(wire_bytes / page_bytes)


def _connected() -> tuple[socket.socket, socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        here = socket.create_connection(server.getsockname())
        return here, server.accept()[0]


def _change(memory: VmMemory, pages: int, generator: np.random.Generator) -> None:
    """So many bytes of each page, wherever they lie."""
    content = memory.array[:pages].view(np.uint8)
    for _ in range(CHANGED_BYTES):
        content[np.arange(pages), generator.integers(0, PAGE_BYTES, pages)] += np.uint8(1)


def as_data(found: dict[str, list[Result]]) -> dict[str, object]:
    return {
        "wire_bytes_per_s": WIRE_BYTES_PER_S,
        **{kind: [_row(result) for result in results] for kind, results in found.items()},
    }


def _row(result: Result) -> dict[str, object]:
    return {
        "name": result.name,
        "seconds": spread(result.seconds),
        "times_faster": spread(result.faster),
        "cpu_s_per_gib": spread(result.cpu_s_per_gib),
        "share_of_bytes": spread(result.shares) if result.shares else None,
    }


def as_table(title: str, found: dict[str, list[Result]]) -> rich.table.Table:
    table = rich.table.Table(
        title=title,
        caption=(
            "median (min - max); delta: later rounds of hot pages with 64 changed bytes each; "
            "memory compared each time"
        ),
    )
    table.add_column("memory")
    table.add_column("way")
    for heading in ("seconds", "times faster", "CPU s/GiB", "share of the bytes"):
        table.add_column(heading, justify="right")
    for kind, results in found.items():
        for result in results:
            columns = (result.seconds, result.faster, result.cpu_s_per_gib)
            share = in_words(result.shares) if result.shares else ""
            table.add_row(kind, result.name, *map(in_words, columns), share)
    return table
