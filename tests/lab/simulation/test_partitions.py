"""Networks broken in every shape, under every way to count votes: who has the votes runs, nobody
else does, and it all comes together again.
"""

import itertools

import pytest

from lab.simulation.partition_play import TIMING, all_shapes, play
from lab.simulation.partitions import Shape, apart, names, promise, shapes
from protocol.names import QuorumMode
from tests.vote_drills import split, voting_lab

EVERY = {3: 1, 4: 2, 5: 8, 7: 10}
"""Of the larger labs only one shape in so many is played here, and all of them in `make sim`."""

MAJORITY, DISK = QuorumMode.NODE_MAJORITY, QuorumMode.NODE_AND_DISK


def played(size: int, mode: QuorumMode) -> list[Shape]:
    """Another part for each mode, so that the modes together see all."""
    first, every = list(QuorumMode).index(mode), EVERY[size]
    chosen = (shape for shape, of in all_shapes((size,)) if of is mode)
    return list(itertools.islice(chosen, first % every, None, every))


@pytest.mark.slow
@pytest.mark.parametrize("mode", QuorumMode, ids=lambda mode: mode.value)
@pytest.mark.parametrize("size", EVERY)
def test_the_side_with_the_votes_runs_everything_once_and_no_other_side_does(
    size: int, mode: QuorumMode
) -> None:
    wrong = []
    promised = 0
    for shape in played(size, mode):
        came_of_it = play(shape, mode)
        promised += came_of_it.is_promised
        if came_of_it.trouble:
            wrong.append(f"{came_of_it.name}: {came_of_it.trouble}")

    assert not wrong, "\n".join(wrong)
    assert promised >= len(played(size, mode)) // 8, "too little was promised to prove anything"


def test_every_shape_of_a_size_has_a_name_of_its_own() -> None:
    for mode in QuorumMode:
        told = [shape.name for shape in shapes(5, mode, TIMING)]

        assert len(told) == len(set(told))


def halves(of: int, blind: tuple[str, ...] = ()) -> Shape:
    nodes = names(of)
    left, right = nodes[: of // 2], nodes[of // 2 :]
    return Shape("halves", nodes, apart([*left, "c1"], right), frozenset(blind))


def test_halves_have_a_majority_on_neither_side() -> None:
    expected = promise(halves(4), MAJORITY, "")

    assert (expected.sides, expected.may_run) == ((), frozenset())


def test_the_half_that_holds_the_witness_goes_on() -> None:
    ours = promise(halves(4), DISK, "node1")
    theirs = promise(halves(4), DISK, "node4")

    assert ours.sides == (frozenset({"node1", "node2"}),)
    assert theirs.sides == ()
    assert theirs.may_run == {"node3", "node4"}, "their guests run on without a coordinator"


def test_a_holder_that_does_not_reach_its_witness_loses_it() -> None:
    expected = promise(halves(4, blind=("node3", "node4")), DISK, "node4")

    assert expected.sides == (frozenset({"node1", "node2"}),)


def test_with_disk_only_one_node_that_sees_the_disk_is_enough() -> None:
    shape = Shape("alone", names(3), apart(["node1", "c1"], ["node2", "node3"]))

    assert promise(shape, QuorumMode.DISK_ONLY, "node1").sides == (frozenset({"node1"}),)
    assert promise(shape, QuorumMode.DISK_ONLY, "node2").sides == ()


@pytest.mark.parametrize("how", ["wipe", "put_back"])
@pytest.mark.parametrize("gap_s", [0.0, 3.0, 20.0])
def test_a_witness_that_was_emptied_or_put_back_decides_no_split_twice(
    how: str, gap_s: float
) -> None:
    cluster = voting_lab(4, DISK, grace_s=30.0)
    witness = cluster.witnesses["/disk"]
    witness.keep()
    cluster.run(5.0)
    getattr(witness, how)()
    cluster.run(gap_s)

    cut = split(cluster, ["node3", "node4", "c1"], ["node1", "node2"])
    cluster.run(40.0)
    cut.end()

    assert cluster.settle(60.0) == []
