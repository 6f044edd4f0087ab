"""The database: a guest that writes and reads pages of a table at random, through a log.

A write goes to the log first, and through to stable storage; then it is acknowledged; then the
page goes to its place in the table. A place in the log is used again only when what it holds has
been flushed to the table. So after a crash the log has every page that the table may have lost or
torn. Reads are compared with what memory says was acknowledged: an old, torn or misplaced page
ends the guest with a sentence.

The disk: `LOG_PLACES` blocks of log, then the table. A block of either is the image of a page.
Memory holds one word for each page: the sequence of its last acknowledged write.
"""

import enum

from agent.guests.disk_guest import (
    ACKED,
    ASKED,
    FIRST,
    LINK,
    NEXT,
    OWNER,
    STEPS,
    TAKEN,
    DiskBroken,
    DiskGuest,
    Phase,
)
from agent.guests.disk_queue import SLOTS, Answer, Bytes, Deed
from agent.guests.pages import MASK, advanced, mixed
from agent.guests.sealed import RECORD, is_blank, seal, unsealed
from protocol.workload import LOG_PLACES, WORKLOADS

TORN = MASK
"""Instead of a sequence: the page is not whole, and the log must have it."""

_TABLE_BYTES = 4 << 20
_FLUSHED, _RANDOM = FIRST, LINK


class _Stage(enum.IntEnum):
    LOGGING = 1
    PLACING = 2
    LOOKING = 3


class Database(DiskGuest):
    """Its registers: the next sequence, the last one that is flushed to the table, and chance."""

    kind = WORKLOADS.index("database")
    name = "database"
    set_is_memory = False

    @property
    def table_pages(self) -> int:
        """As many as memory and disk have room for, or as many as the set says."""
        room = self._disk_bytes // self._block_bytes - LOG_PLACES
        wanted = max(1, (self._set_bytes or _TABLE_BYTES) // self._block_bytes)
        return min(room, len(self._own), wanted)

    def boot(self, seed: int) -> None:
        super().boot(seed)
        self._set(_RANDOM, seed & MASK)

    # ---- what the disk holds

    def _read(self) -> int:
        """The table first: which version each page has."""
        while True:
            page, taken = self._word(ASKED), self._word(TAKEN)
            while page < self.table_pages and self._queue.is_free(page % SLOTS):
                self._queue.ask(page % SLOTS, Deed.READ, self._place(page), self._block_bytes)
                page += 1
            self._set(ASKED, page)
            if taken == self.table_pages:
                self._set(ASKED, 0)
                self._set(TAKEN, 0)
                self._go_to(Phase.REDOING)
                return 0
            if self._queue.answer(taken % SLOTS) is None:
                return 0
            self._expect(taken, self._version(taken, self._data(taken % SLOTS)))
            self._queue.release(taken % SLOTS)
            self._set(TAKEN, taken + 1)

    def _version(self, page: int, data: Bytes) -> int:
        block = unsealed(data, RECORD)
        if block is None:
            return 0 if is_blank(data) else TORN
        return block.sequence if (block.owner, block.link) == (self._word(OWNER), page) else TORN

    def _redo(self) -> int:
        """One place of the log after the other, in slot 0: read it, and put a newer page right."""
        while (place := self._word(TAKEN)) < LOG_PLACES:
            if self._queue.is_free(0):
                self._queue.ask(0, Deed.READ, place * self._block_bytes, self._block_bytes)
            answer = self._queue.answer(0)
            if answer is None:
                return 0
            self._queue.release(0)
            if answer.deed != Deed.READ or not self._redone():
                self._set(TAKEN, place + 1)
        self._set(TAKEN, 0)
        self._go_to(Phase.SETTLING)
        return 0

    def _redone(self) -> bool:
        block = unsealed(self._data(0), RECORD)
        if block is None or block.owner != self._word(OWNER) or block.link >= self.table_pages:
            return False
        self._set(ACKED, max(self._word(ACKED), block.sequence))
        known = self._expected(block.link)
        if known != TORN and known >= block.sequence:
            return False
        self._queue.ask(0, Deed.WRITE, self._place(block.link), self._block_bytes)
        self._expect(block.link, block.sequence)
        return True

    def _settle(self) -> int:
        if self._queue.is_free(0):
            self._queue.ask(0, Deed.FLUSH, 0, 0)
        elif self._queue.answer(0) is not None:
            self._queue.release(0)
            table = self._own[: self.table_pages]
            torn = [page for page, version in enumerate(table.tolist()) if version == TORN]
            if torn:
                raise DiskBroken(f"Page {torn[0]} of the database is torn, and not in the log.")
            newest = max(self._word(ACKED), int(table.max()))
            self._set(ACKED, newest)
            self._set(NEXT, newest + 1)
            self._set(_FLUSHED, newest)
            self._go_to(Phase.RUNNING)
        return 0

    # ---- the work

    def _run(self, budget: int) -> int:
        for slot in range(SLOTS):
            if (answer := self._queue.answer(slot)) is not None:
                self._answered(answer)
        begun = 0
        for slot in range(SLOTS):
            if begun < budget and self._queue.is_free(slot) and self._begin(slot):
                begun += 1
        return begun

    def _answered(self, answer: Answer) -> None:
        slot, page, stage = answer.slot, answer.tag >> 2, answer.tag & 3
        if answer.deed == Deed.FLUSH:
            self._set(_FLUSHED, self._word(NEXT) - 1)
        elif stage == _Stage.LOGGING:
            block = unsealed(self._data(slot), RECORD)
            assert block is not None, "nobody but this guest writes its buffers"
            self._expect(page, block.sequence)
            self._set(ACKED, max(self._word(ACKED), block.sequence))
            self._set(STEPS, self.steps + 1)
            self._queue.release(slot)
            self._ask(slot, Deed.WRITE, self._place(page), page, _Stage.PLACING)
            return
        elif stage == _Stage.LOOKING:
            found = self._version(page, self._data(slot))
            if found != self._expected(page):
                raise DiskBroken(
                    f"Page {page} of the database has version {found}, and version "
                    f"{self._expected(page)} was acknowledged."
                )
            self._set(STEPS, self.steps + 1)
        self._queue.release(slot)

    def _begin(self, slot: int) -> bool:
        """A read or a write of a page on which nothing else is under way; else nothing."""
        chance, tags = int(mixed(self._word(_RANDOM), 1)[0]), self._queue.tags()
        page, writes = chance % self.table_pages, chance >> 63
        if any(tag and tag >> 2 == page for tag in tags):
            self._set(_RANDOM, advanced(self._word(_RANDOM), 1))
            return False
        if writes:
            sequence = self._word(NEXT)
            if sequence - self._word(_FLUSHED) > LOG_PLACES:
                return self._flush(slot, tags)
            owner = self._word(OWNER)
            seal(self._data(slot), RECORD, owner, sequence, self.epoch, page)
            place = (sequence - 1) % LOG_PLACES * self._block_bytes
            self._ask(slot, Deed.WRITE_THROUGH, place, page, _Stage.LOGGING)
            self._set(NEXT, sequence + 1)
        else:
            self._ask(slot, Deed.READ, self._place(page), page, _Stage.LOOKING)
        self._set(_RANDOM, advanced(self._word(_RANDOM), 1))
        return True

    def _flush(self, slot: int, tags: list[int]) -> bool:
        """The log is full: all of it must be in the table, and stable, before it goes on."""
        if not tags:
            self._queue.ask(slot, Deed.FLUSH, 0, 0)
        return False

    def _ask(self, slot: int, deed: Deed, offset: int, page: int, stage: _Stage) -> None:
        self._queue.ask(slot, deed, offset, self._block_bytes, tag=page << 2 | stage)

    def _place(self, page: int) -> int:
        return (LOG_PLACES + page) * self._block_bytes

    def _expected(self, page: int) -> int:
        return int(self._own[page])

    def _expect(self, page: int, sequence: int) -> None:
        self._own[page] = sequence
        self._mark_own(page, 1)
