"""One session with a portal of a target, from login to logout, at error recovery level 0.

What arrives goes into `received`, time into `tick`, wishes into `submit`, `manage` and `leave`.
What is to be sent collects in `outgoing`, answered commands in `finished`: the edge takes both away
after each call. `ended` has a reason: nothing more is sent, `unanswered` may have been carried out.
"""

from collections import deque
from collections.abc import Callable
from typing import Any

from agent.disks.errors import LoginRefused
from agent.disks.login import FIRST_CMD_SN, Identity, LoggedIn, Login
from agent.disks.session_states import Patience, Phase, Request
from agent.disks.tasks import Task
from protocol.iscsi.digests import Buffer
from protocol.iscsi.errors import BadPdu, IscsiError
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
    TaskFunction,
    TaskManagementRequest,
    TextRequest,
)
from protocol.iscsi.responses import (
    R2T,
    AsyncEvent,
    AsyncMessage,
    DataIn,
    LoginResponse,
    LogoutResponse,
    NopIn,
    Reject,
    ScsiResponse,
    TaskManagementResponse,
    TextResponse,
)

_MASK, _HALF = 0xFFFF_FFFF, 0x8000_0000
_DATA_IN = 0x25


class Session:
    """The machine. None of its methods raises for what the target sent: it ends instead."""

    def __init__(self, identity: Identity, patience: Patience) -> None:
        self.identity = identity
        self.phase = Phase.LOGIN
        self.ended = ""
        self.refused = False
        """Whether it ended by a clear no of the target."""

        self.agreed = Agreed()
        self.portal_group: int | None = None
        self.outgoing: list[Pdu] = []
        self.finished: list[Task] = []
        self.answered: list[Request] = []
        self._patience = patience
        self._login = Login(identity)
        self._tasks: dict[int, Task] = {}
        self._waiting: deque[Task] = deque()
        """Commands for which the target has no room yet."""

        self._requests: dict[int, Request] = {}
        self._ping: int | None = None
        self._tag = 0
        self._cmd_sn = FIRST_CMD_SN
        self._max_cmd_sn = FIRST_CMD_SN
        self._exp_stat_sn = 0
        self._heard_at = 0.0
        self._asked_at = 0.0
        self._handlers: dict[type, Callable[[Any], None]] = {
            DataIn: self._data_in,
            ScsiResponse: self._response,
            R2T: self._ready,
            NopIn: self._nop_in,
            TaskManagementResponse: self._managed,
            TextResponse: self._managed,
            LogoutResponse: self._logged_out,
            AsyncMessage: self._told,
            Reject: self._rejected,
        }

    @property
    def unanswered(self) -> list[Task]:
        """Commands that were sent, and those that wait to be."""
        return [*self._tasks.values(), *self._waiting]

    def drop(self) -> list[Task]:
        """After its end: the commands that were not answered, which nobody answers any more."""
        left = self.unanswered
        self._tasks.clear()
        self._waiting.clear()
        return left

    def drop_requests(self) -> list[Request]:
        """After its end: the other requests that were not answered."""
        left = list(self._requests.values())
        self._requests.clear()
        return left

    def start(self, now: float) -> None:
        """The connection stands."""
        self._heard_at = self._asked_at = now
        self.outgoing.append(self._login.first())

    def submit(self, task: Task, now: float) -> None:
        """Send the command as soon as the target takes it."""
        assert self.phase is Phase.FULL, self.phase
        task.sent_at = now
        if self._waiting or (self._max_cmd_sn - self._cmd_sn) & _MASK >= _HALF:
            self._waiting.append(task)
        else:
            self._send(task)

    def manage(self, function: TaskFunction, lun: int, task: Task | None, waiter: Any) -> None:
        """Ask for the end of a command, of all of a LUN, or for a reset of it."""
        assert self.phase is Phase.FULL, self.phase
        tag = self._next_tag()
        self._requests[tag] = Request(waiter)
        known = task is not None and self._tasks.get(task.tag) is task
        about = task.tag if task is not None and known else NO_TAG
        request = TaskManagementRequest(
            function, lun, tag, about, self._cmd_sn, self._exp_stat_sn, self._cmd_sn
        )
        self.outgoing.append(request)

    def ask(self, text: bytes, waiter: Any) -> None:
        """A text request, such as SendTargets."""
        assert self.phase is Phase.FULL, self.phase
        tag = self._next_tag()
        self._requests[tag] = Request(waiter)
        self.outgoing.append(
            TextRequest(tag, NO_TAG, self._cmd_sn, self._exp_stat_sn, immediate=True, data=text)
        )

    def leave(self) -> None:
        """Log out; the target then ends the session."""
        if self.phase is Phase.FULL:
            self.phase = Phase.LEAVING
            tag = self._next_tag()
            reason = LogoutReason.CLOSE_SESSION
            self.outgoing.append(LogoutRequest(reason, tag, 0, self._cmd_sn, self._exp_stat_sn))
        elif self.phase is Phase.LOGIN:
            self.end("it was left before the login was over")

    def end(self, reason: str) -> None:
        """The connection broke, or what came over it makes no sense."""
        if self.phase is not Phase.ENDED:
            self.phase, self.ended = Phase.ENDED, reason
            self.outgoing.clear()

    def place(self, header: Buffer, length: int) -> memoryview | None:
        """Where the data behind this header belong: straight in the reader's buffer."""
        if header[0] & 0x3F != _DATA_IN:
            return None
        task = self._tasks.get(int.from_bytes(header[16:20], "big"))
        if task is None:
            return None
        at = int.from_bytes(header[40:44], "big")
        if at != task.got_bytes or at + length > len(task.target):
            return None
        return task.target[at : at + length]

    def received(self, pdu: Pdu, now: float) -> None:
        """One PDU of the target."""
        self._heard_at = now
        try:
            if self.phase is Phase.LOGIN:
                self._logging_in(pdu)
            elif self.phase is not Phase.ENDED:
                handler = self._handlers.get(type(pdu))
                if handler is None:
                    raise BadPdu(f"a {type(pdu).__name__} is not what a target sends now")
                handler(pdu)
        except LoginRefused as error:
            self.refused = True
            self.end(error.sentence)
        except IscsiError as error:
            self.end(f"the target breaks the rules: {error.sentence}")

    def tick(self, now: float) -> None:
        """Called a few times a second: pings, and the end of patience."""
        patience = self._patience
        if self.phase is Phase.LOGIN:
            if now - self._asked_at > patience.login_s:
                self.end(f"the login was not over after {patience.login_s:g} s")
        elif self.phase is Phase.LEAVING:
            if now - self._heard_at > patience.answer_s:
                self.end("the logout was not answered")
        elif self.phase is Phase.FULL:
            self._tick_full(now)

    def _tick_full(self, now: float) -> None:
        patience = self._patience
        oldest = next(iter(self._tasks.values()), None)
        if oldest is not None and now - oldest.sent_at > patience.command_s:
            self.end(f"a command was not answered for {patience.command_s:g} s")
        elif self._ping is not None:
            # Any sign of life after the ping will do: the answer may stand behind a lot of data.
            if self._heard_at >= self._asked_at and now - self._heard_at <= patience.answer_s:
                return
            if now - self._asked_at > patience.answer_s:
                self.end(f"no sign of the target for {now - self._heard_at:.1f} s")
        elif now - self._heard_at > patience.quiet_s:
            self._ping, self._asked_at = self._next_tag(), now
            self.outgoing.append(
                NopOut(self._ping, NO_TAG, self._cmd_sn, self._exp_stat_sn, immediate=True)
            )

    # ---- what is sent

    def _next_tag(self) -> int:
        tag = self._tag
        while tag in self._tasks or tag in self._requests or tag == self._ping:
            tag = tag + 1 if tag < NO_TAG - 1 else 0
        self._tag = tag + 1 if tag < NO_TAG - 1 else 0
        return tag

    def _send(self, task: Task) -> None:
        task.tag = tag = self._next_tag()
        self._tasks[tag] = task
        total = task.out_bytes
        head: Buffer = b""
        rest: list[tuple[int, memoryview]] = []
        if total:
            head, rest = self._unasked(task, total)
        read = len(task.target)
        command = ScsiCommand(
            task.lun,
            tag,
            total or read,
            self._cmd_sn,
            self._exp_stat_sn,
            task.cdb,
            not rest,
            read > 0,
            total > 0,
            Attribute.SIMPLE,
            False,
            head,
        )
        self._cmd_sn = self._cmd_sn + 1 & _MASK
        self.outgoing.append(command)
        if rest:
            self._send_data(task, NO_TAG, rest)

    def _unasked(self, task: Task, total: int) -> tuple[Buffer, list[tuple[int, memoryview]]]:
        """What of a write goes with its command, and what right behind it."""
        agreed = self.agreed
        head: Buffer = b""
        sent = 0
        if agreed.immediate_bytes_max:
            _, head = task.cut(0, total, agreed.immediate_bytes_max)[0]
            sent = len(head)
        rest = []
        first = min(total, agreed.first_burst_bytes_max)
        if not agreed.initial_r2t and sent < first:
            rest = task.cut(sent, first - sent, agreed.send_bytes_max)
            sent = first
        task.sent_bytes = sent
        return head, rest

    def _send_data(self, task: Task, transfer: int, parts: list[tuple[int, memoryview]]) -> None:
        last = len(parts) - 1
        lun, tag, stat_sn = task.lun, task.tag, self._exp_stat_sn
        self.outgoing += [
            DataOut(lun, tag, transfer, stat_sn, number, at, number == last, data)
            for number, (at, data) in enumerate(parts)
        ]

    # ---- what arrives

    def _logging_in(self, pdu: Pdu) -> None:
        if not isinstance(pdu, LoginResponse):
            raise BadPdu(f"a {type(pdu).__name__} comes during the login")
        step = self._login.take(pdu)
        if not isinstance(step, LoggedIn):
            self.outgoing.append(step)
            return
        self.phase = Phase.FULL
        self.agreed, self.portal_group = step.agreed, step.portal_group
        self._exp_stat_sn = step.exp_stat_sn
        self._max_cmd_sn = step.max_cmd_sn

    def _window(self, exp_cmd_sn: int, max_cmd_sn: int) -> None:
        """Take up the target's window; one that lies before the known one is old news."""
        is_new = 0 < (max_cmd_sn - self._max_cmd_sn) & _MASK < _HALF
        if is_new and (max_cmd_sn - exp_cmd_sn + 1) & _MASK < _HALF:
            self._max_cmd_sn = max_cmd_sn
        while self._waiting and (self._max_cmd_sn - self._cmd_sn) & _MASK < _HALF:
            self._send(self._waiting.popleft())

    def _numbered(self, stat_sn: int) -> None:
        """A status: each has the next number, or one is missing."""
        if stat_sn != self._exp_stat_sn:
            raise BadPdu(f"status {stat_sn} comes where {self._exp_stat_sn} was to be")
        self._exp_stat_sn = stat_sn + 1 & _MASK

    def _data_in(self, pdu: DataIn) -> None:
        task = self._tasks.get(pdu.task_tag)
        if task is None:
            raise BadPdu(f"data for a command {pdu.task_tag} that was not sent")
        length = len(pdu.data)
        if (
            pdu.offset != task.got_bytes
            or pdu.offset + length > len(task.target)
            or pdu.data_sn != task.data_sn
        ):
            raise BadPdu(f"data at {pdu.offset} where byte {task.got_bytes} is the next")
        task.got_bytes += length
        task.data_sn += 1
        if pdu.status is not None:
            self._numbered(pdu.stat_sn)
            del self._tasks[pdu.task_tag]
            task.status = pdu.status
            self.finished.append(task)
        self._window(pdu.exp_cmd_sn, pdu.max_cmd_sn)

    def _response(self, pdu: ScsiResponse) -> None:
        task = self._tasks.get(pdu.task_tag)
        if task is None:
            raise BadPdu(f"an answer to a command {pdu.task_tag} that was not sent")
        self._numbered(pdu.stat_sn)
        if pdu.response:
            raise BadPdu(f"the target failed to carry out a command: response {pdu.response:02x}h")
        del self._tasks[pdu.task_tag]
        task.status, task.sense = pdu.status, pdu.sense
        self.finished.append(task)
        self._window(pdu.exp_cmd_sn, pdu.max_cmd_sn)

    def _ready(self, pdu: R2T) -> None:
        task = self._tasks.get(pdu.task_tag)
        if task is None:
            raise BadPdu(f"data are asked for a command {pdu.task_tag} that was not sent")
        wanted, agreed = pdu.desired_bytes, self.agreed
        left = task.out_bytes - task.sent_bytes
        if pdu.offset != task.sent_bytes or not 0 < wanted <= min(left, agreed.burst_bytes_max):
            raise BadPdu(f"{wanted} bytes from {pdu.offset} are asked for, {left} are left")
        if pdu.r2t_sn != task.r2t_sn or pdu.transfer_tag == NO_TAG:
            raise BadPdu("a request for data has another number or tag than it must")
        task.r2t_sn += 1
        task.sent_bytes += wanted
        parts = task.cut(pdu.offset, wanted, agreed.send_bytes_max)
        self._send_data(task, pdu.transfer_tag, parts)
        self._window(pdu.exp_cmd_sn, pdu.max_cmd_sn)

    def _nop_in(self, pdu: NopIn) -> None:
        if pdu.task_tag != NO_TAG:
            self._numbered(pdu.stat_sn)
            if pdu.task_tag != self._ping:
                raise BadPdu("a ping is answered that was not sent")
            self._ping = None
        if pdu.transfer_tag != NO_TAG:
            pong = NopOut(
                NO_TAG,
                pdu.transfer_tag,
                self._cmd_sn,
                self._exp_stat_sn,
                pdu.lun,
                immediate=True,
                data=bytes(pdu.data),
            )
            self.outgoing.append(pong)
        self._window(pdu.exp_cmd_sn, pdu.max_cmd_sn)

    def _managed(self, pdu: TaskManagementResponse | TextResponse) -> None:
        request = self._requests.get(pdu.task_tag)
        if request is None:
            raise BadPdu(f"an answer to a request {pdu.task_tag} that was not sent")
        self._numbered(pdu.stat_sn)
        del self._requests[pdu.task_tag]
        request.answer = pdu
        self.answered.append(request)
        self._window(pdu.exp_cmd_sn, pdu.max_cmd_sn)

    def _logged_out(self, pdu: LogoutResponse) -> None:
        if self.phase is not Phase.LEAVING:
            raise BadPdu("a logout is answered that was not asked for")
        self.end("it was left")

    def _told(self, pdu: AsyncMessage) -> None:
        self._numbered(pdu.stat_sn)
        match pdu.event:
            case AsyncEvent.LOGOUT_WANTED | AsyncEvent.CONNECTION_DROPS | AsyncEvent.SESSION_DROPS:
                self.end("the target ends the session")
            case AsyncEvent.SCSI | AsyncEvent.NEGOTIATE:
                self._window(pdu.exp_cmd_sn, pdu.max_cmd_sn)
            case _:
                raise BadPdu(f"an asynchronous message of kind {pdu.event}")

    def _rejected(self, pdu: Reject) -> None:
        self.end(f"the target rejects what was sent, with reason {pdu.reason:02x}h")
