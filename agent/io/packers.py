"""Packing in several threads: zstd lets go of the interpreter, so every processor can help."""

import collections
import concurrent.futures
import contextlib
import os
import threading
from collections.abc import Sequence

from agent.encoding import Content
from agent.packing import Packer

THREADS_MAX = 4


class Packers:
    """Shared by all streams of one sender: each packs with its own thread, and helpers with it."""

    def __init__(self, streams: int) -> None:
        helpers = min(THREADS_MAX, len(os.sched_getaffinity(0))) - streams
        self._helpers = max(0, helpers)
        self._own = threading.local()
        self._pool: concurrent.futures.ThreadPoolExecutor | None = None
        if self._helpers:
            # They end when the last reference to this pool goes, and start when first needed.
            self._pool = concurrent.futures.ThreadPoolExecutor(self._helpers, "packing")

    def pack(self, pieces: Sequence[Content], level: int) -> list[bytes | None]:
        """A frame for each piece, or None where that would save next to nothing."""
        found: list[bytes | None] = [None] * len(pieces)
        left = collections.deque(range(len(pieces)))

        def work() -> None:
            packer = self._packer()
            with contextlib.suppress(IndexError):
                while True:
                    place = left.popleft()
                    found[place] = packer.pack(pieces[place], level)

        jobs = []
        if self._pool is not None:
            jobs = [self._pool.submit(work) for _ in range(min(self._helpers, len(pieces) - 1))]
        work()
        for job in jobs:
            if not job.cancel():  # one that never began has nothing left to do
                job.result()
        return found

    def _packer(self) -> Packer:
        packer: Packer | None = getattr(self._own, "packer", None)
        if packer is None:
            packer = self._own.packer = Packer()
        return packer
