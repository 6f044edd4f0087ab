"""Heartbeats: UDP, every agent to every other on every cluster network."""

from dataclasses import dataclass

from protocol.names import ClusterId, Incarnation, NodeName, ViewNumber


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """`sender` is alive. `hears`: it hears `to` on this network, so the route may count as up."""

    cluster: ClusterId
    sender: NodeName
    incarnation: Incarnation
    to: NodeName
    seq: int
    hears: bool
    view: ViewNumber


@dataclass(frozen=True, slots=True)
class HeartbeatAnswer:
    """Answers heartbeat `seq` of `to_incarnation`. `support_s` > 0 is a promise of support for
    that long; `witness_s` > 0 promises the witness's vote, which the sender carries, as well.

    Who is promised counts it from the moment it sent the heartbeat that is answered
    (docs/protocol.md, lease).
    """

    cluster: ClusterId
    sender: NodeName
    incarnation: Incarnation
    to: NodeName
    to_incarnation: Incarnation
    seq: int
    view: ViewNumber
    votes_index: int
    support_s: float
    witness_s: float = 0.0
