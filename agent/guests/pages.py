"""A VM's memory as its guests see it: pages of words, and values that follow from a seed."""

import numpy as np
import numpy.typing as npt

from protocol.names import PAGE_BYTES

Pages = npt.NDArray[np.uint64]
"""A VM's memory as (pages, 512) words of 8 bytes."""

Marks = npt.NDArray[np.uint8]
"""One byte a page, set by a guest after it wrote the page, where the kernel does not track."""

PAGE_WORDS = PAGE_BYTES // 8
MAGIC = 0x6876_6C61_6267_7374
"""The first word of the registers of any guest."""

MASK = 2**64 - 1
_GAMMA = 0x9E37_79B9_7F4A_7C15


def mixed(state: int, count: int) -> Pages:
    """The next `count` values of splitmix64 after `state`, as words."""
    z = np.arange(1, count + 1, dtype=np.uint64)
    z *= np.uint64(_GAMMA)
    z += np.uint64(state)
    z ^= z >> np.uint64(30)
    z *= np.uint64(0xBF58_476D_1CE4_E5B9)
    z ^= z >> np.uint64(27)
    z *= np.uint64(0x94D0_49BB_1331_11EB)
    z ^= z >> np.uint64(31)
    return z


def advanced(state: int, count: int) -> int:
    """The state after `count` values of `mixed`."""
    return (state + count * _GAMMA) & MASK
