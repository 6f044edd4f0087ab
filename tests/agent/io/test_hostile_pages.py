"""A receiver of pages whose other end lies: an error of ours, and a memory that is untouched."""

import struct

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.batches import MAGIC, Kind, checksum_of, encode
from agent.io.page_receiver import RoundReceived
from agent.runs import no_runs, runs_from_numbers
from protocol.errors import BadBatch, PeerUnreachable
from protocol.names import PAGE_BYTES
from tests.agent.io.page_ground import (
    ATTEMPT,
    PATIENCE_S,
    batch,
    failure,
    hostile,
)


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (batch(Kind.PAGES, 8, 0, 0, 1), "attempt 8"),
        (batch(Kind.PAGES, 7, 1, 0, 1), "round 1"),
        (batch(Kind.PAGES, 7, 0, 16, 1), "the VM has 16"),
        (batch(Kind.ZERO, 7, 0, 15, 2), "the VM has 16"),
        (batch(Kind.ZERO, 7, 0, 0, 9) + batch(Kind.ZERO, 7, 0, 7, 9), "more pages than the VM"),
        (struct.pack("<4sHHQIIIQ", MAGIC, 2, 1, 7, 0, 2**31, 4096, 0), "runs"),
        (b"GET / HTTP/1.1\r\nHost: node2\r\nAccept: a\r\n\r\n", "begins with"),
        (batch(Kind.ZSTD, 7, 0, 0, 1, payload_bytes=100), "cannot be unpacked"),
        (batch(Kind.DELTA, 7, 0, 0, 1, payload_bytes=100), ""),
        (batch(Kind.KEPT, 7, 0, 0, 1, checksum=5), "KEPT"),
    ],
)
def test_a_hostile_batch_ends_the_stream_and_writes_nothing(data: bytes, sentence: str) -> None:
    with hostile() as (peer, arrivals, target, _):
        peer.sendall(data + b"\xff" * PAGE_BYTES)

        error = failure(arrivals)
        assert isinstance(error, BadBatch)
        assert sentence in str(error)
        assert not target.array.any()


@pytest.mark.parametrize("numbers", [[3], list(range(16)), [1, 4, 9, 10]])
def test_pages_that_are_not_what_the_source_sent_end_the_stream(numbers: list[int]) -> None:
    runs = runs_from_numbers(np.array(numbers))
    content = np.random.default_rng(1).integers(0, 9, (len(numbers), 512), np.uint64)
    head = encode(Kind.PAGES, ATTEMPT, 0, runs, checksum=checksum_of(content))
    with hostile() as (peer, arrivals, _, _):
        peer.sendall(head + content.tobytes() + encode(Kind.END, ATTEMPT, 0, no_runs()))
        assert isinstance(arrivals.get(timeout=PATIENCE_S), RoundReceived)

        content[-1, 511] ^= np.uint64(1 << 63)
        peer.sendall(head.replace(struct.pack("<QI", 7, 0), struct.pack("<QI", 7, 1)))
        peer.sendall(content.tobytes())
        error = failure(arrivals)
        assert isinstance(error, BadBatch)
        assert "checksum" in str(error)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.binary(max_size=64), st.booleans())
def test_garbage_at_any_point_of_a_stream_ends_in_a_typed_error(
    garbage: bytes, mid_stream: bool
) -> None:
    with hostile() as (peer, arrivals, target, _):
        if mid_stream:
            peer.sendall(batch(Kind.PAGES, 7, 0, 2, 1) + b"\x01" * PAGE_BYTES)
        peer.sendall(garbage)
        peer.close()

        assert isinstance(failure(arrivals), BadBatch | PeerUnreachable)
        assert not target.array[np.arange(16) != 2].any()
