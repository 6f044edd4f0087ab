"""Pages packed, sent, and unpacked over real sockets, while somebody writes them."""

import queue
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.batches import Kind
from agent.encoding import Content
from agent.io.codecs import StreamEncoder, decoder_for, encoders_for
from agent.io.memory import VmMemory
from agent.io.page_receiver import Arrival, PageReceiver, RoundReceived
from agent.io.page_sender import PageSender, RoundSent
from agent.runs import Runs, all_pages, runs_from_numbers
from protocol.errors import BadBatch
from protocol.names import PAGE_BYTES, AttemptId
from protocol.travel import Compress, Travel
from tests.agent.contents import empty, half_random, random_pages, text_pages

ATTEMPT = AttemptId(7)
PATIENCE_S = 20.0
VM_PAGES = 1000
HOT = np.arange(100, 500, 2)
MIB = 1024 * 1024


@dataclass
class Way:
    source: VmMemory
    target: VmMemory
    sender: PageSender
    arrivals: "queue.Queue[Arrival]"
    streams: int
    rate_bytes_per_s: int

    def send(self, round_no: int, runs: Runs) -> RoundSent:
        sent = self.sender.send_round(
            round_no,
            runs,
            zero_check=True,
            stop=threading.Event(),
            rate_bytes_per_s=self.rate_bytes_per_s,
        )
        for _ in range(self.streams):
            arrival = self.arrivals.get(timeout=PATIENCE_S)
            assert isinstance(arrival, RoundReceived), arrival
        return sent


@contextmanager
def way(travel: Travel, vm_pages: int = VM_PAGES) -> Iterator[Way]:
    arrivals: queue.Queue[Arrival] = queue.Queue()
    fresh = np.ones(vm_pages, np.bool_)
    with ExitStack() as opened:
        source, target = (
            opened.enter_context(closing(VmMemory.create(name, vm_pages * PAGE_BYTES)))
            for name in ("here", "there")
        )
        here = []
        for number in range(1, travel.streams + 1):
            with socket.create_server(("127.0.0.1", 0)) as server:
                here.append(socket.create_connection(server.getsockname()))
                receiver = PageReceiver(
                    server.accept()[0],
                    target,
                    ATTEMPT,
                    on_arrival=arrivals.put,
                    fresh=fresh,
                    stream_no=number,
                    decoder=decoder_for(),
                )
            opened.enter_context(closing(receiver))
            receiver.start()
        sender = PageSender(
            here,
            source,
            ATTEMPT,
            checked=travel.checked,
            encoders=encoders_for(travel, vm_pages),
        )
        opened.enter_context(closing(sender))
        yield Way(source, target, sender, arrivals, travel.streams, travel.rate_bytes_per_s)


def fill(memory: VmMemory) -> None:
    """Text, random pages, pages that are half of both, and zero pages."""
    memory.array[:300] = text_pages(300)
    memory.array[300:600] = random_pages(300)
    memory.array[600:800] = half_random(200)


@contextmanager
def writing(memory: VmMemory) -> Iterator[None]:
    """Somebody who changes a few words of the hot pages, and clears or rewrites some of them."""
    done = threading.Event()

    def write() -> None:
        generator = np.random.default_rng(3)
        while not done.is_set():
            pages = generator.choice(HOT, 50)
            memory.array[pages, generator.integers(0, 512)] += np.uint64(1)
            memory.array[pages[0]] = 0
            memory.array[pages[1]] = generator.integers(0, 2**63, 512, dtype=np.uint64)
            done.wait(0.0005)

    thread = threading.Thread(target=write)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


@pytest.mark.parametrize(("streams", "checked"), [(1, True), (2, False)])
@pytest.mark.parametrize("delta_bytes", [0, MIB, 64 * MIB])
@pytest.mark.parametrize("compress", Compress)
def test_memories_are_the_same_in_the_end(
    compress: Compress, delta_bytes: int, streams: int, checked: bool
) -> None:
    travel = Travel(streams, compress, delta_bytes=delta_bytes, checked=checked)
    with way(travel) as path:
        fill(path.source)
        with writing(path.source):
            rounds = [path.send(0, all_pages(VM_PAGES))]
            rounds += [path.send(number, runs_from_numbers(HOT)) for number in range(1, 5)]
        rounds.append(path.send(5, runs_from_numbers(HOT)))
        assert np.array_equal(path.source.array, path.target.array)
    if compress is Compress.ZSTD:
        assert rounds[0].packed_pages >= 250
    if compress is Compress.OFF:
        assert sum(sent.packed_pages for sent in rounds) == 0
    assert rounds[0].delta_pages == 0
    if delta_bytes == 64 * MIB:
        assert min(sent.delta_pages for sent in rounds[1:]) > 0
    if delta_bytes == 0:
        assert sum(sent.delta_pages for sent in rounds) == 0


def test_a_choice_that_changes_nothing_costs_nothing() -> None:
    assert encoders_for(Travel(streams=4), VM_PAGES) == []


def test_pages_with_64_changed_bytes_take_a_few_percent_of_themselves() -> None:
    generator = np.random.default_rng(1)
    with way(Travel(delta_bytes=64 * MIB)) as path:
        fill(path.source)
        path.source.array[HOT] = random_pages(len(HOT), 9)
        path.send(0, all_pages(VM_PAGES))
        for number in range(1, 4):
            for page in HOT:
                places = generator.choice(PAGE_BYTES, 64, replace=False)
                path.source.array[page].view(np.uint8)[places] += np.uint8(1)
            sent = path.send(number, runs_from_numbers(HOT))
            assert sent.delta_pages == len(HOT)
            assert sent.wire_bytes <= 0.15 * len(HOT) * PAGE_BYTES
        assert np.array_equal(path.source.array, path.target.array)


def test_a_page_that_was_zero_between_is_sent_whole() -> None:
    some = runs_from_numbers(np.array([7]))
    with way(Travel(delta_bytes=64 * MIB), 16) as path:
        path.source.array[:] = random_pages(16)
        path.send(0, all_pages(16))
        kept = path.source.array[7].copy()
        path.source.array[7] = 0
        assert path.send(1, some).zero_pages == 1
        path.source.array[7] = kept
        assert path.send(2, some).delta_pages == 0
        path.source.array[7, 3] = 5
        assert path.send(3, some).delta_pages == 1
        assert np.array_equal(path.source.array, path.target.array)


def test_text_is_packed_on_a_slow_wire_without_being_told() -> None:
    with way(Travel(compress=Compress.AUTO, rate_bytes_per_s=20_000_000)) as path:
        path.source.array[:] = text_pages(VM_PAGES)
        sent = path.send(0, all_pages(VM_PAGES))
        assert sent.packed_pages >= 0.5 * VM_PAGES
        assert np.array_equal(path.source.array, path.target.array)


def test_random_pages_are_not_packed_and_soon_hardly_tried() -> None:
    with way(Travel(compress=Compress.AUTO, rate_bytes_per_s=200_000_000)) as path:
        path.source.array[:] = random_pages(VM_PAGES)
        sent = path.send(0, all_pages(VM_PAGES))
        assert sent.packed_pages == 0
        assert sent.wire_bytes <= 1.01 * VM_PAGES * PAGE_BYTES
        assert np.array_equal(path.source.array, path.target.array)


def test_what_is_remembered_keeps_within_the_budget_of_all_streams() -> None:
    budget = 8 * MIB
    encoders = encoders_for(Travel(streams=4, delta_bytes=budget), VM_PAGES)
    memories = [one.memory_bytes for one in encoders if isinstance(one, StreamEncoder)]
    assert len(memories) == 4
    assert 0.9 * budget <= sum(memories) <= budget


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sets(st.integers(0, 39), min_size=1),
            st.sampled_from(["few", "many", "all", "zero", "unwanted"]),
        ),
        max_size=8,
    ),
    st.sampled_from(Compress),
    st.sampled_from([0, 100_000, MIB]),
)
def test_whatever_is_written_between_rounds_the_target_can_follow(
    rounds: list[tuple[set[int], str]], compress: Compress, delta_bytes: int
) -> None:
    """The encoder beside a target that has just what it was sent, without sockets."""
    encoder = StreamEncoder(Travel(compress=compress, delta_bytes=delta_bytes), 40)
    decoder = decoder_for()
    here, there = half_random(40), empty(40)
    generator = np.random.default_rng(1)
    for round_no, (some, how) in enumerate([(set(range(40)), "all"), *rounds]):
        numbers = np.array(sorted(some), np.int64)
        _write(here, numbers, how, generator)
        encoder.begin(round_no)
        if how == "zero":
            encoder.zeroed(numbers)
            there[numbers] = 0
        elif how == "unwanted":
            encoder.passed(numbers)
            there[numbers] = here[numbers]
        else:
            seen = []
            for part in encoder.encode(numbers, here[numbers]):
                which = numbers[part.which]
                seen += which.tolist()
                if part.kind is Kind.PAGES:
                    there[which] = here[which]
                    continue
                assert len(part.payload) < len(which) * PAGE_BYTES
                out = there[which]
                decoder.decode(part.kind, which, memoryview(part.payload), out)
                there[which] = out
            assert sorted(seen) == numbers.tolist()
            encoder.sent(len(numbers) * 1000, 0.001)
        assert np.array_equal(here, there)


def _write(memory: Content, numbers: np.ndarray, how: str, generator: np.random.Generator) -> None:
    match how:
        case "few" | "unwanted":
            memory[numbers, generator.integers(0, 512)] += np.uint64(1)
        case "many":
            memory[numbers, :200] ^= np.uint64(0xFF00)
        case "all":
            memory[numbers] = half_random(len(numbers), int(generator.integers(0, 1000)))
        case "zero":
            memory[numbers] = 0


@pytest.mark.parametrize("kind", [Kind.PAGES, Kind.ZERO, Kind.END, Kind.KEPT])
def test_what_nobody_packed_is_not_unpacked(kind: Kind) -> None:
    with pytest.raises(BadBatch, match=kind.name):
        decoder_for().decode(kind, np.array([1]), memoryview(b""), empty(1))
