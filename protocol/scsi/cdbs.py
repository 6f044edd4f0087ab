"""Command descriptor blocks: the bytes of a SCSI command, read and written."""

from collections.abc import Callable
from dataclasses import replace

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
)
from protocol.scsi.errors import IllegalRequest
from protocol.scsi.persistent import InAction, OutAction
from protocol.scsi.sense import INVALID_FIELD_IN_CDB, INVALID_OPCODE

DPO, FUA = 0x10, 0x08
READ_CAPACITY16 = 0x10
NACA = 0x04

# By operation code: kind and form of the commands that name a range of blocks.
RANGES: dict[int, tuple[type, int]] = {
    0x08: (Read, 6),
    0x28: (Read, 10),
    0xA8: (Read, 12),
    0x88: (Read, 16),
    0x0A: (Write, 6),
    0x2A: (Write, 10),
    0xAA: (Write, 12),
    0x8A: (Write, 16),
    0x2E: (WriteVerified, 10),
    0xAE: (WriteVerified, 12),
    0x8E: (WriteVerified, 16),
    0x2F: (Verify, 10),
    0xAF: (Verify, 12),
    0x8F: (Verify, 16),
    0x35: (SynchronizeCache, 10),
    0x91: (SynchronizeCache, 16),
    0x41: (WriteSame, 10),
    0x93: (WriteSame, 16),
}
OPCODES = {kind: code for code, kind in RANGES.items()}
# Where lba and number of blocks lie: (first byte, end) each.
PLACES = {10: (2, 6, 7, 9), 12: (2, 6, 6, 10), 16: (2, 10, 10, 14)}
BLOCKS_OF_ZERO_IN_FORM_6 = 256


def _length(opcode: int) -> int:
    """The group in the top bits tells how long the block is."""
    return {0: 6, 1: 10, 2: 10, 4: 16, 5: 12}.get(opcode >> 5, 6)


def bad_field(byte: int, sentence: str) -> IllegalRequest:
    return IllegalRequest(replace(INVALID_FIELD_IN_CDB, field=byte), sentence)


def read_command(cdb: bytes) -> Command:
    """What the initiator wants; `IllegalRequest` if it is unknown here or cannot be."""
    if not cdb:
        raise IllegalRequest(INVALID_OPCODE, "The command block is empty.")
    opcode = cdb[0]
    length = _length(opcode)
    place = RANGES.get(opcode)
    reader = READERS.get(opcode)
    if place is None and reader is None:
        raise IllegalRequest(INVALID_OPCODE, f"The operation {opcode:02x}h is not known here.")
    if len(cdb) < length:
        raise bad_field(len(cdb), f"The block of {opcode:02x}h has {len(cdb)} bytes, not {length}.")
    if cdb[length - 1] & NACA:
        raise bad_field(length - 1, "NACA is set, and automatic contingent allegiance is unknown.")
    if place is not None:
        return _read_range(cdb, *place)
    assert reader is not None
    return reader(cdb)


def _read_range(cdb: bytes, kind: type, form: int) -> Command:
    if form == 6:
        lba = int.from_bytes(cdb[1:4], "big") & 0x1FFFFF
        read_or_write: type[Read] | type[Write] = kind
        return read_or_write(lba, cdb[4] or BLOCKS_OF_ZERO_IN_FORM_6, form=6)
    flags = cdb[1]
    start, end, first, last = PLACES[form]
    lba = int.from_bytes(cdb[start:end], "big")
    blocks = int.from_bytes(cdb[first:last], "big")
    if kind is SynchronizeCache:
        return SynchronizeCache(lba, blocks, bool(flags & 0x02), form)
    if flags & 0xE0:
        raise bad_field(1, "Protection information is asked for, and there is none on this unit.")
    if kind is Read:
        return Read(lba, blocks, bool(flags & FUA), bool(flags & DPO), form)
    if kind is Write:
        return Write(lba, blocks, bool(flags & FUA), bool(flags & DPO), form)
    if kind is WriteSame:
        return _read_write_same(lba, blocks, flags, form)
    check = flags >> 1 & 0x03
    if check == 2 or (check == 3 and kind is WriteVerified):
        raise bad_field(1, f"A byte check of {check} has no meaning here.")
    checked: type[Verify] | type[WriteVerified] = kind
    return checked(lba, blocks, check, bool(flags & DPO), form)


def _read_write_same(lba: int, blocks: int, flags: int, form: int) -> WriteSame:
    if flags & 0x06:
        raise bad_field(1, "The bits PBDATA and LBDATA are obsolete.")
    if flags & 0x11 and not flags & 0x08:
        raise bad_field(1, "Without UNMAP neither an anchor nor missing data have a meaning.")
    if flags & 0x01 and form == 10:
        raise bad_field(1, "WRITE SAME (10) cannot do without data.")
    return WriteSame(lba, blocks, bool(flags & 0x08), bool(flags & 0x10), bool(flags & 0x01), form)


def _read_inquiry(cdb: bytes) -> Command:
    if cdb[1] & 0xFE:
        raise bad_field(1, "INQUIRY knows no other bit than EVPD.")
    wants_page = cdb[1] & 1
    if cdb[2] and not wants_page:
        raise bad_field(2, f"Page {cdb[2]:02x}h is asked for without the bit EVPD.")
    return Inquiry(int.from_bytes(cdb[3:5], "big"), cdb[2] if wants_page else None)


def _read_service_in(cdb: bytes) -> Command:
    if cdb[1] & 0x1F != READ_CAPACITY16:
        raise bad_field(1, f"SERVICE ACTION IN (16) knows no action {cdb[1] & 0x1F:02x}h here.")
    return ReadCapacity16(int.from_bytes(cdb[10:14], "big"))


def _read_mode_sense(cdb: bytes) -> Command:
    form = _length(cdb[0])
    return ModeSense(
        page=cdb[2] & 0x3F,
        allocation_bytes=cdb[4] if form == 6 else int.from_bytes(cdb[7:9], "big"),
        subpage=cdb[3],
        control=PageControl(cdb[2] >> 6),
        no_block_descriptors=bool(cdb[1] & 0x08),
        form=form,
    )


def _read_start_stop(cdb: bytes) -> Command:
    return StartStopUnit(bool(cdb[4] & 0x01), bool(cdb[4] & 0x02), bool(cdb[1] & 0x01), cdb[4] >> 4)


def _read_reserve_in(cdb: bytes) -> Command:
    action = cdb[1] & 0x1F
    if action > max(InAction):
        raise bad_field(1, f"PERSISTENT RESERVE IN knows no action {action:02x}h.")
    return PersistentReserveIn(InAction(action), int.from_bytes(cdb[7:9], "big"))


def _read_reserve_out(cdb: bytes) -> Command:
    action = cdb[1] & 0x1F
    if action > max(OutAction):
        raise bad_field(1, f"PERSISTENT RESERVE OUT knows no action {action:02x}h here.")
    length = int.from_bytes(cdb[5:9], "big")
    return PersistentReserveOut(OutAction(action), cdb[2] & 0x0F, length, cdb[2] >> 4)


READERS: dict[int, Callable[[bytes], Command]] = {
    0x00: lambda cdb: TestUnitReady(),
    0x03: lambda cdb: RequestSense(cdb[4], bool(cdb[1] & 1)),
    0x12: _read_inquiry,
    0x1A: _read_mode_sense,
    0x1B: _read_start_stop,
    0x25: lambda cdb: ReadCapacity10(),
    0x42: lambda cdb: Unmap(int.from_bytes(cdb[7:9], "big"), bool(cdb[1] & 1)),
    0x5A: _read_mode_sense,
    0x5E: _read_reserve_in,
    0x5F: _read_reserve_out,
    0x9E: _read_service_in,
    0xA0: lambda cdb: ReportLuns(int.from_bytes(cdb[6:10], "big"), cdb[2]),
}


def cdb(command: Command) -> bytes:
    """The block that asks for it; numbers that do not fit are the caller's mistake."""
    match command:
        case Read() | Write() | WriteVerified() | WriteSame() | Verify() | SynchronizeCache():
            return _write_range(command)
        case TestUnitReady():
            return bytes(6)
        case RequestSense(length, wants_descriptor):
            return bytes([0x03, wants_descriptor, 0, 0, length, 0])
        case Inquiry(length, page):
            return bytes([0x12, page is not None, page or 0, *length.to_bytes(2, "big"), 0])
        case ReportLuns(length, select):
            return bytes([0xA0, 0, select, 0, 0, 0, *length.to_bytes(4, "big"), 0, 0])
        case ReadCapacity10():
            return bytes([0x25, *bytes(9)])
        case ReadCapacity16(length):
            return bytes([0x9E, READ_CAPACITY16, *bytes(8), *length.to_bytes(4, "big"), 0, 0])
        case Unmap(length, anchor):
            return bytes([0x42, anchor, *bytes(5), *length.to_bytes(2, "big"), 0])
        case ModeSense():
            return _write_mode_sense(command)
        case StartStopUnit(start, eject, immediate, power):
            return bytes([0x1B, immediate, 0, 0, power << 4 | eject << 1 | start, 0])
        case PersistentReserveIn(action, length):
            return bytes([0x5E, action, *bytes(5), *length.to_bytes(2, "big"), 0])
        case PersistentReserveOut(action, kind, length, scope):
            head = [0x5F, action, scope << 4 | kind, 0, 0]
            return bytes([*head, *length.to_bytes(4, "big"), 0])


def _write_range(
    command: Read | Write | WriteVerified | WriteSame | Verify | SynchronizeCache,
) -> bytes:
    opcode = OPCODES[type(command), command.form]
    if command.form == 6:
        assert 0 < command.blocks <= BLOCKS_OF_ZERO_IN_FORM_6, command
        assert command.lba < 1 << 21, command
        blocks = command.blocks % BLOCKS_OF_ZERO_IN_FORM_6
        return bytes([opcode, *command.lba.to_bytes(3, "big"), blocks, 0])
    match command:
        case Read(fua=fua, dpo=dpo) | Write(fua=fua, dpo=dpo):
            flags = dpo << 4 | fua << 3
        case WriteVerified(byte_check=check, dpo=dpo) | Verify(byte_check=check, dpo=dpo):
            flags = dpo << 4 | check << 1
        case WriteSame(unmap=unmap, anchor=anchor, no_data=no_data):
            flags = anchor << 4 | unmap << 3 | no_data
        case SynchronizeCache(immediate=immediate):
            flags = immediate << 1
    start, end, first, last = PLACES[command.form]
    block = bytearray(command.form)
    block[:2] = opcode, flags
    block[start:end] = command.lba.to_bytes(end - start, "big")
    block[first:last] = command.blocks.to_bytes(last - first, "big")
    return bytes(block)


def _write_mode_sense(command: ModeSense) -> bytes:
    flags = command.no_block_descriptors << 3
    page = command.control << 6 | command.page
    if command.form == 6:
        return bytes([0x1A, flags, page, command.subpage, command.allocation_bytes, 0])
    length = command.allocation_bytes.to_bytes(2, "big")
    return bytes([0x5A, flags, page, command.subpage, 0, 0, 0, *length, 0])
