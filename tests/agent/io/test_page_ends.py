"""Streams of pages that end before their time: who notices, who is woken, and what goes on."""

import queue
import socket
import threading
from contextlib import closing

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.batches import Kind, encode
from agent.io.lane import RoundStopped
from agent.io.page_sender import PageSender
from agent.io.stream import IOVEC, Stream, StreamClosed, rest_of
from agent.runs import Runs, all_pages, runs_from_numbers
from protocol.errors import PeerUnreachable
from protocol.names import PAGE_BYTES
from tests.agent.io.page_ground import (
    ATTEMPT,
    PATIENCE_S,
    Memory,
    batch,
    failure,
    hostile,
    path,
    scattered,
    tcp_pair,
)


@pytest.mark.parametrize("runs", [all_pages(16), runs_from_numbers(np.array([1, 4, 9]))])
def test_a_source_that_dies_inside_a_batch_is_noticed(runs: Runs) -> None:
    with hostile() as (peer, arrivals, target, _):
        peer.sendall(encode(Kind.PAGES, ATTEMPT, 0, runs) + b"\xff" * (PAGE_BYTES + 100))
        peer.close()

        assert isinstance(failure(arrivals), PeerUnreachable)
        outside = np.setdiff1d(np.arange(16), runs.numbers())
        assert not target.array[outside].any()


def test_a_silent_source_ends_in_an_error_within_the_progress_timeout() -> None:
    with hostile(patience_s=0.05) as (peer, arrivals, _, _):
        peer.sendall(batch(Kind.PAGES, 7, 0, 0, 4) + b"\xff" * PAGE_BYTES)

        error = failure(arrivals)
        assert isinstance(error, PeerUnreachable)
        assert "0.05 s" in str(error)


@pytest.mark.parametrize("share", [1.0, 0.3])
def test_a_silent_target_ends_in_an_error_within_the_progress_timeout(share: float) -> None:
    runs = scattered(np.random.default_rng(3), 8192, share)
    here, there = tcp_pair()
    with closing(Memory(8192)) as source, there:
        sender = PageSender([here], source, ATTEMPT, progress_timeout_s=0.05)
        with closing(sender), pytest.raises(PeerUnreachable, match=r"0\.05 s"):
            sender.send_round(0, runs, zero_check=False, stop=threading.Event())


@pytest.mark.parametrize("share", [1.0, 0.3])
def test_a_target_that_dies_in_mid_round_ends_all_streams(share: float) -> None:
    runs = scattered(np.random.default_rng(4), 16384, share)
    pairs = [tcp_pair(), tcp_pair()]
    with closing(Memory(16384)) as source, pairs[0][1], pairs[1][1] as dying:
        sender = PageSender([here for here, _ in pairs], source, ATTEMPT)

        def die() -> None:
            dying.recv(1 << 16)
            dying.close()

        killer = threading.Thread(target=die)
        killer.start()
        with closing(sender), pytest.raises(PeerUnreachable):
            sender.send_round(0, runs, zero_check=False, stop=threading.Event())
        killer.join()
        while pairs[0][1].recv(1 << 20):
            pass  # the healthy stream was ended too, so this ends


# What this side may do


@pytest.mark.parametrize("share", [1.0, 0.3])
def test_closing_the_sender_wakes_a_round_that_is_stuck(share: float) -> None:
    runs = scattered(np.random.default_rng(5), 8192, share)
    here, there = tcp_pair()
    errors: queue.Queue[BaseException] = queue.Queue()
    with closing(Memory(8192)) as source, there:
        sender = PageSender([here], source, ATTEMPT, progress_timeout_s=PATIENCE_S)

        def send() -> None:
            try:
                sender.send_round(0, runs, zero_check=False, stop=threading.Event())
            except StreamClosed as error:
                errors.put(error)

        thread = threading.Thread(target=send)
        thread.start()
        there.recv(1)  # it is on its way
        sender.close()
        thread.join()
        assert isinstance(errors.get_nowait(), StreamClosed)
        assert here.fileno() == -1


def test_closing_the_receiver_ends_its_thread_silently() -> None:
    with hostile() as (peer, arrivals, _, receiver):
        peer.sendall(batch(Kind.PAGES, 7, 0, 0, 4) + b"\xff" * PAGE_BYTES)
        receiver.close()

        assert arrivals.empty()
        assert not receiver.is_running


def test_a_stopped_round_ends_before_its_next_batch() -> None:
    stop = threading.Event()
    stop.set()
    with path(64) as way:
        with pytest.raises(RoundStopped):
            way.sender.send_round(0, all_pages(64), zero_check=False, stop=stop)

        assert isinstance(failure(way.arrivals), PeerUnreachable)
        assert not way.target.array.any()


@given(
    st.lists(st.integers(1, 9), min_size=1, max_size=8).flatmap(
        lambda sizes: st.tuples(st.just(sizes), st.integers(0, sum(sizes)))
    )
)
def test_a_transfer_that_was_cut_short_goes_on_where_it_was(case: tuple[list[int], int]) -> None:
    sizes, moved = case
    vectors = np.array([(100 * n, size) for n, size in enumerate(sizes)], dtype=IOVEC)
    whole = [100 * n + byte for n, size in enumerate(sizes) for byte in range(size)]

    rest = rest_of(vectors, moved)

    left = [int(base) + byte for base, size in rest.tolist() for byte in range(size)]
    assert left == whole[moved:]


def test_more_pieces_than_one_system_call_takes_are_all_sent() -> None:
    here, there = socket.socketpair()
    content = np.random.default_rng(6).bytes(3000)
    data = np.frombuffer(content, dtype=np.uint8)
    vectors = np.empty(3000, dtype=IOVEC)
    vectors["base"], vectors["bytes"] = data.ctypes.data + np.arange(3000), 1

    Stream(here, PATIENCE_S).send_vectors(vectors)

    with here, there:
        assert there.recv(3000, socket.MSG_WAITALL) == content
