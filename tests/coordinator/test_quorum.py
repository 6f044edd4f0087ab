import itertools

from coordinator.quorum import has_quorum, quorum_since, votes_of
from protocol.names import NodeName, VoteConfig

NAMES = [NodeName(name) for name in "abcdefg"]


def even(size: int) -> VoteConfig:
    return VoteConfig(1, tuple((node, 1) for node in NAMES[:size]))


def dumb_quorum(config: VoteConfig, nodes: set[NodeName]) -> bool:
    """Slow and obvious: nobody else could outvote or equal those who are here."""
    here = sum(votes for node, votes in config.votes if node in nodes)
    away = sum(votes for node, votes in config.votes if node not in nodes)
    return here > away


def test_quorum_agrees_with_the_obvious_way_for_every_set_of_up_to_seven_nodes() -> None:
    for size in range(8):
        for present in itertools.product([False, True], repeat=size):
            nodes = {node for node, here in zip(NAMES[:size], present, strict=True) if here}
            assert has_quorum(even(size), nodes) is dumb_quorum(even(size), nodes), (size, nodes)


def test_two_quorums_of_one_configuration_always_meet() -> None:
    for size in range(1, 6):
        subsets = [
            set(chosen)
            for count in range(size + 1)
            for chosen in itertools.combinations(NAMES[:size], count)
        ]
        winners = [nodes for nodes in subsets if has_quorum(even(size), nodes)]
        assert all(one & other for one in winners for other in winners)


def test_uneven_votes_are_counted_and_strangers_are_not() -> None:
    config = VoteConfig(1, ((NAMES[0], 2), (NAMES[1], 1), (NAMES[2], 0)))

    assert votes_of(config, {NAMES[0], NAMES[2], NodeName("stranger")}) == 2
    assert has_quorum(config, {NAMES[0]})
    assert not has_quorum(config, {NAMES[1], NAMES[2], NodeName("stranger")})


def test_nobody_has_quorum_without_votes() -> None:
    assert not has_quorum(VoteConfig(1, ()), set(NAMES))


def test_quorum_since_is_when_the_least_recent_of_the_best_quorum_was_heard() -> None:
    config = even(3)
    heard = {NAMES[0]: 5.0, NAMES[1]: 9.0, NAMES[2]: 1.0}

    assert quorum_since(config, heard) == 5.0
    assert quorum_since(config, {NAMES[0]: 5.0}) == float("-inf")


def test_quorum_since_agrees_with_the_obvious_way_for_every_order_of_five() -> None:
    config = even(5)
    for times in itertools.permutations(range(5)):
        heard = dict(zip(NAMES[:5], map(float, times), strict=True))
        since = quorum_since(config, heard)
        assert has_quorum(config, {node for node, at in heard.items() if at >= since})
        assert not has_quorum(config, {node for node, at in heard.items() if at > since})
