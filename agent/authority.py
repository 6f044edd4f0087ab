"""Whose words count here: who may give this agent orders, and what of them is stale."""

from dataclasses import dataclass

from agent.actions import NodeRecord
from protocol.messages import (
    Arbitrate,
    Evicted,
    Ping,
    ProposeView,
    ToAgent,
    TurnedAway,
    WantCopy,
    Welcome,
)
from protocol.names import Incarnation, Term, Timing


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a message carries no authority here; `hangs_up`: nor will another from who said it."""

    reason: str
    hangs_up: bool


SILENCE_MIN_S = 2.0
"""What TCP may need to send a lost segment again, however fast the cluster's heartbeats are."""


def silence_max_s(timing: Timing) -> float:
    """How long a leader may say nothing. It pings once per delay; one that is silent for longer is
    frozen, cut off or resigned, and its link only keeps the agent from finding the next one.
    """
    return max(timing.support_s + timing.delay_s, SILENCE_MIN_S)


def refusal(
    message: ToAgent, record: NodeRecord, incarnation: Incarnation, leader: Term | None
) -> Refusal | None:
    """Why `message` is not obeyed by this life of the node; None if it is. `leader` is the term
    that was welcomed on this link.
    """
    assert not isinstance(message, TurnedAway)
    said = type(message).__name__
    if isinstance(message, Welcome):
        return _welcome_refusal(message, record, incarnation)
    is_unbound = record.cluster is None and isinstance(message, Arbitrate)
    if message.cluster != record.cluster and not is_unbound:
        return Refusal(
            f"A {said} was for cluster {message.cluster}; this node is of "
            f"{record.cluster or 'none'}.",
            hangs_up=True,
        )
    if isinstance(message, WantCopy):
        return None  # a question, which nothing follows from here
    if message.term < record.highest_term:
        return _stale(message.term, record)
    # These are for who was not welcomed, too: the first gives no right, the second takes all.
    if message.term != leader and not isinstance(message, Arbitrate | Evicted):
        return Refusal(f"A {said} of term {message.term} came before its welcome.", hangs_up=False)
    if isinstance(message, ProposeView | Ping) or message.incarnation == incarnation:
        return None
    return Refusal(f"A {said} was for {message.incarnation}, another life.", hangs_up=False)


def _welcome_refusal(
    welcome: Welcome, record: NodeRecord, incarnation: Incarnation
) -> Refusal | None:
    if welcome.incarnation != incarnation:
        return Refusal(f"A welcome was for {welcome.incarnation}, another life.", hangs_up=False)
    if record.cluster not in (None, welcome.cluster):
        return Refusal(
            f"The coordinator leads cluster {welcome.cluster}; this node is of {record.cluster}.",
            hangs_up=True,
        )
    return _stale(welcome.term, record) if welcome.term < record.highest_term else None


def _stale(term: Term, record: NodeRecord) -> Refusal:
    reason = f"The coordinator speaks for term {term}; term {record.highest_term} was seen."
    return Refusal(reason, hangs_up=True)
