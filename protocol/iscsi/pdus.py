"""From bytes to PDUs and back: the one table of opcodes, and how a PDU is laid on the wire."""

from collections.abc import Callable
from typing import TypeAlias

from protocol.iscsi import requests as ask
from protocol.iscsi import responses as say
from protocol.iscsi.digests import Buffer, digest_of
from protocol.iscsi.errors import BadPdu
from protocol.iscsi.requests import HEADER_BYTES, WORDS, Request, UnknownPdu
from protocol.iscsi.responses import Response

Pdu: TypeAlias = Request | Response | UnknownPdu

_FINAL, _MORE = 0x80, 0x40
_READ_LENGTH_AHS = 2
_PADDING = (b"", b"\0\0\0", b"\0\0", b"\0")

__all__ = ["HEADER_BYTES", "Buffer", "Pdu", "ahs_bytes", "data_bytes", "decode", "frame"]


def data_bytes(header: Buffer) -> int:
    """How many bytes of data a header announces, without padding."""
    return int.from_bytes(header[5:8], "big")


def ahs_bytes(header: Buffer) -> int:
    """How many bytes of additional header segments it announces."""
    return header[4] * 4


def frame(pdu: Pdu, header_digest: bool = False, data_digest: bool = False) -> list[Buffer]:
    """The PDU as buffers to write in this order; its data are not copied."""
    header = pdu.header()
    if isinstance(pdu, ask.ScsiCommand) and pdu.read_bytes is not None:
        extra = b"\0\5\2\0" + pdu.read_bytes.to_bytes(4, "big")
        header = header[:4] + b"\2" + header[5:] + extra
    if header_digest:
        header += digest_of(header)
    data = pdu.segment() if isinstance(pdu, say.ScsiResponse) else pdu.data
    if not data:
        return [header]
    padding = _PADDING[len(data) % 4]
    if data_digest:
        return [header, data, padding + digest_of(data, padding)]
    return [header, data, padding] if padding else [header, data]


def decode(header: Buffer, ahs: Buffer = b"", data: Buffer = b"") -> Pdu:
    """The PDU of a whole header and what came with it. Raises `BadPdu`."""
    if len(header) != HEADER_BYTES:
        raise BadPdu(f"a header has 48 bytes, this one {len(header)}")
    make = _DECODERS.get(header[0] & 0x3F)
    if make is None:
        tag = int.from_bytes(header[16:20], "big")
        return UnknownPdu(header[0] & 0x3F, tag, bytes(header), data)
    if make is _command:
        return _command(header, ahs, data)
    return make(WORDS.unpack(header), data)


def _command(header: Buffer, ahs: Buffer, data: Buffer) -> ask.ScsiCommand:
    opcode, flags, _, _, _, lun, tag, expected, cmd_sn, exp_stat_sn, cdb = ask.COMMAND.unpack(
        header
    )
    read_bytes = None
    if len(ahs):
        cdb, read_bytes = _segments(bytes(ahs), cdb)
    return ask.ScsiCommand(
        lun,
        tag,
        expected,
        cmd_sn,
        exp_stat_sn,
        cdb,
        flags & 0x80 != 0,
        flags & 0x40 != 0,
        flags & 0x20 != 0,
        flags & 7,
        opcode & 0x40 != 0,
        data,
        read_bytes,
    )


def _segments(ahs: bytes, cdb: bytes) -> tuple[bytes, int | None]:
    """The rest of a long CDB and the length of a second direction, whichever are there."""
    read_bytes = None
    while ahs:
        length = int.from_bytes(ahs[:2], "big")
        kind, value = ahs[2] & 0x3F if len(ahs) > 2 else 0, ahs[4 : 3 + length]
        if length == 0 or 3 + length > len(ahs):
            raise BadPdu(f"an additional header segment of {length} bytes exceeds its {len(ahs)}")
        if kind == 1:
            cdb += value
        elif kind == _READ_LENGTH_AHS and len(value) == 4:
            read_bytes = int.from_bytes(value, "big")
        else:
            raise BadPdu(f"an additional header segment of type {kind}: 1 and 2 are known")
        ahs = ahs[(3 + length + 3) // 4 * 4 :]
    return cdb, read_bytes


_Words: TypeAlias = tuple[int, ...]


def _nop_out(w: _Words, data: Buffer) -> Pdu:
    return ask.NopOut(w[6], w[7], w[8], w[9], w[5], w[0] & 0x40 != 0, data)


def _management(w: _Words, data: Buffer) -> Pdu:
    now = w[0] & 0x40 != 0
    return ask.TaskManagementRequest(w[1] & 0x7F, w[5], w[6], w[7], w[8], w[9], w[10], now, data)


def _login(w: _Words, data: Buffer) -> Pdu:
    session, flags = w[5], w[1]
    return ask.LoginRequest(
        (session >> 16).to_bytes(6, "big"),
        session & 0xFFFF,
        w[6],
        w[7] >> 16,
        w[8],
        w[9],
        flags >> 2 & 3,
        flags & 3,
        flags & _FINAL != 0,
        flags & _MORE != 0,
        w[2],
        w[3],
        data,
    )


def _text(w: _Words, data: Buffer) -> Pdu:
    flags = (w[1] & _FINAL != 0, w[1] & _MORE != 0, w[0] & 0x40 != 0)
    return ask.TextRequest(w[6], w[7], w[8], w[9], w[5], *flags, data)


def _data_out(w: _Words, data: Buffer) -> Pdu:
    return ask.DataOut(w[5], w[6], w[7], w[9], w[11], w[12], w[1] & _FINAL != 0, data)


def _logout(w: _Words, data: Buffer) -> Pdu:
    now = w[0] & 0x40 != 0
    return ask.LogoutRequest(w[1] & 0x7F, w[6], w[7] >> 16, w[8], w[9], now, data)


def _nop_in(w: _Words, data: Buffer) -> Pdu:
    return say.NopIn(w[6], w[7], w[8], w[9], w[10], w[5], data)


def _response(w: _Words, data: Buffer) -> Pdu:
    sense = b""
    if len(data) >= 2:
        sense = bytes(data[2 : 2 + int.from_bytes(data[:2], "big")])
    left = _left(w[1], w[13])
    return say.ScsiResponse(
        w[6], w[8], w[9], w[10], w[3], w[2], w[11], left, sense, b"" if sense else data
    )


def _managed(w: _Words, data: Buffer) -> Pdu:
    return say.TaskManagementResponse(w[6], w[8], w[9], w[10], w[2], data)


def _logged_in(w: _Words, data: Buffer) -> Pdu:
    session, flags = w[5], w[1]
    return say.LoginResponse(
        (session >> 16).to_bytes(6, "big"),
        session & 0xFFFF,
        w[6],
        w[8],
        w[9],
        w[10],
        flags >> 2 & 3,
        flags & 3,
        flags & _FINAL != 0,
        flags & _MORE != 0,
        w[11] >> 16,
        w[2],
        w[3],
        data,
    )


def _told(w: _Words, data: Buffer) -> Pdu:
    flags = (w[1] & _FINAL != 0, w[1] & _MORE != 0)
    return say.TextResponse(w[6], w[7], w[8], w[9], w[10], w[5], *flags, data)


def _data_in(w: _Words, data: Buffer) -> Pdu:
    flags = w[1]
    status = w[3] if flags & 1 else None
    left = _left(flags, w[13]) if flags & 1 else 0
    return say.DataIn(
        w[6],
        w[11],
        w[12],
        w[9],
        w[10],
        flags & _FINAL != 0,
        w[8],
        status,
        left,
        w[5],
        w[7],
        flags & 0x40 != 0,
        data,
    )


def _logged_out(w: _Words, data: Buffer) -> Pdu:
    times = (w[12] >> 16, w[12] & 0xFFFF)
    return say.LogoutResponse(w[6], w[8], w[9], w[10], w[2], *times, data)


def _r2t(w: _Words, data: Buffer) -> Pdu:
    return say.R2T(w[5], w[6], w[7], w[8], w[9], w[10], w[11], w[12], w[13], data)


def _async(w: _Words, data: Buffer) -> Pdu:
    parameters = (w[11] & 0xFFFF, w[12] >> 16, w[12] & 0xFFFF)
    event, code = w[11] >> 24, w[11] >> 16 & 0xFF
    return say.AsyncMessage(w[8], w[9], w[10], event, w[5], code, parameters, data)


def _reject(w: _Words, data: Buffer) -> Pdu:
    return say.Reject(w[2], w[8], w[9], w[10], w[11], data)


def _left(flags: int, count: int) -> int:
    if flags & 0x04:
        return count
    return -count if flags & 0x02 else 0


_DECODERS: dict[int, Callable[..., Pdu]] = {
    0x00: _nop_out,
    0x01: _command,
    0x02: _management,
    0x03: _login,
    0x04: _text,
    0x05: _data_out,
    0x06: _logout,
    0x20: _nop_in,
    0x21: _response,
    0x22: _managed,
    0x23: _logged_in,
    0x24: _told,
    0x25: _data_in,
    0x26: _logged_out,
    0x31: _r2t,
    0x32: _async,
    0x3F: _reject,
}
