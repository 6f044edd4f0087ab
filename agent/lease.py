"""How long a node may run guests: as long as a quorum of the configured votes supports it."""

from collections.abc import Mapping

from protocol.names import NodeName, VoteConfig

NO_LEASE = 0.0
"""The end of a lease that was never given, or was taken away."""

NEVER = float("-inf")


def lease_end(
    votes: VoteConfig, support_ends: Mapping[NodeName, float], witness_end: float = NEVER
) -> float:
    """The latest time up to which the supporters' votes reach the quorum; `NO_LEASE` if they never
    do.

    `support_ends` says until when each node's support lasts, this node's own among them, and
    `witness_end` until when the witness's vote does. Nodes without votes do not count.
    """
    needed = votes.needed
    counted = 0
    ends = [
        (support_ends[node], weight)
        for node, weight in votes.votes
        if weight > 0 and node in support_ends
    ]
    if votes.witness is not None and votes.witness_votes > 0 and witness_end > NEVER:
        ends.append((witness_end, votes.witness_votes))
    ends.sort(reverse=True)
    for end, weight in ends:
        counted += weight
        if counted >= needed:
            return max(end, NO_LEASE)
    return NO_LEASE


def suffices_alone(votes: VoteConfig, node: NodeName, carries_witness: bool = False) -> bool:
    """Whether the node's own votes are a quorum, with the witness's if it carries that: as in a
    cluster of one, with the peer of two lost, or where only the disk counts.
    """
    own = dict(votes.votes).get(node, 0)
    if carries_witness and votes.witness is not None:
        own += votes.witness_votes
    return own >= votes.needed
