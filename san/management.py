"""Task management (RFC 7143 section 11.5): whom a request ends, and when that is answered."""

from typing import Protocol

from protocol.iscsi.names import lun_number
from protocol.iscsi.pdus import Pdu
from protocol.iscsi.requests import TaskFunction, TaskManagementRequest
from protocol.iscsi.responses import TaskAnswer, TaskManagementResponse
from san.nexus import Nexus
from san.tasks import Task, Tasks

NEEDS_LUN = {
    TaskFunction.ABORT_TASK_SET,
    TaskFunction.CLEAR_TASK_SET,
    TaskFunction.LOGICAL_UNIT_RESET,
}


class Asked(Protocol):
    """The session that the request came through."""

    nexus: Nexus

    def send(self, pdu: Pdu) -> None: ...

    def numbers(self) -> tuple[int, int, int]: ...

    def task(self, tag: int) -> Task | None: ...

    def tasks(self, lun: int) -> list[Task]: ...


class Management:
    """Carries out the requests of one session. An answer says that nothing of it is going on."""

    def __init__(self, session: Asked, tasks: Tasks) -> None:
        self._session = session
        self._tasks = tasks

    def handle(self, pdu: TaskManagementRequest) -> None:
        units = self._tasks.units
        lun = lun_number(pdu.lun)
        if pdu.function in NEEDS_LUN and (lun is None or lun not in units.units):
            self._answer(pdu, TaskAnswer.NO_LUN)
            return
        match pdu.function:
            case TaskFunction.ABORT_TASK:
                task = self._session.task(pdu.referenced_tag)
                if task is None:
                    self._answer(pdu, TaskAnswer.NO_TASK)
                else:
                    self._end(pdu, [task])
            case TaskFunction.ABORT_TASK_SET:
                assert lun is not None
                self._end(pdu, self._session.tasks(lun))
            case TaskFunction.CLEAR_TASK_SET:
                self._end(pdu, self._tasks.of(lun=lun))
            case TaskFunction.LOGICAL_UNIT_RESET:
                assert lun is not None
                units.reset(lun)
                self._end(pdu, self._tasks.of(lun=lun))
            case TaskFunction.TARGET_WARM_RESET:
                for number in units.units:
                    units.reset(number)
                self._end(pdu, self._tasks.of())
            case _:
                self._answer(pdu, TaskAnswer.NOT_SUPPORTED)

    def _end(self, pdu: TaskManagementRequest, tasks: list[Task]) -> None:
        """Tasks of others are told that they were aborted, the asker's own are not."""
        own = self._session.nexus
        self._tasks.abort(
            tasks,
            lambda: self._answer(pdu, TaskAnswer.DONE),
            lambda task: task.asker.nexus != own,
        )

    def _answer(self, pdu: TaskManagementRequest, answer: TaskAnswer) -> None:
        self._session.send(TaskManagementResponse(pdu.task_tag, *self._session.numbers(), answer))
