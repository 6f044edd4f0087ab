"""Command blocks: what is asked is what is understood, and nonsense is refused with sense."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.scsi import sense
from protocol.scsi.cdbs import OPCODES, cdb, read_command
from protocol.scsi.commands import (
    Command,
    Inquiry,
    ModeSense,
    PageControl,
    PersistentReserveIn,
    PersistentReserveOut,
    Read,
    ReadCapacity10,
    ReadCapacity16,
    ReportLuns,
    RequestSense,
    StartStopUnit,
    SynchronizeCache,
    TestUnitReady,
    Unmap,
    Verify,
    Write,
    WriteSame,
    WriteVerified,
    data_out_bytes,
)
from protocol.scsi.errors import IllegalRequest
from protocol.scsi.persistent import InAction, OutAction

LONG = st.sampled_from([10, 12, 16])
FLAG = st.booleans()


@st.composite
def ranged(draw: st.DrawFn) -> Command:
    form = draw(LONG)
    lba = draw(st.integers(0, (1 << 64 if form == 16 else 1 << 32) - 1))
    blocks = draw(st.integers(0, (1 << 16 if form == 10 else 1 << 32) - 1))
    if draw(FLAG):
        kind = Read if draw(FLAG) else Write
        return kind(lba, blocks, draw(FLAG), draw(FLAG), form)
    if draw(FLAG):
        return Verify(lba, blocks, draw(st.sampled_from([0, 1, 3])), draw(FLAG), form)
    return WriteVerified(lba, blocks, draw(st.sampled_from([0, 1])), draw(FLAG), form)


BYTE, WORD, LENGTH = st.integers(0, 255), st.integers(0, 0xFFFF), st.integers(0, 0xFFFFFFFF)
COMMANDS = st.one_of(
    ranged(),
    st.builds(Read, st.integers(0, 0x1FFFFF), st.integers(1, 256), form=st.just(6)),
    st.builds(Write, st.integers(0, 0x1FFFFF), st.integers(1, 256), form=st.just(6)),
    st.builds(SynchronizeCache, LENGTH, WORD, FLAG, st.sampled_from([10, 16])),
    st.builds(WriteSame, LENGTH, WORD, st.just(True), FLAG, FLAG, st.just(16)),
    st.builds(WriteSame, LENGTH, WORD, FLAG, form=st.just(10)),
    st.builds(TestUnitReady),
    st.builds(RequestSense, BYTE, FLAG),
    st.builds(Inquiry, WORD, st.none() | BYTE),
    st.builds(ReportLuns, LENGTH, BYTE),
    st.builds(ReadCapacity10),
    st.builds(ReadCapacity16, LENGTH),
    st.builds(Unmap, WORD, FLAG),
    st.builds(ModeSense, st.integers(0, 63), BYTE, BYTE, st.sampled_from(PageControl), FLAG),
    st.builds(ModeSense, st.integers(0, 63), WORD, BYTE, form=st.just(10)),
    st.builds(StartStopUnit, FLAG, FLAG, FLAG, st.integers(0, 15)),
    st.builds(PersistentReserveIn, st.sampled_from(InAction), WORD),
    st.builds(
        PersistentReserveOut,
        st.sampled_from(OutAction),
        st.integers(0, 15),
        LENGTH,
        st.integers(0, 15),
    ),
)


@given(COMMANDS)
def test_a_command_survives_its_bytes(command: Command) -> None:
    block = cdb(command)

    assert read_command(block) == command
    assert read_command(block.ljust(16, b"\0")) == command


@given(st.binary(max_size=20))
def test_any_bytes_are_a_command_or_an_illegal_request(block: bytes) -> None:
    try:
        command = read_command(block)
    except IllegalRequest as error:
        refused = error.sense.key
    else:
        refused = sense.SenseKey.ILLEGAL_REQUEST
        assert data_out_bytes(command, 512) >= 0
    assert refused is sense.SenseKey.ILLEGAL_REQUEST


@given(st.sampled_from(sorted(OPCODES.values())), st.binary(min_size=15, max_size=15))
def test_any_flags_of_a_known_operation_are_read_or_refused(opcode: int, rest: bytes) -> None:
    block = bytes([opcode]) + rest
    try:
        command = read_command(block)
    except IllegalRequest as error:
        code = error.sense.code
    else:
        code = 0x2400
        assert cdb(command)[0] == opcode
    assert code == 0x2400


def test_the_blocks_are_those_of_the_standard() -> None:
    assert cdb(Read(0x01020304, 5, fua=True, form=10)).hex() == "28080102030400000500"
    assert cdb(Write(1, 2, dpo=True)).hex() == "8a10" + "0000000000000001" + "000000020000"
    assert cdb(Read(1, 256, form=6)).hex() == "080000010000"
    assert cdb(Inquiry(255, 0x83)).hex() == "12018300ff00"
    assert cdb(ReadCapacity16()).hex() == "9e10" + "00" * 8 + "000000200000"
    assert cdb(PersistentReserveOut(OutAction.PREEMPT_AND_ABORT, 5)).hex() == "5f050500000000001800"
    assert cdb(SynchronizeCache()).hex() == "35000000000000000000"


@pytest.mark.parametrize(
    ("block", "code", "field"),
    [
        ("ff0000000000", 0x2000, None),
        ("28200000000000000100", 0x2400, 1),
        ("120083000000", 0x2400, 2),
        ("5e1f0000000000010000", 0x2400, 1),
        ("000000000004", 0x2400, 5),
        ("9e110000", 0x2400, 4),
        ("", 0x2000, None),
    ],
    ids=["unknown", "protection", "page-without-evpd", "action", "naca", "short", "empty"],
)
def test_the_refusal_names_the_field(block: str, code: int, field: int | None) -> None:
    with pytest.raises(IllegalRequest) as refused:
        read_command(bytes.fromhex(block))

    assert (refused.value.sense.code, refused.value.sense.field) == (code, field)


def test_the_data_of_a_command_have_the_length_that_it_names() -> None:
    assert data_out_bytes(Write(0, 8), 4096) == 32768
    assert data_out_bytes(WriteSame(0, 100), 512) == 512
    assert data_out_bytes(Verify(0, 8, 1), 512) == 4096
    assert data_out_bytes(Verify(0, 8), 512) == 0
    assert data_out_bytes(PersistentReserveOut(OutAction.CLEAR), 512) == 24
