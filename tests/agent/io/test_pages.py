"""Page streams over real sockets: what arrives is what was there, and nothing else is touched."""

import mmap
import os
import queue
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from agent.batches import HEADER_BYTES, MAGIC, Kind, checksum_of, encode
from agent.encoding import Encoder
from agent.io.codecs import decoder_for, encoders_for
from agent.io.lane import RoundStopped
from agent.io.page_receiver import Arrival, PageReceiver, RoundReceived, StreamFailed
from agent.io.page_sender import PageSender, RoundSent
from agent.io.pages import zeros_among
from agent.io.stream import IOVEC, Stream, StreamClosed, rest_of
from agent.runs import Runs, all_pages, minus, no_runs, runs_from_map, runs_from_numbers
from protocol.errors import BadBatch, PeerUnreachable
from protocol.names import PAGE_BYTES, AttemptId
from protocol.travel import Compress, Travel

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


# What the other side may do to us


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
