"""Commands that have come and not ended, of all sessions: their order, their deeds, their end.

A task ends only when the medium has ended what was begun for it, even if nobody waits for its
answer any more: that is what an abort, a fence and a session that is taken over may rely on.
"""

import enum
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Protocol

from protocol.iscsi.digests import Buffer
from protocol.scsi.commands import Command
from protocol.scsi.status import Status
from san.actions import Action, CarryOut
from san.answers import Answer
from san.collection import Collection
from san.medium import AbortTasks, AwaitAborted, Deed, Failure
from san.nexus import Nexus
from san.units import Units


class Phase(enum.Enum):
    COLLECTING = "its data are coming"
    WAITING = "earlier tasks must end first"
    WORKING = "the medium is at work"
    ABORTING = "it waits for the end of tasks that it aborts"
    ENDED = "it is answered, or never will be"


class Asker(Protocol):
    """The session that a task belongs to."""

    nexus: Nexus
    connection: int

    def answer(self, task: "Task", answer: Answer) -> None: ...

    def forget(self, task: "Task") -> None: ...


@dataclass(slots=True, eq=False)
class Task:
    """One command of one session."""

    asker: Asker
    lun: int
    tag: int
    cmd_sn: int
    command: Command | None
    """None where nobody understands it, or it was refused: `result` says so."""
    expected_bytes: int
    is_read: bool
    immediate: bool
    actual_bytes: int = 0
    """What a write moves by its own words; what the initiator expects may differ."""
    is_barrier: bool = False
    collection: Collection | None = None
    phase: Phase = Phase.COLLECTING
    number: int = 0
    deeds: list[Deed] = field(default_factory=list)
    result: Answer | None = None
    aborted: bool = False
    is_told: bool = False
    held_bytes: int = 0

    @property
    def requests(self) -> int:
        """How many R2Ts were sent for it."""
        return 0 if self.collection is None else self.collection.requests


@dataclass(slots=True, eq=False)
class Wait:
    """What goes on once these tasks have ended."""

    tasks: set[int]
    then: Callable[[], None]
    of: Task | None = None


class Tasks:
    """All of them. What is to be done with the medium is put on `out`."""

    def __init__(self, units: Units, out: list[Action]) -> None:
        self.units = units
        self._out = out
        self._all: dict[int, Task] = {}
        self._lanes: dict[tuple[Asker, int], dict[int, Task]] = {}
        self._barriers: dict[tuple[Asker, int], int] = {}
        self._waits: list[Wait] = []
        self._count = 0

    def __len__(self) -> int:
        return len(self._all)

    def begin(self, task: Task) -> None:
        """It has arrived; its data may still be coming."""
        self._count += 1
        task.number = self._count
        self._all[task.number] = task
        lane = (task.asker, task.lun)
        self._lanes.setdefault(lane, {})[task.number] = task
        if task.is_barrier:
            self._barriers[lane] = self._barriers.get(lane, 0) + 1

    def ready(self, task: Task) -> None:
        """All its data are here: it goes to the medium as soon as the order allows."""
        lane = (task.asker, task.lun)
        if lane in self._barriers:
            task.phase = Phase.WAITING
            self._go_on(lane)
        else:
            self._execute(task)

    def done(self, number: int, data: Buffer | None) -> None:
        task = self._all[number]
        if data is not None and task.result is not None:
            task.result = Answer(task.result.status, data, task.result.sense)
        self._step(task)

    def failed(self, number: int, failure: Failure, block: int | None) -> None:
        task = self._all[number]
        answer = self.units.failed(task.lun, task.deeds[0], failure, block)
        self._finish(task, answer)

    def fail(self, task: Task, answer: Answer) -> None:
        """It cannot have its data: it ends with this answer."""
        self._finish(task, answer)

    def of(self, nexuses: Iterable[Nexus] | None = None, lun: int | None = None) -> list[Task]:
        """The tasks of these nexuses on this LUN; None means any."""
        wanted = None if nexuses is None else set(nexuses)
        return [
            task
            for task in self._all.values()
            if (wanted is None or task.asker.nexus in wanted) and (lun is None or task.lun == lun)
        ]

    def abort(
        self,
        tasks: Iterable[Task],
        then: Callable[[], None],
        told: Callable[[Task], bool] = lambda task: False,
        by: Task | None = None,
    ) -> None:
        """End these tasks; `then` once none of them can touch the medium any more."""
        left = set()
        for task in list(tasks):
            if task.phase is Phase.ENDED or task is by:
                continue
            task.aborted, task.is_told = True, task.is_told or told(task)
            if task.phase is Phase.WORKING:
                left.add(task.number)
            else:
                self._drop(task)
        if left:
            self._waits.append(Wait(left, then, by))
        else:
            then()

    def _execute(self, task: Task) -> None:
        if task.command is None:
            assert task.result is not None
            self._finish(task, task.result)
            return
        buffers = task.collection.buffers() if task.collection is not None else ()
        result = self.units.execute(task.asker.nexus, task.lun, task.command, buffers)
        if isinstance(result, Answer):
            self._finish(task, result)
            return
        task.result = result.answer
        task.deeds = [*result.deeds]
        task.phase = Phase.WORKING
        self._perform(task)

    def _perform(self, task: Task) -> None:
        """Begin the first of its deeds, or answer if none is left."""
        if not task.deeds:
            assert task.result is not None
            self._finish(task, task.result)
            return
        deed = task.deeds[0]
        if isinstance(deed, AwaitAborted):
            self._await_aborted(task)
            return
        if isinstance(deed, AbortTasks):
            task.phase = Phase.ABORTING
            nexus = task.asker.nexus
            self.abort(
                self.of(deed.nexuses, task.lun),
                lambda: self._aborted_others(task),
                lambda other: other.asker.nexus != nexus,
                by=task,
            )
            return
        task.phase = Phase.WORKING
        asker = task.asker
        self._out.append(CarryOut(task.number, asker.connection, task.lun, deed, asker.nexus))

    def _await_aborted(self, task: Task) -> None:
        left = {other.number for other in self.of(lun=task.lun) if other.aborted}
        if left:
            task.phase = Phase.ABORTING
            self._waits.append(Wait(left, lambda: self._aborted_others(task), task))
        else:
            self._step(task)

    def _aborted_others(self, task: Task) -> None:
        if task.phase is Phase.ABORTING:
            self._step(task)

    def _step(self, task: Task) -> None:
        """Its first deed is done."""
        del task.deeds[0]
        if task.aborted:
            self._drop(task)
        else:
            self._perform(task)

    def _finish(self, task: Task, answer: Answer) -> None:
        if task.aborted:
            self._drop(task)
            return
        self._end(task)
        task.asker.answer(task, answer)
        self._ended(task)

    def _drop(self, task: Task) -> None:
        """It ends without its own answer."""
        self._end(task)
        if task.is_told:
            task.asker.answer(task, Answer(Status.TASK_ABORTED))
        self._ended(task)

    def _end(self, task: Task) -> None:
        task.phase = Phase.ENDED
        del self._all[task.number]
        task.asker.forget(task)

    def _ended(self, task: Task) -> None:
        """Let go on what waited for it."""
        lane = (task.asker, task.lun)
        tasks = self._lanes[lane]
        del tasks[task.number]
        if lane in self._barriers:
            if task.is_barrier:
                self._barriers[lane] -= 1
                if not self._barriers[lane]:
                    del self._barriers[lane]
            self._go_on(lane)
        elif not tasks:
            del self._lanes[lane]
        if self._waits:
            self._release(task)

    def _release(self, task: Task) -> None:
        self._waits = [wait for wait in self._waits if wait.of is not task]
        free = []
        for wait in self._waits:
            wait.tasks.discard(task.number)
            if not wait.tasks:
                free.append(wait)
        self._waits = [wait for wait in self._waits if wait.tasks]
        for wait in free:
            wait.then()

    def _go_on(self, lane: tuple[Asker, int]) -> None:
        """Execute what waits: up to the first barrier, and that only if it is the first."""
        tasks = self._lanes.get(lane, {})
        for place, task in enumerate(list(tasks.values())):
            if task.is_barrier and (place or task.phase is not Phase.WAITING):
                return
            if task.phase is Phase.WAITING:
                self._execute(task)
            if task.is_barrier:
                return
        if not tasks:
            self._lanes.pop(lane, None)
