"""Heartbeats: who is heard on which network, who supports this node, and what this node has
promised to others.

A promise of support is counted by the asker from the moment it *sent* the heartbeat that was
answered, and by the giver from the moment it answered, with an allowance for drift: the asker
always stops counting first.
"""

from collections.abc import Collection
from dataclasses import dataclass, field

from agent.actions import SendBeat
from agent.lease import NEVER, NO_LEASE, lease_end, suffices_alone
from agent.witness_states import Around
from protocol.messages import Heartbeat, HeartbeatAnswer, RouteReport
from protocol.names import ClusterId, Incarnation, NetworkName, NodeName, Timing, View


class Promises:
    """Until when, on this node's clock, a promise of support to an incarnation may still be counted
    on.
    """

    def __init__(self) -> None:
        self._until: dict[Incarnation, float] = {}

    def promise(self, to: Incarnation, until: float) -> None:
        self._until[to] = max(until, self._until.get(to, NEVER))

    def ran_out_at(self, keep: Collection[Incarnation]) -> float:
        """When the last promise to anybody but `keep` will have run out."""
        return max((end for to, end in self._until.items() if to not in keep), default=NEVER)

    def forget_old(self, now: float) -> None:
        self._until = {to: end for to, end in self._until.items() if end > now}


@dataclass(slots=True)
class Route:
    """One peer on one network: what was sent, and what was heard."""

    node: NodeName
    incarnation: Incarnation
    network: NetworkName
    address: str
    port: int
    heard_at: float = NEVER
    hears_us: bool = False
    sent: dict[int, float] = field(default_factory=dict)

    def is_heard(self, now: float, silence_max_s: float) -> bool:
        return now - self.heard_at <= silence_max_s

    def is_up(self, now: float, silence_max_s: float) -> bool:
        """A route counts as up only in both directions."""
        return self.hears_us and self.is_heard(now, silence_max_s)


class Heartbeats:
    """The heartbeats of one incarnation under its adopted view. It owns no clock and sends nothing
    itself.
    """

    def __init__(
        self, node: NodeName, incarnation: Incarnation, networks: Collection[NetworkName]
    ) -> None:
        self.promises = Promises()
        self.lease_end_s = NO_LEASE
        self.carried_until_s = NEVER
        """Until when this node may use the witness's vote, as `agent.witness` says."""

        self.carried_spent_s = NEVER
        """When every use of that vote that was promised or counted here will be over."""

        self._node = node
        self._incarnation = incarnation
        self._networks = frozenset(networks)
        self._cluster = ClusterId("")
        self._timing = Timing()
        self._view: View | None = None
        self._alone = False
        self._alone_with_witness = False
        self._witness_end_s = NEVER
        self._members: dict[NodeName, Incarnation] = {}
        self._routes: dict[tuple[NodeName, NetworkName], Route] = {}
        self._ring: list[Route] = []
        self._support_ends: dict[NodeName, float] = {}
        self._seq = 0
        # Slot k of the ring is due at base + k * step, so the sends are spread evenly over the
        # period.
        self._slot = 0
        self._base_s = 0.0
        self._step_s = self._timing.delay_s

    # ---- what this node lives by

    def live_by(self, view: View, cluster: ClusterId, timing: Timing, now: float) -> None:
        """Adopt `view`. A lease that was given lasts: a promise is kept in any view."""
        votes_changed = self._view is None or self._view.votes.index != view.votes.index
        old = self._routes
        self._view, self._cluster, self._timing = view, cluster, timing
        self._alone = suffices_alone(view.votes, self._node)
        self._alone_with_witness = suffices_alone(view.votes, self._node, carries_witness=True)
        self._members = {m.node: m.incarnation for m in view.members if m.node != self._node}
        fresh = [
            Route(member.node, member.incarnation, network, address, member.endpoint.heartbeat_port)
            for member in sorted(view.members, key=lambda member: member.node)
            for network, address in sorted(member.endpoint.addresses)
            if member.node != self._node and network in self._networks
        ]
        self._routes = {(r.node, r.network): _kept(old.get((r.node, r.network)), r) for r in fresh}
        self._ring = list(self._routes.values())
        self._support_ends = {
            node: end
            for node, end in self._support_ends.items()
            if node in self._members and not votes_changed
        }
        if votes_changed:
            self._witness_end_s = NEVER
        self._slot, self._base_s = 0, now
        self._step_s = timing.delay_s / max(1, len(self._ring))
        self._renew(now)

    @property
    def next_send_s(self) -> float:
        return float("inf") if self._view is None else self._base_s + self._slot * self._step_s

    def send_due(self, now: float) -> list[SendBeat]:
        """The heartbeats whose turn has come; after a long sleep one for each route, not one for
        each turn.
        """
        if self._view is None:
            return []
        sends: list[SendBeat] = []
        turns = max(1, len(self._ring))
        behind = int((now - self._base_s) / self._step_s) - self._slot
        if behind >= turns:
            self._slot += behind - turns + 1
        while self._base_s + self._slot * self._step_s <= now:
            if self._ring:
                sends.append(self._beat(self._ring[self._slot % turns], now))
            self._slot += 1
        if self._alone or (self._alone_with_witness and now < self.carried_until_s):
            self._renew(now)
        return sends

    def _beat(self, route: Route, now: float) -> SendBeat:
        assert self._view is not None
        self._seq += 1
        route.sent[self._seq] = now
        if len(route.sent) > self._timing.threshold + 1:
            del route.sent[next(iter(route.sent))]
        beat = Heartbeat(
            self._cluster,
            self._node,
            self._incarnation,
            route.node,
            self._seq,
            now - route.heard_at <= self._timing.support_s,
            self._view.number,
        )
        return SendBeat(route.network, route.address, route.port, beat)

    # ---- what others say

    def hear(
        self, network: NetworkName, beat: Heartbeat, may_support: bool, now: float
    ) -> list[SendBeat]:
        """A peer's heartbeat: remember that it is heard, and answer it, with support if this node
        may give it.

        `may_support`: the start wait is over and no view is pending that leaves the sender's
        incarnation out.
        """
        route = self._routes.get((beat.sender, network))
        view = self._view
        if route is None or view is None or beat.cluster != self._cluster or beat.to != self._node:
            return []
        support_s = witness_s = 0.0
        if beat.incarnation == route.incarnation:
            route.heard_at = now
            route.hears_us = beat.hears
            if may_support:
                support_s = self._timing.support_s
                self.promises.promise(beat.incarnation, now + self._timing.outlast_s)
                witness_s = max(0.0, min(support_s, self.carried_until_s - now))
                if witness_s > 0.0:
                    self._spend(now + self._timing.outlast_s)
        answer = HeartbeatAnswer(
            self._cluster,
            self._node,
            self._incarnation,
            beat.sender,
            beat.incarnation,
            beat.seq,
            view.number,
            view.votes.index,
            support_s,
            witness_s,
        )
        return [SendBeat(network, route.address, route.port, answer)]

    def _spend(self, until_s: float) -> None:
        self.carried_spent_s = max(self.carried_spent_s, until_s)

    def hear_answer(self, network: NetworkName, answer: HeartbeatAnswer, now: float) -> bool:
        """A peer's answer: count its support from when the answered heartbeat was sent. True if the
        lease grew.
        """
        route = self._routes.get((answer.sender, network))
        if (
            route is None
            or self._view is None
            or answer.cluster != self._cluster
            or answer.to_incarnation != self._incarnation
            or answer.incarnation != route.incarnation
            or answer.votes_index != self._view.votes.index
            or answer.support_s <= 0.0
        ):
            return False
        sent_at = route.sent.get(answer.seq)
        if sent_at is None:
            return False
        end = sent_at + min(answer.support_s, self._timing.support_s)
        carried_end = sent_at + min(answer.witness_s, self._timing.support_s)
        is_news = end > self._support_ends.get(answer.sender, NEVER)
        if answer.witness_s > 0.0 and carried_end > self._witness_end_s:
            self._witness_end_s, is_news = carried_end, True
        if not is_news:
            return False
        self._support_ends[answer.sender] = max(end, self._support_ends.get(answer.sender, NEVER))
        return self._renew(now)

    def carry(self, until_s: float, now: float) -> None:
        """The witness's vote may be promised and counted until `until_s` (`NEVER`: not at all)."""
        self.carried_until_s = until_s
        if self._view is not None and now < until_s:
            self._renew(now)

    def _renew(self, now: float) -> bool:
        assert self._view is not None
        ends, witness_end = self._support_ends, self._witness_end_s
        ends[self._node] = now + self._timing.support_s
        if now < self.carried_until_s:
            own_end = min(now + self._timing.support_s, self.carried_until_s)
            self._spend(own_end)
            witness_end = max(witness_end, own_end)
        end = lease_end(self._view.votes, ends, witness_end)
        if end <= self.lease_end_s:
            return False
        self.lease_end_s = end
        return True

    # ---- for the witness

    def around(self, now: float) -> Around:
        """What decides whether the witness's vote is wanted here."""
        silence_s = self._timing.support_s
        return Around(
            self.lease_end_s,
            frozenset(
                {self._node, *(node for node, end in self._support_ends.items() if end > now)}
            ),
            self._witness_end_s > now,
            {route.node for route in self._ring if route.is_up(now, silence_s)},
            self.carried_spent_s,
        )

    # ---- reports

    def routes(self, now: float) -> tuple[RouteReport, ...]:
        silence_s = self._timing.support_s
        return tuple(RouteReport(r.node, r.network, r.is_up(now, silence_s)) for r in self._ring)


def _kept(old: Route | None, new: Route) -> Route:
    """A route to the same life of a peer keeps what it knows; another life starts unheard."""
    if old is None or old.incarnation != new.incarnation:
        return new
    old.address, old.port = new.address, new.port
    return old
