"""The seam between page streams and whatever makes pages smaller on their way.

A stream gathers a batch into one piece of memory and asks its encoder how those pages shall travel;
at the other end a decoder fills such a piece again. Neither ever sees a socket or a VM's memory.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from agent.batches import Kind
from agent.runs import Pages

Content = NDArray[np.uint64]
"""Whole pages in one piece: a row of 512 words for each."""


@dataclass(frozen=True, slots=True, eq=False)
class Packed:
    """The pages at `which` positions of a gathered batch, ascending, travel as `kind`.

    `payload`: what travels for ZSTD and DELTA, shorter than the pages; PAGES and KEPT have none of
    their own.
    """

    kind: Kind
    which: NDArray[np.intp]
    payload: bytes | memoryview = b""


class Encoder(Protocol):
    """One for each stream, used by its thread only; a page always comes to the same one."""

    @property
    def wants(self) -> bool:
        """Asked before each batch: False has it sent as it is, and saves gathering it."""

    def begin(self, round_no: int) -> None:
        """A round begins on this stream."""

    def encode(self, numbers: Pages, content: Content) -> Sequence[Packed]:
        """How these pages shall travel: every position once. `content` is good until this returns.

        What it returns is sent, or the attempt is over, so it may remember it as sent.
        """

    def zeroed(self, numbers: Pages) -> None:
        """These pages travel as zero pages, so zeros are what the target has of them."""

    def passed(self, numbers: Pages) -> None:
        """These pages travel as they are, unseen, since nobody wanted them."""

    def sent(self, wire_bytes: int, seconds: float) -> None:
        """What the last batch took on the wire, with the waiting for its turn, however it went."""


class Decoder(Protocol):
    """One for each stream, used by its thread only."""

    def decode(self, kind: Kind, numbers: Pages, payload: memoryview, out: Content) -> None:
        """Fill `out` with the pages' bytes, or raise BadBatch, also for a kind that is not done.

        For DELTA `out` holds what the target has of these pages now. `payload` is hostile.
        """
