"""The login of one connection: security, operational keys, and what came of it.

RFC 7143 section 6.3. The machine answers one request at a time; it knows no other session, so what
depends on those (a session that is taken over, a target that is full) is decided by who made it.
"""

import enum
from dataclasses import dataclass

from protocol.iscsi.chap import (
    ALGORITHM,
    Challenge,
    Credentials,
    check,
    prove,
    read_challenge,
)
from protocol.iscsi.errors import BadChap, IscsiError
from protocol.iscsi.names import checked_name
from protocol.iscsi.negotiation import Agreed, Negotiation
from protocol.iscsi.requests import LoginRequest
from protocol.iscsi.responses import LoginResponse, LoginStatus
from protocol.iscsi.serial import after
from protocol.iscsi.text import TextCollector, read_once, write_text
from san.config import PORTAL_GROUP, TargetConfig

SECURITY, OPERATIONAL, FULL_FEATURE = 0, 1, 3
# CHAP both ways and a text of 64 KiB in pieces of 8 KiB take half of them.
REQUESTS_MAX = 32


class LoginRefused(Exception):
    """The login ends with this status; the sentence is for the log."""

    def __init__(self, status: LoginStatus, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status


class Proof(enum.Enum):
    """How far the initiator is with showing who it is."""

    NOT_BEGUN = "no method was chosen"
    CHAP_CHOSEN = "the algorithm is to be chosen"
    CHALLENGED = "its sum is awaited"
    DONE = "it is known, or need not be"


@dataclass(frozen=True, slots=True)
class LoggedIn:
    """What a login came to; `target` is empty in a discovery session."""

    initiator: str
    isid: bytes
    cid: int
    target: str
    agreed: Agreed
    exp_cmd_sn: int

    @property
    def is_discovery(self) -> bool:
        return not self.target


@dataclass(frozen=True, slots=True)
class LoginStep:
    """The answer to one request, and the result if that was the last."""

    response: LoginResponse
    result: LoggedIn | None = None
    failure: str = ""


class Login:
    """Feed it login requests until a step has a result or a failure."""

    def __init__(self, config: TargetConfig, challenge: bytes) -> None:
        self._config = config
        self._challenge = Challenge(challenge[0], challenge[1:])
        self._negotiation = Negotiation(config.wishes)
        self._collector = TextCollector()
        self._first: LoginRequest | None = None
        self._said: dict[str, str] = {}
        self._stage: int | None = None
        self._proof = Proof.DONE if config.chap is None else Proof.NOT_BEGUN
        self._requests = 0
        self._stat_sn = 0

    def step(self, request: LoginRequest) -> LoginStep:
        try:
            return self._step(request)
        except LoginRefused as refused:
            return self.refuse(request, refused.status, str(refused))
        except BadChap as error:
            return self.refuse(request, LoginStatus.AUTHENTICATION_FAILED, error.sentence)
        except IscsiError as error:
            return self.refuse(request, LoginStatus.INITIATOR_ERROR, error.sentence)

    def refuse(self, request: LoginRequest, status: LoginStatus, sentence: str) -> LoginStep:
        """The end of it, also for reasons that this machine does not know."""
        response = self._response(request, request.csg, 0, False, b"", status)
        return LoginStep(response, failure=sentence)

    def _step(self, request: LoginRequest) -> LoginStep:
        self._check_frame(request)
        pairs = self._collector.add(request.data, request.more)
        if pairs is None:
            return LoginStep(self._response(request, request.csg, 0, False, b""))
        replies: list[tuple[str, str]] = []
        if not self._said:
            replies += self._identify(pairs)
        if request.csg == SECURITY:
            replies += self._secure(pairs)
        else:
            if self._proof is not Proof.DONE:
                raise LoginRefused(
                    LoginStatus.AUTHENTICATION_FAILED, "the initiator skips CHAP, which is wanted"
                )
            replies += self._negotiation.take([pair for pair in pairs if pair[0] != "AuthMethod"])
            replies += self._negotiation.declare()
        ready = self._proof is Proof.DONE or request.csg == OPERATIONAL
        transit = request.transit and ready
        response = self._response(
            request, request.csg, request.nsg if transit else 0, transit, write_text(replies)
        )
        if not transit:
            return LoginStep(response)
        self._stage = request.nsg
        return LoginStep(response, self._result() if request.nsg == FULL_FEATURE else None)

    def _check_frame(self, request: LoginRequest) -> None:
        """What must hold of the header alone, whatever the text says."""
        self._requests += 1
        if self._requests > REQUESTS_MAX:
            raise LoginRefused(LoginStatus.INITIATOR_ERROR, "a login of too many steps")
        if request.version_min > 0:
            raise LoginRefused(
                LoginStatus.UNSUPPORTED_VERSION, f"version {request.version_min}, 0 is spoken"
            )
        first = self._first
        if first is None:
            self._first = first = request
            self._stage = request.csg
        if (request.isid, request.cid, request.tsih) != (first.isid, first.cid, first.tsih):
            raise LoginRefused(LoginStatus.INITIATOR_ERROR, "the login changes its session midway")
        if request.csg != self._stage or request.csg not in (SECURITY, OPERATIONAL):
            raise LoginRefused(LoginStatus.INVALID_DURING_LOGIN, f"stage {request.csg} out of turn")
        if request.transit and (
            request.more or request.nsg <= request.csg or request.nsg not in (1, 3)
        ):
            raise LoginRefused(LoginStatus.INITIATOR_ERROR, f"no way to stage {request.nsg}")

    def _identify(self, pairs: list[tuple[str, str]]) -> list[tuple[str, str]]:
        """Who logs in where, from the first text."""
        said = read_once(pairs)
        name = said.get("InitiatorName")
        if name is None:
            raise LoginRefused(LoginStatus.MISSING_PARAMETER, "InitiatorName is missing")
        kind = said.get("SessionType", "Normal")
        if kind not in ("Normal", "Discovery"):
            raise LoginRefused(LoginStatus.SESSION_TYPE, f"no sessions of type {kind[:40]!r}")
        target = said.get("TargetName", "")
        if kind == "Normal" and not target:
            raise LoginRefused(LoginStatus.MISSING_PARAMETER, "TargetName is missing")
        if target and target.lower() != self._config.name:
            raise LoginRefused(LoginStatus.NOT_FOUND, f"no target {target[:80]!r} here")
        self._said = {
            "InitiatorName": checked_name(name),
            "TargetName": target.lower() if kind == "Normal" else "",
        }
        if kind == "Discovery":
            return []
        return [
            ("TargetPortalGroupTag", str(PORTAL_GROUP)),
            ("TargetAlias", self._config.alias),
        ]

    def _secure(self, pairs: list[tuple[str, str]]) -> list[tuple[str, str]]:
        """One step of the security stage."""
        said = read_once(pairs)
        chap = self._config.chap
        method = said.get("AuthMethod")
        if chap is None:
            if method is None:
                return []
            if "None" not in method.split(","):
                raise BadChap(f"AuthMethod={method[:40]}: this target knows only None")
            return [("AuthMethod", "None")]
        match self._proof:
            case Proof.NOT_BEGUN if method is not None:
                if "CHAP" not in method.split(","):
                    raise BadChap(f"AuthMethod={method[:40]}: this target wants CHAP")
                self._proof = Proof.CHAP_CHOSEN
                return [("AuthMethod", "CHAP")]
            case Proof.CHAP_CHOSEN if "CHAP_A" in said:
                if ALGORITHM not in said["CHAP_A"].split(","):
                    raise BadChap(f"CHAP_A={said['CHAP_A'][:40]}: 5 (MD5) is known here")
                self._proof = Proof.CHALLENGED
                return [("CHAP_A", ALGORITHM), *self._challenge.pairs()]
            case Proof.CHALLENGED if "CHAP_R" in said:
                return self._judge(said, chap.of(said.get("CHAP_N", "")), chap.target)
            case Proof.DONE:
                return []
        raise BadChap(f"the initiator is out of step with CHAP: {self._proof.value}")

    def _judge(
        self, said: dict[str, str], wanted: Credentials | None, mine: Credentials | None
    ) -> list[tuple[str, str]]:
        """Check the sum; show ours if that was asked for."""
        # A name that nobody has is checked like one with another secret, and takes as long.
        check(self._challenge, wanted or Credentials("", bytes(16)), said)
        if wanted is None:
            raise BadChap("the initiator's CHAP name is not known here")
        self._proof = Proof.DONE
        if "CHAP_I" not in said and "CHAP_C" not in said:
            return []
        theirs = read_challenge(said)
        if mine is None:
            raise BadChap("the initiator wants a proof, and this target has no secret of its own")
        if theirs.value == self._challenge.value or mine.secret == wanted.secret:
            raise BadChap("a challenge sent back, or one secret for both ways, proves nothing")
        return prove(theirs, mine)

    def _result(self) -> LoggedIn:
        assert self._first is not None
        return LoggedIn(
            self._said["InitiatorName"],
            self._first.isid,
            self._first.cid,
            self._said["TargetName"],
            self._negotiation.agreed,
            self._first.cmd_sn,
        )

    def _response(
        self,
        request: LoginRequest,
        csg: int,
        nsg: int,
        transit: bool,
        data: bytes,
        status: LoginStatus = LoginStatus.SUCCESS,
    ) -> LoginResponse:
        # The number of a session is put in by who keeps the sessions.
        stat_sn, self._stat_sn = self._stat_sn, after(self._stat_sn)
        cmd_sn = request.cmd_sn
        return LoginResponse(
            request.isid,
            request.tsih,
            request.task_tag,
            stat_sn,
            cmd_sn,
            cmd_sn,
            csg,
            nsg,
            transit,
            status=status,
            data=data,
        )
