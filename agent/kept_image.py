"""What a node still has of a VM that has left it: enough to say which pages need not come back.

A page is told by a hash of 128 bits, for which two different pages collide by chance once in 2^128;
the checksum of its batch, another hash of the pages themselves, would have to collide as well
before a wrong page stood. The hash is no secret and no match for somebody who wants collisions: a
guest that makes some spoils its own memory and no other.
"""

from dataclasses import dataclass, field

import numpy as np
import xxhash
from numpy.typing import NDArray

from agent.encoding import Content
from agent.runs import Pages
from protocol.names import PAGE_BYTES, VmName

HASH_BYTES = 16

Hashes = NDArray[np.uint64]
"""Two words for each page."""


def hashes_of(content: Content) -> Hashes:
    data = content.reshape(-1).data.cast("B")
    starts = range(0, len(data), PAGE_BYTES)
    digests = b"".join(xxhash.xxh3_128_digest(data[at : at + PAGE_BYTES]) for at in starts)
    return np.frombuffer(digests, np.uint64).reshape(-1, 2)


def table_bytes(vm_pages: int) -> int:
    return vm_pages * HASH_BYTES


def table_from(data: bytes | bytearray | memoryview) -> Hashes:
    """The hashes of all pages of a VM as they came from its target."""
    assert len(data) % HASH_BYTES == 0, "whoever reads a table knows how long it is"
    return np.frombuffer(data, np.uint64).reshape(-1, 2)


def kept_among(numbers: Pages, content: Content, table: Hashes) -> NDArray[np.intp]:
    """The positions of those pages that the target has, by its own word."""
    return np.flatnonzero((hashes_of(content) == table[numbers]).all(axis=1))


@dataclass(slots=True)
class KeptBudget:
    """Which images fit; the oldest go first."""

    budget_bytes: int
    _sizes: dict[VmName, int] = field(default_factory=dict)

    @property
    def kept_bytes(self) -> int:
        return sum(self._sizes.values())

    def keep(self, vm: VmName, memory_bytes: int) -> tuple[bool, tuple[VmName, ...]]:
        """Whether this image is kept, and which ones go for it; an older one of the same VM does
        in any case.
        """
        gone = [vm] if self._sizes.pop(vm, None) is not None else []
        if memory_bytes > self.budget_bytes:
            return False, tuple(gone)
        while self.kept_bytes + memory_bytes > self.budget_bytes:
            gone.append(oldest := next(iter(self._sizes)))
            del self._sizes[oldest]
        self._sizes[vm] = memory_bytes
        return True, tuple(gone)

    def let_go(self, vm: VmName) -> None:
        self._sizes.pop(vm, None)

    def oldest(self) -> VmName | None:
        return next(iter(self._sizes), None)
