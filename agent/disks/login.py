"""The way into a session: security with or without CHAP, then the operational keys."""

from dataclasses import dataclass, field

from agent.disks.errors import LoginRefused
from protocol.iscsi.chap import ALGORITHM, Challenge, Credentials, check, prove, read_challenge
from protocol.iscsi.errors import BadChap, BadNegotiation
from protocol.iscsi.negotiation import Agreed, Negotiation, Wishes
from protocol.iscsi.requests import LoginRequest
from protocol.iscsi.responses import LoginResponse, LoginStatus
from protocol.iscsi.serial import after
from protocol.iscsi.text import TextCollector, read_once, write_text

SECURITY, OPERATIONAL, FULL_FEATURE = 0, 1, 3
STEPS_MAX = 20
FIRST_CMD_SN = 1
_PIECE_BYTES = 8192
_REASONS = {
    LoginStatus.AUTHENTICATION_FAILED: "name or secret of CHAP are wrong, or one is needed",
    LoginStatus.FORBIDDEN: "this initiator is not allowed there",
    LoginStatus.NOT_FOUND: "it has no target of this name",
    LoginStatus.TOO_MANY_CONNECTIONS: "it takes no more connections",
    LoginStatus.UNAVAILABLE: "the target is not available now",
    LoginStatus.OUT_OF_RESOURCES: "it is out of resources",
}


def random_isid(qualifier: bytes) -> bytes:
    """An ISID of the type `random` from 5 bytes, which are the initiator's to choose."""
    assert len(qualifier) == 5, qualifier
    return b"\x80" + qualifier


@dataclass(frozen=True, slots=True)
class Identity:
    """Who logs in where. The same `isid` again takes the place of the session that had it."""

    initiator: str
    target: str
    isid: bytes
    credentials: Credentials | None = None
    target_credentials: Credentials | None = None
    """What the target is to prove in its turn, with `challenge`, which is never used twice."""

    challenge: Challenge | None = None
    wishes: Wishes = field(default_factory=Wishes)
    is_discovery: bool = False


@dataclass(frozen=True, slots=True)
class LoggedIn:
    """What holds for the session now."""

    agreed: Agreed
    portal_group: int | None
    exp_stat_sn: int
    max_cmd_sn: int


class Login:
    """Asks step by step; `take` gives the next request, or what was agreed. Raises `IscsiError`
    for bytes that break the rules and `LoginRefused` for a clear no.
    """

    def __init__(self, identity: Identity) -> None:
        self._identity = identity
        self._negotiation = Negotiation(identity.wishes)
        self._texts = TextCollector()
        self._stage = SECURITY
        self._steps = 0
        self._chap = ""
        """The step of CHAP that was asked last: method, challenge, or proof."""

        self._exp_stat_sn = 0
        self._portal_group: int | None = None
        self._unsaid: list[bytes] = []
        """Pieces of a text that goes in several requests."""

        self._transit = False

    def first(self) -> LoginRequest:
        """Opens the dialogue."""
        who = self._identity
        pairs = [("InitiatorName", who.initiator)]
        if who.is_discovery:
            pairs.append(("SessionType", "Discovery"))
        else:
            pairs += [("SessionType", "Normal"), ("TargetName", who.target)]
        if who.credentials is None:
            return self._ask([*pairs, ("AuthMethod", "None")], transit=True)
        self._chap = "method"
        return self._ask([*pairs, ("AuthMethod", "CHAP")], transit=False)

    def take(self, answer: LoginResponse) -> LoginRequest | LoggedIn:
        """One answer of the target."""
        self._check(answer)
        self._exp_stat_sn = after(answer.stat_sn)
        pairs = self._texts.add(answer.data, answer.more)
        if pairs is None:
            return self._ask([], transit=False)  # an empty request asks for the rest
        if self._unsaid:
            return self._piece()
        said = read_once(pairs)
        if "TargetPortalGroupTag" in said and said["TargetPortalGroupTag"].isdigit():
            self._portal_group = int(said["TargetPortalGroupTag"][:6])
        if self._stage == SECURITY:
            return self._secured(said, answer)
        return self._negotiated(pairs, answer)

    def _check(self, answer: LoginResponse) -> None:
        self._steps += 1
        if answer.status:
            raise LoginRefused(_refusal(self._identity.target, answer.status))
        if self._steps > STEPS_MAX:
            raise BadNegotiation(f"the login has taken {STEPS_MAX} steps without an end")
        if answer.isid != self._identity.isid or answer.csg != self._stage:
            raise BadNegotiation("the answer belongs to another login or to another stage")
        if answer.transit and answer.nsg not in (OPERATIONAL, FULL_FEATURE):
            raise BadNegotiation(f"the target goes on to stage {answer.nsg}")
        if answer.transit and (answer.more or self._unsaid):
            raise BadNegotiation("the target goes on before all has been said")

    def _secured(self, said: dict[str, str], answer: LoginResponse) -> LoginRequest | LoggedIn:
        if self._identity.credentials is not None:
            request = self._prove(said, self._identity.credentials)
            if request is not None:
                if answer.transit:
                    raise BadChap("the target goes on before this node has shown who it is")
                return request
        elif said.get("AuthMethod", "None") != "None":
            raise LoginRefused("the target wants CHAP, and this node has no secret for it")
        if not answer.transit:
            return self._ask([], transit=True)
        if answer.nsg == FULL_FEATURE:
            return self._done(answer)
        self._stage = OPERATIONAL
        return self._ask(self._negotiation.offer(), transit=True)

    def _prove(self, said: dict[str, str], mine: Credentials) -> LoginRequest | None:
        """The next step of CHAP; None when it is over."""
        if self._chap == "method":
            if said.get("AuthMethod") != "CHAP":
                raise LoginRefused("the target does not speak CHAP, which this node insists on")
            self._chap = "challenge"
            return self._ask([("CHAP_A", ALGORITHM)], transit=False)
        if self._chap == "challenge":
            if said.get("CHAP_A") != ALGORITHM:
                raise BadChap("the target did not choose MD5, which was all that was offered")
            challenge = read_challenge(said)
            own = self._identity.challenge
            if own is not None and own.value == challenge.value:
                raise BadChap("the target sends this node's own challenge back")
            pairs = prove(challenge, mine)
            if own is not None and self._identity.target_credentials is not None:
                pairs += own.pairs()
            self._chap = "proof"
            return self._ask(pairs, transit=True)
        if self._chap == "proof":
            own, wanted = self._identity.challenge, self._identity.target_credentials
            if own is not None and wanted is not None:
                check(own, wanted, said)
            self._chap = "over"
        return None

    def _negotiated(
        self, pairs: list[tuple[str, str]], answer: LoginResponse
    ) -> LoginRequest | LoggedIn:
        replies = self._negotiation.take(pairs)
        if not answer.transit:
            return self._ask(replies, transit=True)
        if replies:
            raise BadNegotiation("the target ends the login with an offer")
        if answer.nsg != FULL_FEATURE:
            raise BadNegotiation("the target stays in the stage that it says it leaves")
        return self._done(answer)

    def _done(self, answer: LoginResponse) -> LoggedIn:
        return LoggedIn(
            self._negotiation.agreed, self._portal_group, self._exp_stat_sn, answer.max_cmd_sn
        )

    def _ask(self, pairs: list[tuple[str, str]], transit: bool) -> LoginRequest:
        text = write_text(pairs)
        self._unsaid = [text[at : at + _PIECE_BYTES] for at in range(0, len(text), _PIECE_BYTES)]
        self._transit = transit
        return self._piece()

    def _piece(self) -> LoginRequest:
        data = self._unsaid.pop(0) if self._unsaid else b""
        more = bool(self._unsaid)
        transit = self._transit and not more
        nsg = 0
        if transit:
            nsg = OPERATIONAL if self._stage == SECURITY else FULL_FEATURE
        return LoginRequest(
            isid=self._identity.isid,
            tsih=0,
            task_tag=0,
            cid=0,
            cmd_sn=FIRST_CMD_SN,
            exp_stat_sn=self._exp_stat_sn,
            csg=self._stage,
            nsg=nsg,
            transit=transit,
            more=more,
            data=data,
        )


def _refusal(target: str, status: int) -> str:
    reason = next((words for code, words in _REASONS.items() if code == status), "")
    where = f"the target {target} refuses the login"
    if status >> 8 == 1:
        return f"{where}: it has moved elsewhere, and nobody told where"
    return f"{where}: {reason or f'status {status:04x}h'}"
