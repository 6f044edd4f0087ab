"""What changed in pages, held against a plain loop, and against enemies."""

import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.delta import PAGE_WORDS, apply, difference
from agent.encoding import Content
from protocol.errors import BadBatch
from protocol.names import PAGE_BYTES
from tests.agent.contents import empty, random_pages


def slow_payload(old: Content, new: Content) -> bytes:
    """The format, page by page and byte by byte."""
    counts, places, masks, content = b"", b"", b"", b""
    for before, after in zip(old, new, strict=True):
        changed = [place for place in range(PAGE_WORDS) if before[place] != after[place]]
        counts += struct.pack("<H", len(changed))
        for place in changed:
            one = int(before[place]).to_bytes(8, "little")
            other = int(after[place]).to_bytes(8, "little")
            which = [byte for byte in range(8) if one[byte] != other[byte]]
            places += struct.pack("<H", place)
            masks += bytes([sum(1 << byte for byte in which)])
            content += bytes(other[byte] for byte in which)
    return counts + places + masks + content


Change = tuple[int, int, int]
changes = st.lists(
    st.tuples(st.integers(0, 4), st.integers(0, PAGE_BYTES - 1), st.integers(0, 255)), max_size=80
)


def changed(old: Content, some: list[Change]) -> Content:
    new = old.copy()
    for page, byte, value in some:
        new[page].view(np.uint8)[byte] = value
    return new


@given(changes)
def test_it_says_what_a_plain_loop_says(some: list[Change]) -> None:
    old = random_pages(5)
    new = changed(old, some)
    delta = difference(old, new)
    assert delta.which.tolist() == [0, 1, 2, 3, 4]
    assert delta.payload == slow_payload(old, new)


@given(changes)
def test_the_target_gets_what_the_source_has(some: list[Change]) -> None:
    old = random_pages(5)
    new = changed(old, some)
    there = old.copy()
    apply(memoryview(difference(old, new).payload), there)
    assert np.array_equal(there, new)


def test_pages_that_changed_too_much_are_left_to_others() -> None:
    old = random_pages(6)
    new = old.copy()
    new[1] += np.uint64(1)
    new[4, :300] ^= np.uint64(0xFFFF_FFFF)
    new[5, 7] = 1
    delta = difference(old, new, 1024)
    assert delta.which.tolist() == [0, 2, 3, 5]
    some = old[delta.which]
    apply(memoryview(delta.payload), some)
    assert np.array_equal(some, new[delta.which])


def test_only_what_fits_into_the_most_bytes_of_a_page_is_a_delta() -> None:
    old = empty(2)
    new = old.copy()
    new[0, :20] = 2**64 - 1  # 2 bytes for the count, 11 for each word
    new[1, :21] = 2**64 - 1
    assert difference(old, new, 2 + 20 * 11).which.tolist() == [0]


def test_64_bytes_wherever_they_lie_take_less_than_fifteen_percent() -> None:
    generator = np.random.default_rng(1)
    old = random_pages(32)
    new = old.copy()
    for page in new:
        places = generator.choice(PAGE_BYTES, 64, replace=False)
        page.view(np.uint8)[places] += np.uint8(1)
    delta = difference(old, new)
    assert len(delta.which) == 32
    assert len(delta.payload) <= 0.07 * old.nbytes


def test_all_words_new_are_no_delta_and_no_trouble() -> None:
    delta = difference(random_pages(3, 1), random_pages(3, 2))
    assert len(delta.which) == 0
    assert delta.payload == b""


def payload(counts: list[int], places: list[int], masks: list[int], content: bytes) -> memoryview:
    parts = (struct.pack(f"<{len(counts)}H", *counts), struct.pack(f"<{len(places)}H", *places))
    return memoryview(b"".join((*parts, bytes(masks), content)))


BAD = {
    "nothing at all": (payload([], [], [], b""), "early"),
    "a list that ends": (payload([3, 0], [1, 2], [], b""), "early"),
    "no masks": (payload([1, 0], [1], [], b""), "early"),
    "more words than a page has": (payload([513, 0], [0] * 513, [1] * 513, b"x" * 513), "513"),
    "a word outside the page": (payload([1, 0], [512], [1], b"x"), "word 512"),
    "a word twice": (payload([2, 0], [5, 5], [1, 1], b"xy"), "ascend"),
    "words that descend": (payload([2, 0], [6, 5], [1, 1], b"xy"), "ascend"),
    "a word without a byte": (payload([1, 0], [6], [0], b""), "without"),
    "a byte too few": (payload([1, 0], [6], [3], b"x"), "2 bytes, and 1"),
    "a byte too many": (payload([1, 0], [6], [3], b"xyz"), "2 bytes, and 3"),
    "bytes behind no change": (payload([0, 0], [], [], b"x"), "behind"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_wrong_list_of_changes_is_refused_and_changes_nothing(name: str) -> None:
    data, why = BAD[name]
    pages = random_pages(2)
    before = pages.copy()
    with pytest.raises(BadBatch, match=why):
        apply(data, pages)
    assert np.array_equal(pages, before)


@settings(max_examples=300)
@given(st.binary(max_size=200), st.integers(1, 4))
def test_any_bytes_are_refused_or_change_these_pages_only(data: bytes, count: int) -> None:
    around = random_pages(count + 2)
    before = around.copy()
    try:
        apply(memoryview(data), around[1:-1])
    except BadBatch:
        assert np.array_equal(around, before)
    assert np.array_equal(around[[0, -1]], before[[0, -1]])
