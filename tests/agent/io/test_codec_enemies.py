"""Packed batches from somebody who means harm: the stream ends, and the memory is as it was."""

import contextlib
import queue
import socket
import tracemalloc
from collections.abc import Callable
from contextlib import closing

import numpy as np
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.batches import Kind, checksum_of, encode
from agent.delta import difference
from agent.encoding import Content
from agent.io.codecs import decoder_for
from agent.io.memory import VmMemory
from agent.io.page_receiver import Arrival, PageReceiver, StreamFailed
from agent.packing import Packer
from agent.runs import Runs, runs_from_numbers
from protocol.errors import BadBatch
from protocol.names import PAGE_BYTES, AttemptId
from tests.agent.contents import half_random, random_pages

ATTEMPT = AttemptId(7)
PATIENCE_S = 20.0
VM_PAGES = 64
SOME = runs_from_numbers(np.array([2, 3, 9]))
HERE = half_random(3, 5)
THERE = random_pages(VM_PAGES)


def batch(kind: Kind, payload: bytes, runs: Runs = SOME, checksum: int = 0) -> bytes:
    size = {"payload_bytes": len(payload), "checksum": checksum}
    return encode(kind, ATTEMPT, 0, runs, **size) + payload


def packed(content: Content) -> bytes:
    payload = Packer().pack(content, 1)
    assert payload is not None
    return payload


def hit(data: bytes) -> tuple[Arrival, Content]:
    """What becomes of a target on whose stream this comes, and of its memory."""
    arrivals: queue.Queue[Arrival] = queue.Queue()
    with closing(VmMemory.create("target", VM_PAGES * PAGE_BYTES)) as memory:
        memory.array[:] = THERE
        with socket.create_server(("127.0.0.1", 0)) as server:
            here = socket.create_connection(server.getsockname())
            receiver = PageReceiver(
                server.accept()[0],
                memory,
                ATTEMPT,
                on_arrival=arrivals.put,
                fresh=np.zeros(VM_PAGES, np.bool_),
                decoder=decoder_for(),
            )
        with here, closing(receiver):
            receiver.start()
            with contextlib.suppress(OSError):  # it hangs up as soon as it has seen the lie
                here.sendall(data)
                here.shutdown(socket.SHUT_WR)
            arrival = arrivals.get(timeout=PATIENCE_S)
        assert not receiver.is_running
        return arrival, memory.array.copy()


BOMB = zstandard.ZstdCompressor(level=3).compress(bytes(1 << 28))
OLD = THERE[SOME.numbers()]

LIES: dict[str, Callable[[], bytes]] = {
    "a wrong checksum of packed pages": lambda: batch(Kind.ZSTD, packed(HERE), checksum=1),
    "a wrong checksum of changes": lambda: batch(
        Kind.DELTA, difference(OLD, OLD + np.uint64(1)).payload, checksum=1
    ),
    "more pages than it names": lambda: batch(Kind.ZSTD, packed(half_random(4))),
    "fewer pages than it names": lambda: batch(Kind.ZSTD, packed(half_random(2))),
    "a bomb": lambda: batch(Kind.ZSTD, BOMB[: 3 * PAGE_BYTES]),
    "no frame": lambda: batch(Kind.ZSTD, b"no frame"),
    "changes of more pages": lambda: batch(Kind.DELTA, bytes(8)),
    "changes of nothing": lambda: batch(Kind.DELTA, bytes(5)),
    "pages that were never kept": lambda: batch(Kind.KEPT, b"", checksum=checksum_of(OLD)),
}


@pytest.mark.parametrize("name", LIES)
def test_a_lie_ends_the_stream_and_writes_nothing(name: str) -> None:
    arrival, memory = hit(LIES[name]())
    assert isinstance(arrival, StreamFailed), arrival
    assert isinstance(arrival.error, BadBatch), arrival
    assert np.array_equal(memory, THERE)


def test_the_truth_is_written() -> None:
    """Else the lies above would prove nothing."""
    _, memory = hit(batch(Kind.ZSTD, packed(HERE), checksum=checksum_of(HERE)))
    assert np.array_equal(memory[SOME.numbers()], HERE)


def test_a_bomb_takes_no_memory() -> None:
    tracemalloc.start()
    try:
        hit(batch(Kind.ZSTD, BOMB[: 3 * PAGE_BYTES]))
        assert tracemalloc.get_traced_memory()[1] < 4 * 1024 * 1024
    finally:
        tracemalloc.stop()


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from([Kind.ZSTD, Kind.DELTA]),
    st.binary(min_size=1, max_size=3 * PAGE_BYTES),
    st.booleans(),
)
def test_whatever_the_payload_is_only_the_named_pages_can_change(
    kind: Kind, payload: bytes, checked: bool
) -> None:
    _, memory = hit(batch(kind, payload, checksum=1 if checked else 0))
    others = np.ones(VM_PAGES, np.bool_)
    others[SOME.numbers()] = False
    assert np.array_equal(memory[others], THERE[others])
    if checked:
        assert np.array_equal(memory, THERE)
