"""PDUs to bytes and back, and headers as the standard prints them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.iscsi.errors import BadPdu
from protocol.iscsi.pdus import Pdu, decode, frame
from protocol.iscsi.requests import NO_TAG, ScsiCommand, UnknownPdu
from protocol.iscsi.responses import DataIn
from tests.protocol.iscsi.building import PDUS


def whole(pdu: Pdu) -> bytes:
    return b"".join(frame(pdu))


@given(PDUS)
def test_every_pdu_comes_back_as_it_was(pdu: Pdu) -> None:
    raw = whole(pdu)
    extra = raw[4] * 4
    size = int.from_bytes(raw[5:8], "big")

    found = decode(raw[:48], raw[48 : 48 + extra], raw[48 + extra : 48 + extra + size])

    assert found == pdu
    assert len(raw) % 4 == 0


@given(st.binary(min_size=48, max_size=48), st.binary(max_size=40), st.binary(max_size=40))
def test_any_bytes_are_a_pdu_or_a_typed_error(header: bytes, ahs: bytes, data: bytes) -> None:
    try:
        found = decode(header, ahs, data)
    except BadPdu:
        return
    assert len(found.header()) == 48


def test_a_read_looks_as_the_standard_says() -> None:
    cdb = bytes([0x28, 0, 0, 0, 0, 9, 0, 0, 8, 0]) + bytes(6)
    command = ScsiCommand(1 << 48, 0x10, 4096, 7, 3, cdb, read=True)

    raw = whole(command)

    assert raw.hex(" ", 4) == (
        "01c10000 00000000 00010000 00000000 00000010 00001000 00000007 00000003 "
        "28000000 00090000 08000000 00000000"
    )


def test_a_status_travels_with_the_last_data() -> None:
    raw = whole(DataIn(5, 2, 8192, 9, 40, True, 11, 0, -512, data=b"abcd"))

    assert raw[:4] == bytes([0x25, 0x83, 0, 0])
    assert raw[20:24] == NO_TAG.to_bytes(4, "big")
    assert raw[24:28] == (11).to_bytes(4, "big")
    assert raw[44:48] == (512).to_bytes(4, "big")


def test_an_opcode_that_nobody_knows_can_be_given_back() -> None:
    header = bytes([0x10, 0x80]) + bytes(14) + b"\0\0\0\7" + bytes(28)

    found = decode(header)

    assert isinstance(found, UnknownPdu)
    assert (found.opcode, found.task_tag, found.header()) == (0x10, 7, header)


@pytest.mark.parametrize("ahs", [b"\0\0\0\0", b"\0\xff\1\0", b"\0\1\3\0", b"\0\5\2\0"])
def test_a_bad_additional_header_is_refused(ahs: bytes) -> None:
    header = b"\1" + bytes(47)

    with pytest.raises(BadPdu):
        decode(header, ahs)


def test_a_header_of_another_length_is_refused() -> None:
    with pytest.raises(BadPdu, match="48 bytes"):
        decode(bytes(47))
