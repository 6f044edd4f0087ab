"""How votes are dealt: by mode, weight and personality; and what would lose the quorum.

2008 R2 is static: every configured node has its weight as its vote, up or down. 2012 R2 deals anew
after each change of membership that came to hold: only who is up has a vote, and the sum is kept
odd, by the witness where there is one and else by one node that goes without.
"""

from collections.abc import Mapping, Set
from dataclasses import replace

from coordinator.requests import Declined
from coordinator.scene import Scene
from coordinator.votes import quorum
from coordinator.votes.arbitration import vote_configs, with_witness
from protocol.names import (
    Member,
    NodeName,
    Personality,
    QuorumMode,
    VoteConfig,
    Witness,
    WitnessKind,
)

WITNESS_OF = {
    QuorumMode.NODE_MAJORITY: None,
    QuorumMode.NODE_AND_DISK: WitnessKind.DISK,
    QuorumMode.NODE_AND_SHARE: WitnessKind.SHARE,
    QuorumMode.DISK_ONLY: WitnessKind.DISK,
}
"""Which kind of witness each mode goes with."""


def default_mode(nodes: int, witness: WitnessKind | None) -> QuorumMode:
    """The mode that fits; an even number without a witness has to make do with a node majority."""
    if nodes % 2 == 1 or witness is None:
        return QuorumMode.NODE_MAJORITY
    if witness is WitnessKind.DISK:
        return QuorumMode.NODE_AND_DISK
    return QuorumMode.NODE_AND_SHARE


def config_for(
    index: int,
    mode: QuorumMode,
    witness: Witness | None,
    weights: Mapping[NodeName, int],
    up: Set[NodeName] | None = None,
    goes_without: NodeName | None = None,
) -> VoteConfig:
    """The votes of `mode`. `up`: the nodes that are up, where votes are dealt by that (2012 R2);
    None where they are not. `goes_without` has no vote when an even number has no witness.
    """
    votes = {node: 0 if mode is QuorumMode.DISK_ONLY else w for node, w in weights.items()}
    counted = 0 if witness is None else 1
    if up is not None and mode is not QuorumMode.DISK_ONLY:
        votes = {node: vote if node in up else 0 for node, vote in votes.items()}
        even = sum(votes.values()) % 2 == 0
        if witness is not None:
            counted = 1 if even else 0
        elif even and goes_without is not None and votes.get(goes_without):
            votes[goes_without] = 0
    return VoteConfig(index, tuple(sorted(votes.items())), mode, witness, counted)


def next_index(scene: Scene) -> int:
    """Above every vote configuration that the store or anybody else has told of."""
    known = [config.index for config in vote_configs(scene)]
    return max([*known, scene.highest_index], default=0) + 1


def next_config(
    scene: Scene,
    *,
    without: NodeName | None = None,
    weights: Mapping[NodeName, int] | None = None,
    mode: tuple[QuorumMode, Witness | None] | None = None,
    up: Set[NodeName] | None = None,
    ends_force: bool = False,
) -> VoteConfig:
    """The configuration that follows: without a node, with other weights (of a node that joins,
    too), or in another mode. `up` are the members of the view that it comes with. Forced votes stay
    until that ends, or a mode is set.
    """
    row = scene.book.view
    assert row is not None
    now = row.view.votes
    if now.forced and mode is None and not ends_force:
        kept = tuple((node, vote) for node, vote in now.votes if node != without)
        return replace(now, index=next_index(scene), votes=kept)
    dealt = {node.name: node.weight for node in scene.book.nodes.values()} | dict(weights or {})
    if without is not None:
        dealt.pop(without, None)
    chosen, witness = mode or (now.mode, now.witness)
    members = {m.node for m in row.view.members} if up is None else up
    alive = (members - {without}) if is_dynamic(scene) else None
    idle = None if alive is None else _goes_without(scene, dealt, alive)
    return config_for(next_index(scene), chosen, witness, dealt, alive, idle)


def is_dynamic(scene: Scene) -> bool:
    cluster = scene.book.cluster
    return (
        cluster is not None
        and cluster.personality is Personality.R2012
        and dict(cluster.properties).get("DynamicQuorum", 1) != 0
    )


def has_configured_quorum(scene: Scene, nodes: Set[NodeName]) -> bool:
    """Whether `nodes` would have a quorum if every configured node had its weight as its vote."""
    row = scene.book.view
    if row is None:
        return False
    weights = {node.name: node.weight for node in scene.book.nodes.values()}
    static = config_for(row.view.votes.index, row.view.votes.mode, row.view.votes.witness, weights)
    return quorum.has_quorum(static, nodes, with_witness(scene, static, nodes))


def _goes_without(
    scene: Scene, weights: Mapping[NodeName, int], up: Set[NodeName]
) -> NodeName | None:
    """Who has no vote if one must go without: the one that LowerQuorumPriorityNodeID names if it
    is up and has a vote, else the one with the highest id.
    """
    cluster, nodes = scene.book.cluster, scene.book.nodes
    named = dict(cluster.properties).get("LowerQuorumPriorityNodeID", 0) if cluster else 0
    voters = [node for node, weight in weights.items() if weight and node in up]
    ids = {node: nodes[node].id if node in nodes else len(nodes) + 1 for node in voters}
    for node in voters:
        if named and ids[node] == named:
            return node
    return max(voters, key=lambda node: (ids[node], node), default=None)


def present(scene: Scene) -> set[NodeName]:
    """Members that can acknowledge a view now."""
    row = scene.book.view
    members: tuple[Member, ...] = () if row is None else row.view.members
    return {
        member.node
        for member in members
        if scene.agents.living(member.node, member.incarnation) is not None
        and not scene.silent(member.node)
    }


def why_not(scene: Scene, config: VoteConfig, nodes: Set[NodeName]) -> Declined | None:
    """Why `nodes` cannot change the votes to `config` now: quorums of what holds and of what is to
    come are needed.

    A witness that comes new with `config` does not count: nobody holds it, and if its path is
    wrong nobody ever will. One that goes with the change does not, either: the acknowledgement
    that it carries is one of the new configuration's witness.
    """
    row = scene.book.view
    if row is not None and (not row.holds or scene.now < scene.calm_until):
        sentence = "The membership is changing just now: ask again in some seconds."
        return Declined(409, "view-pending", sentence)
    for known in (*vote_configs(scene), config):
        carried = known.witness == config.witness and with_witness(scene, known, nodes)
        if not quorum.has_quorum(known, nodes, carried):
            have = quorum.votes_of(known, nodes, carried)
            return Declined(
                409,
                "quorum-would-be-lost",
                f"The change would lose the quorum: {have} votes would be there and"
                f" {known.needed} are needed. {_way_out(known)} first (5954).",
            )
    return None


def _way_out(short: VoteConfig) -> str:
    """What would let a change come through that `short` refuses."""
    if short.mode is QuorumMode.DISK_ONLY:
        return f"Set {QuorumMode.NODE_AND_DISK.value} with the same disk"
    return "Start more nodes, or mend the witness,"


def would_lose_quorum(scene: Scene, leaving: NodeName, evict: bool = False) -> Declined | None:
    """Why `leaving` must not be stopped, or evicted: the members that stay would be too few.

    A node that is stopped keeps its votes where they are static, and hands them over where they are
    not. It lets go of the witness, which another takes.
    """
    row = scene.book.view
    if row is None:
        return None
    here = present(scene)
    staying = here - {leaving}
    configs = vote_configs(scene) if evict or not is_dynamic(scene) else []
    if evict or is_dynamic(scene):
        up = {member.node for member in row.view.members} - {leaving}
        configs.append(next_config(scene, without=leaving if evict else None, up=up))
    for config in configs:
        carried = bool(staying) and with_witness(scene, config, here)
        if quorum.has_quorum(config, staying, carried):
            continue
        have = quorum.votes_of(config, staying, carried)
        word, number = ("evicted", " (5939)") if evict else ("stopped", "")
        weightless = next_config(scene, weights={leaving: 0})
        way = ", or set its weight to 0," if why_not(scene, weightless, here) is None else ""
        return Declined(
            409,
            "quorum-would-be-lost",
            f"Without node {leaving} the quorum would be lost: {have} votes would be left and"
            f" {config.needed} are needed. Start more nodes{way} before it is {word}{number}.",
        )
    return None
