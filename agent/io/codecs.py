"""How pages travel: what the choices of a migration mean for each of its streams."""

import time
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from agent.batches import Kind
from agent.compression import Compression
from agent.delta import apply, difference
from agent.encoding import Content, Decoder, Encoder, Packed
from agent.io.packers import Packers
from agent.kept_image import Hashes, kept_among
from agent.packing import Unpacker
from agent.runs import Pages
from agent.sent_pages import SentPages
from protocol.errors import BadBatch
from protocol.names import PAGE_BYTES
from protocol.travel import Compress, Travel

PIECE_PAGES = 64
"""Pages behind one frame: more would be hardly smaller, and fewer threads could work on a batch."""

TRIED_PAGES = 64
"""Pages of a batch with which a level of packing is tried."""

DELTA_PAGE_BYTES_MAX = PAGE_BYTES // 2
DELTA_PAGE_BYTES_MAX_PACKED = PAGE_BYTES // 4
"""With more changes a page had better be packed whole, where pages are packed."""

Positions = NDArray[np.intp]


def encoders_for(travel: Travel, vm_pages: int, kept: Hashes | None = None) -> list[Encoder]:
    """One for each stream; none where pages travel as they are.

    `kept`: the hashes of the pages that the target has kept, if it has.
    """
    if travel.compress is Compress.OFF and not travel.delta_bytes and kept is None:
        return []
    packers = Packers(travel.streams)
    return [StreamEncoder(travel, vm_pages, packers, kept) for _ in range(travel.streams)]


def decoder_for(image: Content | None = None) -> Decoder:
    """For one stream; `image` is the VM's memory where it holds what this node had kept."""
    return StreamDecoder(image)


class StreamEncoder:
    """What one stream of a connection packs, and what it remembers of it."""

    def __init__(
        self,
        travel: Travel,
        vm_pages: int,
        packers: Packers | None = None,
        kept: Hashes | None = None,
    ) -> None:
        self._packers = packers or Packers(travel.streams)
        self._level = travel.level if travel.compress is Compress.ZSTD else None
        self._compression: Compression | None = None
        if travel.compress is Compress.AUTO:
            self._compression = Compression(travel.rate_bytes_per_s / travel.streams)
        packs = travel.compress is not Compress.OFF
        self._delta_bytes_max = DELTA_PAGE_BYTES_MAX_PACKED if packs else DELTA_PAGE_BYTES_MAX
        self._sent_pages = SentPages(vm_pages, travel.delta_bytes // travel.streams)
        self._kept = kept
        self._round_no = 0
        self._raw_bytes = 0
        self._pack_s = 0.0

    @property
    def memory_bytes(self) -> int:
        """The most that it remembers, in bytes."""
        return self._sent_pages.memory_bytes

    @property
    def wants(self) -> bool:
        if self._level is not None or self._sent_pages.capacity or self._kept is not None:
            return True
        compression = self._compression
        return compression is not None and (
            compression.level is not None or compression.to_try() is not None
        )

    def begin(self, round_no: int) -> None:
        self._round_no = round_no
        if round_no:
            self._kept = None  # what the target had kept is what it was sent since
        if self._compression is not None:
            self._compression.begin(round_no)

    def encode(self, numbers: Pages, content: Content) -> Sequence[Packed]:
        parts, rest = self._known(numbers, content)
        self._sent_pages.remember(numbers, content, self._round_no)
        # Changes are no smaller for being packed, so for the choice they count as what they are.
        self._raw_bytes = len(rest) * PAGE_BYTES + sum(len(part.payload) for part in parts)
        self._pack_s = 0.0
        return parts + self._pack(rest, content)

    def zeroed(self, numbers: Pages) -> None:
        self._sent_pages.forget(numbers)

    def passed(self, numbers: Pages) -> None:
        self._sent_pages.forget(numbers)
        self._raw_bytes, self._pack_s = len(numbers) * PAGE_BYTES, 0.0

    def sent(self, wire_bytes: int, seconds: float) -> None:
        if self._compression is not None and self._raw_bytes:
            self._compression.sent(self._raw_bytes, wire_bytes, self._pack_s, seconds)
        self._raw_bytes, self._pack_s = 0, 0.0

    def _known(self, numbers: Pages, content: Content) -> tuple[list[Packed], Positions]:
        """What the target has, or nearly, and the positions of all else."""
        everything = np.arange(len(numbers))
        if self._kept is not None:
            return _parted(Packed(Kind.KEPT, kept_among(numbers, content, self._kept)), everything)
        if self._round_no == 0:
            return [], everything
        known = self._sent_pages.find(numbers)
        if not len(known):
            return [], everything
        old = self._sent_pages.copies(numbers[known])
        new = content if len(known) == len(numbers) else content[known]
        delta = difference(old, new, self._delta_bytes_max)
        return _parted(Packed(Kind.DELTA, known[delta.which], delta.payload), everything)

    def _pack(self, rest: Positions, content: Content) -> list[Packed]:
        """The rest as zstd frames where that pays, and otherwise as it is."""
        level, parts = self._level, []
        if self._compression is not None:
            level = self._compression.level
            if (tried := self._compression.to_try()) is not None:
                parts = self._packed(tried, rest[:TRIED_PAGES], content)
                rest = rest[TRIED_PAGES:]
        parts += [Packed(Kind.PAGES, rest)] if level is None else self._packed(level, rest, content)
        plain = [part.which for part in parts if part.kind is Kind.PAGES and len(part.which)]
        packed = [part for part in parts if part.kind is Kind.ZSTD]
        return [*packed, Packed(Kind.PAGES, np.concatenate(plain))] if plain else packed

    def _packed(self, level: int, which: Positions, content: Content) -> list[Packed]:
        """Piece by piece; those that become no smaller are PAGES."""
        if not len(which):
            return []
        pages = content if len(which) == len(content) else content[which]
        piece_pages = min(PIECE_PAGES, -(-len(which) // 2))
        starts = range(0, len(which), piece_pages)
        pieces = [pages[start : start + piece_pages] for start in starts]
        began = time.monotonic()
        frames = self._packers.pack(pieces, level)
        took_s = time.monotonic() - began
        self._pack_s += took_s
        if self._compression is not None:
            sizes = (
                piece.nbytes if frame is None else len(frame)
                for piece, frame in zip(pieces, frames, strict=True)
            )
            self._compression.packed(level, pages.nbytes, sum(sizes), took_s)
        return [
            Packed(Kind.PAGES, which[start : start + piece_pages])
            if frame is None
            else Packed(Kind.ZSTD, which[start : start + piece_pages], frame)
            for start, frame in zip(starts, frames, strict=True)
        ]


def _parted(part: Packed, everything: Positions) -> tuple[list[Packed], Positions]:
    if not len(part.which):
        return [], everything
    rest = np.ones(len(everything), np.bool_)
    rest[part.which] = False
    return [part], np.flatnonzero(rest)


class StreamDecoder:
    """Undoes what a stream's encoder did, and believes none of it.

    `image`: the VM's memory, if it holds what this node had kept.
    """

    def __init__(self, image: Content | None = None) -> None:
        self._image = image
        self._unpacker = Unpacker()

    def decode(self, kind: Kind, numbers: Pages, payload: memoryview, out: Content) -> None:
        match kind:
            case Kind.ZSTD:
                self._unpacker.unpack(payload, out)
            case Kind.DELTA:
                apply(payload, out)
            case Kind.KEPT if self._image is not None:
                out[:] = self._image[numbers]
            case _:
                raise BadBatch(f"a batch of kind {kind.name} is not for this target")
