from typing import Any

from protocol.names import WitnessState
from shell import ballot
from tests.shell.test_tables import printed


def voter(name: str, **fields: Any) -> dict[str, Any]:
    up = {"votes": 1, "weight": 1, "state": "Up", "counted": True, "witness": None}
    return {"name": name, **up, **fields}


def quorum(**fields: Any) -> dict[str, Any]:
    """Two nodes of which one is down, and a disk witness."""
    return {
        **{"mode": "NodeAndDiskMajority", "votes": 4, "present": 3, "needed": 3},
        **{"has_quorum": True, "forced": False, "may_fail": 1, "pending": False, "index": 2},
        "witness": {
            **{"name": "Witness", "kind": "Disk", "path": "/srv/w", "votes": 1},
            **{"state": "Held", "holder": "node1", "counted": True},
        },
        "outlook": "It can lose 1 more vote.",
        "personality": "2008r2",
        "nodes": [voter("node1"), voter("node2"), voter("node3", state="Down", counted=False)],
        **fields,
    }


def line(text: str, name: str) -> list[str]:
    return next(row.split() for row in text.splitlines() if row.split()[:1] == [name])


def test_each_voter_has_a_line_with_its_state_its_vote_and_whether_it_counts() -> None:
    text = printed(ballot.quorum(quorum()))

    assert line(text, "node1") == ["node1", "node", "Up", "1", "yes"]
    assert line(text, "node3") == ["node3", "node", "Down", "1", "no"]
    assert line(text, "Witness")[3:] == ["held", "by", "node1", "1", "yes"]


def test_the_bar_has_a_sign_for_each_vote_and_a_line_behind_those_that_are_needed() -> None:
    assert ballot.bar(quorum()) == "[###|.]"
    assert ballot.bar(quorum(votes=5, present=2, needed=3)) == "[##.|..]"
    assert ballot.bar(quorum(votes=1, present=1, needed=1)) == "[#|]"


def test_a_lost_quorum_a_forced_one_and_a_pending_change_are_said_aloud() -> None:
    assert "NO QUORUM, 1 of 4 votes" in printed(ballot.quorum(quorum(has_quorum=False, present=1)))
    assert "FORCED" in printed(ballot.quorum(quorum(forced=True)))
    assert "does not hold yet" in printed(ballot.quorum(quorum(pending=True)))


def test_a_node_that_is_heard_but_in_no_view_is_not_called_down() -> None:
    text = printed(ballot.quorum(quorum(nodes=[voter("node1", state="Down")])))

    assert line(text, "node1") == ["node1", "node", "heard", "1", "yes"]


def test_a_node_without_weight_is_shown_to_have_none() -> None:
    nodes = [voter("node1", votes=0, weight=0, counted=False)]

    assert "0 (weight 0)" in printed(ballot.quorum(quorum(nodes=nodes)))


def test_every_state_of_a_witness_is_said_in_words() -> None:
    assert {state.name.capitalize() for state in WitnessState} == set(ballot.FOUND)


def test_before_there_is_a_cluster_nobody_votes() -> None:
    assert "nobody votes" in printed(ballot.quorum({"mode": None}))
