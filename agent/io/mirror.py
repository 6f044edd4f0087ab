"""A virtual disk that can be moved while a guest uses it: one place, or for a while two.

While there are two, a write is answered once both have it, and the old one is read and copied piece
by piece. A piece that is being copied and a guest's write to it never cross. Nothing here decides
which place counts: `leave` and `switch` say so.
"""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from agent.io.virtual_disk import VirtualDisk
from protocol.errors import ClusterError

PIECE_BYTES = 1 << 20
LATE_S = 5.0
"""The new place that has not answered for so long is in trouble."""

LATE = f"the new place has not answered for {LATE_S:g} s"
AGAIN_S = 0.5
NOTHING = bytes(PIECE_BYTES)

Work = Coroutine[Any, Any, None]
Trouble = Callable[[str], None]


def _meet(one: range, other: range) -> bool:
    return one.start < other.stop and other.start < one.stop


async def _cut(legs: Sequence[asyncio.Task[None]]) -> None:
    """When this returns nothing of them reaches a disk any more."""
    left = {leg for leg in legs if not leg.done()}
    for leg in left:
        leg.cancel()
    if left:
        await asyncio.wait(left)


class _Place:
    """One place of the disk, and what is under way there."""

    def __init__(self, disk: VirtualDisk) -> None:
        self.disk = disk
        self.is_left = False
        self.plain = 0
        """What is under way here from times when there was no other place."""

        self._legs: set[asyncio.Task[None]] = set()

    def begin(self, work: Work) -> asyncio.Task[None]:
        leg = asyncio.create_task(work)
        self._legs.add(leg)
        leg.add_done_callback(self._ended)
        return leg

    def _ended(self, leg: asyncio.Task[None]) -> None:
        self._legs.discard(leg)
        if not leg.cancelled():
            leg.exception()  # whoever waits for it has it; here it is only not forgotten

    async def end(self) -> None:
        """Nothing of it reaches this place any more."""
        for leg in self._legs:
            leg.cancel()
        if self._legs:
            await asyncio.wait(self._legs)


class MirroredDisk:
    """A `VirtualDisk` all the time. It belongs to the loop of the disks."""

    def __init__(self, disk: VirtualDisk) -> None:
        self.size_bytes = disk.size_bytes
        self._main = _Place(disk)
        self._mirror: _Place | None = None
        self._trouble: Trouble | None = None
        self._writing: list[range] = []
        """Which bytes are being written for the guest."""

        self._copying = range(0)
        """Which bytes are being copied."""

        self._news: set[asyncio.Future[None]] = set()

    # ---- the disk, as the guest has it

    async def read_into(self, offset: int, into: memoryview) -> None:
        while True:
            place = self._main
            if self._mirror is None:
                return await self._plainly(place, place.disk.read_into(offset, into))
            leg = place.begin(place.disk.read_into(offset, into))
            try:
                await asyncio.wait({leg})
            finally:
                await _cut([leg])
            if not (place.is_left and leg.cancelled()):
                return await leg

    async def write(self, offset: int, buffers: Sequence[memoryview], fua: bool = False) -> None:
        """Writes to the same bytes follow each other, or the two places could differ for ever."""
        here = range(offset, offset + sum(memoryview(buffer).nbytes for buffer in buffers))
        while _meet(here, self._copying) or any(_meet(here, other) for other in self._writing):
            await self._changed()
        self._writing.append(here)
        try:
            await self._everywhere(lambda disk: disk.write(offset, buffers, fua))
        finally:
            self._writing.remove(here)
            self._tell()

    async def flush(self) -> None:
        await self._everywhere(lambda disk: disk.flush())

    async def close(self) -> None:
        """Whoever used it has ended; a mirror that there still is was left before."""
        await self._main.end()
        await self._main.disk.close()

    # ---- two places

    def mirror(self, disk: VirtualDisk, trouble: Trouble) -> None:
        """Writes go to `disk`, too; `trouble` hears why it does not take one."""
        assert self._mirror is None, "a disk has two places at most"
        self._mirror, self._trouble = _Place(disk), trouble

    def is_mirrored_in(self, disk: VirtualDisk) -> bool:
        return self._mirror is not None and self._mirror.disk is disk

    async def leave(self) -> None:
        """The new place does not count: whoever waits for it waits no more."""
        if self._mirror is not None:
            place, self._mirror = self._mirror, None
            await self._left(place)

    async def switch(self) -> None:
        """The new place is the disk."""
        assert self._mirror is not None, "only what was mirrored can be switched"
        place, self._main, self._mirror = self._main, self._mirror, None
        await self._left(place)

    async def _left(self, place: _Place) -> None:
        place.is_left, self._trouble = True, None
        self._tell()
        await place.end()
        while place.plain:
            await self._changed()
        await place.disk.close()

    async def copy(self, copied: Callable[[int], None]) -> None:
        """All of the disk; what is said of it are the bytes of each piece. Ends when both places
        are alike and the new one is flushed; whoever leaves the new one cancels this before.
        """
        piece = memoryview(bytearray(min(PIECE_BYTES, self.size_bytes)))
        found = memoryview(bytearray(len(piece)))
        for number in range(-(-self.size_bytes // PIECE_BYTES)):
            offset = number * PIECE_BYTES
            length = min(PIECE_BYTES, self.size_bytes - offset)
            while not await self._copied(number, piece[:length], found[:length]):  # noqa: ASYNC110
                await asyncio.sleep(AGAIN_S)
            copied(length)
        while not await self._patiently(lambda disk: disk.flush()):  # noqa: ASYNC110 - tried again
            await asyncio.sleep(AGAIN_S)

    async def _copied(self, number: int, piece: memoryview, found: memoryview) -> bool:
        """Alone with the piece. False if a place did not take part: then it is tried again."""
        offset = number * PIECE_BYTES
        self._copying = range(offset, offset + len(piece))
        try:
            while any(_meet(self._copying, other) for other in self._writing):
                await self._changed()
            try:
                await self._main.disk.read_into(offset, piece)
            except (ClusterError, OSError):
                return False  # the guest's own requests say what is wrong with its disk
            if piece.tobytes() == NOTHING[: len(piece)]:
                # A new file is empty, and its empty blocks are not read from anywhere.
                read = await self._patiently(lambda disk: disk.read_into(offset, found))
                if read and found.tobytes() == piece.tobytes():
                    return True
            return await self._patiently(lambda disk: disk.write(offset, (piece,)))
        finally:
            self._copying = range(0)
            self._tell()

    async def _patiently(self, do: Callable[[VirtualDisk], Work]) -> bool:
        """In the new place; False if it failed, which was told."""
        place = self._mirror
        if place is None:
            return False
        leg = place.begin(do(place.disk))
        await self._awaited(leg)
        if leg.cancelled():
            return False
        if error := leg.exception():
            self._complain(str(error))
        return error is None

    async def _awaited(self, leg: asyncio.Task[None]) -> None:
        try:
            while not leg.done():
                done, _ = await asyncio.wait({leg}, timeout=LATE_S)
                if not done:
                    self._complain(LATE)
        finally:
            await _cut([leg])

    # ---- one piece of work in each place

    async def _plainly(self, place: _Place, work: Work) -> None:
        place.plain += 1
        try:
            await work
        finally:
            place.plain -= 1
            if place.is_left:
                self._tell()

    async def _everywhere(self, do: Callable[[VirtualDisk], Work]) -> None:
        if self._mirror is None:
            return await self._plainly(self._main, do(self._main.disk))
        legs = {place: place.begin(do(place.disk)) for place in (self._main, self._mirror)}
        try:
            while not self._is_done(legs):
                waiting = [leg for place, leg in legs.items() if not (leg.done() or place.is_left)]
                news = self._listen()
                try:
                    told, _ = await asyncio.wait(
                        {*waiting, news}, timeout=LATE_S, return_when=asyncio.FIRST_COMPLETED
                    )
                finally:
                    self._news.discard(news)
                if not told and waiting and legs[self._main].done():
                    self._complain(LATE)
        finally:
            await _cut([leg for place, leg in legs.items() if not place.is_left])

    def _is_done(self, legs: dict[_Place, asyncio.Task[None]]) -> bool:
        """Whether every place that counts has it; raises what the one that counts has raised. One
        that may come to count has to have it as well: that it failed is told, and awaited is what
        becomes of that place.
        """
        done = True
        for place, leg in legs.items():
            if place.is_left:
                continue
            if not leg.done():
                done = False
            elif error := leg.exception():
                if place is self._main:
                    raise error
                self._complain(str(error))
                done = False
        return done

    def _complain(self, reason: str) -> None:
        if self._trouble is not None:
            self._trouble(reason)

    # ---- waiting for each other

    def _listen(self) -> asyncio.Future[None]:
        news = asyncio.get_running_loop().create_future()
        self._news.add(news)
        return news

    async def _changed(self) -> None:
        news = self._listen()
        try:
            await news
        finally:
            self._news.discard(news)

    def _tell(self) -> None:
        for news in self._news:
            if not news.done():
                news.set_result(None)
        self._news.clear()
