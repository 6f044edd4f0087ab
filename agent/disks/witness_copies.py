"""Copies of the cluster database on a disk witness: two places, of which the older is overwritten.

The heading of the place goes first and comes back last, so there is a whole copy at every moment.
"""

import msgpack  # type: ignore[import-untyped]
from crc32c import crc32c

from agent.copy_record import CopyName, DatabaseCopy, packed, unpacked
from agent.disks import commands
from agent.disks.witness_area import (
    COPY_BYTES_MAX,
    PAGE_BYTES,
    Heading,
    copy_at,
    is_damaged,
    read_heading,
)
from agent.disks.witness_register import TRIES, Ask, Outcome, Talk, WitnessRegister
from protocol.errors import NotReady, ProtocolError, Refused
from protocol.parts import CONTENT_BYTES_MAX

PIECE_BYTES = 256 * 1024
READ_TRIES = 3
"""A copy may be overwritten while it is read; then there are two newer ones."""

NOT_HELD = "this node does not hold the disk witness any more: the copy was not kept"


def keep(register: WitnessRegister, copy: DatabaseCopy) -> Talk[None]:
    """As `CopyPort` has it."""
    if not (yield from register.is_held()):
        raise NotReady(NOT_HELD)
    holds = register.holds
    headings = [read_heading(block) for block in (yield from _blocks(register))]
    known = [heading for heading in headings if heading is not None]
    name = (int(copy.name.term), copy.name.revision)
    if known and (max(known).term, max(known).revision) >= name:
        return
    newest = headings.index(max(known)) if known else 1
    body = msgpack.packb([packed(copy.name), copy.content])
    if len(body) > COPY_BYTES_MAX:
        raise Refused(f"a copy of {len(body)} bytes does not fit on the disk witness")
    at, block = copy_at(1 - newest), register.block_bytes
    pieces = [(at, bytes(block))]
    padded = body.ljust(-(-len(body) // PAGE_BYTES) * PAGE_BYTES, b"\0")
    for begin in range(0, len(padded), PIECE_BYTES):
        pieces.append((at + PAGE_BYTES + begin, padded[begin : begin + PIECE_BYTES]))
    pieces.append((at, Heading(*name, len(body), crc32c(body)).write(block)))
    for place, piece in pieces:
        yield from _write(register, holds, place, piece)


def newest(register: WitnessRegister) -> Talk[DatabaseCopy | None]:
    """As `CopyPort` has it."""
    for _ in range(READ_TRIES):
        blocks = yield from _blocks(register)
        if any(map(is_damaged, blocks)):
            raise NotReady("the heading of a copy on the disk witness cannot be read")
        headings = [read_heading(block) for block in blocks]
        known = [heading for heading in headings if heading is not None]
        if not known:
            return None
        number = headings.index(max(known))
        body = yield from _body(register, number, max(known).length)
        if crc32c(body) == max(known).checksum:
            return _opened(body)
        again = yield from register.read_at(copy_at(number), register.block_bytes)
        if read_heading(again) == max(known):
            raise NotReady("the copy on the disk witness cannot be read: its bytes are not its own")
    raise NotReady("the copy on the disk witness changes faster than it can be read: ask again")


def _blocks(register: WitnessRegister) -> Talk[list[bytes]]:
    """Those with the headings of both copies."""
    found = []
    for number in (0, 1):
        found.append((yield from register.read_at(copy_at(number), register.block_bytes)))
    return found


def _body(register: WitnessRegister, number: int, length: int) -> Talk[bytes]:
    if length > COPY_BYTES_MAX:
        raise NotReady(f"the copy on the disk witness says that it has {length} bytes")
    body, at = bytearray(), copy_at(number) + PAGE_BYTES
    while len(body) < length:
        left = -(-(length - len(body)) // PAGE_BYTES) * PAGE_BYTES
        body += yield from register.read_at(at + len(body), min(PIECE_BYTES, left))
    return bytes(body[:length])


def _write(register: WitnessRegister, holds: int, at: int, content: bytes) -> Talk[None]:
    """Under the hold that it was begun with, and no later one: others may have written between."""
    block = register.block_bytes
    cdb = commands.write_cdb(at // block, len(content) // block, fua=True)
    for _ in range(TRIES):
        if register.holds != holds:
            break
        answer = yield Ask(cdb, content)
        if answer.outcome is Outcome.DONE:
            return
        if answer.outcome is Outcome.FAILED:
            raise answer.error or NotReady("the disk witness does not take the copy")
        if answer.outcome is Outcome.CONFLICT:
            break
    raise NotReady(NOT_HELD)


def _opened(body: bytes) -> DatabaseCopy:
    try:
        name, rows = msgpack.unpackb(body)
        if type(rows) is not bytes or len(rows) > CONTENT_BYTES_MAX:
            raise ValueError("its content is not one of bytes")
        found: CopyName = unpacked(name)
        return DatabaseCopy(found, rows)
    except (ValueError, TypeError, ProtocolError, msgpack.UnpackException) as error:
        raise NotReady(f"the copy on the disk witness cannot be read ({error})") from error
