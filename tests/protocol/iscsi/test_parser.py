"""Whatever the cuts, the PDUs are the same; whatever the bytes, the end is typed and bounded."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.iscsi.digests import Buffer
from protocol.iscsi.errors import DigestMismatch, IscsiError, PduTooBig
from protocol.iscsi.parser import WINDOW_BYTES, PduParser
from protocol.iscsi.pdus import Pdu, frame
from protocol.iscsi.requests import DataOut, NopOut
from tests.protocol.iscsi.building import PDUS


def fed(parser: PduParser, raw: bytes, cuts: Sequence[int]) -> list[Pdu]:
    found, start = [], 0
    for end in [*sorted({cut % (len(raw) + 1) for cut in cuts}), len(raw)]:
        found += parser.feed(raw[start:end])
        start = end
    return found


CUTS = st.lists(st.integers(0, 10_000), max_size=30)


@given(st.lists(PDUS, max_size=8), CUTS, st.booleans(), st.booleans())
def test_any_cuts_give_the_whole(
    pdus: list[Pdu], cuts: list[int], header_digest: bool, data_digest: bool
) -> None:
    raw = b"".join(b"".join(frame(pdu, header_digest, data_digest)) for pdu in pdus)
    parser = PduParser()
    parser.header_digest, parser.data_digest = header_digest, data_digest

    found = fed(parser, raw, cuts)

    assert found == pdus
    assert parser.is_between_pdus


@given(st.binary(max_size=600), CUTS)
def test_any_bytes_in_any_cuts_end_alike(raw: bytes, cuts: list[int]) -> None:
    results: list[object] = []
    for way in (cuts, []):
        parser = PduParser(256)
        try:
            fed(parser, raw, way)
            results.append(parser.is_between_pdus)
        except IscsiError as error:
            results.append(type(error))

    assert results[0] == results[1]


@pytest.mark.parametrize("size", [1, 4095, WINDOW_BYTES, 3 * WINDOW_BYTES + 5])
def test_data_land_where_they_belong_and_are_not_copied_out(size: int) -> None:
    content = bytes(range(251)) * (size // 251 + 1)
    content = content[:size]
    task = bytearray(size + 10)

    def place(header: Buffer, length: int) -> memoryview:
        at = int.from_bytes(header[40:44], "big")
        return memoryview(task)[at : at + length]

    parser = PduParser(1 << 20, place)
    raw = b"".join(frame(DataOut(0, 1, 2, 3, 0, 7, True, content), True, True))
    parser.header_digest = parser.data_digest = True

    found = [*parser.feed(raw[:50]), *parser.feed(raw[50:])]

    assert task[7 : 7 + size] == content
    assert len(found) == 1
    data = found[0].data
    assert isinstance(data, memoryview)
    assert data.obj is task


def test_the_bulk_is_read_straight_into_its_place() -> None:
    task = bytearray(1 << 20)
    parser = PduParser(1 << 20, lambda header, length: memoryview(task)[:length])
    head = frame(DataOut(0, 1, 2, 3, 0, 0, True, bytes(1 << 20)))[0]
    parser.feed(head)

    assert parser.get_buffer().obj is task


def test_more_than_was_declared_is_refused_before_it_comes() -> None:
    parser = PduParser(8192)
    header = frame(DataOut(0, 1, 2, 3, 0, 0, True, bytes(8193)))[0]

    with pytest.raises(PduTooBig, match="8193"):
        parser.feed(header)


@pytest.mark.parametrize(("at", "has_header"), [(20, False), (54, True), (60, True)])
def test_a_changed_bit_is_found_by_the_digest(at: int, has_header: bool) -> None:
    raw = bytearray(b"".join(frame(NopOut(1, 2, 3, 4, data=b"12345678"), True, True)))
    raw[at] ^= 1
    parser = PduParser()
    parser.header_digest = parser.data_digest = True

    with pytest.raises(DigestMismatch) as caught:
        parser.feed(raw)

    assert (caught.value.header is not None) == has_header


def test_digests_count_from_the_pdu_after_the_one_that_agreed_on_them() -> None:
    first, second = NopOut(1, 2, 3, 4), NopOut(5, 6, 7, 8, data=b"abcd")
    raw = b"".join([*frame(first), *frame(second, True, True)])
    parser = PduParser()
    target = parser.get_buffer()
    target[: len(raw)] = raw
    parser.filled(len(raw))

    assert parser.next_pdu() == first
    parser.header_digest = parser.data_digest = True
    assert parser.next_pdu() == second
