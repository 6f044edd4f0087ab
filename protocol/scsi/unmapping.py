"""The parameter list of UNMAP: ranges of blocks to give back."""

import struct

from protocol.scsi.errors import IllegalRequest
from protocol.scsi.sense import PARAMETER_LIST_LENGTH

HEAD_BYTES = 8
RANGE_BYTES = 16

Ranges = tuple[tuple[int, int], ...]
"""First block and number of blocks, each."""


def write_ranges(ranges: Ranges) -> bytes:
    body = b"".join(struct.pack(">QI4x", lba, blocks) for lba, blocks in ranges)
    return struct.pack(">HH4x", len(body) + HEAD_BYTES - 2, len(body)) + body


def read_ranges(data: bytes) -> Ranges:
    """All whole ranges; an empty list is no mistake."""
    if not data:
        return ()
    if len(data) < HEAD_BYTES:
        raise IllegalRequest(
            PARAMETER_LIST_LENGTH, f"UNMAP's list begins with {HEAD_BYTES} bytes, not {len(data)}."
        )
    (announced,) = struct.unpack_from(">H", data, 2)
    body = data[HEAD_BYTES : HEAD_BYTES + announced]
    whole = len(body) // RANGE_BYTES * RANGE_BYTES
    return tuple(struct.iter_unpack(">QI4x", body[:whole]))
