"""CRC32C as RFC 7143 section 13.1 wants it on the wire: four bytes, least significant first."""

from collections.abc import Sequence
from typing import TypeAlias

from crc32c import crc32c

Buffer: TypeAlias = bytes | bytearray | memoryview

DIGEST_BYTES = 4


def digest_of(*buffers: Buffer) -> bytes:
    """The digest of the buffers in their order, as if they were one."""
    value = 0
    for buffer in buffers:
        value = crc32c(buffer, value)
    return value.to_bytes(DIGEST_BYTES, "little")


def is_digest_of(digest: Buffer, buffers: Sequence[Buffer]) -> bool:
    return bytes(digest) == digest_of(*buffers)
