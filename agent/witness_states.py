"""What a node knows of the witness, of its own hold on it and of its wish for it, each as long as
it is true, and the one word that this makes for reports.
"""

from collections.abc import Collection
from dataclasses import dataclass, replace

from agent.witness_record import NOBODY, WitnessRecord, usable_s
from protocol.names import Incarnation, NodeName, WitnessState


@dataclass(frozen=True, slots=True)
class Around:
    """What the node knows besides: its lease, who supports it now, and whom it hears."""

    lease_end_s: float
    supporters: frozenset[NodeName]
    """Itself among them."""

    witness_supports: bool
    """Another node carries the witness's vote, and has promised it."""

    heard: Collection[NodeName]
    spent_until_s: float
    """When all use of the vote that was promised or counted here will be over."""


@dataclass(frozen=True, slots=True)
class Seen:
    """The newest version that this life knows of, and since when it has not changed."""

    version: int
    record: WitnessRecord | None
    since_s: float


@dataclass(frozen=True, slots=True)
class Held:
    """The last renewal that succeeded, and when it was begun."""

    begun_at: float
    record: WitnessRecord


@dataclass(frozen=True, slots=True)
class Contending:
    """It wants the witness since `since_s`, and lets those of a lower rank go first."""

    since_s: float
    rank: int


def until_s(held: Held, drift_rate: float) -> float:
    """When its holder stops using the witness."""
    return held.begun_at + usable_s(held.record.hold_s, drift_rate)


def shortened(held: Held | None, renewal: Held, drift_rate: float) -> Held | None:
    """What may be used of a hold while `renewal` is being written: under shorter clocks others may
    see that, and wait it out, before the answer comes.
    """
    if held is None or until_s(held, drift_rate) <= until_s(renewal, drift_rate):
        return held
    record = replace(held.record, hold_s=renewal.record.hold_s)
    return Held(renewal.begun_at, record)


def holder_of(seen: Seen | None) -> Incarnation:
    """Whose the witness is as far as one knows."""
    return NOBODY if seen is None or seen.record is None else seen.record.holder


def state_of(
    seen: Seen | None, is_held: bool, is_newer: bool, is_wanted: bool, failed: bool
) -> WitnessState:
    """The word for it. A holder whose hold lasts still carries the vote when a look fails, unless
    the witness has acknowledged something newer than the holder lives by (`is_newer`).
    """
    if failed and not is_held:
        return WitnessState.UNREACHABLE
    if seen is None:
        return WitnessState.UNKNOWN
    if is_held:
        return WitnessState.NEWER if is_newer else WitnessState.HELD
    if is_wanted:
        return WitnessState.CONTENDING
    return WitnessState.FREE if holder_of(seen) == NOBODY else WitnessState.OTHER
