"""The target behind one door: connections, sessions, tasks and units."""

from dataclasses import dataclass, replace

from protocol.iscsi.digests import Buffer
from protocol.iscsi.errors import DigestMismatch, IscsiError
from protocol.iscsi.pdus import Pdu
from protocol.iscsi.requests import LoginRequest
from protocol.iscsi.responses import LoginResponse, LoginStatus, Reject, RejectReason
from protocol.iscsi.serial import after
from san.actions import Action, Begin, Close, Send, Tell
from san.config import PORTAL_GROUP, TargetConfig
from san.discovery import Discovery
from san.events import (
    BytesBroke,
    ConnectionLost,
    ConnectionOpened,
    DeedDone,
    DeedFailed,
    Event,
    PduArrived,
    TimePassed,
)
from san.login import LoggedIn, Login, LoginStep
from san.nexus import Nexus
from san.session import Session
from san.tasks import Tasks
from san.units import Units
from san.window import Window

_DATA_OUT = 0x05
ANY_ADDRESS = ("0.0.0.0:", "[::]:")


@dataclass(slots=True)
class Connection:
    """One connection: a login, or the session that came of it."""

    number: int
    address: str
    login: Login
    opened_at: float
    heard_at: float
    pinged_at: float | None = None
    session: Session | None = None
    result: LoggedIn | None = None  # set from the last login request on


class Core:
    """Feed it events, carry out the actions in their order."""

    def __init__(self, config: TargetConfig, units: Units, portals: tuple[str, ...]) -> None:
        self.config = config
        self.units = units
        self._portals = portals
        self._out: list[Action] = []
        self._tasks = Tasks(units, self._out)
        self._connections: dict[int, Connection] = {}
        self._sessions: dict[Nexus, Session] = {}
        self._tsih = 0

    # ---- the door

    def handle(self, event: Event, now: float) -> list[Action]:
        match event:
            case PduArrived(number, pdu):
                self._arrived(number, pdu, now)
            case DeedDone(work, data):
                self._tasks.done(work, data)
            case DeedFailed(work, failure, block):
                self._tasks.failed(work, failure, block)
            case ConnectionOpened(number, address, challenge):
                login = Login(self.config, challenge)
                self._connections[number] = Connection(number, address, login, now, now)
            case ConnectionLost(number):
                self._lost(number, "the connection broke")
            case BytesBroke(number, error):
                self._broke(number, error)
            case TimePassed():
                self._look_after_the_silent(now)
        actions = self._out[:]
        self._out.clear()
        return actions

    def place(self, number: int, header: Buffer, length: int) -> memoryview | None:
        """Where the data behind this header belong; changes nothing."""
        connection = self._connections.get(number)
        if header[0] & 0x3F != _DATA_OUT or connection is None or connection.session is None:
            return None
        tag, transfer_tag = (int.from_bytes(header[at : at + 4], "big") for at in (16, 20))
        offset = int.from_bytes(header[40:44], "big")
        return connection.session.place(tag, transfer_tag, offset, length)

    @property
    def sessions(self) -> list[tuple[int, str]]:
        """Connection and initiator of each session."""
        return [(session.connection, nexus.initiator) for nexus, session in self._sessions.items()]

    @property
    def is_idle(self) -> bool:
        """Whether no task is left that the medium works for."""
        return len(self._tasks) == 0

    # ---- connections

    def _arrived(self, number: int, pdu: Pdu, now: float) -> None:
        connection = self._connections.get(number)
        if connection is None:
            return  # closed while the PDU was on its way
        connection.heard_at = now
        connection.pinged_at = None
        session = connection.session
        if session is None:
            self._log_in(connection, pdu)
            return
        try:
            session.handle(pdu)
        except IscsiError as error:
            session.reject(pdu, RejectReason.PROTOCOL_ERROR)
            self._lost(number, error.sentence)
        else:
            if not session.is_open:
                self._lost(number, "logged out")

    def _broke(self, number: int, error: IscsiError) -> None:
        connection = self._connections.get(number)
        if connection is None:
            return
        session = connection.session
        if session is not None and isinstance(error, DigestMismatch) and error.header is not None:
            session.send(Reject(RejectReason.DATA_DIGEST, *session.numbers(), data=error.header))
        self._lost(number, error.sentence)

    def _lost(self, number: int, reason: str) -> None:
        connection = self._connections.pop(number, None)
        if connection is None:
            return
        session = connection.session
        if session is None:
            self._out.append(Close(number, reason))
            return
        session.close(reason)
        if self._sessions.get(session.nexus) is session:
            del self._sessions[session.nexus]
        if not session.is_discovery:
            self._tell("session-ended", session.nexus, reason=reason)

    def _look_after_the_silent(self, now: float) -> None:
        config = self.config
        for connection in list(self._connections.values()):
            session = connection.session
            if session is None:
                if now - connection.opened_at > config.login_s and connection.result is None:
                    self._lost(connection.number, "the login took too long")
            elif connection.pinged_at is not None:
                if now - connection.pinged_at > config.ping_wait_s:
                    self._lost(connection.number, "the initiator does not answer")
            elif now - connection.heard_at > config.ping_after_s:
                connection.pinged_at = now
                session.ping()

    # ---- logins

    def _log_in(self, connection: Connection, pdu: Pdu) -> None:
        if not isinstance(pdu, LoginRequest) or connection.result is not None:
            self._lost(connection.number, f"{type(pdu).__name__} out of turn in a login")
            return
        step = connection.login.step(pdu)
        refused = self._refusal(connection, pdu, step)
        if refused is not None:
            step = refused
        if step.failure:
            self._out.append(Send(connection.number, step.response))
            about = (("reason", step.failure), ("connection", connection.number))
            self._out.append(Tell("login-refused", about))
            self._lost(connection.number, step.failure)
        elif step.result is None:
            self._out.append(Send(connection.number, step.response))
        else:
            connection.result = step.result
            self._take_over(connection, step.result, step.response)

    def _refusal(
        self, connection: Connection, pdu: LoginRequest, step: LoginStep
    ) -> LoginStep | None:
        """What speaks against a login that would be fine by itself."""
        if step.failure:
            return None
        refuse = connection.login.refuse
        if pdu.tsih:
            known = any(one.isid == pdu.isid.hex() for one in self._sessions)
            if known:
                sentence = "a second connection: a session has one here"
                return refuse(pdu, LoginStatus.TOO_MANY_CONNECTIONS, sentence)
            return refuse(pdu, LoginStatus.NO_SESSION, f"there is no session {pdu.tsih}")
        if step.result is not None and len(self._connections) > self.config.sessions_max:
            return refuse(pdu, LoginStatus.OUT_OF_RESOURCES, "too many sessions")
        return None

    def _take_over(self, connection: Connection, result: LoggedIn, response: LoginResponse) -> None:
        """Open the session once nothing of an earlier one of the same nexus is going on."""
        if self._connections.get(connection.number) is not connection:
            return  # it left while it waited
        nexus = Nexus(result.initiator, result.isid.hex(), PORTAL_GROUP)
        if result.is_discovery:
            self._open(connection, nexus, result, response)
            return
        old = self._sessions.get(nexus)
        if old is not None:
            self._lost(old.connection, "its initiator logged in again")
        left = self._tasks.of([nexus])
        if left:
            self._tasks.abort(left, lambda: self._take_over(connection, result, response))
        else:
            self._open(connection, nexus, result, response)

    def _open(
        self,
        connection: Connection,
        nexus: Nexus,
        result: LoggedIn,
        response: LoginResponse,
    ) -> None:
        window = Window(result.exp_cmd_sn, self.config.queue_depth, after(response.stat_sn))
        at_any = tuple(
            connection.address if portal.startswith(ANY_ADDRESS) else portal
            for portal in self._portals
        )
        session = Session(
            self.config,
            connection.number,
            nexus,
            result.agreed,
            window,
            self._tasks,
            Discovery(self.config.name, at_any),
            self._out,
            result.is_discovery,
        )
        session.cid = result.cid
        connection.session = session
        self._tsih = self._tsih % 0xFFFF + 1
        final = replace(
            response,
            tsih=self._tsih,
            exp_cmd_sn=window.exp_cmd_sn,
            max_cmd_sn=window.max_cmd_sn,
        )
        self._out.append(Send(connection.number, final))
        agreed = result.agreed
        digests = (agreed.header_digest, agreed.data_digest)
        self._out.append(Begin(connection.number, *digests, agreed.receive_bytes_max))
        if not result.is_discovery:
            self._sessions[nexus] = session
            self.units.arrived(nexus)
            self._tell("session-began", nexus, digests=digests)

    def _tell(self, what: str, nexus: Nexus, **about: object) -> None:
        words = (("initiator", nexus.initiator), ("isid", nexus.isid), *about.items())
        self._out.append(Tell(what, words))
