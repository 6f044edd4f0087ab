from dataclasses import replace
from typing import Any

import pytest

from coordinator.shown.picture_quorum import glance, outlook, quorum_data
from coordinator.store.rows import VIEW, ViewRow
from protocol.messages import WitnessStatus
from protocol.names import NodeName, QuorumMode, VoteConfig, Witness, WitnessKind, WitnessState
from tests.coordinator.stage import Stage

DISK = Witness("w", WitnessKind.DISK, "/srv/w")


def voting(
    names: str = "abcd", index: int = 2, mode: QuorumMode = QuorumMode.NODE_AND_DISK, **fields: Any
) -> tuple[Stage, VoteConfig]:
    """A cluster in peace with a disk witness that nobody has looked at."""
    stage = Stage(names)
    votes = tuple((NodeName(name), 1) for name in names)
    config = replace(VoteConfig(index, votes, mode, DISK, witness_votes=1), **fields)
    row = stage.scene.book.view
    assert row is not None
    view = replace(row.view, votes=config)
    stage.put(VIEW, ViewRow(view, view, row.term).data())
    return stage, config


def finds(stage: Stage, node: str, state: WitnessState, index: int = 2) -> None:
    stage.agent(node).witness = WitnessStatus(index, state)


def test_a_witness_that_a_heard_node_holds_is_counted_with_its_holder() -> None:
    stage, _ = voting()
    finds(stage, "a", WitnessState.OTHER)
    finds(stage, "b", WitnessState.HELD)

    data = quorum_data(stage.scene, leads=True)

    assert (data["votes"], data["present"], data["needed"], data["may_fail"]) == (5, 5, 3, 2)
    assert data["witness"] == {
        **{"name": "w", "kind": "Disk", "path": "/srv/w", "votes": 1},
        **{"state": "Held", "holder": "b", "counted": True},
    }
    assert [voter["witness"] for voter in data["nodes"]] == ["Other", "Held", None, None]
    assert glance(data)["witness"] == {
        **{"name": "w", "kind": "Disk", "state": "Held", "holder": "b"},
    }


@pytest.mark.parametrize(
    ("found", "shown"),
    [
        ([], "Unknown"),
        ([WitnessState.FREE], "Free"),
        ([WitnessState.UNREACHABLE, WitnessState.FREE], "Free"),
        ([WitnessState.UNREACHABLE, WitnessState.UNREACHABLE], "Unreachable"),
        ([WitnessState.OTHER, WitnessState.CONTENDING], "Contending"),
        ([WitnessState.OTHER, WitnessState.FREE], "Other"),
    ],
)
def test_a_witness_that_nobody_heard_holds_is_not_counted(
    found: list[WitnessState], shown: str
) -> None:
    stage, _ = voting()
    for node, state in zip("abcd", found, strict=False):
        finds(stage, node, state)

    data = quorum_data(stage.scene, leads=True)

    assert (data["present"], data["witness"]["state"]) == (4, shown)
    assert (data["witness"]["holder"], data["witness"]["counted"]) == (None, False)


def test_a_holder_that_is_not_heard_does_not_count_nor_its_witness() -> None:
    stage, _ = voting()
    finds(stage, "a", WitnessState.HELD)
    stage.die("a")
    stage.die("b")

    data = quorum_data(stage.scene, leads=False)

    assert (data["present"], data["has_quorum"], data["may_fail"]) == (2, False, 0)
    assert [voter["counted"] for voter in data["nodes"]] == [False, False, True, True]
    assert "1 more vote must come back, a node's or the witness's" in data["outlook"]


def test_a_witness_taken_out_of_the_sum_counts_nothing_even_when_it_is_held() -> None:
    stage, _ = voting(witness_votes=0)
    finds(stage, "a", WitnessState.HELD)

    data = quorum_data(stage.scene, leads=True)

    assert (data["votes"], data["present"], data["witness"]["counted"]) == (4, 4, False)


def test_a_forced_quorum_says_so() -> None:
    stage, _ = voting(votes=((NodeName("a"), 1),), witness_votes=0, forced=True)

    data = quorum_data(stage.scene, leads=True)

    assert (data["forced"], data["votes"], data["needed"]) == (True, 1, 1)
    assert glance(data)["forced"] is True


def test_a_change_that_does_not_hold_yet_is_pending_and_the_old_votes_are_shown() -> None:
    stage = Stage("abc")
    row = stage.scene.book.view
    assert row is not None
    more = replace(row.view.votes, index=2, mode=QuorumMode.NODE_AND_DISK, witness=DISK)
    stage.put(VIEW, ViewRow(replace(row.view, votes=more), row.view, row.term, True).data())

    data = quorum_data(stage.scene, leads=True)

    assert (data["pending"], data["mode"], data["index"]) == (True, "NodeMajority", 1)


@pytest.mark.parametrize(
    ("votes", "spare", "says"),
    [
        ((1, 1, 1), 1, "It can lose 1 more vote."),
        ((1, 1, 1), 2, "It can lose 2 more votes."),
        ((1, 1, 1), 0, "It can lose no more votes: the next one that is lost ends the quorum."),
        ((1, 1, 1), -2, "There is no quorum: 2 more votes must come back."),
        ((0, 0, 0), 0, "Any node may fail as long as one is left; losing the witness loses"),
    ],
)
def test_the_outlook_is_a_sentence(votes: tuple[int, ...], spare: int, says: str) -> None:
    config = VoteConfig(1, tuple((NodeName(n), v) for n, v in zip("abc", votes, strict=True)))

    assert outlook(config, spare, carried=False).startswith(says)
