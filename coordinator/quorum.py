"""Static node majority: configured nodes count whether they are up or down."""

from collections.abc import Mapping, Set

from protocol.names import NodeName, VoteConfig


def votes_of(config: VoteConfig, nodes: Set[NodeName]) -> int:
    """The votes that `nodes` have together. Strangers have none."""
    return sum(votes for node, votes in config.votes if node in nodes)


def has_quorum(config: VoteConfig, nodes: Set[NodeName]) -> bool:
    """More than half of all votes; without any votes nobody ever has it."""
    return votes_of(config, nodes) >= config.needed


def quorum_since(config: VoteConfig, heard_at: Mapping[NodeName, float]) -> float:
    """The latest time since when nodes with a quorum have been heard, or -inf."""
    together = 0
    voters = ((heard_at[node], votes) for node, votes in config.votes if node in heard_at)
    for heard, votes in sorted(voters, reverse=True):
        together += votes
        if together >= config.needed:
            return heard
    return float("-inf")
