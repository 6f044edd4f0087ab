"""An agent that notes how late its event loop wakes.

`python -m lab.bench.ticking_agent FOLDER ...` takes the words of `python -m agent` behind FOLDER. A
task on its loop sleeps for 2 ms again and again, and writes how much later it woke into a ring of a
file there, which whoever measures reads without asking the agent.
"""

import asyncio
import mmap
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from agent.__main__ import main
from agent.io.outgoing import Source
from lab.evidence import boottime

TICK_S = 0.002
PLACES = 1 << 16
"""More than two minutes of ticks."""


class Ring:
    """When each tick was due, and how late it came; the file is shared with whoever reads it."""

    def __init__(self, path: Path) -> None:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.ftruncate(fd, PLACES * 16)
            pages = mmap.mmap(fd, PLACES * 16)
        finally:
            os.close(fd)
        self._rows: npt.NDArray[np.float64] = np.frombuffer(pages, np.float64).reshape(PLACES, 2)
        self._next = 0

    def add(self, due_s: float, late_s: float) -> None:
        self._rows[self._next] = (due_s, late_s)
        self._next = (self._next + 1) % PLACES

    def late_s(self, from_s: float, to_s: float) -> list[float]:
        """How late the ticks were that were due in that time."""
        due = self._rows[:, 0]
        found: list[float] = self._rows[(due >= from_s) & (due <= to_s), 1].tolist()
        return found


async def tick(ring: Ring) -> None:
    while True:
        due_s = boottime() + TICK_S
        await asyncio.sleep(TICK_S)
        ring.add(due_s, boottime() - due_s)


def ticking(folder: Path) -> type[Source]:
    """The agent's source of migrations, with the task beside it."""

    class TickingSource(Source):
        def __init__(self, *args: Any, **words: Any) -> None:
            super().__init__(*args, **words)
            ring = Ring(folder / str(os.getpid()))
            self._ticking = asyncio.get_running_loop().create_task(tick(ring))

    return TickingSource


if __name__ == "__main__":
    where = Path(sys.argv.pop(1))
    sys.exit(main(ticking(where)))
