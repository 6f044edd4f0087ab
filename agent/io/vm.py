"""One VM on this node: its guest runs in a worker process, or in none when it is idle."""

import asyncio
import os
import socket
import time
from collections.abc import Callable

from agent.holds import may_run
from agent.io.control import ControlBlock, LeasePage, WorkerState
from agent.io.faults import Faults, handed_over
from agent.io.memory import VmMemory
from agent.io.ring import Ring
from agent.io.tracker import MAP, DirtyTracker, IdleTracker, KernelTracker, MapTracker, MarkMap
from agent.io.warm import WarmParent
from agent.io.worker import EXIT_DONE, WorkerOrder
from protocol.errors import NotReady
from protocol.names import Epoch, Hold

Died = Callable[[str], None]
"""Hears, as a sentence, that a worker ended that nobody had told to."""


class WorkerDied(NotReady):
    """The worker that was to do something has ended."""


class VmWorker:
    """The agent's handle on one VM's guest.

    An idle guest needs no process once its memory is filled: this object then stands for it.
    """

    def __init__(
        self, warm: WarmParent, memory: VmMemory, lease: LeasePage, order: WorkerOrder, died: Died
    ) -> None:
        self.memory = memory
        self.order = order
        self.pid: int | None = None
        self.holds = Hold.NONE
        self._throttle = 0.0
        self._epoch = Epoch(0)
        self._warm = warm
        self._lease = lease
        self._died = died
        self._idle = order.spec.workload.name == "idle"
        self._control = ControlBlock.create("vm")
        marked = order.tracker == MAP and not self._idle
        self._marks = MarkMap.create("vm", memory.pages) if marked else None
        self.ring = Ring.create("vm") if order.disk_bytes else None
        self.asked_fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC) if self.ring else -1
        pair = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET) if order.may_miss else ()
        self._watch: tuple[socket.socket, ...] = pair
        self._command_fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._reply_fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._loop = asyncio.get_running_loop()
        self._news = asyncio.Event()
        self._sequence = 0
        self._is_whole = False  # an idle guest whose memory is filled: it needs no process
        self._ended: str | None = None
        self._ordered_to_end = False

    @classmethod
    async def spawn(
        cls,
        warm: WarmParent,
        memory: VmMemory,
        lease: LeasePage,
        order: WorkerOrder,
        *,
        epoch: Epoch,
        holds: Hold = Hold.NONE,
        died: Died,
    ) -> "VmWorker":
        """A worker that has begun to fill or to map the memory; await `ready` before anything."""
        worker = cls(warm, memory, lease, order, died)
        worker.set_holds(holds, epoch)
        worker._loop.add_reader(worker._reply_fd, worker._heard)
        if worker._idle and not order.boot:
            worker._is_whole, worker._ended = True, "is not needed"
            return worker
        try:
            worker.pid = await warm.spawn(order, worker._fds(), worker._exited)
        except BaseException:
            worker._close()
            raise
        return worker

    def _fds(self) -> list[int]:
        fds = [self.memory.fd, self._control.fd, self._lease.fd, self._command_fd, self._reply_fd]
        if self._marks:
            fds.append(self._marks.fd)
        if self.ring:
            fds += [self.ring.fd, self.asked_fd]
        return [*fds, self._watch[1].fileno()] if self._watch else fds

    @property
    def command_fd(self) -> int:
        """What wakes the worker, whoever has something for it."""
        return self._command_fd

    @property
    def unanswered(self) -> int:
        """Requests to its disk that are under way, or whose answer is not in its pages yet."""
        return self.ring.unanswered if self.ring else 0

    @property
    def steps(self) -> int:
        return self._control.steps

    @property
    def bytes_written(self) -> int:
        return self._control.bytes_written

    @property
    def filled_bytes(self) -> int:
        return self._control.filled_bytes

    @property
    def beat_ns(self) -> int:
        """CLOCK_BOOTTIME of the worker's last boundary; 0 without a worker."""
        return self._control.beat_ns

    @property
    def changed_ns(self) -> int:
        """CLOCK_BOOTTIME of the guest's last pause or resume, by its worker's own clock."""
        return self._control.changed_ns

    @property
    def epoch(self) -> Epoch:
        """Under which epoch the guest runs, or was last told to."""
        return self._epoch if self._idle else self._control.epoch

    @property
    def state(self) -> WorkerState:
        if not self._is_whole:
            return WorkerState.ENDED if self._ended else self._control.reply.state
        now_s = time.clock_gettime(time.CLOCK_BOOTTIME)
        runs = may_run(self.holds, self._lease.end_s, now_s)
        return WorkerState.RUNNING if runs else WorkerState.PAUSED

    def set_holds(self, holds: Hold, epoch: Epoch | None = None) -> None:
        """All that holds the guest from now on; it obeys within its next boundary."""
        self.holds = holds
        if epoch is not None:
            self._epoch = epoch
        if self._command_fd >= 0:
            self._sequence = self._control.order(holds, self._epoch)
        self.wake()

    @property
    def throttle(self) -> float:
        """The share of its time that the guest loses."""
        return self._throttle

    def set_throttle(self, share: float) -> None:
        """The guest loses this share of its time from its next boundary on."""
        self._throttle = share
        if self._command_fd >= 0:
            self._control.set_throttle(share)
        self.wake()

    def wake(self) -> None:
        """Have the worker look at once, which is worth it when the lease has begun again."""
        if self._ended is None:
            os.eventfd_write(self._command_fd, 1)

    async def ready(self) -> None:
        """The memory is filled and tracked, and the guest obeys."""
        await self._until(self._obeys)

    async def paused(self) -> None:
        """The guest has obeyed the last `set_holds` and stands still."""
        await self._until(lambda: self._is(WorkerState.PAUSED))

    async def resumed(self) -> None:
        """The guest has obeyed the last `set_holds` and runs."""
        await self._until(lambda: self._is(WorkerState.RUNNING))

    async def settled(self) -> None:
        """The guest stands still, and no request to its disk is unanswered."""
        await self._until(lambda: self._is(WorkerState.PAUSED) and not self.unanswered)

    def tracker(self) -> DirtyTracker:
        """What finds the pages that the guest writes; once it is `ready`."""
        if self._idle:
            return IdleTracker()
        if self._marks is not None:
            return MapTracker(self._marks)
        assert self.pid is not None
        assert self._control.address, "the worker is not ready"
        return KernelTracker(self.pid, self._control.address, self.memory.pages)

    def faults(self) -> Faults | None:
        """Where its guest waits for missing pages, to be asked for once it is `ready`; None where
        none may be missing. Whoever asks closes it.
        """
        fd = handed_over(self._watch[0]) if self._watch else None
        return None if fd is None else Faults(fd, self._control.address, self.memory.pages)

    def leave_watch(self) -> None:
        """No page will be missing any more, or none that anybody here brings."""
        for sock in self._watch:
            sock.close()
        self._watch = ()

    @property
    def has_guest(self) -> bool:
        """Whether it takes a process to run its guest."""
        return not self._idle

    def destroy(self) -> None:
        """End the worker; the memory stays the caller's."""
        self._ordered_to_end = True
        if self._ended is None and self.pid is not None:
            self._warm.kill(self.pid)

    async def destroyed(self) -> None:
        """The worker ended, by itself or by `destroy`, and nothing of it is left."""
        while self._ended is None:
            await self._next_news()
        self._close()

    def _obeys(self) -> bool:
        """A worker that could not fill or track the memory has answered, too: that it ends."""
        reply = self._control.reply
        return reply.sequence > 0 and reply.state is not WorkerState.ENDED

    def _is(self, state: WorkerState) -> bool:
        reply = self._control.reply
        return reply.sequence == self._sequence and reply.state is state

    async def _until(self, done: Callable[[], bool]) -> None:
        while not self._is_whole:
            if self._ended is not None:
                raise WorkerDied(f"The VM's worker {self.pid} {self._ended}.")
            if done():
                return
            await self._next_news()

    async def _next_news(self) -> None:
        self._news.clear()
        await self._news.wait()

    def _heard(self) -> None:
        os.eventfd_read(self._reply_fd)
        self._news.set()

    def _exited(self, how: str, status: int | None) -> None:
        self._is_whole = self._idle and status == EXIT_DONE
        said = "" if self._is_whole else self._control.reason
        self._ended = f"{how}: {said.rstrip('.')}" if said else how
        self._news.set()
        if not self._is_whole and not self._ordered_to_end:
            self._died(f"The VM's worker {self.pid} {self._ended}.")

    def _close(self) -> None:
        if self._command_fd < 0:
            return
        self._loop.remove_reader(self._reply_fd)
        self.leave_watch()
        os.close(self._command_fd)
        os.close(self._reply_fd)
        self._command_fd = -1
        self._control.close()
        if self.ring:
            os.close(self.asked_fd)
            self.ring.close()
        if self._marks:
            self._marks.close()
