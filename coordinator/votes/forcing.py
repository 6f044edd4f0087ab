"""Forcing the quorum: the one decision that is ever made without one.

Nothing is decided without a quorum. This is the only exception, and it is made aloud: an operator
names connected nodes and swears that no other node of the cluster runs anything. From then on the
votes of these nodes alone count, until nodes with a quorum of the configured votes are members
again. What protects the guests is the oath, and one thing besides: the forced view comes to hold,
and VMs of others are started, only when every promise that the named nodes may have given to
others has run out.
"""

from dataclasses import dataclass

from coordinator.events import RequestId
from coordinator.membership.views import left_by, next_number
from coordinator.networks.networks import as_member
from coordinator.pen import Draft
from coordinator.requests import Declined, ForceQuorum
from coordinator.scene import Scene
from coordinator.shown import chronicle
from coordinator.store.rows import CLUSTER, VIEW, Dropped, ViewRow
from coordinator.votes.dealing import (
    has_configured_quorum,
    next_config,
    next_index,
    present,
    why_not,
)
from coordinator.votes.reweighing import Reweigh, changed_view, reweighed
from protocol.names import View, VoteConfig

REASON = "the quorum was forced without it"


def why_not_forced(scene: Scene, body: ForceQuorum) -> Declined | None:
    """Why the quorum cannot be forced on these nodes now."""
    if not body.nodes or len(set(body.nodes)) != len(body.nodes):
        sentence = "Name the nodes that the cluster is to run on, each once."
        return Declined(422, "bad-nodes", sentence)
    for node in body.nodes:
        if node not in scene.book.nodes:
            sentence = f"There is no node {node} in this cluster: check its name."
            return Declined(404, "unknown-node", sentence)
    if not body.oath:
        others = [node for node in sorted(scene.book.nodes) if node not in body.nodes]
        sentence = (
            f"Running on {', '.join(body.nodes)} without a quorum is safe only if nothing runs"
            f" anywhere else. Swear that {', '.join(others) or 'no other node'} is off or stopped,"
            " and stays so until it joins again (oath); otherwise VMs may run twice."
        )
        return Declined(409, "oath-missing", sentence)
    for node in body.nodes:
        if scene.agents.at(node) is None:
            sentence = f"Node {node} is not connected: start its agent, or leave it out."
            return Declined(409, "node-unreachable", sentence)
    return None


@dataclass(frozen=True, slots=True)
class NotForced:
    """A quorum leads, so there is nothing to force."""

    request: RequestId

    def draft(self, scene: Scene) -> Declined:
        if scene.book.cluster is None:
            sentence = "There is no cluster whose quorum could be forced: form one first."
            return Declined(409, "no-cluster", sentence)
        sentence = (
            "The cluster has its quorum and decides: start or join nodes in the ordinary way."
        )
        return Declined(409, "quorum-present", sentence)


@dataclass(frozen=True, slots=True)
class Force:
    """The forced view. Written before anything else under the term of who leads by it."""

    request: RequestId
    body: ForceQuorum
    answered_when_held = True

    def draft(self, scene: Scene) -> Draft | Declined:
        row = scene.book.view
        if row is None:
            return Declined(409, "no-cluster", "There is no cluster whose quorum could be forced.")
        if refusal := why_not_forced(scene, self.body):
            return refusal
        now, nodes = row.view.votes, tuple(sorted(self.body.nodes))
        votes = tuple((node, 1) for node in nodes)
        config = VoteConfig(next_index(scene), votes, now.mode, now.witness, 0, forced=True)
        members = {
            agent.node: as_member(scene, agent)
            for agent in scene.agents
            if agent.node in scene.book.nodes
            and agent.incarnation not in row.left
            and (agent.node in nodes or not agent.hello.prevents_quorum)
        }
        staying = tuple(members[node] for node in sorted(members))
        lives = {member.incarnation for member in staying}
        out = tuple(
            Dropped(m.node, m.incarnation, REASON)
            for m in row.view.members
            if m.incarnation not in lives
        )
        written = ViewRow(
            View(next_number(scene), staying, config),
            row.held,
            scene.term,
            changed=True,
            dropped=(*(() if row.holds else row.dropped), *out),
            left=left_by(row, staying),
        )
        note = chronicle.quorum_forced(nodes)
        return Draft((CLUSTER,), ((VIEW, written.data()),), notes=(note,))

    def answer(self, scene: Scene) -> dict[str, object]:
        return {"nodes": sorted(self.body.nodes), "forced": True}


@dataclass(frozen=True, slots=True)
class Unforce:
    """Back to the configured votes: enough nodes are members again."""

    def draft(self, scene: Scene) -> Draft | None:
        config = unforced(scene)
        if config is None:
            return None
        return Draft(
            (CLUSTER,),
            ((VIEW, changed_view(scene, config)),),
            notes=(chronicle.force_ended(),),
        )


def revote(scene: Scene) -> Unforce | Reweigh | None:
    """What the votes call for by themselves, once the membership is at rest."""
    if unforced(scene) is not None:
        return Unforce()
    return Reweigh() if reweighed(scene) is not None else None


def unforced(scene: Scene) -> VoteConfig | None:
    """The ordinary votes, if members that are here have a quorum of them while forced ones count.

    In disk-only mode nobody holds a disk that has no vote: there an operator sets a mode again.
    """
    row = scene.book.view
    if row is None or not row.view.votes.forced:
        return None
    here = present(scene)
    if not has_configured_quorum(scene, here):
        return None
    config = next_config(scene, ends_force=True)
    return None if why_not(scene, config, here) else config
