"""What stands before the pages on a data stream: one header for a batch, never one for a page.

    magic  version  kind  attempt  round  runs  payload    starts      counts      pages
    4s     u16      u16   u64      u32    u32   u32        runs x u32  runs x u32  payload bytes

All numbers are little-endian. Whoever reads this treats every byte as hostile: a batch either
names pages inside the VM, ascending and each once, with a payload of exactly their size, or it is
refused.
"""

import enum
import struct
from dataclasses import dataclass

import numpy as np

from agent.runs import Runs
from protocol.errors import BadBatch
from protocol.names import PAGE_BYTES, AttemptId

MAGIC = b"HVPG"
VERSION = 1
RUNS_MAX = 4096
PAGES_MAX = 4096
PAYLOAD_BYTES_MAX = PAGES_MAX * PAGE_BYTES

_HEADER = struct.Struct("<4sHHQIII")
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


@dataclass(frozen=True, slots=True)
class Header:
    """The fixed part of a batch, checked in itself but not yet against any VM."""

    kind: Kind
    attempt: AttemptId
    round_no: int
    runs: int
    payload_bytes: int

    @property
    def runs_bytes(self) -> int:
        return self.runs * RUN_BYTES


def encode(kind: Kind, attempt: AttemptId, round_no: int, runs: Runs) -> bytes:
    """The bytes that go before the pages of one batch."""
    pages = runs.pages
    assert pages <= PAGES_MAX, "the sender must split what it sends"
    assert (pages == 0) == (kind is Kind.END), "only the end of a round has no pages"
    payload_bytes = pages * PAGE_BYTES if kind is Kind.PAGES else 0
    header = _HEADER.pack(MAGIC, VERSION, kind, attempt, round_no, len(runs), payload_bytes)
    return b"".join(
        (header, runs.starts.astype(_NUMBER).tobytes(), runs.counts.astype(_NUMBER).tobytes())
    )


def decode_header(data: bytes | bytearray | memoryview) -> Header:
    """Read the fixed part, or raise BadBatch before anything is allocated for the rest."""
    if len(data) != HEADER_BYTES:
        raise BadBatch(f"a header has {HEADER_BYTES} bytes, this one {len(data)}")
    magic, version, kind_no, attempt, round_no, runs, payload_bytes = _HEADER.unpack(data)
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
    if payload_bytes > PAYLOAD_BYTES_MAX or (payload_bytes == 0) != (kind is not Kind.PAGES):
        raise BadBatch(f"a payload of {payload_bytes} bytes in a batch of kind {kind.name}")
    return Header(kind, AttemptId(attempt), round_no, runs, payload_bytes)


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
    if bool((runs.starts[1:] < runs.ends[:-1]).any()):
        raise BadBatch("runs that overlap or do not ascend")
    if int(runs.ends[-1]) > vm_pages:
        raise BadBatch(f"a run ends at page {int(runs.ends[-1])}, the VM has {vm_pages}")
    if runs.pages > PAGES_MAX:
        raise BadBatch(f"{runs.pages} pages in one batch, allowed are {PAGES_MAX}")
    if header.kind is Kind.PAGES and runs.pages * PAGE_BYTES != header.payload_bytes:
        raise BadBatch(f"{runs.pages} pages do not take {header.payload_bytes} bytes")
    return runs
