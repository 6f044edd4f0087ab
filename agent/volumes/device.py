"""The port to a disk that volumes and guests are written against; the edge has one over iSCSI
paths, a lab has others."""

from collections.abc import Sequence
from typing import Protocol


class BlockDevice(Protocol):
    """One LUN. Every method raises a `DiskError`; sizes that are not whole blocks are
    `OutOfRange`."""

    @property
    def block_bytes(self) -> int:
        """The disk's own block, usually 512: not the file system's."""

    @property
    def blocks(self) -> int: ...

    async def read_into(self, lba: int, target: memoryview) -> None:
        """Fill `target` with what lies at `lba`."""

    async def write(
        self, lba: int, buffers: Sequence[bytes | memoryview], fua: bool = False
    ) -> None:
        """Write `buffers` one behind the other; with `fua` they are on stable storage on return."""

    async def flush(self) -> None:
        """All that was written before is on stable storage on return."""
