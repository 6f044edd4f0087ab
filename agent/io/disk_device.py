"""The virtual disk as hardware: in the worker, between the guest's queue and the agent's ring."""

import os

import numpy as np

from agent.guests.disk_queue import SLOTS, Deed, DiskQueue
from agent.io.ring import Ring, Turn
from protocol.names import Epoch


class DiskDevice:
    """Hands over what the guest asked for, and brings answers into the VM's pages."""

    def __init__(self, queue: DiskQueue, ring: Ring, asked_fd: int, disk_bytes: int) -> None:
        self._queue = queue
        self._ring = ring
        self._asked_fd = asked_fd
        self._disk_bytes = disk_bytes

    def settle(self) -> bool:
        """Bring answers in; whether that left nothing unanswered. The guest need not run for it:
        it does not see them before its next step.
        """
        settled = 0
        for slot in range(SLOTS):
            if self._ring.turn(slot) is not Turn.ANSWERED:
                continue
            data = None
            if self._ring.deed(slot) is Deed.READ:
                data = np.frombuffer(self._ring.data(slot, self._ring.length_bytes(slot)), np.uint8)
            self._queue.finish(slot, data=data)
            self._ring.free(slot)
            settled += 1
        return settled > 0 and self._ring.unanswered == 0

    def begin(self, epoch: Epoch) -> None:
        """Hand over what has not been; only while the guest may run."""
        begun = False
        for request in self._queue.asked():
            slot, deed, length_bytes = request.slot, request.deed, request.length_bytes
            if self._ring.turn(slot) is not Turn.FREE:
                continue
            if request.offset + length_bytes > self._disk_bytes:
                self._queue.finish(slot, refused=True)
                continue
            if deed in (Deed.WRITE, Deed.WRITE_THROUGH):
                bytes_ = self._queue.buffer(slot)[:length_bytes]
                self._ring.data(slot, length_bytes)[:] = bytes_.data
            self._ring.hand_over(slot, deed, request.offset, length_bytes, epoch)
            begun = True
        if begun:
            os.eventfd_write(self._asked_fd, 1)
