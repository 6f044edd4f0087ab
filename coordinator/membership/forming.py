"""Forming a cluster, and taking a node into it: rows, votes and a view, or nothing of it."""

from dataclasses import dataclass

from coordinator.events import RequestId
from coordinator.membership.evicting import check_delay
from coordinator.membership.views import next_number
from coordinator.networks.networks import as_member, is_reachable
from coordinator.pen import Draft
from coordinator.requests import Declined, FormCluster
from coordinator.scene import Scene
from coordinator.shown import chronicle
from coordinator.store.rows import (
    CLUSTER,
    VIEW,
    ClusterRow,
    NodeRow,
    ViewRow,
    evicted_key,
    node_key,
)
from coordinator.votes.dealing import (
    WITNESS_OF,
    config_for,
    default_mode,
    next_config,
    present,
    why_not,
)
from coordinator.votes.witnesses import why_mode_unfit, why_place_unfit
from protocol.names import NodeName, Personality, QuorumMode, View, Witness


@dataclass(frozen=True, slots=True)
class Form:
    """New-Cluster: the cluster, its nodes and its first view, or nothing of it."""

    request: RequestId
    body: FormCluster

    def draft(self, scene: Scene) -> Draft | Declined:
        if refusal := self._refusal(scene):
            return refusal
        body, names = self.body, tuple(sorted(self.body.nodes))
        cluster = ClusterRow(
            scene.config.cluster_id(body.name, scene.term),
            body.name,
            body.timing,
            body.personality,
        )
        agents = [agent for agent in scene.agents if agent.node in names]
        mode, witness = _mode_of(body)
        dynamic = body.personality is Personality.R2012
        up, last = (set(names), body.nodes[-1]) if dynamic else (None, None)
        votes = config_for(1, mode, witness, dict.fromkeys(names, 1), up, last)
        members = tuple(as_member(scene, agent) for agent in agents)
        view = ViewRow(View(next_number(scene), members, votes), None, scene.term)
        nodes = (
            NodeRow(
                agent.node,
                agent.hello.memory_bytes,
                joined_at=scene.wall,
                id=body.nodes.index(agent.node) + 1,
            )
            for agent in agents
        )
        puts = [(CLUSTER, cluster.data()), (VIEW, view.data())]
        puts += [(node_key(node.name), node.data()) for node in nodes]
        notes = [chronicle.cluster_formed(body.name, names)]
        if witness is None and len(names) % 2 == 0:
            notes.append(chronicle.witness_wanting(len(names)))
        return Draft(puts=tuple(puts), notes=tuple(notes))

    def _refusal(self, scene: Scene) -> Declined | None:
        known = scene.book.cluster
        if known is not None:
            sentence = f"This coordinator leads the cluster {known.name} already: join nodes to it."
            return Declined(409, "cluster-exists", sentence)
        if scene.book.importing is not None:
            sentence = "A cluster's database is being put back into this store: wait until it is."
            return Declined(409, "database-returns", sentence)
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
        mode, witness = _mode_of(self.body)
        if refusal := why_mode_unfit(mode, witness):
            return refusal
        return None if witness is None else why_place_unfit(scene, witness, names)


def _mode_of(body: FormCluster) -> tuple[QuorumMode, Witness | None]:
    """What was asked for, or else what fits; a witness that is not needed then is left alone."""
    if body.mode is not None:
        return body.mode, body.witness
    mode = default_mode(len(body.nodes), None if body.witness is None else body.witness.kind)
    return mode, body.witness if WITNESS_OF[mode] is not None else None


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
        if refusal := check_available(scene, self.node) or check_delay(scene, self.node):
            return refusal
        agent = scene.agents.at(self.node)
        assert agent is not None
        up = {member.node for member in row.view.members} | {self.node}
        votes = next_config(scene, weights={self.node: 1}, up=up)
        if refusal := why_not(scene, votes, present(scene) | {self.node}):
            return refusal
        members = tuple(sorted((*row.view.members, as_member(scene, agent)), key=lambda m: m.node))
        view = ViewRow(
            View(next_number(scene), members, votes),
            row.held,
            scene.term,
            changed=True,
            left=row.left,
        )
        ids = {known.id for known in scene.book.nodes.values()}
        free = next(number for number in range(1, len(ids) + 2) if number not in ids)
        node = NodeRow(self.node, agent.hello.memory_bytes, joined_at=scene.wall, id=free)
        return Draft(
            relies=(CLUSTER,),
            puts=((VIEW, view.data()), (node_key(self.node), node.data())),
            deletes=(evicted_key(self.node),) if self.node in scene.book.evicted else (),
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
    if not is_reachable(scene, agent):
        sentence = (
            f"Node {node} is only on networks of role 0 (code 1569), where nobody would hear it:"
            " connect it to a network of the cluster."
        )
        return Declined(409, "no-cluster-network", sentence)
    return None
