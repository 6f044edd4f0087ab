"""The VM worker: the process in which one VM's guest runs, under the holds and lease of its agent.

At every boundary it asks whether the guest may go on. It stops by itself when the lease ends, and
exits when its agent is gone, whatever else happens to either of them.
"""

import math
import os
import select
import time
from dataclasses import dataclass

from agent.guests import Guest, guest_of, rate_bytes_per_s, unit_bytes
from agent.guests.disk_queue import DiskQueue
from agent.holds import may_run
from agent.io import faults
from agent.io.control import Command, ControlBlock, LeasePage, WorkerState
from agent.io.disk_device import DiskDevice
from agent.io.fill import filled
from agent.io.memory import VmMemory
from agent.io.ring import Ring
from agent.io.tracker import KERNEL, MarkMap
from agent.io.userfault import track_writes, watch_missing
from agent.turns import Turns
from protocol.errors import ClusterError
from protocol.names import Hold, VmSpec

EXIT_DONE = 0
EXIT_FAILED = 1
EXIT_AGENT_GONE = 3

_REST_MIN_S = 0.001
_REST_MAX_S = 0.01
"""How long a worker goes at most without a beat while nothing but time can set it going."""

_DEBT_MAX_S = 0.02
"""A guest that was kept from the processor makes up for at most this much time."""


@dataclass(frozen=True, slots=True)
class WorkerOrder:
    """What a worker is to run, and how.

    `boot` fills the memory and starts the guest anew; without it the guest goes on from its
    registers, once they have come. `tracker` is `kernel` or `map`. `disk_bytes`: of the disk that
    its guest uses, 0 for none. `may_miss`: its guest may have to run before all its pages are here.
    """

    spec: VmSpec
    boot: bool
    tracker: str
    disk_bytes: int = 0
    may_miss: bool = False


@dataclass(frozen=True, slots=True)
class Shared:
    """What a worker shares with its agent. `marks` only where guests mark the pages they write,
    `ring` only with a disk, `watch_fd` (a socket) only where pages may be missing.
    """

    memory: VmMemory
    control: ControlBlock
    lease: LeasePage
    command_fd: int
    reply_fd: int
    agent_fd: int
    marks: MarkMap | None
    ring: Ring | None = None
    asked_fd: int = -1
    watch_fd: int = -1


class AgentGone(Exception):
    """The pipe that only the agent holds open has ended."""


class Worker:
    """Runs one guest until its agent is gone or kills it."""

    def __init__(self, order: WorkerOrder, shared: Shared) -> None:
        self._order = order
        self._shared = shared
        self._control = shared.control
        self._written_bytes = 0
        self._uffd = -1
        workload = order.spec.workload
        marks = shared.marks.marks if shared.marks else None
        self._guest: Guest = guest_of(workload, shared.memory.array, marks, order.disk_bytes)
        self._unit_bytes = unit_bytes(workload)
        self._units_per_s = rate_bytes_per_s(workload) / self._unit_bytes
        self._disk: DiskDevice | None = None
        if shared.ring is not None:
            queue = DiskQueue(shared.memory.array, marks)
            self._disk = DiskDevice(queue, shared.ring, shared.asked_fd, order.disk_bytes)
        self._poll = select.poll()
        self._poll.register(shared.command_fd, select.POLLIN)
        self._poll.register(shared.agent_fd, select.POLLIN)

    def run(self) -> int:
        """The exit status of the worker's process."""
        try:
            if self._order.boot:
                self._fill()
            if self._order.spec.workload.name == "idle":
                return self._end(EXIT_DONE, "The memory is filled, and an idle guest does no more.")
            self._track()
            while True:
                command = self._stand()
                self._go(command)
        except AgentGone:
            return EXIT_AGENT_GONE
        except (ClusterError, OSError) as error:
            return self._end(EXIT_FAILED, str(error))

    def _fill(self) -> None:
        spec = self._order.spec
        for done_bytes in filled(self._shared.memory, spec.fill, spec.seed):
            self._control.set_filled(done_bytes)
            self._rest(0)
        self._guest.boot(spec.seed)

    def _track(self) -> None:
        """Map every page before it is tracked, so that no first write waits for a page fault."""
        memory = self._shared.memory
        memory.populate(self._go_on_populating)
        if self._order.tracker == KERNEL:
            self._uffd = self._watch(memory)  # open until the end
        self._control.set_address(memory.address)

    def _watch(self, memory: VmMemory) -> int:
        if self._order.may_miss:
            try:
                uffd = watch_missing(memory.address, memory.memory_bytes)
            except OSError:
                pass  # an older kernel: the agent gets no descriptor, and knows that
            else:
                faults.hand_over(self._shared.watch_fd, uffd)
                return uffd
        return track_writes(memory.address, memory.memory_bytes)

    def _go_on_populating(self, _done_bytes: int) -> bool:
        self._rest(0)
        return True

    def _stand(self) -> Command:
        """The guest stands still until it may run; the command under which it then does."""
        answered = None
        while True:
            self._settle()
            command, now_ns = self._control.command, _boottime_ns()
            if may_run(command.holds, self._shared.lease.end_s, now_ns / 1e9):
                return command
            self._control.beat(self._guest.steps, self._written_bytes, now_ns)
            if command.sequence != answered:
                self._answer(command, WorkerState.PAUSED, now_ns)
                answered = command.sequence
            # A hold ends by a command, which wakes; a new lease does not.
            self._rest(None if command.holds else _REST_MAX_S)

    def _go(self, command: Command) -> None:
        """The guest runs until it may not: a step, a boundary, a step. What is taken from a
        throttled one is no time of its own: it owes nothing for it.
        """
        control, lease, guest = self._control, self._shared.lease, self._guest
        answered, turns, owed = None, Turns(_boottime_ns()), 1.0
        while True:
            now_ns = _boottime_ns()
            if not may_run(command.holds, lease.end_s, now_ns / 1e9):
                return
            if command.sequence != answered:
                self._answer(command, WorkerState.RUNNING, now_ns)
                answered = command.sequence
            owed += turns.passed(now_ns, control.throttle) * self._units_per_s
            owed = min(owed, 1 + _DEBT_MAX_S * self._units_per_s)
            if turns.is_open:
                done = self._step(int(owed))
                owed -= done
                self._written_bytes += done * self._unit_bytes
                rest_s = self._until_owed_s(owed, done)
            else:
                self._settle()
                rest_s = min(turns.opens_in_s, _REST_MAX_S)
            control.beat(guest.steps, self._written_bytes, now_ns)
            self._rest(rest_s)
            command = control.command

    def _step(self, budget: int) -> int:
        """One step; what it asks of the disk is begun under the epoch that it stamped."""
        if self._disk is None:
            return self._guest.step(budget)
        self._settle()
        epoch = self._control.epoch
        self._guest.epoch = epoch
        done = self._guest.step(budget)
        # A step may take long, at a page that is not here yet: what it asked for goes out only
        # while the lease lasts, else with the next step.
        if may_run(Hold.NONE, self._shared.lease.end_s, _boottime_ns() / 1e9):
            self._disk.begin(epoch)
        return done

    def _settle(self) -> None:
        """Bring the disk's answers in, and say so when there are no more to come."""
        if self._disk is not None and self._disk.settle():
            os.eventfd_write(self._shared.reply_fd, 1)

    def _until_owed_s(self, owed: float, done: int) -> float:
        if owed >= 1:
            return 0.0 if done or self._disk is None else _REST_MAX_S  # its disk has to answer
        due_s = (1 - owed) / self._units_per_s
        return min(max(due_s, _REST_MIN_S), _REST_MAX_S)

    def _rest(self, longest_s: float | None) -> None:
        """Wait for a command, at most so long; leave with the agent."""
        timeout_ms = None if longest_s is None else math.ceil(longest_s * 1000)
        for fd, _ in self._poll.poll(timeout_ms):
            if fd == self._shared.agent_fd:
                raise AgentGone
            os.eventfd_read(fd)

    def _answer(self, command: Command, state: WorkerState, now_ns: int) -> None:
        self._control.answer(command.sequence, state, self._control.granted_epoch, now_ns)
        os.eventfd_write(self._shared.reply_fd, 1)

    def _end(self, status: int, reason: str) -> int:
        self._control.set_reason(reason)
        self._answer(self._control.command, WorkerState.ENDED, _boottime_ns())
        return status


def _boottime_ns() -> int:
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)
