"""A disk in two places while a guest writes: nothing that was acknowledged is missing in either."""

import asyncio
import random
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.io import mirror
from agent.io.mirror import MirroredDisk
from protocol.errors import NotReady

SECTOR = 512
PIECE = 4 * SECTOR
SECTORS = 4 * 4 + 2
"""Four whole pieces, and a part of one."""


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mirror, "PIECE_BYTES", PIECE)
    monkeypatch.setattr(mirror, "AGAIN_S", 0.0)


@dataclass
class Blocks:
    """A disk of sectors. What is written lands some turns of the loop later, sector by sector, and
    is stable once it was written through or flushed.
    """

    lots: random.Random
    cached: bytearray = field(default_factory=lambda: bytearray(SECTORS * SECTOR))
    stable: bytearray = field(default_factory=lambda: bytearray(SECTORS * SECTOR))
    failures: int = 0
    is_closed: bool = False
    hangs: asyncio.Event | None = None

    @property
    def size_bytes(self) -> int:
        return SECTORS * SECTOR

    async def _turns(self) -> None:
        for _ in range(self.lots.randrange(4)):
            await asyncio.sleep(0)
        if self.hangs is not None:
            await self.hangs.wait()
        assert not self.is_closed, "nothing reaches a disk that was closed"
        if self.failures and self.lots.random() < 0.3:
            self.failures -= 1
            raise NotReady("the volume does not answer")

    async def read_into(self, offset: int, into: memoryview) -> None:
        for at in range(0, len(into), SECTOR):
            await self._turns()
            into[at : at + SECTOR] = self.cached[offset + at : offset + at + SECTOR]

    async def write(self, offset: int, buffers: Sequence[memoryview], fua: bool = False) -> None:
        data = b"".join(buffers)
        for at in range(0, len(data), SECTOR):
            await self._turns()
            here = slice(offset + at, offset + at + SECTOR)
            self.cached[here] = data[at : at + SECTOR]
            if fua:
                self.stable[here] = data[at : at + SECTOR]

    async def flush(self) -> None:
        before = bytes(self.cached)
        await self._turns()
        self.stable[:] = before if self.cached == before else self.cached

    async def close(self) -> None:
        self.is_closed = True


@dataclass
class Guest:
    """Writes through, several at once and never two to the same sectors, until each has succeeded;
    `acked` is what it has been told, sector by sector.
    """

    disk: MirroredDisk
    lots: random.Random
    acked: dict[int, bytes] = field(default_factory=dict)
    asked: dict[int, bytes] = field(default_factory=dict)
    count: int = 0
    is_over: bool = False

    async def live(self, lanes: int = 4) -> None:
        await asyncio.gather(*(self._lane(number, lanes) for number in range(lanes)))

    async def _lane(self, number: int, lanes: int) -> None:
        mine = [sector for sector in range(SECTORS) if sector % lanes == number]
        while not self.is_over:
            sector = self.lots.choice(mine)
            self.count += 1
            data = (b"%06d" % self.count).ljust(SECTOR, b".")
            self.asked[sector] = data
            while not self.is_over:
                try:
                    await self.disk.write(sector * SECTOR, (memoryview(data),), fua=True)
                except NotReady:
                    await asyncio.sleep(0)
                    continue
                self.acked[sector] = data
                break
            found = memoryview(bytearray(SECTOR))
            try:
                await self.disk.read_into(sector * SECTOR, found)
            except NotReady:
                continue
            if not self.is_over:
                assert bytes(found) == data
            await asyncio.sleep(0)

    def lost_on(self, place: Blocks) -> list[int]:
        """The sectors that hold neither what was acknowledged nor what was asked for since."""
        lost = []
        for sector, data in self.acked.items():
            here = bytes(place.stable[sector * SECTOR : (sector + 1) * SECTOR])
            if here not in (data, self.asked[sector]):
                lost.append(sector)
        return lost


async def turns(count: int) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


@settings(max_examples=150, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    failures=st.tuples(st.integers(0, 6), st.integers(0, 6)),
    late_failures=st.integers(0, 6),
    crash_at=st.one_of(st.none(), st.integers(0, 400)),
    ends=st.sampled_from(["switch", "leave", "leave early"]),
)
def test_no_acknowledged_write_is_lost_whichever_side_the_switch_fell(
    seed: int, failures: tuple[int, int], late_failures: int, crash_at: int | None, ends: str
) -> None:
    move = a_move(random.Random(seed), failures, late_failures, crash_at, ends)
    assert asyncio.run(move) == []


async def a_move(
    lots: random.Random,
    failures: tuple[int, int],
    late_failures: int,
    crash_at: int | None,
    ends: str,
) -> list[str]:
    """What was lost, and where; empty if nothing was.

    At a crash the store says which place counts: before the switch the old one. Once all was
    copied either may be asked for, whatever the new one fails with from then on.
    """
    old, new = Blocks(lots, failures=failures[0]), Blocks(lots, failures=failures[1])
    for sector in range(0, SECTORS, 3):
        place = slice(sector * SECTOR, (sector + 1) * SECTOR)
        old.cached[place] = old.stable[place] = b"first".ljust(SECTOR, b"!")
    disk, troubles = MirroredDisk(old), list[str]()
    guest = Guest(disk, lots)
    living = asyncio.create_task(guest.live())
    await turns(lots.randrange(50))
    disk.mirror(new, troubles.append)
    copying = asyncio.create_task(disk.copy(lambda length: None))
    if ends == "leave early":
        await turns(lots.randrange(40))
        copying.cancel()
        await disk.leave()
    elif crash_at is not None:
        await turns(crash_at)
    else:
        while not (copying.done() or troubles):
            await turns(1)
        new.failures = late_failures
        await turns(lots.randrange(100))
    has_all = copying.done() and not copying.cancelled()
    lost = [f"{sector} of the old place, before" for sector in guest.lost_on(old)]
    if has_all:
        lost += [f"{sector} of the new place, copied" for sector in guest.lost_on(new)]
        for sector in set(range(SECTORS)) - set(guest.asked):
            place = slice(sector * SECTOR, (sector + 1) * SECTOR)
            if new.stable[place] != old.stable[place]:
                lost.append(f"{sector} of the new place, which nobody wrote meanwhile")
    if ends != "leave early":
        copying.cancel()
        await asyncio.gather(copying, return_exceptions=True)
        if ends == "switch" and has_all:
            await disk.switch()
            assert old.is_closed
        else:
            await disk.leave()
            assert new.is_closed
    counts = new if ends == "switch" and has_all and not new.is_closed else old
    await turns(100)
    lost += [f"{sector} of the place that counts" for sector in guest.lost_on(counts)]
    guest.is_over = True
    await living
    lost += [f"{sector} of the place that counts, at the end" for sector in guest.lost_on(counts)]
    await disk.close()
    return lost


def bytes_of(text: str) -> tuple[memoryview]:
    return (memoryview(text.encode().ljust(SECTOR, b".")),)


async def test_a_write_is_answered_once_both_places_have_it() -> None:
    lots = random.Random(1)
    old, new = Blocks(lots), Blocks(lots, hangs=asyncio.Event())
    disk = MirroredDisk(old)
    disk.mirror(new, lambda reason: None)
    writing = asyncio.create_task(disk.write(0, bytes_of("one"), fua=True))
    await turns(50)
    assert old.stable[:3] == b"one"
    assert not writing.done()

    assert new.hangs is not None
    new.hangs.set()
    await writing
    assert new.stable[:3] == b"one"
    await disk.leave()


async def test_a_place_that_is_left_holds_nobody_up_and_is_not_reached_any_more() -> None:
    lots = random.Random(1)
    old, new = Blocks(lots), Blocks(lots, hangs=asyncio.Event())
    disk = MirroredDisk(old)
    disk.mirror(new, lambda reason: None)
    writing = asyncio.create_task(disk.write(0, bytes_of("one"), fua=True))
    await turns(50)
    await disk.leave()
    await writing

    assert new.is_closed
    assert bytes(new.stable) == bytes(len(new.stable))


async def test_a_new_place_that_does_not_answer_is_told_of(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(mirror, "LATE_S", 0.01)
    lots, told, troubles = random.Random(1), asyncio.Event(), list[str]()

    def trouble(reason: str) -> None:
        troubles.append(reason)
        told.set()

    old, new = Blocks(lots), Blocks(lots, hangs=asyncio.Event())
    disk = MirroredDisk(old)
    disk.mirror(new, trouble)
    writing = asyncio.create_task(disk.write(0, bytes_of("one"), fua=True))
    async with asyncio.timeout(5):
        await told.wait()
    await disk.leave()
    await writing

    assert "has not answered for" in troubles[0]


async def test_a_write_that_the_new_place_refused_is_not_answered_but_done_again_there() -> None:
    lots, troubles = random.Random(1), list[str]()
    old, new = Blocks(lots), Blocks(lots)
    disk = MirroredDisk(old)
    disk.mirror(new, troubles.append)
    await disk.copy(lambda length: None)
    new.failures = 10**6
    writing = asyncio.create_task(disk.write(0, bytes_of("one" * 100), fua=True))
    while not troubles:
        await turns(1)
        if writing.done():  # it was lucky
            writing = asyncio.create_task(disk.write(0, bytes_of("one" * 100), fua=True))
    await turns(50)
    assert not writing.done()
    await disk.switch()

    with pytest.raises(NotReady):
        await writing


async def test_writes_to_the_same_bytes_end_alike_in_both_places() -> None:
    for seed in range(50):
        lots = random.Random(seed)
        old, new = Blocks(lots), Blocks(lots)
        disk = MirroredDisk(old)
        disk.mirror(new, lambda reason: None)
        await asyncio.gather(
            *(disk.write(0, bytes_of(f"write {number}"), fua=True) for number in range(4))
        )
        assert old.stable == new.stable
        await disk.leave()


async def test_after_the_switch_the_old_place_gets_nothing() -> None:
    lots = random.Random(1)
    old, new = Blocks(lots), Blocks(lots)
    disk = MirroredDisk(old)
    disk.mirror(new, lambda reason: None)
    await disk.copy(lambda length: None)
    await disk.switch()
    await disk.write(0, bytes_of("later"), fua=True)
    await disk.flush()

    assert old.is_closed
    assert old.cached[:5] == bytes(5)
    assert new.stable[:5] == b"later"
