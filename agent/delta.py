"""Pages as what changed in them since they were last sent.

    counts    places    masks    bytes
    u16 each  u16 each  u8 each  as many as the masks have bits

`counts` says for each page how many of its 512 words changed, `places` which ones, and a word's
mask which of its 8 bytes, the lowest first. All numbers are little-endian, as on every machine
that this runs on.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from protocol.errors import BadBatch
from protocol.names import PAGE_BYTES

PAGE_WORDS = PAGE_BYTES // 8
_COUNT = np.dtype("<u2")
_WORD_BYTES = _COUNT.itemsize + 1
"""What a changed word costs beside its bytes: its place and its mask."""

_PAGE_SHIFT = PAGE_WORDS.bit_length() - 1
_PLACE = PAGE_WORDS - 1
_BITS = np.unpackbits(np.arange(256, dtype=np.uint8)[:, np.newaxis], axis=1).sum(
    axis=1, dtype=np.uint8
)
"""How many bits each mask has."""


@dataclass(frozen=True, slots=True, eq=False)
class Delta:
    """`which`: where the pages that travel so are, ascending; the others changed too much."""

    which: NDArray[np.intp]
    payload: bytes


def difference(
    old: NDArray[np.uint64], new: NDArray[np.uint64], page_bytes_max: int = PAGE_BYTES // 2
) -> Delta:
    """What turns `old` into `new`, of those pages where it takes no more than `page_bytes_max`."""
    differs = old != new
    words = np.count_nonzero(differs, axis=1)
    # A word takes at least one byte of its own: pages that cannot do are not looked at closely.
    some = np.flatnonzero(words * (_WORD_BYTES + 1) + _COUNT.itemsize <= page_bytes_max)
    if len(some) < len(new):
        differs, words = differs[some], words[some]
    where = np.flatnonzero(differs)
    owner = where >> _PAGE_SHIFT
    flat = where if len(some) == len(new) else (some[owner] << _PAGE_SHIFT) + (where & _PLACE)
    after = new.reshape(-1)[flat]
    changed = (after ^ old.reshape(-1)[flat]).view(np.uint8) != 0
    masks = np.packbits(changed, bitorder="little")
    costs = _BITS[masks] + _WORD_BYTES
    fits = np.bincount(owner, costs, minlength=len(some)) + _COUNT.itemsize <= page_bytes_max
    if not fits.all():
        kept = fits[owner]
        some, words = some[fits], words[fits]
        where, after, masks = where[kept], after[kept], masks[kept]
        changed = changed[np.repeat(kept, 8)]
    payload = b"".join(
        (
            words.astype(_COUNT).tobytes(),
            (where & _PLACE).astype(_COUNT).tobytes(),
            masks.tobytes(),
            after.view(np.uint8)[np.flatnonzero(changed)].tobytes(),
        )
    )
    return Delta(some, payload)


def apply(payload: memoryview, pages: NDArray[np.uint64]) -> None:
    """Turn the old `pages` into the new ones in place; `BadBatch` leaves them as they were."""
    counts = np.frombuffer(_head(payload, len(pages) * _COUNT.itemsize), dtype=_COUNT)
    if len(counts) and int(counts.max()) > PAGE_WORDS:
        raise BadBatch(f"{int(counts.max())} changed words in a page of {PAGE_WORDS}")
    changed_words = int(counts.sum(dtype=np.int64))
    rest = payload[counts.nbytes :]
    places = np.frombuffer(_head(rest, changed_words * _COUNT.itemsize), dtype=_COUNT)
    rest = rest[places.nbytes :]
    masks = np.frombuffer(_head(rest, changed_words), dtype=np.uint8)
    rest = rest[masks.nbytes :]
    if changed_words == 0:
        if len(rest):
            raise BadBatch(f"{len(rest)} bytes behind the changes of a batch")
        return
    if int(places.max()) >= PAGE_WORDS:
        raise BadBatch(f"a change of word {int(places.max())} in a page of {PAGE_WORDS}")
    flat = np.repeat(np.arange(len(pages)) * PAGE_WORDS, counts) + places
    if bool((flat[1:] <= flat[:-1]).any()):
        raise BadBatch("changed words of a page that do not ascend")
    if int(masks.min()) == 0:
        raise BadBatch("a changed word without a changed byte")
    if (wanted := int(_BITS[masks].sum(dtype=np.int64))) != len(rest):
        raise BadBatch(f"changes of {wanted} bytes, and {len(rest)} follow")
    changed = np.flatnonzero(np.unpackbits(masks, bitorder="little"))
    flat_pages = pages.reshape(-1)
    words = flat_pages[flat]
    words.view(np.uint8)[changed] = np.frombuffer(rest, dtype=np.uint8)
    flat_pages[flat] = words


def _head(data: memoryview, size_bytes: int) -> memoryview:
    if len(data) < size_bytes:
        raise BadBatch(f"a list of changes ends {size_bytes - len(data)} bytes early")
    return data[:size_bytes]
