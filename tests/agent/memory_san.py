"""A disk in memory with persistent reservations, and each node's way to it: what volumes need of a
SAN, without one.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from agent.volumes.errors import Conflict, OutOfRange, PathLost
from protocol.disks import NO_KEY, DiskId, RegistrationKey

BLOCK_BYTES = 512
DISK = DiskId("6001405000000001")


@dataclass(slots=True)
class MemoryDisk:
    """The LUN itself: bytes, who is registered, who reserved it. `accepted` logs every write."""

    blocks: int = 64 * 1024
    disk: DiskId = DISK
    content: bytearray = field(default_factory=bytearray)
    keys: dict[str, RegistrationKey] = field(default_factory=dict)
    holder: RegistrationKey | None = None
    accepted: list[tuple[RegistrationKey, int, int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.content = self.content or bytearray(self.blocks * BLOCK_BYTES)


class MemoryLun:
    """The way of one node. `cut` and `heal` its path; `stall` keeps writes under way."""

    def __init__(self, node: str, there: MemoryDisk) -> None:
        self.node = node
        self.there = there
        self.product = "MEMORY"
        self.block_bytes = BLOCK_BYTES
        self.paths = 1
        self.paths_up = 1
        self.registrations = 0
        self.reason = ""
        self.key = NO_KEY
        self.wanted = NO_KEY
        self.admitted = 0
        self.stalled: asyncio.Event | None = None
        self.changed: Callable[[], None] = lambda: None
        self.conflicted: Callable[[DiskId, RegistrationKey, str], None] = lambda *_: None

    @property
    def disk(self) -> DiskId:
        return self.there.disk

    @property
    def blocks(self) -> int:
        return self.there.blocks

    @property
    def is_usable(self) -> bool:
        return self.paths_up > 0 and self.key != NO_KEY and self.registrations <= self.admitted

    # ---- what hurts it

    def cut(self) -> None:
        self.paths_up, self.key, self.reason = 0, NO_KEY, "The path was cut."
        self.changed()

    def heal(self) -> None:
        self.paths_up, self.reason = 1, ""
        self._register()
        self.changed()

    # ---- the port

    def use(self, key: RegistrationKey) -> None:
        if key != self.wanted:
            self.wanted = key
            if self._register():
                asyncio.get_running_loop().call_soon(lambda: self.changed())

    def _register(self) -> bool:
        if self.paths_up and self.wanted not in (NO_KEY, self.key):
            self.there.keys[self.node] = self.key = self.wanted
            self.registrations += 1
            return True
        return False

    def let_go(self) -> None:
        self.wanted = self.key = NO_KEY
        if self.stalled is not None:
            self.stalled.set()

    def admit(self, registrations: int) -> None:
        self.admitted = max(self.admitted, registrations)

    def _reach(self) -> None:
        if not self.paths_up:
            raise PathLost(f"{self.node} has no path to the disk")

    def _may_write(self) -> None:
        self._reach()
        if not self.is_usable:
            raise PathLost(f"{self.node} is not registered and admitted")
        if self.there.keys.get(self.node) != self.key:
            self.conflicted(self.disk, self.key, f"the key of {self.node} was preempted")
            raise Conflict(f"the key of {self.node} was preempted")

    async def read_into(self, lba: int, target: memoryview) -> None:
        await asyncio.sleep(0)
        self._reach()
        first = self._byte(lba, len(target))
        target[:] = self.there.content[first : first + len(target)]

    async def write(
        self, lba: int, buffers: Sequence[bytes | memoryview], fua: bool = False
    ) -> None:
        content = b"".join(buffers)
        self._may_write()
        key = self.key
        await asyncio.sleep(0)
        if self.stalled is not None:
            await self.stalled.wait()
        if self.key != key:
            raise PathLost("the key was given up")
        self._may_write()
        first = self._byte(lba, len(content))
        self.there.content[first : first + len(content)] = content
        self.there.accepted.append((key, lba, len(content)))

    def _byte(self, lba: int, length: int) -> int:
        if length % BLOCK_BYTES or lba * BLOCK_BYTES + length > len(self.there.content):
            raise OutOfRange(f"{length} bytes at block {lba} are not in the disk")
        return lba * BLOCK_BYTES

    async def flush(self) -> None:
        await asyncio.sleep(0)
        self._reach()

    async def keys(self) -> tuple[RegistrationKey, ...]:
        self._reach()
        return tuple(self.there.keys.values())

    async def holder(self) -> RegistrationKey | None:
        self._reach()
        return self.there.holder

    async def reserve(self) -> None:
        self._may_write()
        if self.there.holder not in (None, self.key):
            raise Conflict("another holds the reservation")
        self.there.holder = self.key

    async def preempt(self, key: RegistrationKey, abort: bool) -> None:
        self._reach()
        if self.there.keys.get(self.node) != self.key:
            raise Conflict(f"{self.node} is not registered")
        for node in [node for node, theirs in self.there.keys.items() if theirs == key]:
            del self.there.keys[node]
        if self.there.holder == key:
            self.there.holder = self.key

    async def clear(self) -> None:
        self._may_write()
        self.there.keys.clear()
        self.there.holder = None


class MemoryLuns:
    """All that one node sees: one disk."""

    def __init__(self, node: str, there: MemoryDisk) -> None:
        self.lun = MemoryLun(node, there)

    @property
    def luns(self) -> Mapping[DiskId, MemoryLun]:
        return {self.lun.disk: self.lun}

    @property
    def why_down(self) -> str:
        return ""

    def watch(
        self,
        changed: Callable[[], None],
        conflicted: Callable[[DiskId, RegistrationKey, str], None],
    ) -> None:
        self.lun.changed, self.lun.conflicted = changed, conflicted

    async def start(self) -> None:
        pass

    async def close(self) -> None:
        pass
