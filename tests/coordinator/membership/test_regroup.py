import itertools
import random
from collections.abc import Iterable, Set

import pytest

from coordinator.membership.regroup import Pattern, Peer, Phase, Regroup, largest, maximal_cliques
from protocol.names import NodeName

Pairs = Iterable[tuple[int, int]]


def pattern(
    count: int,
    links: Pairs,
    votes: dict[int, int] | None = None,
    reported_at: float | None = 0.0,
    silent: Set[int] = frozenset(),
    holder: int | None = None,
) -> Pattern:
    """Nodes n1, n2 ... with ids 1, 2 ... and these links, each in both directions."""
    masks = [0] * count
    for a, b in links:
        masks[a - 1] |= 1 << (b - 1)
        masks[b - 1] |= 1 << (a - 1)
    peers = tuple(
        Peer(
            NodeName(f"n{number}"),
            number,
            1 if votes is None else votes.get(number, 1),
            None if number in silent else reported_at,
            number == holder,
        )
        for number in range(1, count + 1)
    )
    return Pattern(peers, tuple(masks))


def all_pairs(count: int) -> list[tuple[int, int]]:
    return list(itertools.combinations(range(1, count + 1), 2))


def without(count: int, *broken: tuple[int, int]) -> list[tuple[int, int]]:
    return [pair for pair in all_pairs(count) if pair not in broken]


def anybody(nodes: Set[NodeName]) -> bool:
    return bool(nodes)


def majority(count: int):  # type: ignore[no-untyped-def]
    return lambda nodes: 2 * len(nodes) > count


def names(*numbers: int) -> frozenset[NodeName]:
    return frozenset(NodeName(f"n{number}") for number in numbers)


def slowly(given: Pattern) -> frozenset[NodeName]:
    """The obvious way: every subset, the best of those in which all see all."""

    def connected(subset: tuple[int, ...]) -> bool:
        return all(given.links[a] >> b & 1 for a in subset for b in subset if a != b)

    subsets = [
        subset
        for size in range(1, len(given.peers) + 1)
        for subset in itertools.combinations(range(len(given.peers)), size)
        if connected(subset)
    ]
    best = max(
        subsets,
        key=lambda subset: (
            sum(given.peers[at].votes for at in subset),
            len(subset),
            any(given.peers[at].has_witness for at in subset),
            [-given.peers[at].id for at in subset],
        ),
    )
    return frozenset(given.peers[at].node for at in best)


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5])
def test_the_largest_subset_is_that_of_the_obvious_way_for_every_graph(count: int) -> None:
    pairs = all_pairs(count)
    for chosen in range(1 << len(pairs)):
        links = [pair for at, pair in enumerate(pairs) if chosen >> at & 1]
        given = pattern(count, links)
        assert largest(given, anybody) == slowly(given), links


def test_the_largest_subset_is_that_of_the_obvious_way_with_votes_and_a_witness() -> None:
    chance = random.Random(7)
    for _ in range(300):
        count = chance.choice([6, 7])
        links = [pair for pair in all_pairs(count) if chance.random() < 0.6]
        votes = {number: chance.choice([0, 1, 1]) for number in range(1, count + 1)}
        given = pattern(count, links, votes, holder=chance.randint(1, count))
        assert largest(given, anybody) == slowly(given), (links, votes)


def test_every_maximal_clique_is_found_once() -> None:
    cliques = [mask for mask in maximal_cliques((0b0110, 0b0101, 0b0011, 0b0000)) if mask]

    assert sorted(cliques) == [0b0111, 0b1000]


SHAPES = {
    "a bridge node sees both halves": (
        5,
        [(1, 2), (1, 3), (2, 3), (3, 4), (3, 5), (4, 5)],
        (1, 2, 3),
    ),
    "one link of five is broken": (5, without(5, (4, 5)), (1, 2, 3, 4)),
    "an isolated node": (4, [(1, 2), (1, 4), (2, 4)], (1, 2, 4)),
    "a star has no three that see each other": (5, [(1, n) for n in range(2, 6)], None),
    "halves": (4, [(1, 2), (3, 4)], None),
    "a ring of majorities": (5, [(1, 2), (2, 3), (3, 4), (4, 5), (1, 5)], None),
    "a ring of seven in which each sees two on either side": (
        7,
        [tuple(sorted((n, (n + step - 1) % 7 + 1))) for n in range(1, 8) for step in (1, 2)],
        None,
    ),
}


@pytest.mark.parametrize("shape", sorted(SHAPES))
def test_a_shape_of_broken_links_becomes_one_view_or_none(shape: str) -> None:
    count, links, stays = SHAPES[shape]
    found = largest(pattern(count, links), majority(count))  # type: ignore[arg-type]

    assert found == (None if stays is None else names(*stays))


def test_halves_go_to_the_side_that_carries_the_witness() -> None:
    given = pattern(4, [(1, 2), (3, 4)], holder=3)

    def quorate(nodes: Set[NodeName]) -> bool:
        return len(nodes) + (NodeName("n3") in nodes) >= 3

    assert largest(given, quorate) == names(3, 4)


def test_a_node_without_a_vote_is_kept_where_it_costs_nothing() -> None:
    given = pattern(4, without(4, (1, 4)), {3: 0})

    assert largest(given, anybody) == names(1, 2, 3)


def test_with_many_members_the_answer_is_fully_connected_and_soon_there() -> None:
    chance = random.Random(3)
    for count in (17, 24, 32):
        links = [pair for pair in all_pairs(count) if chance.random() < 0.8]
        given = pattern(count, links)
        stays = largest(given, anybody)

        assert stays is not None
        numbers = sorted(int(node[1:]) for node in stays)
        assert set(itertools.combinations(numbers, 2)) <= set(links)
        assert len(numbers) >= 7


# ---- the machine


def advanced(machine: Regroup, given: Pattern, now: float, count: int = 5) -> frozenset[NodeName]:
    return machine.advance(given, majority(count), 5.0, 5.0, now)


BRIDGE = [(1, 2), (1, 3), (2, 3), (3, 4), (3, 5), (4, 5)]


def test_in_peace_nobody_goes() -> None:
    machine = Regroup()
    for now in range(20):
        assert advanced(machine, pattern(5, all_pairs(5), reported_at=now), now) == frozenset()
    assert machine.phase is Phase.QUIET


def test_a_bridge_is_waited_for_through_opening_and_pruning_and_then_cut() -> None:
    machine, phases = Regroup(), []
    for now in range(12):
        cut = advanced(machine, pattern(5, BRIDGE, reported_at=float(now)), float(now))
        phases.append(machine.phase)
        assert bool(cut) is (now >= 10)

    assert phases == [Phase.OPENING] * 5 + [Phase.PRUNING] * 5 + [Phase.DONE] * 2
    assert cut == names(4, 5)


def test_links_that_come_back_in_time_end_the_regroup() -> None:
    machine = Regroup()
    for now in range(9):
        advanced(machine, pattern(5, BRIDGE, reported_at=float(now)), float(now))

    assert advanced(machine, pattern(5, all_pairs(5), reported_at=9.0), 9.0) == frozenset()
    phases = [machine.phase]
    advanced(machine, pattern(5, BRIDGE, reported_at=10.0), 10.0)
    assert [*phases, machine.phase] == [Phase.QUIET, Phase.OPENING], "the wait begins anew"


def test_the_opening_ends_early_once_all_have_reported_and_agree() -> None:
    machine = Regroup()
    isolated = without(5, (1, 5), (2, 5), (3, 5), (4, 5))
    assert not advanced(machine, pattern(5, isolated, reported_at=6.0), 6.0), "news may be coming"

    assert advanced(machine, pattern(5, isolated, reported_at=7.0), 7.0) == names(5)


def test_who_has_not_reported_since_is_waited_for() -> None:
    machine = Regroup()
    halves = [(1, 2), (1, 3), (2, 3), (4, 5)]
    for now in range(10):
        assert not advanced(machine, pattern(5, halves, reported_at=0.0), float(now))
    assert machine.phase is Phase.PRUNING
    assert advanced(machine, pattern(5, halves, reported_at=0.0), 10.0) == names(4, 5)


def test_the_coordinator_does_not_wait_for_reports_of_those_it_does_not_hear() -> None:
    machine = Regroup()
    halves = [(1, 2), (1, 3), (2, 3), (4, 5)]
    advanced(machine, pattern(5, halves, reported_at=6.0, silent={4, 5}), 6.0)

    assert advanced(machine, pattern(5, halves, reported_at=7.0, silent={4, 5}), 7.0) == names(4, 5)


def test_where_no_subset_may_decide_nobody_goes_until_the_pattern_changes() -> None:
    machine = Regroup()
    ring = [(1, 2), (2, 3), (3, 4), (4, 5), (1, 5)]
    for now in range(30):
        assert not advanced(machine, pattern(5, ring, reported_at=float(now)), float(now))
    phases = [machine.phase]

    mending = [*ring, (1, 3)]
    assert not advanced(machine, pattern(5, mending, reported_at=30.0), 30.0)
    assert [*phases, machine.phase] == [Phase.STUCK, Phase.OPENING], (
        "more may come back: it is waited for again"
    )
    for now in range(31, 41):
        cut = advanced(machine, pattern(5, mending, reported_at=float(now)), float(now))
    assert cut == names(4, 5)
