"""How a disk witness looks on its LUN: two slots for records, and two for copies of the database.

```text
0           slot of even versions     32 KiB
32 KiB      slot of odd versions      32 KiB
128 KiB     first copy                one block of heading, then its bytes
...         second copy
```

What is written replaces the older of two, so whatever becomes of a write, the newest that was
whole before it is whole after it.
"""

from dataclasses import dataclass
from struct import Struct

from crc32c import crc32c

from protocol.disks import WITNESS_BYTES_MIN
from protocol.errors import NotReady, Refused
from protocol.parts import CONTENT_BYTES_MAX

MAGIC = b"HVLABWTN"
COPY_MAGIC = b"HVLABCPY"
FORMAT = 1

PAGE_BYTES = 4096
SLOT_BYTES = 32 * 1024
RECORDS_BYTES = 2 * SLOT_BYTES
COPIES_AT_BYTES = 128 * 1024
COPY_BYTES_MAX = CONTENT_BYTES_MAX + 64 * 1024
COPY_SLOT_BYTES = PAGE_BYTES + COPY_BYTES_MAX
WITNESS_BYTES = COPIES_AT_BYTES + 2 * COPY_SLOT_BYTES
assert WITNESS_BYTES <= WITNESS_BYTES_MIN, WITNESS_BYTES

_SLOT = Struct(">8sIIQI")
_COPY = Struct(">8sIIQQII")


# ---- records


def sealed(version: int, body: bytes) -> bytes:
    """The slot of this version, in whole pages."""
    if _SLOT.size + len(body) > SLOT_BYTES:
        raise Refused(f"a record of {len(body)} bytes does not fit into a slot of {SLOT_BYTES}")
    checked = crc32c(body, crc32c(version.to_bytes(8, "big")))
    return _padded(_SLOT.pack(MAGIC, FORMAT, checked, version, len(body)) + body)


def slot_at(version: int) -> int:
    """Where the slot of this version begins, in bytes."""
    return version % 2 * SLOT_BYTES


def newest_of(records: bytes | bytearray) -> tuple[int, bytes | None]:
    """The newest version and its body. `NotReady` if there is something, and none of it whole."""
    slots = bytes(records[:SLOT_BYTES]), bytes(records[SLOT_BYTES:RECORDS_BYTES])
    whole = [found for number in (0, 1) if (found := _unsealed(slots[number], number)) is not None]
    if whole:
        return max(whole)
    if not any(map(any, slots)):
        return 0, None
    raise NotReady(
        "the disk holds something else than the records of a witness, or they cannot be read; give"
        " the cluster a witness on a disk that is blank"
    )


def version_in(records: bytes | bytearray, version: int) -> bytes | None:
    """The body of this very version, if its slot still has it."""
    at = slot_at(version)
    found = _unsealed(bytes(records[at : at + SLOT_BYTES]), version % 2)
    return found[1] if found is not None and found[0] == version else None


def is_witness(head: bytes) -> bool:
    """Whether a disk that begins so is a witness, or was one."""
    return any(head[at : at + len(MAGIC)] == MAGIC for at in (0, SLOT_BYTES))


def _unsealed(slot: bytes, number: int) -> tuple[int, bytes] | None:
    magic, form, checked, version, length = _SLOT.unpack_from(slot)
    body = slot[_SLOT.size : _SLOT.size + length]
    if magic != MAGIC or form != FORMAT or len(body) != length or version % 2 != number:
        return None
    if crc32c(body, crc32c(version.to_bytes(8, "big"))) != checked:
        return None
    return version, body


# ---- copies of the database


@dataclass(frozen=True, slots=True, order=True)
class Heading:
    """What stands before a copy: which one it is, and what its bytes must come to."""

    term: int
    revision: int
    length: int
    checksum: int

    def write(self, block_bytes: int) -> bytes:
        """One block, which is there wholly or not at all."""
        words = (self.term, self.revision, self.length, self.checksum)
        body = _COPY.pack(COPY_MAGIC, FORMAT, 0, *words)
        return (body + crc32c(body).to_bytes(4, "big")).ljust(block_bytes, b"\0")


def is_damaged(block: bytes) -> bool:
    """Whether there was a heading that cannot be read any more."""
    return block.startswith(COPY_MAGIC) and read_heading(block) is None


def read_heading(block: bytes | bytearray) -> Heading | None:
    """None: there is no whole copy."""
    magic, form, _, *words = _COPY.unpack_from(block)
    said = int.from_bytes(block[_COPY.size : _COPY.size + 4], "big")
    if magic != COPY_MAGIC or form != FORMAT or crc32c(bytes(block[: _COPY.size])) != said:
        return None
    return Heading(*words)


def copy_at(number: int) -> int:
    """Where the heading of a copy stands, in bytes; its content follows a page later."""
    return COPIES_AT_BYTES + number * COPY_SLOT_BYTES


def _padded(content: bytes) -> bytes:
    return content.ljust(-(-len(content) // PAGE_BYTES) * PAGE_BYTES, b"\0")
