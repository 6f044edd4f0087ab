"""Blocks on a disk that prove themselves: what they are, whose, under which epoch, and whole."""

from dataclasses import dataclass

import numpy as np
import xxhash

from agent.guests.disk_queue import Bytes
from agent.guests.pages import MASK, Pages, mixed

# Words of a block; the last one is the sum of all before it.
_KIND, _OWNER, _SEQUENCE, _EPOCH, _LINK = range(5)
_HEAD_WORDS = 5

ENTRY = 0x6C65_6467_6572_3031
RECORD = 0x6461_7461_6261_7365


@dataclass(frozen=True, slots=True)
class Block:
    """The head of a whole block. `link`: the sum of the entry before, or the page's number."""

    owner: int
    sequence: int
    epoch: int
    link: int
    sum: int


def seal(block: Bytes, kind: int, owner: int, sequence: int, epoch: int, link: int) -> int:
    """Write a block whose content follows from its head; returns its sum."""
    words: Pages = block.view(np.uint64)
    words[:_HEAD_WORDS] = np.array((kind, owner, sequence, epoch, link), np.uint64)
    words[_HEAD_WORDS:-1] = mixed((owner ^ sequence * 0x9E37) & MASK, len(words) - _HEAD_WORDS - 1)
    total = xxhash.xxh64_intdigest(words[:-1].data)
    words[-1] = total
    return total


def unsealed(block: Bytes, kind: int) -> Block | None:
    """The head of a block of this kind; None if it is none, or not whole."""
    words: Pages = block.view(np.uint64)
    if int(words[_KIND]) != kind:
        return None
    total = int(words[-1])
    if total != xxhash.xxh64_intdigest(words[:-1].data):
        return None
    _, owner, sequence, epoch, link = words[:_HEAD_WORDS].tolist()
    return Block(owner, sequence, epoch, link, total)


def is_blank(block: Bytes) -> bool:
    return not block.any()
