"""Pages to pack: the kinds that a guest's memory is made of."""

import random

import numpy as np

from agent.encoding import Content
from protocol.names import PAGE_BYTES

WORDS = PAGE_BYTES // 8
_PHRASE = (
    "page node guest lease epoch round source target memory stream vote disk volume owner "
    "quorum witness attempt network batch delta packed whole first again never always"
)
_VOCABULARY = _PHRASE.split()


def empty(pages: int) -> Content:
    return np.zeros((pages, WORDS), np.uint64)


def random_pages(pages: int, seed: int = 1) -> Content:
    generator = np.random.default_rng(seed)
    return generator.integers(0, 2**64, (pages, WORDS), dtype=np.uint64)


def text_pages(pages: int, seed: int = 1) -> Content:
    """Sentences without sense, and about as small when packed as those with it."""
    words = random.Random(seed).choices(_VOCABULARY, k=pages * PAGE_BYTES // 5)
    text = " ".join(words).encode()
    return np.frombuffer(text[: pages * PAGE_BYTES], np.uint64).reshape(pages, WORDS).copy()


def half_random(pages: int, seed: int = 1) -> Content:
    content = random_pages(pages, seed)
    content[:, WORDS // 2 :] = seed % 7
    return content
