import itertools
from collections.abc import Iterator

import pytest

from coordinator.votes.dealing import WITNESS_OF, config_for
from coordinator.votes.quorum import has_quorum, quorum_since, votes_of
from protocol.names import NodeName, QuorumMode, VoteConfig, Witness, WitnessKind

NAMES = [NodeName(name) for name in "abcdefg"]
PLACES = {kind: Witness("Witness", kind, "/share/witness") for kind in WitnessKind}


def even(size: int) -> VoteConfig:
    return VoteConfig(1, tuple((node, 1) for node in NAMES[:size]))


def configured(mode: QuorumMode, weights: tuple[int, ...]) -> VoteConfig:
    kind = WITNESS_OF[mode]
    place = None if kind is None else PLACES[kind]
    return config_for(1, mode, place, dict(zip(NAMES, weights, strict=False)))


def by_the_fields_words(
    mode: QuorumMode, weights: tuple[int, ...], present: tuple[bool, ...], witness: bool
) -> bool:
    """Slow and obvious: count every vote one by one, and look whether it is more than half."""
    there = missing = 0
    if mode is QuorumMode.DISK_ONLY:
        return witness and any(present)
    for weight, here in zip(weights, present, strict=True):
        for _ in range(weight):
            if here:
                there += 1
            else:
                missing += 1
    if mode in (QuorumMode.NODE_AND_DISK, QuorumMode.NODE_AND_SHARE):
        if witness:
            there += 1
        else:
            missing += 1
    return there > missing


def cases() -> Iterator[tuple[QuorumMode, tuple[int, ...]]]:
    for mode in QuorumMode:
        for size in range(1, 8):
            for weights in itertools.product((0, 1), repeat=size):
                yield mode, weights


def test_every_mode_agrees_with_the_fields_words_for_all_weights_and_all_who_are_there() -> None:
    checked = 0
    for mode, weights in cases():
        config = configured(mode, weights)
        for present in itertools.product((False, True), repeat=len(weights)):
            here = {node for node, up in zip(NAMES, present, strict=False) if up}
            # A witness is no node: without any node that holds it it is not there.
            for witness in (False, True) if here else (False,):
                told = by_the_fields_words(mode, weights, present, witness)
                assert has_quorum(config, here, witness) is told, (mode, weights, here, witness)
                checked += 1
    assert checked > 150_000


@pytest.mark.parametrize("mode", list(QuorumMode))
def test_two_quorums_of_one_configuration_share_a_voter(mode: QuorumMode) -> None:
    """The witness may be the one that they share: it is with one node at a time."""
    for size in range(1, 7):
        for weights in itertools.product((0, 1), repeat=size):
            config = configured(mode, weights)
            voters = [node for node, votes in config.votes if votes]
            sides = [
                ({*chosen, "the witness"} if witness else set(chosen))
                for count in range(len(voters) + 1)
                for chosen in itertools.combinations(voters, count)
                for witness in {False, config.witness_votes > 0}
                if has_quorum(config, set(chosen), witness)
            ]
            assert all(one & other for one in sides for other in sides), (mode, weights)


@pytest.mark.parametrize(
    ("nodes", "witness", "total", "needed", "with_it", "without_it"),
    [
        (2, False, 2, 2, 0, None),
        (2, True, 3, 2, 1, 0),
        (3, False, 3, 2, 1, None),
        (4, False, 4, 3, 1, None),
        (4, True, 5, 3, 2, 1),
        (5, False, 5, 3, 2, None),
        (5, True, 6, 4, 2, 1),
        (6, True, 7, 4, 3, 2),
        (8, True, 9, 5, 4, 3),
        (16, True, 17, 9, 8, 7),
    ],
)
def test_the_table_of_votes(
    nodes: int, witness: bool, total: int, needed: int, with_it: int, without_it: int | None
) -> None:
    names = [NodeName(f"n{number}") for number in range(nodes)]
    place = PLACES[WitnessKind.DISK] if witness else None
    mode = QuorumMode.NODE_AND_DISK if witness else QuorumMode.NODE_MAJORITY
    config = config_for(1, mode, place, dict.fromkeys(names, 1))

    assert (config.total, config.needed) == (total, needed)

    def may_fail(carried: bool) -> int:
        return max(n for n in range(nodes) if has_quorum(config, set(names[n:]), carried))

    assert may_fail(witness) == with_it
    if without_it is not None:
        assert may_fail(False) == without_it


def test_a_disk_alone_lets_all_nodes_but_one_fail_and_none_without_it() -> None:
    config = configured(QuorumMode.DISK_ONLY, (1, 1, 1))

    assert has_quorum(config, {NAMES[2]}, True)
    assert not has_quorum(config, set(NAMES[:3]), False)


def test_uneven_votes_are_counted_and_strangers_are_not() -> None:
    config = VoteConfig(1, ((NAMES[0], 2), (NAMES[1], 1), (NAMES[2], 0)))

    assert votes_of(config, {NAMES[0], NAMES[2], NodeName("stranger")}) == 2
    assert has_quorum(config, {NAMES[0]})
    assert not has_quorum(config, {NAMES[1], NAMES[2], NodeName("stranger")})


def test_a_witness_that_is_not_configured_has_no_vote() -> None:
    assert votes_of(even(2), {NAMES[0]}, True) == 1


def test_nobody_has_quorum_without_votes() -> None:
    assert not has_quorum(VoteConfig(1, ()), set(NAMES))
    assert not has_quorum(VoteConfig(1, ()), set(NAMES), True)


def test_quorum_since_is_when_the_least_recent_of_the_best_quorum_was_heard() -> None:
    config = even(3)
    heard = {NAMES[0]: 5.0, NAMES[1]: 9.0, NAMES[2]: 1.0}

    assert quorum_since(config, heard) == 5.0
    assert quorum_since(config, {NAMES[0]: 5.0}) == float("-inf")


def test_the_witness_is_heard_with_its_holder_and_once() -> None:
    config = configured(QuorumMode.NODE_AND_DISK, (1, 1))
    heard = {NAMES[0]: 5.0, NAMES[1]: 9.0}

    assert quorum_since(config, heard) == 5.0
    assert quorum_since(config, heard, {NAMES[1]}) == 9.0
    assert quorum_since(config, heard, {NAMES[0]}) == 5.0
    assert quorum_since(config, {NAMES[0]: 5.0}, {NAMES[0], NAMES[1]}) == 5.0
    four = configured(QuorumMode.NODE_AND_DISK, (1, 1, 1, 1))
    assert quorum_since(four, heard, {NAMES[0], NAMES[1]}) == 5.0
    assert quorum_since(four, {NAMES[0]: 5.0}, {NAMES[0], NAMES[1]}) == float("-inf")


@pytest.mark.parametrize("mode", list(QuorumMode))
def test_quorum_since_agrees_with_the_obvious_way_for_every_order_of_five(mode: QuorumMode) -> None:
    config = configured(mode, (1, 1, 1, 1, 1))
    for times in itertools.permutations(range(5)):
        heard = dict(zip(NAMES[:5], map(float, times), strict=True))
        for holder in NAMES[:5]:
            since = quorum_since(config, heard, {holder})
            upto = {node for node, at in heard.items() if at >= since}
            later = {node for node, at in heard.items() if at > since}
            assert has_quorum(config, upto, holder in upto)
            assert not has_quorum(config, later, holder in later)
