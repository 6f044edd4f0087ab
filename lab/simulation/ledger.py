"""The guest that writes a ledger, in small: entries in RAM and on its disk in lockstep.

Each entry is two writes, one after the other: the entry behind the last one, then the head with the
number of entries. Both are on stable storage before the guest counts it. After a start from nothing
its RAM is what the disk says.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from agent import actions, events
from lab.simulation.guest import SimWorker
from lab.simulation.san import BLOCK_BYTES, ZEROS
from lab.simulation.volume_clients import Io, SimClient
from protocol.names import Epoch, Hold, VmSpec

if TYPE_CHECKING:
    from lab.simulation.agent import SimAgent

CHUNK_BLOCKS = 32
HEAD_BLOCK, FIRST_BLOCK = 0, 1


def entry_block(vm: str, number: int) -> bytes:
    return f"{vm}/{number}".encode().ljust(BLOCK_BYTES, b"\0")


def head_block(entries: int) -> bytes:
    return str(entries).encode().ljust(BLOCK_BYTES, b"\0")


def head_entries(block: bytes) -> int:
    return int(block.rstrip(b"\0") or b"0")


class Ledger:
    """The disk half of one copy of a VM."""

    def __init__(self, agent: "SimAgent", worker: SimWorker, spec: VmSpec) -> None:
        self.agent, self.worker = agent, worker
        self.world = agent.cluster.world
        self.checks = agent.cluster.storage_checks
        self.vm = worker.vm
        self.disk = spec.disks[0]
        self.every_s = 0.2 + 0.1 * (spec.seed % 7)
        self.entries = 0
        self.epoch = Epoch(0)
        self.is_ready = self.is_over = False
        self._handle = 0
        self._io: Io | None = None
        self._client: SimClient | None = None

    # ---- opened, booted, taken over

    def open(self, epoch: Epoch) -> str:
        """Why it cannot be; empty if it is on its way."""
        disks = self.agent.disks
        client = None if disks is None else disks.client_of(self.disk.volume)
        if client is None:
            return f"There is no volume {self.disk.volume} on this node."
        if self._client is not None:
            self._client.close(self._handle)
        self._client, self.epoch = client, epoch
        self._handle = client.open(self.disk.path, self.vm, epoch)
        return ""

    def boot(self, epoch: Epoch, done: Callable[[str], None]) -> None:
        """RAM becomes what the disk says."""
        if why := self.open(epoch):
            return done(why)
        found: list[bytes] = []

        def read(data: bytes | None) -> None:
            if data is None:
                return done("Its disk cannot be read under this epoch.")
            if self._client is None:
                return done("It was stopped while it looked.")
            blocks = [data[at : at + BLOCK_BYTES] for at in range(0, len(data), BLOCK_BYTES)]
            found.extend(blocks)
            if ZEROS in blocks:
                self._booted(found)
                return done("")
            self._read(FIRST_BLOCK + len(found), CHUNK_BLOCKS, read)

        self._read(FIRST_BLOCK, CHUNK_BLOCKS, read)

    def _booted(self, found: list[bytes]) -> None:
        self.entries = found.index(ZEROS)
        self.checks.booted(str(self.vm), found[: self.entries], self.epoch)
        # A crash between an entry and the head leaves the head behind.
        self._write(HEAD_BLOCK, head_block(self.entries), self._begin)

    def take_over(self, source: "Ledger", epoch: Epoch, done: Callable[[str], None]) -> None:
        """S10: the RAM has come; the disk is opened here, and holds what the RAM says."""
        if why := self.open(epoch):
            return done(why)
        came = source.entries

        def read(data: bytes | None) -> None:
            if data is None:
                return done("Its disk cannot be opened under this epoch.")
            if source.entries != came:
                return done("The attempt was aborted while this node slept: the source goes on.")
            self.entries = came
            self.checks.handed_over(str(self.vm), self.entries, head_entries(data))
            self._begin()
            done("")

        self._read(HEAD_BLOCK, 1, read)

    def _begin(self) -> None:
        self.is_ready = True
        self.agent.cluster.world.after(self.every_s, self._tick)

    def obey(self, epoch: Epoch) -> None:
        """The VM goes on here under another epoch, and so does its file."""
        if self.is_ready and epoch != self.epoch and self._io is None:
            self.open(epoch)

    # ---- at work

    @property
    def unanswered(self) -> int:
        return int(self._io is not None)

    def _tick(self) -> None:
        if self.is_over or not self.worker.alive or not self.agent.alive:
            return
        self.world.after(self.every_s, self._tick)
        if self.worker.is_running() and self._io is None:
            self.agent.soon(self._append)

    def _append(self) -> None:
        if self.is_over or self._io is not None or not self.worker.is_running():
            return
        if self.worker.epoch != self.epoch:
            self.obey(self.worker.epoch)
            return
        number = self.entries
        entry = entry_block(str(self.vm), number)
        self._write(FIRST_BLOCK + number, entry, lambda: self._write_head(number + 1))

    def _write_head(self, entries: int) -> None:
        self._write(HEAD_BLOCK, head_block(entries), lambda: self._count(entries))

    def _count(self, entries: int) -> None:
        """The guest sees the answer; one that has died sees nothing."""
        if not self.worker.alive:
            return
        self.entries = entries
        self.checks.acknowledged(str(self.vm), entries, self.epoch)

    def _write(self, block: int, data: bytes, then: Callable[[], None]) -> None:
        stamp = ("file", self.vm, self.epoch, self.agent.incarnation)
        io = Io(self._handle, block * BLOCK_BYTES, BLOCK_BYTES, data, stamp, lambda _: None)

        def done(answer: bytes | None) -> None:
            self._io = None
            if answer is not None:
                then()
            elif not self.is_over and self.worker.alive:
                reason = f"The disk of {self.vm} takes nothing from this node any more."
                if self.worker.epoch == self.epoch:
                    self.agent.feed(events.DiskGone(self.vm, reason))
                else:
                    self.obey(self.worker.epoch)  # opened anew; the entry is written again
            if self._io is None:
                self._settled()

        io.done = done
        self._io = io
        assert self._client is not None
        self._client.do(io)

    def _settled(self) -> None:
        if self.worker.alive and self.worker.holds & Hold.ATTEMPT and not self.is_over:
            self.agent.feed(events.GuestSettled(self.vm))

    def _read(self, block: int, blocks: int, done: Callable[[bytes | None], None]) -> None:
        stamp: Any = None
        io = Io(self._handle, block * BLOCK_BYTES, blocks * BLOCK_BYTES, None, stamp, done)
        assert self._client is not None
        self._client.do(io)

    # ---- the end

    def stop(self) -> bool:
        """Begin nothing more; whether nothing of it can be under way."""
        if not self.is_over:
            self.is_over = True
            if self._io is not None and self._client is not None:
                self._client.forget(self._io)
        if self._io is not None:
            return False
        if self._client is not None:
            self._client.close(self._handle)
            self._client = None
        return True


def take_over(agent: "SimAgent", ledger: Ledger, action: actions.OpenStorage) -> None:
    """S10 of a VM with a disk. Ends in StorageDone or StorageFailed, while the attempt lasts."""
    attempt, cluster = action.attempt, agent.cluster
    source = cluster.checker.source_of(attempt)

    def done(why: str) -> None:
        if attempt in agent.streams:
            failed = events.StorageFailed(attempt, why)
            agent.feed(failed if why else events.StorageDone(attempt))

    if source is None or (before := cluster.ledger_of(source)) is None:
        done("The source is gone.")
    else:
        ledger.take_over(before, action.epoch, done)
