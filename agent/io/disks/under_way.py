"""What of one volume is under way on this node, by the turn in which it began."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import Iterator


class UnderWay:
    """Whoever changes the way waits until what went the old way has ended."""

    def __init__(self) -> None:
        self._turns = Counter[int]()
        self._ended = asyncio.Event()

    @contextlib.contextmanager
    def counted(self, turn: int) -> Iterator[None]:
        self._turns[turn] += 1
        try:
            yield
        finally:
            self._turns[turn] -= 1
            if not self._turns[turn]:
                del self._turns[turn]
                self._ended.set()

    async def drained(self, turn: int) -> None:
        """Once nothing is left that began before `turn`."""
        while any(began < turn for began in self._turns):
            self._ended.clear()
            await self._ended.wait()
