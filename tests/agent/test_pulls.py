import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent import pulls
from agent.pulls import (
    HEADER_BYTES,
    PAGES_MAX,
    bitmaps,
    checksum_of,
    decode_header,
    decode_numbers,
    encode,
    lacking_parts,
    mark,
    missing_parts,
    within,
)
from agent.runs import runs_from_numbers
from protocol.errors import BadBatch
from protocol.names import PAGE_BYTES, AttemptId, Fill, VmSpec, Workload

A = AttemptId(7)
PAGES = 1000
SPEC = VmSpec(PAGES * PAGE_BYTES, Workload("wave"), Fill.ZERO, 1)


def content_of(numbers: list[int], zero: bool = False) -> pulls.Content:
    content = np.zeros((len(numbers), 512), np.uint64)
    if not zero:
        content[:, 3] = np.array(numbers, np.uint64) + np.uint64(1)
    return content


@settings(max_examples=100, deadline=None)
@given(st.sets(st.integers(0, PAGES - 1), min_size=1, max_size=PAGES_MAX), st.booleans())
def test_a_batch_comes_back_as_it_was_sent(pages: set[int], zero: bool) -> None:
    numbers = sorted(pages)
    head, payload = encode(A, np.array(numbers), content_of(numbers, zero))

    header = decode_header(head[:HEADER_BYTES])
    named = head[HEADER_BYTES:]

    assert header.attempt == A
    assert decode_numbers(header, named, PAGES).tolist() == numbers
    assert header.payload_bytes == len(payload) * 4096 == (0 if zero else len(numbers) * 4096)
    assert header.checksum == checksum_of(named, payload)


@settings(max_examples=300, deadline=None)
@given(st.binary(min_size=HEADER_BYTES, max_size=HEADER_BYTES), st.data())
def test_hostile_bytes_are_refused_or_stay_within_the_vm(noise: bytes, data: st.DataObject) -> None:
    good, _ = encode(A, np.array([1, 2, 999]), content_of([1, 2, 999]))
    at = data.draw(st.integers(0, HEADER_BYTES - 1))
    for header in (noise, good[:at] + noise[:1] + good[at + 1 : HEADER_BYTES]):
        try:
            read = decode_header(header)
            named = data.draw(st.binary(min_size=read.numbers_bytes, max_size=read.numbers_bytes))
            numbers = decode_numbers(read, named, PAGES)
        except BadBatch:
            continue
        assert read.pages <= PAGES_MAX
        assert read.payload_bytes in (0, read.pages * 4096)
        assert 0 <= numbers.min() <= numbers.max() < PAGES
        assert (np.diff(numbers) > 0).all()


@pytest.mark.parametrize("numbers", [[5, 5], [6, 5], [0, PAGES]])
def test_pages_that_do_not_ascend_or_are_not_the_vms_are_refused(numbers: list[int]) -> None:
    head, _ = encode(A, np.array(numbers), content_of(numbers))

    with pytest.raises(BadBatch):
        decode_numbers(decode_header(head[:HEADER_BYTES]), head[HEADER_BYTES:], PAGES)


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 100), st.data())
def test_a_map_travels_whole_in_however_many_parts(pages: int, data: st.DataObject) -> None:
    named = np.array(data.draw(st.lists(st.booleans(), min_size=pages, max_size=pages)))
    got = np.zeros(pages, np.bool_)

    for part in missing_parts(A, named):
        mark(got, part.first, part.bitmap)

    assert got.tolist() == named.tolist()
    parts = lacking_parts(A, named)
    assert [part.is_last for part in parts] == [False] * (len(parts) - 1) + [True]


def test_a_large_map_is_cut_and_parts_without_a_page_are_left_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pulls, "PART_BYTES", 4)
    named = np.zeros(200, np.bool_)
    named[[0, 190]] = True

    assert [first for first, _ in bitmaps(named)] == [0, 160]


def test_only_pages_of_the_vm_can_be_asked_for() -> None:
    assert within((0, 9), 10) == [0, 9]
    for pages in ((10,), (-1,)):
        with pytest.raises(BadBatch):
            within(pages, 10)


def test_what_a_worker_looks_at_before_its_guest_runs_is_never_missing() -> None:
    unsent = runs_from_numbers(np.array([0, 1, 30]))

    assert pulls.missing_of(unsent, SPEC).numbers().tolist() == [1, 30]


def test_pages_between_two_that_are_missing_are_missing_too_if_they_are_few() -> None:
    near, far = 5 + pulls.GAP_PAGES + 1, 5 + pulls.GAP_PAGES + 2

    assert pulls.missing_of(runs_from_numbers(np.array([5, near])), SPEC).pages == near - 5 + 1
    assert pulls.missing_of(runs_from_numbers(np.array([5, far])), SPEC).pages == 2
