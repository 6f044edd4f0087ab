"""Page streams over real sockets: what arrives is what was there, and nothing else is touched."""

import queue
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.batches import HEADER_BYTES
from agent.io.codecs import encoders_for
from agent.io.lane import RoundStopped
from agent.io.pages import zeros_among
from agent.io.stream import StreamClosed
from agent.runs import Runs, all_pages, minus, no_runs, runs_from_numbers
from protocol.names import PAGE_BYTES
from protocol.travel import Compress, Travel
from tests.agent.io.page_ground import (
    SocketPair,
    path,
    scattered,
    scribble,
    tcp_pair,
)


@pytest.mark.parametrize("pair", [tcp_pair, socket.socketpair])
@pytest.mark.parametrize("streams", [1, 2])
@pytest.mark.parametrize("zero_check", [False, True])
@pytest.mark.parametrize("checked", [False, True])
def test_rounds_of_contiguous_and_scattered_pages_make_the_memories_identical(
    pair: Callable[[], SocketPair], streams: int, zero_check: bool, checked: bool
) -> None:
    rng = np.random.default_rng(1)
    with path(5000, streams, pair, checked=checked) as way:
        scribble(rng, way.source, scattered(rng, 5000, 0.8))

        way.send(0, all_pages(5000), zero_check=zero_check)
        for round_no, share in enumerate([0.5, 0.1, 0.95], 1):
            dirty = scattered(rng, 5000, share)
            scribble(rng, way.source, dirty)
            way.source.array[dirty.numbers()[::3]] = 0
            way.send(round_no, dirty, zero_check=zero_check)

        for _ in range(4):
            assert len(way.landed()) == streams
        assert np.array_equal(way.source.array, way.target.array)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.sets(st.integers(0, 63)), min_size=1, max_size=4), st.integers(1, 2))
def test_exactly_the_named_pages_arrive(rounds: list[set[int]], streams: int) -> None:
    with path(64, streams, socket.socketpair) as way:
        way.source.array[:] = np.arange(1, 65, dtype=np.uint64)[:, None]
        for round_no, numbers in enumerate(rounds):
            way.send(round_no, runs_from_numbers(np.array(sorted(numbers), dtype=np.int64)))
            way.landed()

        arrived = set().union(*rounds)
        expected = [page + 1 if page in arrived else 0 for page in range(64)]
        assert way.target.array[:, 0].tolist() == way.target.array[:, 511].tolist() == expected


def test_both_sides_count_the_same_pages_and_bytes() -> None:
    rng = np.random.default_rng(2)
    with path(3000, 2) as way:
        scribble(rng, way.source, Runs(np.array([0]), np.array([2000])))

        sent = way.send(0, all_pages(3000), zero_check=True)
        landed = way.landed()

        assert (sent.pages, sent.zero_pages) == (3000, 1000)
        assert sent.cpu_s > 0
        assert sum(arrival.pages for arrival in landed) == 3000
        assert sum(arrival.zero_pages for arrival in landed) == 1000
        assert sum(arrival.wire_bytes for arrival in landed) == sent.wire_bytes
        assert 0 < sent.wire_bytes - 2000 * PAGE_BYTES < 1000
        assert {arrival.stream for arrival in landed} == {1, 2}


def test_a_round_without_pages_still_ends() -> None:
    with path(8, 2) as way:
        sent = way.send(0, no_runs())

        assert (sent.pages, sent.wire_bytes) == (0, 2 * HEADER_BYTES)
        assert [arrival.pages for arrival in way.landed()] == [0, 0]


def test_a_page_that_became_zero_again_is_cleared_and_a_fresh_one_is_not_touched() -> None:
    with path(8) as way:
        way.source.array[3] = 1
        way.send(0, all_pages(8), zero_check=True)
        way.landed()
        way.target.array[5] = 9  # a mark that only a write by the receiver would wipe
        way.source.array[3] = 0
        way.send(1, all_pages(8), zero_check=True)
        way.landed()

        assert not way.target.array[3].any()
        assert (way.target.array[5] == 9).all()


def test_a_page_with_a_single_bit_is_not_zero() -> None:
    array = np.zeros((6, 512), dtype=np.uint64)
    array[1, 1], array[3, 255], array[5, 510] = 1, 2**63, 1

    zero = zeros_among(np.arange(6), array)

    assert zero is not None
    assert zero.tolist() == [True, False, True, False, True, False]


def test_a_batch_whose_pages_nobody_wants_now_costs_nothing() -> None:
    with path(600) as way:
        way.source.array[:] = 5
        sent = way.sender.send_round(
            0,
            all_pages(600),
            zero_check=True,
            stop=threading.Event(),
            ready=lambda batch: minus(batch, Runs(np.array([100]), np.array([480]))),
        )

        assert (sent.pages, sent.left_pages) == (120, 480)
        assert [arrival.pages for arrival in way.landed()] == [120]
        assert way.target.array[:, 0].tolist() == [5] * 100 + [0] * 480 + [5] * 20


@pytest.mark.parametrize("streams", [1, 2])
@pytest.mark.parametrize(
    "travel",
    [
        Travel(compress=Compress.ZSTD),
        Travel(compress=Compress.AUTO),
        Travel(delta_bytes=1 << 20),
        Travel(compress=Compress.ZSTD, delta_bytes=64 << 20, checked=False),
    ],
)
def test_what_is_packed_on_the_way_arrives_as_it_was(travel: Travel, streams: int) -> None:
    rng = np.random.default_rng(9)
    encoders = encoders_for(replace(travel, streams=streams), 3000)
    with path(3000, streams, checked=travel.checked, encoders=encoders) as way:
        scribble(rng, way.source, scattered(rng, 3000, 0.4))
        way.source.array[1000:2000] = np.arange(512, dtype=np.uint64) // 7
        sent = [way.send(0, all_pages(3000), zero_check=True)]
        for round_no in range(1, 5):
            dirty = scattered(rng, 3000, 0.3)
            way.source.array[dirty.numbers(), 7] += np.uint64(round_no)
            way.source.array[dirty.numbers()[::5]] = 0
            sent.append(way.send(round_no, dirty, zero_check=True))

        for _ in range(5):
            assert len(way.landed()) == streams
        assert np.array_equal(way.source.array, way.target.array)
    if travel.compress is Compress.ZSTD:
        assert sum(one.packed_pages for one in sent) >= 1000
    if travel.delta_bytes:
        assert sum(one.delta_pages for one in sent) > 0


def test_a_round_takes_as_long_as_its_rate_asks_for_and_all_streams_share_it() -> None:
    rate = 40_000_000
    with path(1200, 2) as way:
        scribble(np.random.default_rng(1), way.source, all_pages(1200))
        sent = way.send(0, all_pages(1200), rate_bytes_per_s=rate)

        assert sent.seconds >= sent.wire_bytes / rate - 0.011
        assert sum(arrival.pages for arrival in way.landed()) == 1200


@pytest.mark.parametrize("end", ["stop", "close"])
def test_a_round_that_waits_for_its_turn_can_be_ended(end: str) -> None:
    errors: queue.Queue[BaseException] = queue.Queue()
    stop = threading.Event()
    with path(4096) as way:
        scribble(np.random.default_rng(1), way.source, all_pages(4096))

        def send() -> None:
            try:
                way.sender.send_round(
                    0, all_pages(4096), zero_check=False, stop=stop, rate_bytes_per_s=1 << 20
                )
            except (RoundStopped, StreamClosed) as error:
                errors.put(error)

        thread = threading.Thread(target=send)
        thread.start()
        while not way.sender.moved_pages:
            time.sleep(0)
        if end == "stop":
            stop.set()
        else:
            way.sender.close()
        thread.join()
        error = errors.get_nowait()
        assert isinstance(error, RoundStopped if end == "stop" else StreamClosed)
        assert way.sender.moved_pages < 200
