"""Pages as one zstd frame, and back: how a batch travels where the wire is slower than packing."""

import numpy as np
import zstandard
from numpy.typing import NDArray

from protocol.errors import BadBatch
from protocol.names import PAGE_BYTES
from protocol.travel import ZSTD_LEVELS

WORTH_IT = 0.97
"""A frame that is not smaller than this share of its pages is not sent: they are."""

FASTEST_LEVEL = -7
_WINDOW_BYTES_MAX = 16 * 1024 * 1024


class Packer:
    """Packs the batches of one stream; one thread at a time."""

    def __init__(self) -> None:
        self._compressors: dict[int, zstandard.ZstdCompressor] = {}

    def pack(self, content: NDArray[np.uint64], level: int) -> bytes | None:
        """One frame with all these pages, or None if it would save next to nothing."""
        assert FASTEST_LEVEL <= level <= ZSTD_LEVELS[-1], "a level that nobody has"
        compressor = self._compressors.get(level)
        if compressor is None:
            compressor = self._compressors[level] = zstandard.ZstdCompressor(
                level=level, write_checksum=False, write_content_size=True
            )
        packed = compressor.compress(content.reshape(-1).data)
        return packed if len(packed) < content.nbytes * WORTH_IT else None


class Unpacker:
    """Unpacks the batches of one stream, none of which it trusts; one thread at a time."""

    def __init__(self) -> None:
        # A frame says how much must be remembered to read it, and that much would be allocated.
        self._decompressor = zstandard.ZstdDecompressor(max_window_size=_WINDOW_BYTES_MAX)

    def unpack(self, payload: memoryview, pages: NDArray[np.uint64]) -> None:
        """Fill `pages` from exactly one frame of exactly their bytes, or raise `BadBatch`."""
        try:
            told = zstandard.get_frame_parameters(payload)
            # Asked first, since so many bytes are allocated before the first one is unpacked.
            if told.content_size != pages.nbytes:
                raise BadBatch(
                    f"a frame of {told.content_size} bytes for {len(pages)} pages of {PAGE_BYTES}"
                )
            if told.dict_id:
                raise BadBatch(f"a frame that needs dictionary {told.dict_id}; none is known")
            content = self._decompressor.decompress(
                payload, max_output_size=pages.nbytes, allow_extra_data=False
            )
        except zstandard.ZstdError as error:
            raise BadBatch(f"a batch that cannot be unpacked: {error}") from None
        if len(content) != pages.nbytes:
            raise BadBatch(f"a frame gave {len(content)} bytes for {len(pages)} pages")
        pages.reshape(-1)[:] = np.frombuffer(content, dtype=np.uint64)
