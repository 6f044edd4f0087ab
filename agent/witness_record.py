"""What the witness remembers, who may write it when, and whose votes it would turn into a quorum.

The witness is a register with a version. It knows nobody and counts nothing: whoever wants to write
names the version that it has read, and exactly one of two who name the same one writes.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Protocol

from protocol.codec import PROTOCOL_VERSION
from protocol.names import ClusterId, Incarnation, NodeName, View, ViewNumber, VoteConfig
from protocol.shapes import Shapes

NOBODY = Incarnation("")
"""The holder of a witness that was released."""


@dataclass(frozen=True, slots=True)
class WitnessRecord:
    """One version of the witness's memory. `view` and `index` are the newest view and vote
    configuration that were acknowledged with its vote.

    A disk witness has a copy of that configuration, a file share witness only its index.
    """

    cluster: ClusterId
    index: int
    view: ViewNumber
    holder: Incarnation
    node: NodeName
    hold_s: float
    copy: VoteConfig | None = None


class WitnessPort(Protocol):
    """The place that all nodes reach. Every failure is an error of `protocol.errors`."""

    def read(self) -> tuple[int, WitnessRecord | None]:
        """The newest version and its record; version 0 was never written."""

    def write_if(self, version: int, record: WitnessRecord) -> bool:
        """Make `record` version + 1 if `version` is still the newest. False: somebody else has
        written, before this or right after it; either way this one counts for nothing.
        """


_SHAPES = Shapes(PROTOCOL_VERSION)
_RECORD = _SHAPES.of(WitnessRecord)


def packed(record: WitnessRecord) -> list[Any]:
    """The record as plain data; `ProtocolError` if it is none that could be read again."""
    plain: list[Any] = _RECORD.pack(record)
    return plain


def unpacked(plain: Any) -> WitnessRecord:
    """What `packed` made; `ProtocolError` if it is anything else."""
    record: WitnessRecord = _RECORD.unpack(plain)
    return record


# ---- how long a hold lasts, seen from both sides


def usable_s(hold_s: float, drift_rate: float) -> float:
    """How long its holder uses the witness, on the holder's clock, from when it began the write."""
    return hold_s * (1 - drift_rate) / (1 + drift_rate)


def expires_after_s(hold_s: float, drift_rate: float) -> float:
    """How long a contender waits, on its own clock, from when it first saw the record.

    The holder began to write it before anybody could see it, so all that it promised has run out.
    """
    return hold_s * (1 + drift_rate) / (1 - drift_rate)


# ---- whose votes it decides


def would_decide(votes: VoteConfig, supporters: Collection[NodeName]) -> bool:
    """Whether the witness's vote makes a quorum of the votes of `supporters`, which are none."""
    if votes.witness is None:
        return False
    counted = sum(weight for node, weight in votes.votes if node in supporters)
    return counted < votes.needed <= counted + votes.witness_votes


def is_as_new(view: View, record: WitnessRecord) -> bool:
    """Whether the witness has acknowledged nothing newer than `view`."""
    return view.number >= record.view and view.votes.index >= record.index


def is_carried_in(view: View | None, record: WitnessRecord) -> bool:
    """Whether a holder that lives by `view` may promise the vote: it counts there, and the witness
    has acknowledged nothing newer.
    """
    return (
        view is not None
        and view.votes.witness is not None
        and view.votes.witness_votes > 0
        and is_as_new(view, record)
    )
