"""A disk that does what disks may do: answer in any order, and lose or tear at a crash whatever
was not said to be stable.
"""

import random

import numpy as np

from agent.guests import Guest, Pages
from agent.guests.disk_queue import Deed, DiskQueue, Request

SECTOR_BYTES = 512


class ModelDisk:
    """`content` is what a read finds; `_unsafe` the writes that a crash may undo."""

    def __init__(self, size_bytes: int, seed: int = 0) -> None:
        self.content = bytearray(size_bytes)
        self.writes = 0
        self._stable = bytearray(size_bytes)
        self._unsafe: list[tuple[int, bytes]] = []
        self._random = random.Random(seed)

    def serve(self, memory: Pages, at_most: int = 100) -> int:
        """Answer some of what the guest has asked for, in any order."""
        queue = DiskQueue(memory)
        asked = list(queue.asked())
        self._random.shuffle(asked)
        for request in asked[:at_most]:
            self._do(queue, request)
        return len(asked)

    def _do(self, queue: DiskQueue, request: Request) -> None:
        end = request.offset + request.length_bytes
        assert end <= len(self.content), f"{request} lies outside the disk"
        match request.deed:
            case Deed.READ:
                data = np.frombuffer(bytes(self.content[request.offset : end]), np.uint8)
                queue.finish(request.slot, data=data)
                return
            case Deed.WRITE:
                self._write(queue, request, stable=False)
            case Deed.WRITE_THROUGH:
                self._write(queue, request, stable=True)
            case Deed.FLUSH:
                self._stable[:] = self.content
                self._unsafe.clear()
        queue.finish(request.slot)

    def _write(self, queue: DiskQueue, request: Request, *, stable: bool) -> None:
        data = bytes(queue.buffer(request.slot)[: request.length_bytes])
        span = slice(request.offset, request.offset + request.length_bytes)
        self.content[span] = data
        self.writes += 1
        if stable:
            self._stable[span] = data
        else:
            self._unsafe.append((request.offset, data))

    def crash(self, memory: Pages) -> None:
        """What was asked for and never answered, too, may be there, or half of it, or not."""
        queue = DiskQueue(memory)
        for request in queue.asked():
            if request.deed in (Deed.WRITE, Deed.WRITE_THROUGH):
                data = bytes(queue.buffer(request.slot)[: request.length_bytes])
                self._unsafe.append((request.offset, data))
        for offset, data in self._unsafe:
            for at in range(0, len(data), SECTOR_BYTES):
                if self._random.random() < 0.6:
                    sector = data[at : at + SECTOR_BYTES]
                    self._stable[offset + at : offset + at + len(sector)] = sector
        self._unsafe.clear()
        self.content[:] = self._stable


def settled(guest: Guest, disk: ModelDisk, memory: Pages) -> None:
    """The guest has found out what its disk holds."""
    for _ in range(100_000):
        guest.step(0)
        if not disk.serve(memory) and int(memory[0, 3]) == 3:
            return
    raise AssertionError("the guest never came to its work")
