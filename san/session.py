"""One session in its full feature phase: PDUs in, commands to the tasks, answers out."""

from collections import deque
from collections.abc import Callable
from dataclasses import replace

from protocol.iscsi.digests import Buffer
from protocol.iscsi.errors import BadPdu
from protocol.iscsi.names import lun_field, lun_number
from protocol.iscsi.negotiation import Agreed
from protocol.iscsi.pdus import Pdu
from protocol.iscsi.requests import (
    NO_TAG,
    Attribute,
    DataOut,
    LogoutReason,
    LogoutRequest,
    NopOut,
    ScsiCommand,
    TaskManagementRequest,
    TextRequest,
)
from protocol.iscsi.responses import (
    R2T,
    DataIn,
    LogoutAnswer,
    LogoutResponse,
    NopIn,
    Reject,
    RejectReason,
    ScsiResponse,
)
from protocol.iscsi.serial import after
from protocol.scsi.cdbs import read_command
from protocol.scsi.commands import Command, Write, WriteVerified, data_out_bytes
from protocol.scsi.errors import IllegalRequest
from protocol.scsi.sense import SERVICE_CRC_ERROR, fixed
from protocol.scsi.status import Status
from san.actions import Action, Close, Send, SendData
from san.answers import Answer, check_condition, refusal
from san.collection import Collection, LostData
from san.config import TargetConfig
from san.discovery import Discovery
from san.logical_unit import is_ordered
from san.management import Management
from san.nexus import Nexus
from san.tasks import Phase, Task, Tasks
from san.transfers import pieces
from san.window import Place, Window

# Above the window, which counts only the others: for what a full session must still say.
IMMEDIATE_MAX = 16
NO_LUN = -1


class Session:
    """Its tasks belong to `tasks`; what is to be sent goes to `out`."""

    def __init__(
        self,
        config: TargetConfig,
        connection: int,
        nexus: Nexus,
        agreed: Agreed,
        window: Window,
        tasks: Tasks,
        discovery: Discovery,
        out: list[Action],
        is_discovery: bool = False,
    ) -> None:
        self.connection = connection
        self.nexus = nexus
        self.agreed = agreed
        self.window = window
        self.is_open = True
        self.is_leaving = False
        self.is_discovery = is_discovery
        self.cid = 0
        self._config = config
        self._tasks = tasks
        self._out = out
        self._by_tag: dict[int, Task] = {}
        self._discovery = discovery
        self._management = Management(self, tasks)
        self._transfer_tag = 0
        self._held_bytes = 0
        self._hungry: deque[Task] = deque()
        kinds: dict[type, Callable[..., None]] = {
            NopOut: self._nop,
            LogoutRequest: self._logout,
            TextRequest: self._text,
        }
        if not is_discovery:
            kinds[ScsiCommand] = self._command
            kinds[DataOut] = self._data
            kinds[TaskManagementRequest] = self._management.handle
        self._kinds = kinds

    # ---- the door

    def handle(self, pdu: Pdu) -> None:
        """One PDU. Raises `BadPdu` where the session cannot go on."""
        act = self._kinds.get(type(pdu))
        if act is None:
            self.reject(pdu, RejectReason.NOT_SUPPORTED)
        elif act == self._data:
            act(pdu)
        elif not self.is_leaving:
            if not pdu.immediate:  # type: ignore[union-attr]  # all that are left have it
                place = self.window.take(pdu.cmd_sn)  # type: ignore[union-attr]
                if place is Place.OUTSIDE:
                    return
                if place is Place.GAP:
                    raise BadPdu(f"command {pdu.cmd_sn} without those before it")  # type: ignore[union-attr]
                if act != self._command:
                    self.window.make_room()
            act(pdu)

    def place(self, tag: int, transfer_tag: int, offset: int, length: int) -> memoryview | None:
        """Where data that are about to come belong."""
        task = self._by_tag.get(tag)
        if task is None or task.collection is None:
            return None
        return task.collection.place(transfer_tag, offset, length)

    def ping(self) -> None:
        """Ask the initiator whether it is still there."""
        self._transfer_tag = after(self._transfer_tag)
        window = self.window
        sn = (window.stat_sn, window.exp_cmd_sn, window.max_cmd_sn)
        self.send(NopIn(NO_TAG, self._transfer_tag % NO_TAG, *sn))

    def close(self, reason: str, then: Callable[[], None] = lambda: None) -> None:
        """End it; `then` once none of its tasks can touch a medium any more."""
        if self.is_open:
            self._out.append(Close(self.connection, reason))
        self.is_open = False
        self._tasks.abort(list(self._by_tag.values()), then)

    # ---- commands

    def _command(self, pdu: ScsiCommand) -> None:
        if pdu.task_tag in self._by_tag or pdu.task_tag == NO_TAG:
            self._make_room(pdu.immediate)
            self.reject(pdu, RejectReason.TASK_IN_PROGRESS)
            return
        lun = lun_number(pdu.lun)
        task = Task(
            self,
            NO_LUN if lun is None else lun,
            pdu.task_tag,
            pdu.cmd_sn,
            None,
            pdu.expected_bytes,
            pdu.read,
            pdu.immediate,
        )
        try:
            if pdu.immediate and len(self._by_tag) >= self._config.queue_depth + IMMEDIATE_MAX:
                task.result = Answer(Status.TASK_SET_FULL)
            else:
                task.command = read_command(pdu.cdb)
        except IllegalRequest as error:
            task.result = refusal(error)
        command = task.command
        if command is not None:
            task.is_barrier = pdu.attribute == Attribute.ORDERED or is_ordered(command)
        if pdu.write:
            self._begin_write(task, command, pdu)
        elif len(pdu.data) or not pdu.final:
            raise BadPdu("a command that writes nothing comes with data")
        else:
            self._begin(task)
            self._tasks.ready(task)

    def _begin(self, task: Task) -> None:
        self._by_tag[task.tag] = task
        self._tasks.begin(task)

    def _begin_write(self, task: Task, command: Command | None, pdu: ScsiCommand) -> None:
        units = self._tasks.units
        if pdu.data and not self.agreed.immediate_data:
            raise BadPdu("data come with a command, which was not agreed")
        wanted_bytes = 0
        if command is not None:
            task.result = units.admit(self.nexus, task.lun, command)
            if task.result is None:
                task.actual_bytes = data_out_bytes(command, units.block_bytes(task.lun))
                wanted_bytes = self._fit(task, command, pdu.expected_bytes)
            else:
                task.command = None
        task.collection = Collection(
            wanted_bytes, pdu.expected_bytes, self.agreed, pdu.data, pdu.final
        )
        self._begin(task)
        self._collect(task)

    def _fit(self, task: Task, command: Command, expected_bytes: int) -> int:
        """How much of its data there will be: whole blocks, where a write announces less."""
        if task.actual_bytes <= expected_bytes:
            return task.actual_bytes
        if not isinstance(command, Write | WriteVerified):
            return expected_bytes
        block_bytes = self._tasks.units.block_bytes(task.lun)
        blocks = expected_bytes // block_bytes
        task.command = replace(command, blocks=blocks)
        return blocks * block_bytes

    def _data(self, pdu: DataOut) -> None:
        task = self._by_tag.get(pdu.task_tag)
        if task is None or task.collection is None:
            return  # of a task that was aborted while they were on their way
        try:
            task.collection.take(pdu)
        except LostData:
            self._tasks.fail(task, check_condition(SERVICE_CRC_ERROR))
            return
        if pdu.final:
            self._collect(task)

    def _collect(self, task: Task) -> None:
        """Ask for more data, or go on if all are here."""
        collection = task.collection
        assert collection is not None
        if collection.is_complete:
            self._tasks.ready(task)
        elif not collection.is_unsolicited_open:
            if task.held_bytes or self._hold(task):
                self._request(task, collection)
            else:
                self._hungry.append(task)

    def _hold(self, task: Task) -> bool:
        """Whether there is room for its data, which are then held until it ends."""
        assert task.collection is not None
        wanted = task.collection.wanted_bytes
        if self._held_bytes and self._held_bytes + wanted > self._config.collected_bytes_max:
            return False
        task.held_bytes = wanted
        self._held_bytes += wanted
        return True

    def _request(self, task: Task, collection: Collection) -> None:
        while True:
            self._transfer_tag = after(self._transfer_tag) % NO_TAG
            wanted = collection.next_request(self._transfer_tag)
            if wanted is None:
                return
            window = self.window
            sn = (window.stat_sn, window.exp_cmd_sn, window.max_cmd_sn)
            last = (wanted.sequence, wanted.offset, wanted.length)
            self.send(R2T(lun_field(task.lun), task.tag, wanted.transfer_tag, *sn, *last))

    def forget(self, task: Task) -> None:
        """It has ended; what it held is free for others."""
        self._by_tag.pop(task.tag, None)
        self._held_bytes -= task.held_bytes
        self._make_room(task.immediate)
        while task.held_bytes and self._hungry and self.is_open:
            other = self._hungry[0]
            if other.collection is not None and other.phase is Phase.COLLECTING:
                if not self._hold(other):
                    break
                self._request(other, other.collection)
            self._hungry.popleft()

    def _make_room(self, immediate: bool) -> None:
        if not immediate:
            self.window.make_room()

    # ---- answers

    def answer(self, task: Task, answer: Answer) -> None:
        """Data and status of a task, which has ended."""
        if not self.is_open:
            return
        data: Buffer = answer.data
        window = self.window
        numbers = (window.exp_cmd_sn, window.max_cmd_sn)
        if not task.is_read:
            residual = task.actual_bytes - task.expected_bytes
            if answer.status is not Status.GOOD:
                residual = 0
            self._respond(task, answer, residual, task.requests)
            return
        room, size = task.expected_bytes, len(data)
        residual = size - room
        if size > room:
            data = memoryview(data)[:room]
            size = room
        good = answer.status is Status.GOOD
        agreed = self.agreed
        if good and 0 < size <= agreed.send_bytes_max and size <= agreed.burst_bytes_max:
            last = self._last(task, 0, 0, residual, data)
            self._out.append(Send(self.connection, last))
            return
        parts = pieces(task.tag, data, agreed, *numbers)
        if good and parts:
            end = parts[-1]
            parts[-1] = self._last(task, end.data_sn, end.offset, residual, end.data)
        if parts:
            self._out.append(SendData(self.connection, tuple(parts)))
        if not (good and parts):
            self._respond(task, answer, residual, len(parts))

    def _last(self, task: Task, data_sn: int, offset: int, residual: int, data: Buffer) -> DataIn:
        """The last data of a read, and its good end with them."""
        window = self.window
        return DataIn(
            task.tag,
            data_sn,
            offset,
            window.exp_cmd_sn,
            window.max_cmd_sn,
            True,
            window.answered(),
            Status.GOOD,
            residual,
            data=data,
        )

    def _respond(self, task: Task, answer: Answer, residual: int, exp_data_sn: int) -> None:
        sense = fixed(answer.sense) if answer.sense is not None else b""
        end = (answer.status, 0, exp_data_sn, residual)
        self.send(ScsiResponse(task.tag, *self.numbers(), *end, sense))

    def send(self, pdu: Pdu) -> None:
        if self.is_open:
            self._out.append(Send(self.connection, pdu))

    def numbers(self) -> tuple[int, int, int]:
        """For an answer that counts: its own number, and the window."""
        window = self.window
        return window.answered(), window.exp_cmd_sn, window.max_cmd_sn

    def reject(self, pdu: Pdu, reason: RejectReason) -> None:
        self.send(Reject(reason, *self.numbers(), data=pdu.header()[:48]))

    def task(self, tag: int) -> Task | None:
        return self._by_tag.get(tag)

    def tasks(self, lun: int) -> list[Task]:
        return [task for task in self._by_tag.values() if task.lun == lun]

    # ---- the rest

    def _nop(self, pdu: NopOut) -> None:
        if pdu.task_tag == NO_TAG:
            return  # the answer to a ping of ours, or news of ExpStatSN
        data = pdu.data[: self.agreed.send_bytes_max]
        self.send(NopIn(pdu.task_tag, NO_TAG, *self.numbers(), pdu.lun, data))

    def _text(self, pdu: TextRequest) -> None:
        answer = self._discovery.answer(pdu, self)
        if answer is None:
            self.reject(pdu, RejectReason.PROTOCOL_ERROR)
        else:
            self.send(answer)

    def _logout(self, pdu: LogoutRequest) -> None:
        """Answered when the last of its tasks has ended."""
        if pdu.reason > max(LogoutReason):
            self.reject(pdu, RejectReason.INVALID_FIELD)
        elif pdu.reason != LogoutReason.CLOSE_SESSION and pdu.cid != self.cid:
            self.send(LogoutResponse(pdu.task_tag, *self.numbers(), LogoutAnswer.NO_CONNECTION))
        elif pdu.reason == LogoutReason.REMOVE_FOR_RECOVERY:
            self.send(LogoutResponse(pdu.task_tag, *self.numbers(), LogoutAnswer.NO_RECOVERY))
        else:
            self.is_leaving = True
            self._tasks.abort(list(self._by_tag.values()), lambda: self._leave(pdu.task_tag))

    def _leave(self, tag: int) -> None:
        self.send(LogoutResponse(tag, *self.numbers()))
        self.close("the initiator logged out")
