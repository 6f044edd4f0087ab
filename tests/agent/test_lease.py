import itertools

from hypothesis import given
from hypothesis import strategies as st

from agent.lease import NO_LEASE, lease_end, suffices_alone
from protocol.names import NodeName, VoteConfig, Witness, WitnessKind

NAMES = [NodeName(name) for name in "abcde"]


WITNESS = Witness("w", WitnessKind.SHARE, "/w")


def config(*weights: int, witness_votes: int = 0) -> VoteConfig:
    votes = tuple(zip(NAMES, weights, strict=False))
    witness = WITNESS if witness_votes else None
    return VoteConfig(1, votes, witness=witness, witness_votes=witness_votes)


def slow_lease_end(votes: VoteConfig, ends: dict[NodeName, float]) -> float:
    """Obvious: try every moment at which anybody's support ends, and count who still supports."""
    good = [NO_LEASE]
    for moment in ends.values():
        present = sum(weight for node, weight in votes.votes if ends.get(node, -1.0) >= moment)
        if present > sum(weight for _, weight in votes.votes) / 2:
            good.append(moment)
    return max(good)


def test_the_clever_way_agrees_with_the_obvious_one_for_all_small_clusters() -> None:
    tried = 0
    for count in range(1, 6):
        for weights in itertools.product((0, 1, 2) if count < 5 else (1,), repeat=count):
            votes = config(*weights)
            for moments in itertools.product((None, 1.0, 2.0), repeat=count):
                ends = {n: m for n, m in zip(NAMES, moments, strict=False) if m is not None}
                assert lease_end(votes, ends) == slow_lease_end(votes, ends), (weights, ends)
                tried += 1
    assert tried > 7_000


@given(
    st.lists(st.integers(0, 3), min_size=1, max_size=5),
    st.dictionaries(st.sampled_from([*NAMES, NodeName("z")]), st.floats(0.0, 100.0)),
)
def test_the_clever_way_agrees_with_the_obvious_one(
    weights: list[int], ends: dict[NodeName, float]
) -> None:
    assert lease_end(config(*weights), ends) == slow_lease_end(config(*weights), ends)


def test_nobody_has_a_lease_where_nobody_has_votes() -> None:
    assert lease_end(config(0, 0), {NAMES[0]: 9.0, NAMES[1]: 9.0}) == NO_LEASE
    assert lease_end(VoteConfig(1, ()), {}) == NO_LEASE


def test_half_of_the_votes_are_no_quorum() -> None:
    assert lease_end(config(1, 1, 1, 1), {NAMES[0]: 9.0, NAMES[1]: 9.0}) == NO_LEASE


def test_the_lease_ends_with_the_support_that_the_quorum_needs() -> None:
    ends = {NAMES[0]: 9.0, NAMES[1]: 5.0, NAMES[2]: 3.0}

    assert lease_end(config(1, 1, 1), ends) == 5.0


def test_a_cluster_of_one_needs_nobody_else() -> None:
    assert suffices_alone(config(1), NAMES[0])
    assert suffices_alone(config(3, 1, 1), NAMES[0])
    assert not suffices_alone(config(1, 1), NAMES[0])
    assert not suffices_alone(config(1), NodeName("z"))


@given(
    st.lists(st.integers(0, 2), min_size=1, max_size=5),
    st.dictionaries(st.sampled_from(NAMES), st.floats(0.0, 100.0)),
    st.floats(0.0, 100.0),
    st.integers(1, 2),
)
def test_the_witness_is_a_voter_like_any_other(
    weights: list[int], ends: dict[NodeName, float], witness_end: float, weight: int
) -> None:
    voter = NodeName("~")
    votes = config(*weights, witness_votes=weight)
    as_node = VoteConfig(1, (*votes.votes, (voter, weight)))

    counted = lease_end(votes, ends, witness_end)

    assert counted == slow_lease_end(as_node, {**ends, voter: witness_end})
    assert lease_end(votes, ends) == slow_lease_end(as_node, ends)


def test_a_witness_without_a_vote_counts_nothing() -> None:
    taken_out = VoteConfig(1, ((NAMES[0], 1), (NAMES[1], 1)), witness=WITNESS, witness_votes=0)

    assert lease_end(taken_out, {NAMES[0]: 9.0}, 9.0) == NO_LEASE


def test_only_the_disk_or_one_of_two_with_the_witness_is_enough() -> None:
    assert suffices_alone(config(0, 0, witness_votes=1), NAMES[0], carries_witness=True)
    assert not suffices_alone(config(0, 0, witness_votes=1), NAMES[0])
    assert suffices_alone(config(1, 1, witness_votes=1), NAMES[0], carries_witness=True)
    assert not suffices_alone(config(1, 1, 1, witness_votes=1), NAMES[0], carries_witness=True)
    assert not suffices_alone(config(1, 1), NAMES[0], carries_witness=True)
