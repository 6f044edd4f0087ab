"""Operational keys (RFC 7143 section 13): what one end offers, how the other answers, what holds.

Both ends make a `Negotiation` of their wishes. The initiator sends `offer()`, the target gives it
to `take` and sends back what that returns, the initiator takes the answers; `agreed` is then the
same on both. Keys that nobody speaks of keep the default of the standard.
"""

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field

from protocol.iscsi.errors import BadNegotiation, BadText
from protocol.iscsi.text import read_number

SEGMENT_BYTES_MAX = (1 << 24) - 1
_ANSWERS = {"Reject", "Irrelevant", "NotUnderstood"}


class Rule(enum.Enum):
    """How a key's value comes of two wishes."""

    LIST = "the first of the offerer's list that the other has, too"
    LEAST = "the smaller number"
    MOST = "the larger number"
    AND = "Yes if both say Yes"
    OR = "Yes if one says Yes"
    DECLARED = "each end says its own"


@dataclass(frozen=True, slots=True)
class Key:
    rule: Rule
    default: str
    least: int = 0
    most: int = 0


KEYS: Mapping[str, Key] = {
    "HeaderDigest": Key(Rule.LIST, "None"),
    "DataDigest": Key(Rule.LIST, "None"),
    "MaxConnections": Key(Rule.LEAST, "1", 1, 65535),
    "InitialR2T": Key(Rule.OR, "Yes"),
    "ImmediateData": Key(Rule.AND, "Yes"),
    "MaxRecvDataSegmentLength": Key(Rule.DECLARED, "8192", 512, SEGMENT_BYTES_MAX),
    "MaxBurstLength": Key(Rule.LEAST, "262144", 512, SEGMENT_BYTES_MAX),
    "FirstBurstLength": Key(Rule.LEAST, "65536", 512, SEGMENT_BYTES_MAX),
    "DefaultTime2Wait": Key(Rule.MOST, "2", 0, 3600),
    "DefaultTime2Retain": Key(Rule.LEAST, "20", 0, 3600),
    "MaxOutstandingR2T": Key(Rule.LEAST, "1", 1, 65535),
    "DataPDUInOrder": Key(Rule.OR, "Yes"),
    "DataSequenceInOrder": Key(Rule.OR, "Yes"),
    "ErrorRecoveryLevel": Key(Rule.LEAST, "0", 0, 2),
    "TaskReporting": Key(Rule.LIST, "RFC3720"),
    "iSCSIProtocolLevel": Key(Rule.LEAST, "1", 0, 31),
    "IFMarker": Key(Rule.AND, "No"),
    "OFMarker": Key(Rule.AND, "No"),
}

DECLARATIONS = frozenset(
    {
        "InitiatorName",
        "InitiatorAlias",
        "TargetName",
        "TargetAlias",
        "TargetAddress",
        "TargetPortalGroupTag",
        "SessionType",
    }
)
"""Keys that are said and not answered; who leads the login reads them."""


@dataclass(frozen=True, slots=True)
class Wishes:
    """What an end would like, the best first; the defaults suit error recovery level 0."""

    header_digest: tuple[str, ...] = ("None", "CRC32C")
    data_digest: tuple[str, ...] = ("None", "CRC32C")
    initial_r2t: bool = False
    immediate_data: bool = True
    receive_bytes_max: int = 256 << 10
    burst_bytes_max: int = 1 << 20
    first_burst_bytes_max: int = 256 << 10
    time_to_wait_s: int = 2
    time_to_retain_s: int = 0
    r2t_outstanding_max: int = 8

    def values(self) -> dict[str, str]:
        return {
            "HeaderDigest": ",".join(self.header_digest),
            "DataDigest": ",".join(self.data_digest),
            "InitialR2T": _word(self.initial_r2t),
            "ImmediateData": _word(self.immediate_data),
            "MaxRecvDataSegmentLength": str(self.receive_bytes_max),
            "MaxBurstLength": str(self.burst_bytes_max),
            "FirstBurstLength": str(min(self.first_burst_bytes_max, self.burst_bytes_max)),
            "MaxConnections": "1",
            "DefaultTime2Wait": str(self.time_to_wait_s),
            "DefaultTime2Retain": str(self.time_to_retain_s),
            "MaxOutstandingR2T": str(self.r2t_outstanding_max),
            "DataPDUInOrder": "Yes",
            "DataSequenceInOrder": "Yes",
            "ErrorRecoveryLevel": "0",
        }


@dataclass(frozen=True, slots=True)
class Agreed:
    """What holds for a session; `send_bytes_max` is what the peer takes in one segment."""

    header_digest: bool = False
    data_digest: bool = False
    initial_r2t: bool = True
    immediate_data: bool = True
    send_bytes_max: int = 8192
    receive_bytes_max: int = 8192
    burst_bytes_max: int = 262144
    first_burst_bytes_max: int = 65536
    r2t_outstanding_max: int = 1
    time_to_wait_s: int = 2
    time_to_retain_s: int = 20

    @property
    def immediate_bytes_max(self) -> int:
        """How much of a write may come with its command, for whom sends it."""
        return min(self.first_burst_bytes_max, self.send_bytes_max) if self.immediate_data else 0


@dataclass(slots=True)
class Negotiation:
    """One end's side of it. `take` raises `BadNegotiation` or `BadText`."""

    wishes: Wishes
    _mine: dict[str, str] = field(init=False)
    _offered: set[str] = field(default_factory=set)
    _settled: dict[str, str] = field(default_factory=dict)
    _theirs: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._mine = self.wishes.values()

    def offer(self) -> list[tuple[str, str]]:
        """All wishes, to be sent once."""
        self._offered = set(self._mine)
        return list(self._mine.items())

    def declare(self) -> list[tuple[str, str]]:
        """What an end says of itself even if nothing was offered; only once."""
        key = "MaxRecvDataSegmentLength"
        if key in self._offered:
            return []
        self._offered.add(key)
        return [(key, self._mine[key])]

    def take(self, pairs: list[tuple[str, str]]) -> list[tuple[str, str]]:
        """Offers and answers of the peer; what must be said to them."""
        replies = []
        for name, value in pairs:
            if name in DECLARATIONS:
                continue
            key = KEYS.get(name)
            if key is None:
                if value not in _ANSWERS:
                    replies.append((name, "NotUnderstood"))
            elif name in self._theirs:
                raise BadNegotiation(f"{name} is negotiated twice")
            else:
                self._theirs[name] = value
                reply = self._settle(name, key, value)
                if reply is not None:
                    replies.append((name, reply))
        return replies

    @property
    def awaited(self) -> frozenset[str]:
        """Keys that were offered and not answered yet."""
        declared = {"MaxRecvDataSegmentLength"}
        return frozenset(self._offered - self._theirs.keys() - declared)

    @property
    def agreed(self) -> Agreed:
        burst = int(self._value("MaxBurstLength"))
        theirs = self._theirs.get("MaxRecvDataSegmentLength", "8192")
        return Agreed(
            header_digest=self._value("HeaderDigest") == "CRC32C",
            data_digest=self._value("DataDigest") == "CRC32C",
            initial_r2t=self._value("InitialR2T") == "Yes",
            immediate_data=self._value("ImmediateData") == "Yes",
            send_bytes_max=read_number("MaxRecvDataSegmentLength", theirs, 0, SEGMENT_BYTES_MAX),
            receive_bytes_max=self.wishes.receive_bytes_max,
            burst_bytes_max=burst,
            first_burst_bytes_max=min(burst, int(self._value("FirstBurstLength"))),
            r2t_outstanding_max=int(self._value("MaxOutstandingR2T")),
            time_to_wait_s=int(self._value("DefaultTime2Wait")),
            time_to_retain_s=int(self._value("DefaultTime2Retain")),
        )

    def _value(self, name: str) -> str:
        return self._settled.get(name, KEYS[name].default)

    def _settle(self, name: str, key: Key, value: str) -> str | None:
        """Take one value; the reply to it if it was an offer."""
        if key.rule is Rule.DECLARED:
            read_number(name, value, key.least, key.most)
            return None
        if name in self._offered and value in _ANSWERS:
            if value == "Reject" and name in _NEEDED:
                raise BadNegotiation(f"the peer rejects {name}={self._mine[name]}")
            return None  # the default holds
        result = combined(name, key, value, self._mine.get(name, key.default))
        if name not in self._offered:
            if result is not None:
                self._settled[name] = result
            return result or "Reject"
        if result is None or result != _canonical(name, key, value):
            raise BadNegotiation(f"{name}={value[:40]} is no answer to {self._mine[name]}")
        self._settled[name] = result
        return None


_NEEDED = {"HeaderDigest", "DataDigest"}


def combined(name: str, key: Key, theirs: str, mine: str) -> str | None:
    """The value that comes of an offer and a wish; None where there is no common one."""
    if key.rule is Rule.LIST:
        own = mine.split(",")
        return next((choice for choice in theirs.split(",") if choice in own), None)
    if key.rule in (Rule.AND, Rule.OR):
        if theirs not in ("Yes", "No"):
            raise BadText(f"{name}={theirs[:40]} is neither Yes nor No")
        words = (theirs == "Yes", mine == "Yes")
        return _word(all(words) if key.rule is Rule.AND else any(words))
    number = read_number(name, theirs, key.least, key.most)
    choose = min if key.rule is Rule.LEAST else max
    return str(choose(number, int(mine)))


def _canonical(name: str, key: Key, value: str) -> str:
    if key.rule in (Rule.LEAST, Rule.MOST):
        return str(read_number(name, value, key.least, key.most))
    return value


def _word(yes: bool) -> str:
    return "Yes" if yes else "No"
