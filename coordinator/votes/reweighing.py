"""The transactions that change who has how many votes while the cluster runs.

All of them are one thing: a view of the same members under another vote configuration, which holds
once quorums of the old and of the new live by it.
"""

from dataclasses import dataclass, replace
from typing import Any

from coordinator.events import RequestId
from coordinator.membership.views import next_number
from coordinator.pen import Draft
from coordinator.requests import Declined, SetQuorum, SetWeight
from coordinator.scene import Scene
from coordinator.shown import chronicle
from coordinator.storage import quorum_disk
from coordinator.store.rows import CLUSTER, VIEW, ViewRow, node_key
from coordinator.votes.dealing import is_dynamic, next_config, present, why_not
from coordinator.votes.witnesses import why_mode_unfit, why_place_unfit
from protocol.names import NodeName, QuorumMode, View, VoteConfig

NO_CLUSTER = Declined(409, "no-cluster", "There is no cluster whose votes could be changed.")


def changed_view(scene: Scene, config: VoteConfig) -> dict[str, Any]:
    """The VIEW row of the same members under `config`."""
    row = scene.book.view
    assert row is not None
    view = View(next_number(scene), row.view.members, config)
    return ViewRow(view, row.held, scene.term, changed=True, left=row.left).data()


@dataclass(frozen=True, slots=True)
class ChangeQuorum:
    """Set-ClusterQuorum: another mode or witness."""

    request: RequestId
    body: SetQuorum
    answered_when_held = True

    def draft(self, scene: Scene) -> Draft | Declined:
        row, mode, witness = scene.book.view, self.body.mode, self.body.witness
        if row is None:
            return NO_CLUSTER
        if refusal := why_mode_unfit(mode, witness):
            return refusal
        if witness is not None:
            named = quorum_disk.found(scene, witness)
            if isinstance(named, Declined):
                return named
            witness = named
        if witness and (refusal := why_place_unfit(scene, witness, scene.book.nodes)):
            note = chronicle.witness_misplaced(witness.name, refusal.sentence)
            return Draft(notes=(note,), answer=refusal)
        config = next_config(scene, mode=(mode, witness))
        if _same(config, row.view.votes):
            return Draft()
        if refusal := _why_disk_alone(row.view.votes, config):
            return refusal
        if refusal := why_not(scene, config, present(scene)):
            return refusal
        note = chronicle.quorum_changed(mode.value, None if witness is None else witness.name)
        puts = ((VIEW, changed_view(scene, config)), *quorum_disk.puts_for(scene, witness))
        return Draft((CLUSTER,), puts, notes=(note,))

    def answer(self, scene: Scene) -> dict[str, object]:
        return quorum_told(scene)


@dataclass(frozen=True, slots=True)
class Weigh:
    """NodeWeight: a node's vote is taken away, or given back. It owns what it owned."""

    request: RequestId
    body: SetWeight
    answered_when_held = True

    def draft(self, scene: Scene) -> Draft | Declined:
        row, node = scene.book.view, self.body.node
        if row is None:
            return NO_CLUSTER
        known = scene.book.nodes.get(node)
        if known is None:
            sentence = f"There is no node {node} in this cluster: check its name."
            return Declined(404, "unknown-node", sentence)
        if self.body.weight not in (0, 1):
            sentence = f"{self.body.weight} is no weight of a node: give 0 or 1 (5954)."
            return Declined(422, "bad-weight", sentence)
        if row.view.votes.mode is QuorumMode.DISK_ONLY:
            sentence = (
                "In disk-only mode no node has a vote, so none can be weighed (5954): choose"
                " another mode first."
            )
            return Declined(409, "disk-only", sentence)
        if known.weight == self.body.weight:
            return Draft()
        config = next_config(scene, weights={node: self.body.weight})
        if refusal := why_not(scene, config, present(scene)):
            return refusal
        weighed = replace(known, weight=self.body.weight)
        note = chronicle.node_weighed(node, self.body.weight)
        puts = ((VIEW, changed_view(scene, config)), (node_key(node), weighed.data()))
        return Draft((CLUSTER,), puts, notes=(note,))

    def answer(self, scene: Scene) -> dict[str, object]:
        node = self.body.node
        votes = 0 if scene.book.view is None else dict(scene.book.view.view.votes.votes)[node]
        return {"node": node, "weight": scene.book.nodes[node].weight, "votes": votes}


@dataclass(frozen=True, slots=True)
class Reweigh:
    """Dynamic quorum: deal the votes anew among those who are up now."""

    def draft(self, scene: Scene) -> Draft | None:
        config = reweighed(scene)
        if config is None:
            return None
        note = chronicle.votes_dealt(config)
        return Draft((CLUSTER,), ((VIEW, changed_view(scene, config)),), notes=(note,))


def reweighed(scene: Scene) -> VoteConfig | None:
    """The votes as dynamic quorum would have them; None if they are so, or cannot be changed now.

    Who was forced to run without a quorum keeps those votes until that ends.
    """
    row = scene.book.view
    if row is None or not is_dynamic(scene) or row.view.votes.forced:
        return None
    config = next_config(scene, up=up_of(scene))
    if _same(config, row.view.votes) or why_not(scene, config, present(scene)):
        return None
    return config


def up_of(scene: Scene) -> set[NodeName]:
    """Members that are to go on as such: one that is being stopped hands its vote over first."""
    row, nodes = scene.book.view, scene.book.nodes
    members = () if row is None else row.view.members
    return {m.node for m in members if m.node not in nodes or not nodes[m.node].stopped}


def quorum_told(scene: Scene) -> dict[str, object]:
    row = scene.book.view
    assert row is not None
    votes = row.view.votes
    return {
        "mode": votes.mode.value,
        "witness": None if votes.witness is None else votes.witness.name,
        "votes": votes.total,
        "needed": votes.needed,
    }


def _same(one: VoteConfig, other: VoteConfig) -> bool:
    return replace(one, index=0) == replace(other, index=0)


def _why_disk_alone(before: VoteConfig, after: VoteConfig) -> Declined | None:
    """The last vote is given to a disk only when the nodes have shown that they reach it."""
    if after.mode is not QuorumMode.DISK_ONLY or before.witness == after.witness:
        return None
    sentence = (
        "With this disk as the only voter nobody would have a quorum before a node has taken it:"
        f" set {QuorumMode.NODE_AND_DISK.value} with the same disk first."
    )
    return Declined(409, "quorum-would-be-lost", sentence)
