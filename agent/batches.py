"""What stands before the pages on a data stream: one header for a batch, never one for a page.

    magic  version  kind  attempt  round  runs  payload  checksum  starts, counts  content
    4s     u16      u16   u64      u32    u32   u32      u64       runs x u32 each payload bytes

All numbers are little-endian. Whoever reads this treats every byte as hostile: a batch either
names pages inside the VM, ascending and each once, with a payload that fits their size, or it is
refused.
"""

import enum
import struct
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import xxhash

from agent.runs import Runs
from protocol.errors import BadBatch
from protocol.names import PAGE_BYTES, AttemptId

MAGIC = b"HVPG"
VERSION = 2
RUNS_MAX = 4096
PAGES_MAX = 4096
STAGED_PAGES_MAX = 256
"""Pages of a batch that either side gathers in a buffer of its own, which fits in a cache."""
PAYLOAD_BYTES_MAX = PAGES_MAX * PAGE_BYTES
STAGED_BYTES_MAX = STAGED_PAGES_MAX * PAGE_BYTES

_HEADER = struct.Struct("<4sHHQIIIQ")
_NUMBER = np.dtype("<u4")

HEADER_BYTES = _HEADER.size
RUN_BYTES = 2 * _NUMBER.itemsize


class Kind(enum.IntEnum):
    """What a batch says about its pages."""

    PAGES = 1
    """Their bytes follow."""

    ZERO = 2
    """They hold nothing but zeros; no bytes follow."""

    END = 3
    """There are no more pages on this stream in this round."""

    ZSTD = 4
    """Their bytes follow as one zstd frame."""

    DELTA = 5
    """Those of their words follow that are not what was sent last."""

    KEPT = 6
    """The target has them in an image that it kept; no bytes follow."""


_MOST_BYTES = {
    Kind.PAGES: PAYLOAD_BYTES_MAX,
    Kind.ZSTD: STAGED_BYTES_MAX,
    Kind.DELTA: STAGED_BYTES_MAX,
}
"""Kinds with a payload, and how long it may be; it is not empty either."""

DECODED = frozenset({Kind.ZSTD, Kind.DELTA, Kind.KEPT})
"""Kinds whose pages the target makes itself, in a buffer of `STAGED_PAGES_MAX` pages."""


@dataclass(frozen=True, slots=True)
class Header:
    """The fixed part of a batch, checked in itself but not yet against any VM.

    `checksum` is that of the pages as the source read them, 0 where nobody took one.
    """

    kind: Kind
    attempt: AttemptId
    round_no: int
    runs: int
    payload_bytes: int
    checksum: int = 0

    @property
    def runs_bytes(self) -> int:
        return self.runs * RUN_BYTES


def checksum_of(content: npt.NDArray[np.uint64]) -> int:
    """Of pages in one piece, for a header; never 0, which says that there is none."""
    return xxhash.xxh3_64_intdigest(content.data) or 1


def encode(
    kind: Kind,
    attempt: AttemptId,
    round_no: int,
    runs: Runs,
    *,
    payload_bytes: int = 0,
    checksum: int = 0,
) -> bytes:
    """The bytes that go before the content of one batch; that of PAGES is as long as they are."""
    pages = runs.pages
    assert pages <= PAGES_MAX, "the sender must split what it sends"
    assert (pages == 0) == (kind is Kind.END), "only the end of a round has no pages"
    if kind is Kind.PAGES:
        payload_bytes = pages * PAGE_BYTES
    header = _HEADER.pack(
        MAGIC, VERSION, kind, attempt, round_no, len(runs), payload_bytes, checksum
    )
    return b"".join(
        (header, runs.starts.astype(_NUMBER).tobytes(), runs.counts.astype(_NUMBER).tobytes())
    )


def decode_header(data: bytes | bytearray | memoryview) -> Header:
    """Read the fixed part, or raise BadBatch before anything is allocated for the rest."""
    if len(data) != HEADER_BYTES:
        raise BadBatch(f"a header has {HEADER_BYTES} bytes, this one {len(data)}")
    magic, version, kind_no, attempt, round_no, runs, payload_bytes, checksum = _HEADER.unpack(data)
    if magic != MAGIC:
        raise BadBatch(f"a batch begins with {MAGIC!r}, this one with {magic!r}")
    if version != VERSION:
        raise BadBatch(f"batches of version {version} are not spoken here, only {VERSION}")
    try:
        kind = Kind(kind_no)
    except ValueError:
        raise BadBatch(f"there is no kind {kind_no} of batch") from None
    if runs > RUNS_MAX or (runs == 0) != (kind is Kind.END):
        raise BadBatch(f"{runs} runs in a batch of kind {kind.name}, allowed are 1 to {RUNS_MAX}")
    most = _MOST_BYTES.get(kind, 0)
    if payload_bytes > most or (payload_bytes == 0) != (most == 0):
        raise BadBatch(f"a payload of {payload_bytes} bytes in a batch of kind {kind.name}")
    if checksum and kind in (Kind.ZERO, Kind.END):
        raise BadBatch(f"a checksum in a batch of kind {kind.name}, which has no content")
    if not checksum and kind is Kind.KEPT:
        raise BadBatch("kept pages without a checksum, which alone says that they are the same")
    return Header(kind, AttemptId(attempt), round_no, runs, payload_bytes, checksum)


def decode_runs(header: Header, data: bytes | bytearray | memoryview, vm_pages: int) -> Runs:
    """The batch's pages, every one of them inside a VM of `vm_pages` pages, or BadBatch."""
    if len(data) != header.runs_bytes:
        raise BadBatch(f"{header.runs} runs take {header.runs_bytes} bytes, these {len(data)}")
    # 64 bits: two numbers of the wire cannot overflow when they are added.
    numbers = np.frombuffer(data, dtype=_NUMBER).astype(np.int64)
    runs = Runs(numbers[: header.runs], numbers[header.runs :])
    if header.runs == 0:
        return runs
    if int(runs.counts.min()) == 0:
        raise BadBatch("a run without pages")
    if header.runs > 1 and bool((runs.starts[1:] < runs.ends[:-1]).any()):
        raise BadBatch("runs that overlap or do not ascend")
    end, pages = int(runs.starts[-1]) + int(runs.counts[-1]), runs.pages
    if end > vm_pages:
        raise BadBatch(f"a run ends at page {end}, the VM has {vm_pages}")
    if pages > PAGES_MAX:
        raise BadBatch(f"{pages} pages in one batch, allowed are {PAGES_MAX}")
    if header.kind is Kind.PAGES and pages * PAGE_BYTES != header.payload_bytes:
        raise BadBatch(f"{pages} pages do not take {header.payload_bytes} bytes")
    if header.kind in DECODED:
        if pages > STAGED_PAGES_MAX:
            raise BadBatch(
                f"{pages} pages in a batch of kind {header.kind.name}, "
                f"allowed are {STAGED_PAGES_MAX}"
            )
        if header.payload_bytes > pages * PAGE_BYTES:
            raise BadBatch(f"{header.payload_bytes} bytes are more than {pages} pages take")
    return runs
