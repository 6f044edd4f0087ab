"""Post-copy, the words and the bytes: maps of missing pages, and the batches that bring them.

    magic  version  zero  attempt  pages  payload    checksum   numbers        pages
    4s     u16      u16   u64      u32    u32        u64        pages x u32    payload bytes

All numbers are little-endian. The checksum (xxh3, 64 bits) covers the numbers and the pages. A
batch names up to `PAGES_MAX` pages, ascending; of those that hold nothing but zeros no bytes
travel. Whoever reads one treats every byte as hostile.
"""

import struct
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import xxhash

from agent.guests.disk_queue import OWN_PAGE
from agent.runs import PageMap, Pages, Runs, all_pages, joined, minus
from protocol.errors import BadBatch
from protocol.messages import MissingPages, PagesLacking
from protocol.names import PAGE_BYTES, AttemptId, VmSpec
from protocol.workload import disk_bytes

MAGIC = b"HVPP"
VERSION = 1
PAGES_MAX = 256
PART_BYTES = 256 * 1024
"""How many bytes of a map travel in one message."""

GAP_PAGES = 8
"""Up to so many pages between two that are missing are sent again: the target takes one run out of
its memory in the time in which it takes out two.
"""

_HEADER = struct.Struct("<4sHHQIIQ")
_NUMBER = np.dtype("<u4")
HEADER_BYTES = _HEADER.size
NUMBER_BYTES = _NUMBER.itemsize

Content = npt.NDArray[np.uint64]


@dataclass(frozen=True, slots=True)
class Header:
    """The fixed part of a batch, checked in itself but not yet against any VM."""

    attempt: AttemptId
    pages: int
    payload_bytes: int
    checksum: int

    @property
    def numbers_bytes(self) -> int:
        return self.pages * NUMBER_BYTES


def encode(attempt: AttemptId, numbers: Pages, content: Content) -> tuple[bytes, Content]:
    """The bytes before the pages of one batch, and the pages that follow them: none where all are
    zero.
    """
    assert 0 < len(numbers) <= PAGES_MAX, "the sender must split what it sends"
    named = numbers.astype(_NUMBER).tobytes()
    zero = not content.any()
    payload = content[:0] if zero else content
    checksum = checksum_of(named, payload)
    head = _HEADER.pack(
        *(MAGIC, VERSION, zero, attempt, len(numbers), len(payload) * PAGE_BYTES, checksum)
    )
    return head + named, payload


def checksum_of(numbers: bytes | memoryview, content: Content) -> int:
    hashed = xxhash.xxh3_64(numbers)
    hashed.update(np.ascontiguousarray(content).data)
    return hashed.intdigest()


def decode_header(data: bytes | bytearray | memoryview) -> Header:
    """Read the fixed part, or raise BadBatch before anything is allocated for the rest."""
    if len(data) != HEADER_BYTES:
        raise BadBatch(f"a pull's header has {HEADER_BYTES} bytes, this one {len(data)}")
    magic, version, zero, attempt, pages, payload_bytes, checksum = _HEADER.unpack(data)
    if magic != MAGIC or version != VERSION:
        raise BadBatch(f"a pull's batch begins with {MAGIC!r} and {VERSION}, not {magic!r}")
    if not 0 < pages <= PAGES_MAX:
        raise BadBatch(f"{pages} pages in a pull's batch, allowed are 1 to {PAGES_MAX}")
    if zero not in (0, 1) or payload_bytes != (0 if zero else pages * PAGE_BYTES):
        raise BadBatch(f"{pages} pages do not take {payload_bytes} bytes")
    return Header(AttemptId(attempt), pages, payload_bytes, checksum)


def decode_numbers(header: Header, data: bytes | bytearray | memoryview, vm_pages: int) -> Pages:
    """The batch's pages, every one of them inside a VM of `vm_pages` pages, or BadBatch."""
    numbers = np.frombuffer(data, dtype=_NUMBER).astype(np.int64)
    if len(numbers) != header.pages or bool((numbers[1:] <= numbers[:-1]).any()):
        raise BadBatch("pages that do not ascend")
    if int(numbers[-1]) >= vm_pages:
        raise BadBatch(f"a batch names page {int(numbers[-1])}, the VM has {vm_pages}")
    return numbers


# ---- which pages are missing


def missing_of(unsent: Runs, spec: VmSpec) -> Runs:
    """What the target will lack, of pages that it does not have as they are now: not those that a
    worker looks at before its guest runs, its registers and the disk's queue.
    """
    at_once = all_pages(min(spec.pages, OWN_PAGE if disk_bytes(spec) else 1))
    return minus(joined(unsent, GAP_PAGES), at_once)


# ---- maps


def bitmaps(missing: PageMap) -> Iterator[tuple[int, bytes]]:
    """The map in parts: the first page of each, and its bits. Parts without a page are left out."""
    packed = np.packbits(missing)
    for start in range(0, len(packed), PART_BYTES):
        part = packed[start : start + PART_BYTES]
        if part.any():
            yield start * 8, part.tobytes()


def missing_parts(attempt: AttemptId, missing: PageMap) -> tuple[MissingPages, ...]:
    return tuple(MissingPages(attempt, first, bits) for first, bits in bitmaps(missing))


def lacking_parts(attempt: AttemptId, missing: PageMap) -> list[PagesLacking]:
    parts = list(bitmaps(missing)) or [(0, b"")]
    last = len(parts) - 1
    return [
        PagesLacking(attempt, first, bits, index == last)
        for index, (first, bits) in enumerate(parts)
    ]


def mark(missing: PageMap, first: int, bitmap: bytes) -> PageMap:
    """Mark in `missing` what a part of a map names, and return that part alone; BadBatch if it
    names what the VM does not have.
    """
    if first < 0 or first % 8 or first + len(bitmap) * 8 > -(-len(missing) // 8) * 8:
        raise BadBatch(f"a map of {len(bitmap)} bytes from page {first} on, of {len(missing)}")
    bits = np.unpackbits(np.frombuffer(bitmap, np.uint8)).astype(np.bool_)
    inside = bits[: len(missing) - first]
    if bits[len(inside) :].any():
        raise BadBatch(f"a map names pages behind the last one, {len(missing) - 1}")
    named = np.zeros(len(missing), np.bool_)
    named[first : first + len(inside)] = inside
    missing |= named
    return named


def within(wanted: Iterable[int], vm_pages: int) -> Sequence[int]:
    """The pages that were asked for; BadBatch if one is not the VM's."""
    asked = list(wanted)
    if any(not 0 <= page < vm_pages for page in asked):
        raise BadBatch(f"a page was asked for that a VM of {vm_pages} pages has not")
    return asked
