"""Pages as a zstd frame, from friends and from enemies."""

import tracemalloc

import numpy as np
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.packing import Packer, Unpacker
from protocol.errors import BadBatch
from protocol.names import PAGE_BYTES
from tests.agent.contents import Content, empty, half_random, random_pages, text_pages


def pack(content: Content, level: int = 1) -> bytes:
    payload = Packer().pack(content, level)
    assert payload is not None
    return payload


@pytest.mark.parametrize("level", [-7, -3, 1, 3, 19])
def test_what_was_packed_comes_back(level: int) -> None:
    content, out = text_pages(16), empty(16)
    Unpacker().unpack(memoryview(pack(content, level)), out)
    assert np.array_equal(out, content)


@given(st.integers(1, 8), st.integers(0, 2**32))
def test_pages_with_some_text_in_them_come_back(pages: int, seed: int) -> None:
    content, out = half_random(pages, seed), empty(pages)
    Unpacker().unpack(memoryview(pack(content)), out)
    assert np.array_equal(out, content)


def test_random_pages_are_better_sent_as_they_are() -> None:
    assert Packer().pack(random_pages(64), 1) is None


def test_one_packer_serves_many_batches_and_levels() -> None:
    packer, unpacker = Packer(), Unpacker()
    for number in range(6):
        content, out = half_random(4, number), empty(4)
        payload = packer.pack(content, 1 + number % 3)
        assert payload is not None
        unpacker.unpack(memoryview(payload), out)
        assert np.array_equal(out, content)


@pytest.mark.parametrize("pages", [15, 17])
def test_a_frame_of_other_pages_than_announced_is_refused(pages: int) -> None:
    with pytest.raises(BadBatch, match=f"for {pages} pages"):
        Unpacker().unpack(memoryview(pack(text_pages(16))), empty(pages))


def test_bytes_behind_the_frame_are_refused() -> None:
    with pytest.raises(BadBatch):
        Unpacker().unpack(memoryview(pack(text_pages(4)) + b"x"), empty(4))


def test_a_second_frame_behind_the_first_is_refused() -> None:
    with pytest.raises(BadBatch):
        Unpacker().unpack(memoryview(pack(text_pages(4)) * 2), empty(4))


def test_a_frame_that_does_not_say_its_size_is_refused() -> None:
    content = text_pages(4)
    silent = zstandard.ZstdCompressor(write_content_size=False).compress(content.tobytes())
    with pytest.raises(BadBatch):
        Unpacker().unpack(memoryview(silent), empty(4))


def test_a_frame_that_wants_a_dictionary_is_refused() -> None:
    content = text_pages(8)
    samples = [text_pages(1, seed).tobytes() for seed in range(200)]
    dictionary = zstandard.train_dictionary(8192, samples)
    packed = zstandard.ZstdCompressor(dict_data=dictionary).compress(content.tobytes())
    with pytest.raises(BadBatch, match="dictionary"):
        Unpacker().unpack(memoryview(packed), empty(8))


def test_a_bomb_is_refused_before_anything_is_allocated_for_it() -> None:
    bomb = zstandard.ZstdCompressor(level=19).compress(bytes(64 * 1024 * 1024))
    assert len(bomb) < 4 * PAGE_BYTES
    out = empty(4)
    tracemalloc.start()
    try:
        with pytest.raises(BadBatch):
            Unpacker().unpack(memoryview(bomb), out)
        assert tracemalloc.get_traced_memory()[1] < 1024 * 1024
    finally:
        tracemalloc.stop()


def test_a_frame_that_lies_about_its_size_gives_no_page_too_many() -> None:
    """The size in the frame is what fits, and its blocks give more."""
    bomb = bytearray(zstandard.ZstdCompressor(level=1).compress(bytes(64 * 1024 * 1024)))
    told = zstandard.get_frame_parameters(bomb)
    assert told.content_size == 64 * 1024 * 1024
    at = bytes(bomb).index((64 * 1024 * 1024).to_bytes(4, "little"))
    bomb[at : at + 4] = (4 * PAGE_BYTES).to_bytes(4, "little")
    with pytest.raises(BadBatch):
        Unpacker().unpack(memoryview(bomb), empty(4))


def unpacked(payload: bytes | bytearray, pages: int) -> Content | None:
    """What came of it; None if it was refused. Nothing else may happen."""
    around = random_pages(pages + 2)
    before = around[[0, -1]].copy()
    out = around[1:-1]
    try:
        Unpacker().unpack(memoryview(payload), out)
    except BadBatch:
        return None
    finally:
        assert np.array_equal(around[[0, -1]], before)
    return out


@settings(max_examples=300)
@given(st.binary(max_size=300))
def test_any_bytes_are_refused_or_fill_the_pages(data: bytes) -> None:
    found = unpacked(data, 2)
    assert found is None or zstandard.get_frame_parameters(data).content_size == found.nbytes


@settings(max_examples=300)
@given(st.data())
def test_a_damaged_frame_ends_in_a_refusal_or_in_pages(data: st.DataObject) -> None:
    payload = bytearray(pack(half_random(3, 1)))
    for _ in range(data.draw(st.integers(1, 4))):
        payload[data.draw(st.integers(0, len(payload) - 1))] = data.draw(st.integers(0, 255))
    found = unpacked(payload, 3)
    assert found is None or zstandard.get_frame_parameters(payload).content_size == found.nbytes
