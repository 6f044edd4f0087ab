"""Headers of batches: what was meant arrives, and what was not meant is refused by name."""

import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent import batches
from agent.batches import Header, Kind, decode_header, decode_runs, encode
from agent.runs import Runs, no_runs, runs_from_map
from protocol.errors import BadBatch
from protocol.names import PAGE_BYTES, AttemptId

VM_PAGES = 64
PAYLOADS = {Kind.PAGES: PAGE_BYTES, Kind.ZSTD: 100, Kind.DELTA: 10}
ATTEMPT = AttemptId(7)
HEADER = struct.Struct("<4sHHQIIIQ")


def runs(*pairs: tuple[int, int]) -> Runs:
    starts, counts = zip(*pairs, strict=True)
    return Runs(np.array(starts, dtype=np.int64), np.array(counts, dtype=np.int64))


def decoded(data: bytes, vm_pages: int = VM_PAGES) -> tuple[Header, Runs]:
    header = decode_header(data[: batches.HEADER_BYTES])
    return header, decode_runs(header, data[batches.HEADER_BYTES :], vm_pages)


@given(
    st.sets(st.integers(0, VM_PAGES - 1), min_size=1),
    st.sampled_from([kind for kind in Kind if kind is not Kind.END]),
    st.integers(0, 2**64 - 1),
    st.integers(0, 2**32 - 1),
    st.integers(1, 2**64 - 1),
)
def test_a_batch_survives_the_wire(
    pages: set[int], kind: Kind, attempt: int, round_no: int, checksum: int
) -> None:
    sent = runs_from_map(np.array([page in pages for page in range(VM_PAGES)], dtype=np.bool_))
    payload_bytes = PAYLOADS.get(kind, 0) and len(pages) * PAYLOADS[kind]
    checksum = 0 if kind is Kind.ZERO else checksum

    data = encode(
        kind, AttemptId(attempt), round_no, sent, payload_bytes=payload_bytes, checksum=checksum
    )
    header, got = decoded(data)

    assert header == Header(kind, AttemptId(attempt), round_no, len(sent), payload_bytes, checksum)
    assert got.starts.tolist() == sent.starts.tolist()
    assert got.counts.tolist() == sent.counts.tolist()


def test_the_end_of_a_round_is_a_header_and_nothing_more() -> None:
    data = encode(Kind.END, ATTEMPT, 3, no_runs())

    header, got = decoded(data)

    assert len(data) == batches.HEADER_BYTES
    assert header == Header(Kind.END, ATTEMPT, 3, 0, 0)
    assert got.pages == 0


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ((b"HTTP", 2, 1, 7, 0, 1, PAGE_BYTES, 0), "begins with"),
        ((batches.MAGIC, 1, 1, 7, 0, 1, PAGE_BYTES, 0), "version 1"),
        ((batches.MAGIC, 2, 9, 7, 0, 1, PAGE_BYTES, 0), "no kind 9"),
        ((batches.MAGIC, 2, Kind.PAGES, 7, 0, 4097, PAGE_BYTES, 0), "4097 runs"),
        ((batches.MAGIC, 2, Kind.PAGES, 7, 0, 2**32 - 1, PAGE_BYTES, 0), "runs"),
        ((batches.MAGIC, 2, Kind.PAGES, 7, 0, 0, PAGE_BYTES, 0), "0 runs"),
        ((batches.MAGIC, 2, Kind.PAGES, 7, 0, 1, 16 * 1024 * 1024 + 1, 0), "payload"),
        ((batches.MAGIC, 2, Kind.PAGES, 7, 0, 1, 0, 0), "payload"),
        ((batches.MAGIC, 2, Kind.ZERO, 7, 0, 1, PAGE_BYTES, 0), "payload"),
        ((batches.MAGIC, 2, Kind.END, 7, 0, 1, 0, 0), "runs"),
        ((batches.MAGIC, 2, Kind.ZSTD, 7, 0, 1, 1024 * 1024 + 1, 0), "payload"),
        ((batches.MAGIC, 2, Kind.ZSTD, 7, 0, 1, 0, 0), "payload"),
        ((batches.MAGIC, 2, Kind.DELTA, 7, 0, 1, 2**32 - 1, 0), "payload"),
        ((batches.MAGIC, 2, Kind.KEPT, 7, 0, 1, 8, 1), "payload"),
        ((batches.MAGIC, 2, Kind.KEPT, 7, 0, 1, 0, 0), "without a checksum"),
        ((batches.MAGIC, 2, Kind.ZERO, 7, 0, 1, 0, 5), "no content"),
        ((batches.MAGIC, 2, Kind.END, 7, 0, 0, 0, 5), "no content"),
    ],
)
def test_a_header_that_breaks_a_bound_is_refused_before_its_body_is_read(
    fields: tuple[bytes, int, int, int, int, int, int, int], sentence: str
) -> None:
    with pytest.raises(BadBatch, match=sentence):
        decode_header(HEADER.pack(*fields))


@pytest.mark.parametrize(
    ("bad", "kind", "sentence"),
    [
        (runs((VM_PAGES, 1)), Kind.PAGES, "the VM has 64"),
        (runs((VM_PAGES - 1, 2)), Kind.PAGES, "the VM has 64"),
        (runs((2**32 - 1, 1)), Kind.ZERO, "the VM has 64"),
        (runs((1, 2**32 - 1)), Kind.ZERO, "the VM has 64"),
        (runs((4, 1), (4, 1)), Kind.PAGES, "overlap"),
        (runs((4, 3), (6, 1)), Kind.ZERO, "overlap"),
        (runs((8, 1), (4, 1)), Kind.PAGES, "ascend"),
        (runs((4, 0), (6, 1)), Kind.PAGES, "without pages"),
        (runs((4, 2)), Kind.PAGES, "do not take"),
        (runs((VM_PAGES, 1)), Kind.KEPT, "the VM has 64"),
    ],
)
def test_runs_that_do_not_fit_the_vm_are_refused(bad: Runs, kind: Kind, sentence: str) -> None:
    payload_bytes = PAGE_BYTES if kind is Kind.PAGES else 0
    header = Header(kind, ATTEMPT, 0, len(bad), payload_bytes)
    data = bad.starts.astype("<u4").tobytes() + bad.counts.astype("<u4").tobytes()

    with pytest.raises(BadBatch, match=sentence):
        decode_runs(header, data, VM_PAGES)


def test_no_batch_makes_the_receiver_clear_more_than_16_mib() -> None:
    header = Header(Kind.ZERO, ATTEMPT, 0, 1, 0)

    with pytest.raises(BadBatch, match="4097 pages"):
        decode_runs(header, struct.pack("<II", 0, batches.PAGES_MAX + 1), vm_pages=2**20)


@pytest.mark.parametrize("kind", sorted(batches.DECODED))
def test_no_batch_makes_the_receiver_decode_more_than_fits_its_buffer(kind: Kind) -> None:
    header = Header(kind, ATTEMPT, 0, 1, PAYLOADS.get(kind, 0), 1)

    with pytest.raises(BadBatch, match="257 pages"):
        decode_runs(header, struct.pack("<II", 0, batches.STAGED_PAGES_MAX + 1), vm_pages=2**20)


def test_what_is_packed_is_never_longer_than_its_pages() -> None:
    header = Header(Kind.ZSTD, ATTEMPT, 0, 1, 2 * PAGE_BYTES + 1, 1)

    with pytest.raises(BadBatch, match="more than 2 pages"):
        decode_runs(header, struct.pack("<II", 3, 2), VM_PAGES)


def test_a_checksum_is_never_the_number_that_says_there_is_none() -> None:
    content = np.arange(512, dtype=np.uint64).reshape(1, 512)

    assert batches.checksum_of(content) == batches.checksum_of(content.reshape(-1)) > 0
    content[0, 511] = 7
    assert batches.checksum_of(content) != batches.checksum_of(np.arange(512, dtype=np.uint64))


@given(st.binary(max_size=2 * batches.HEADER_BYTES))
def test_garbage_is_refused(data: bytes) -> None:
    with pytest.raises(BadBatch):
        decode_header(data)


@given(st.sampled_from(Kind), st.integers(0, 5), st.integers(0, 2**32 - 1), st.data())
def test_a_header_with_any_body_is_refused_or_names_only_pages_of_the_vm(
    kind: Kind, count: int, payload_bytes: int, draw: st.DataObject
) -> None:
    number = st.one_of(st.integers(0, VM_PAGES), st.integers(0, 2**32 - 1))
    numbers = draw.draw(st.lists(number, min_size=2 * count, max_size=2 * count))
    data = HEADER.pack(batches.MAGIC, 2, kind, 7, 0, count, payload_bytes, 0)

    try:
        header, got = decoded(data + struct.pack(f"<{2 * count}I", *numbers))
    except BadBatch:
        return
    assert all(0 <= page < VM_PAGES for page in got.numbers().tolist())
    assert len(set(got.numbers().tolist())) == got.pages
    assert 0 <= header.payload_bytes <= got.pages * PAGE_BYTES
