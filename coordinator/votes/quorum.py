"""Quorum: more than half of all configured votes, of nodes and of the witness, up or down.

One sum serves the four modes of the field, because the mode is only how the votes were dealt: in
disk-only mode no node has any and the witness has the only one. The witness is no node and cannot
be heard; its vote counts where the node that holds it is.
"""

from collections.abc import Collection, Mapping, Set

from protocol.names import NodeName, VoteConfig


def votes_of(config: VoteConfig, nodes: Set[NodeName], witness: bool = False) -> int:
    """The votes that `nodes` and, if it is with them, the witness have. Strangers have none."""
    carried = config.witness_votes if witness else 0
    return carried + sum(votes for node, votes in config.votes if node in nodes)


def has_quorum(config: VoteConfig, nodes: Set[NodeName], witness: bool = False) -> bool:
    """More than half of all votes; without any votes nobody ever has it."""
    return votes_of(config, nodes, witness) >= config.needed


def quorum_since(
    config: VoteConfig, heard_at: Mapping[NodeName, float], holders: Collection[NodeName] = ()
) -> float:
    """The latest time since when voters with a quorum have been heard, or -inf.

    The witness is heard with its holder. Where several say that they hold it (one of them has not
    noticed its loss yet), its vote counts once, with the one that was heard last.
    """
    voters = [(heard_at[node], votes) for node, votes in config.votes if node in heard_at]
    carried = max((heard_at[node] for node in holders if node in heard_at), default=None)
    if carried is not None:
        voters.append((carried, config.witness_votes))
    together = 0
    for heard, votes in sorted(voters, reverse=True):
        together += votes
        if together >= config.needed:
            return heard
    return float("-inf")
