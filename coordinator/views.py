"""Membership: who belongs into the next view, and the transactions that write views."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from coordinator import chronicle, quorum
from coordinator.events import RequestId
from coordinator.pen import Draft
from coordinator.requests import Declined, FormCluster
from coordinator.rows import CLUSTER, VIEW, ClusterRow, Dropped, NodeRow, ViewRow, node_key
from coordinator.scene import Scene
from protocol.names import Incarnation, Member, NodeName, View, ViewNumber, VoteConfig

LEFT_MAX = 512
"""How many incarnations that left are remembered; each restart of an agent makes one."""


@dataclass(frozen=True, slots=True)
class Changes:
    """How the next view differs from the newest one."""

    members: tuple[Member, ...]
    dropped: tuple[Dropped, ...]


def wanted(scene: Scene) -> Changes | None:
    """The next view's members, or None while nothing is to change or nobody could decide it.

    A view that is still to hold is only replaced to drop somebody; who wants in waits for it. Where
    too few would be left, those who are here but without a lease are kept in.
    """
    row = scene.book.view
    if row is None or scene.now < scene.calm_until:
        return None
    gone = _dropped(row, lambda member: why_gone(scene, member))
    helpless = _dropped(row, lambda member: why_helpless(scene, member))
    known = {out.node for out in gone}
    all_out = (*gone, *(out for out in helpless if out.node not in known))
    return _without(scene, row, all_out) or _without(scene, row, gone)


def _dropped(row: ViewRow, why: Callable[[Member], str]) -> tuple[Dropped, ...]:
    reasons = ((member, why(member)) for member in row.view.members)
    return tuple(Dropped(m.node, m.incarnation, reason) for m, reason in reasons if reason)


def _without(scene: Scene, row: ViewRow, dropped: tuple[Dropped, ...]) -> Changes | None:
    """The newest view without `dropped` and with all who may join, if that has the votes."""
    out = {drop.node for drop in dropped}
    members = {member.node: member for member in row.view.members if member.node not in out}
    joined = [
        agent.as_member()
        for agent in scene.agents
        if agent.welcomed
        and agent.node not in members
        and agent.node in scene.book.nodes
        and agent.incarnation not in row.left
        and not scene.silent(agent.node)
        and agent.incarnation not in {drop.incarnation for drop in dropped}
    ]
    if not dropped and (not joined or not row.holds):
        return None
    members.update({member.node: member for member in joined})
    configs = [row.view.votes] + ([] if row.held is None else [row.held.votes])
    if not all(quorum.has_quorum(config, set(members)) for config in configs):
        return None
    return Changes(tuple(members[node] for node in sorted(members)), dropped)


def why_gone(scene: Scene, member: Member) -> str:
    """Why this life of a member is over; empty if it is not."""
    agent = scene.agents.at(member.node)
    row = scene.book.view
    if (
        agent is not None
        and agent.welcomed
        and agent.incarnation != member.incarnation
        and row is not None
        and agent.incarnation not in row.left
    ):
        return "it came back as a new incarnation"
    if scene.silent(member.node) and _unheard(scene, member.node):
        return "it is unheard on every network"
    return ""


def why_helpless(scene: Scene, member: Member) -> str:
    """Why a member that is here is of no use: it may not run guests, and has not for a lease."""
    agent = scene.agents.living(member.node, member.incarnation)
    lease_s = scene.book.timing.support_s
    if (
        agent is not None
        and agent.no_lease_since is not None
        and not scene.silent(member.node)
        and scene.in_held_view(member.node, member.incarnation)
        and scene.now - agent.no_lease_since > lease_s
    ):
        return f"it has had no lease for {lease_s:g} s: too few members support it"
    return ""


def _unheard(scene: Scene, node: NodeName) -> bool:
    """Every connected member has reported and does not hear `node`; without any, nobody can say."""
    row = scene.book.view
    assert row is not None
    said = False
    for member in row.view.members:
        agent = scene.agents.living(member.node, member.incarnation)
        if agent is None or member.node == node or scene.silent(member.node):
            continue
        if not agent.ponged or node in agent.hears:
            return False
        said = True
    return said


def acked_by(scene: Scene, view: View) -> set[NodeName]:
    """Members that have acknowledged `view` under this term."""
    return {
        member.node
        for member in view.members
        if (agent := scene.agents.living(member.node, member.incarnation)) is not None
        and agent.acked == view.number
    }


def comes_to_hold(scene: Scene) -> bool:
    """Quorums of the old and of the new vote configuration live by the newest view."""
    row = scene.book.view
    if row is None or row.holds:
        return False
    acked = acked_by(scene, row.view)
    if row.held is not None and not quorum.has_quorum(row.held.votes, acked):
        return False
    return quorum.has_quorum(row.view.votes, acked)


def next_number(scene: Scene) -> ViewNumber:
    """Above every view that the store or any agent has told of."""
    row = scene.book.view
    known = 0 if row is None else row.view.number
    return ViewNumber(max(known, scene.highest_view) + 1)


def _left(row: ViewRow, members: Iterable[Member]) -> tuple[Incarnation, ...]:
    """All who were in a held view and are not among `members`, the newest last."""
    staying = {member.incarnation for member in members}
    before = () if row.held is None else row.held.members
    gone = [member.incarnation for member in before if member.incarnation not in staying]
    return tuple(dict.fromkeys([*row.left, *gone]))[-LEFT_MAX:]


@dataclass(frozen=True, slots=True)
class ProposeNext:
    """Write the view that `wanted` asks for; it is proposed once it is written."""

    def draft(self, scene: Scene) -> Draft | None:
        row, changes = scene.book.view, wanted(scene)
        if row is None or changes is None:
            return None
        pending = () if row.holds else row.dropped
        number = next_number(scene)
        written = ViewRow(
            View(number, changes.members, row.view.votes),
            row.held,
            scene.term,
            row.changed and not row.holds,
            (*pending, *changes.dropped),
            _left(row, changes.members),
        )
        return Draft(puts=((VIEW, written.data()),))


@dataclass(frozen=True, slots=True)
class ProposeAgain:
    """Write the same members under a number above one that the store has never heard of."""

    def draft(self, scene: Scene) -> Draft | None:
        row = scene.book.view
        if row is None or row.view.number >= scene.highest_view:
            return None
        view = replace(row.view, number=next_number(scene))
        return Draft(puts=((VIEW, replace(row, view=view, term=scene.term).data()),))


@dataclass(frozen=True, slots=True)
class MarkHeld:
    """Write that view `number` holds; from then on it decides who may own VMs."""

    number: ViewNumber

    def draft(self, scene: Scene) -> Draft | None:
        row = scene.book.view
        if row is None or row.view.number != self.number or not comes_to_hold(scene):
            return None
        before = set() if row.held is None else {m.incarnation for m in row.held.members}
        notes = [
            chronicle.node_removed(out.node, out.incarnation, self.number, out.reason)
            for out in row.dropped
            if out.incarnation in before
        ]
        notes += [
            chronicle.node_joined(member.node, member.incarnation, self.number)
            for member in row.view.members
            if member.incarnation not in before
        ]
        written = replace(row, held=row.view, dropped=())
        return Draft(puts=((VIEW, written.data()),), notes=tuple(notes))


@dataclass(frozen=True, slots=True)
class Form:
    """New-Cluster: the cluster, its nodes and its first view, or nothing of it."""

    request: RequestId
    body: FormCluster

    def draft(self, scene: Scene) -> Draft | Declined:
        if refusal := self._refusal(scene):
            return refusal
        body, names = self.body, tuple(sorted(self.body.nodes))
        cluster = ClusterRow(scene.config.cluster_id(body.name, scene.term), body.name, body.timing)
        agents = [agent for agent in scene.agents if agent.node in names]
        votes = VoteConfig(1, tuple((node, 1) for node in names))
        members = tuple(agent.as_member() for agent in agents)
        view = ViewRow(View(next_number(scene), members, votes), None, scene.term)
        nodes = (
            NodeRow(agent.node, agent.hello.memory_bytes, joined_at=scene.wall) for agent in agents
        )
        puts = [(CLUSTER, cluster.data()), (VIEW, view.data())]
        puts += [(node_key(node.name), node.data()) for node in nodes]
        return Draft(puts=tuple(puts), notes=(chronicle.cluster_formed(body.name, names),))

    def _refusal(self, scene: Scene) -> Declined | None:
        known = scene.book.cluster
        if known is not None:
            sentence = f"This coordinator leads the cluster {known.name} already: join nodes to it."
            return Declined(409, "cluster-exists", sentence)
        names = self.body.nodes
        if not self.body.name or not names or len(set(names)) != len(names):
            sentence = "A cluster needs a name and at least one node, each named once."
            return Declined(422, "bad-cluster", sentence)
        timing = self.body.timing
        if timing.delay_s <= 0 or timing.threshold < 1 or not 0 <= timing.drift_rate < 0.5:
            sentence = (
                "The timing is off: the delay must be above 0, the threshold at least 1"
                " and the drift rate 0 to 0.5."
            )
            return Declined(422, "bad-timing", sentence)
        for name in names:
            if refusal := check_available(scene, name):
                return refusal
        return None


@dataclass(frozen=True, slots=True)
class Join:
    """Add-ClusterNode: the node's row, and a view with it and its vote."""

    request: RequestId
    node: NodeName

    def draft(self, scene: Scene) -> Draft | Declined:
        row = scene.book.view
        if row is None:
            sentence = "There is no cluster to join: form one first."
            return Declined(409, "no-cluster", sentence)
        if self.node in scene.book.nodes:
            sentence = f"Node {self.node} belongs to this cluster already: join another one."
            return Declined(409, "node-exists", sentence)
        if refusal := check_available(scene, self.node):
            return refusal
        if not row.holds or scene.now < scene.calm_until:
            sentence = "The membership is changing just now: ask again in some seconds."
            return Declined(409, "view-pending", sentence)
        agent = scene.agents.at(self.node)
        assert agent is not None
        pairs = dict(row.view.votes.votes) | {self.node: 1}
        votes = VoteConfig(row.view.votes.index + 1, tuple(sorted(pairs.items())))
        members = tuple(sorted((*row.view.members, agent.as_member()), key=lambda m: m.node))
        view = ViewRow(
            View(next_number(scene), members, votes),
            row.held,
            scene.term,
            changed=True,
            left=row.left,
        )
        node = NodeRow(self.node, agent.hello.memory_bytes, joined_at=scene.wall)
        return Draft(
            relies=(CLUSTER,),
            puts=((VIEW, view.data()), (node_key(self.node), node.data())),
            notes=(chronicle.node_configured(self.node),),
        )


def check_available(scene: Scene, node: NodeName) -> Declined | None:
    """Why `node` cannot be taken into a cluster now."""
    agent = scene.agents.at(node)
    if agent is None:
        sentence = f"Node {node} is not connected: start its agent, or check its name."
        return Declined(409, "node-unreachable", sentence)
    if agent.hello.cluster is not None:
        sentence = (
            f"Node {node} belongs to cluster {agent.hello.cluster}: "
            "start its agent with an empty state folder first."
        )
        return Declined(409, "node-taken", sentence)
    return None
