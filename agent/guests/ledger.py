"""The ledger: a guest that appends the same entries to its disk and to its memory, in lockstep.

An entry is acknowledged when the disk has answered that it is on stable storage, and every entry
before it is, too. Only then it is counted and copied into memory. After a failover the guest boots
from its disk: it finds the end, verifies every link on the way, and goes on behind it. So the
number of the last acknowledged entry, which `steps` shows, never goes back in any history.
"""

import numpy as np

from agent.guests.disk_guest import (
    ACKED,
    ASKED,
    FIRST,
    KIND,
    LINK,
    MAGIC_WORD,
    NEXT,
    OWNER,
    SCAN,
    STEPS,
    DiskGuest,
    Phase,
)
from agent.guests.disk_queue import BUFFER_BYTES, OWN_PAGE, SLOTS, Bytes, Deed
from agent.guests.ledger_log import WALK_WORDS, WINDOW, Walk
from agent.guests.pages import MAGIC, Pages
from agent.guests.sealed import ENTRY, Block, seal, unsealed
from protocol.names import PAGE_BYTES, Workload
from protocol.workload import WORKLOADS, block_bytes


class Ledger(DiskGuest):
    """Its registers: the next entry and the link that it will have, the last acknowledged one, and
    the first of this boot.
    """

    kind = WORKLOADS.index("ledger")
    name = "ledger"
    set_is_memory = True

    @property
    def places(self) -> int:
        return self._disk_bytes // self._block_bytes

    # ---- finding the end

    def _read(self) -> int:
        """Chunks are read ahead in all slots, and looked at in turn."""
        walk = Walk(self._registers[SCAN : SCAN + WALK_WORDS], self.places)
        per_chunk = BUFFER_BYTES // self._block_bytes
        while not walk.is_over:
            self._read_ahead(per_chunk)
            slot = walk.place // per_chunk % SLOTS
            answer = self._queue.answer(slot)
            if answer is None:
                return 0
            chunk = self._queue.buffer(slot)[: answer.length_bytes]
            for entry in chunk.reshape(-1, self._block_bytes):
                walk.take(self._mine(entry))
            self._queue.release(slot)
        if not self._is_quiet():
            return 0
        sequence, link = walk.end()
        for word, value in ((NEXT, sequence + 1), (ACKED, sequence), (FIRST, sequence + 1)):
            self._set(word, value)
        self._set(LINK, link)
        self._set(ASKED, 0)
        self._go_to(Phase.SETTLING)
        return 0

    def _read_ahead(self, per_chunk: int) -> None:
        chunk = self._word(ASKED)
        while chunk * per_chunk < self.places and self._queue.is_free(chunk % SLOTS):
            offset = chunk * per_chunk * self._block_bytes
            end = min(offset + per_chunk * self._block_bytes, self.places * self._block_bytes)
            self._queue.ask(chunk % SLOTS, Deed.READ, offset, end - offset)
            chunk += 1
        self._set(ASKED, chunk)

    def _mine(self, entry: Bytes) -> Block | None:
        """An entry of this VM; what another life of the disk left is none."""
        block = unsealed(entry, ENTRY)
        return block if block is not None and block.owner == self._word(OWNER) else None

    def _is_quiet(self) -> bool:
        """What was read ahead in vain has been answered as well."""
        for slot in range(SLOTS):
            if self._queue.answer(slot) is not None:
                self._queue.release(slot)
        return self._queue.is_quiet

    def _settle(self) -> int:
        """What was found may have been written, but not to stable storage: it counts from now."""
        if self._queue.answer(0) is not None:
            self._queue.release(0)
            self._set(STEPS, self._word(ACKED))
            self._go_to(Phase.RUNNING)
        elif self._queue.is_free(0):
            self._queue.ask(0, Deed.FLUSH, 0, 0)
        return 0

    # ---- the work

    def _run(self, budget: int) -> int:
        self._acknowledge()
        begun = 0
        while begun < budget and self._queue.is_free(self._word(NEXT) % WINDOW):
            self._append(self._word(NEXT))
            begun += 1
        return begun

    def _append(self, sequence: int) -> None:
        slot, size = sequence % WINDOW, self._block_bytes
        previous, owner = self._word(LINK), self._word(OWNER)
        link = seal(self._data(slot), ENTRY, owner, sequence, self.epoch, previous)
        offset = (sequence - 1) % self.places * size
        self._queue.ask(slot, Deed.WRITE_THROUGH, offset, size, tag=sequence)
        self._set(LINK, link)
        self._set(NEXT, sequence + 1)

    def _acknowledge(self) -> None:
        """In order: an answer that came early waits for those before it."""
        while True:
            sequence = self._word(ACKED) + 1
            slot = sequence % WINDOW
            answer = self._queue.answer(slot)
            if answer is None or answer.tag != sequence:
                return
            self._record(sequence, self._data(slot))
            self._set(ACKED, sequence)
            self._set(STEPS, sequence)
            self._queue.release(slot)

    def _record(self, sequence: int, entry: Bytes) -> None:
        words = self._block_bytes // 8
        first = (sequence - 1) % (len(self._own) // words) * words
        self._own[first : first + words] = entry.view(np.uint64)
        self._mark_own(first, words)


def recorded(memory: Pages, workload: Workload) -> list[Block]:
    """The acknowledged entries that a ledger's memory holds, oldest first.

    AssertionError names the first that is missing, torn or not linked to the one before it.
    """
    registers, size = memory[0], block_bytes(workload)
    assert int(registers[MAGIC_WORD]) == MAGIC, "page 0 holds no registers of a guest"
    assert int(registers[KIND]) == Ledger.kind, "page 0 holds no registers of a ledger"
    own = memory[OWN_PAGE:]
    if workload.set_bytes:
        own = own[: max(1, workload.set_bytes // PAGE_BYTES)]
    flat: Bytes = own.reshape(-1).view(np.uint8)
    kept = len(flat) // size
    acked = int(registers[ACKED])
    blocks: list[Block] = []
    for sequence in range(max(1, int(registers[FIRST]), acked - kept + 1), acked + 1):
        place = (sequence - 1) % kept
        block = unsealed(flat[place * size : (place + 1) * size], ENTRY)
        assert block is not None, f"entry {sequence} is torn or missing in memory"
        assert block.sequence == sequence, f"entry {block.sequence} lies where {sequence} should"
        linked = not blocks or block.link == blocks[-1].sum
        assert linked, f"entry {sequence} is not linked to the one before it"
        blocks.append(block)
    return blocks
