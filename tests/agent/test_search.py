from dataclasses import replace

import pytest

from agent.search import (
    AGAIN_AFTER_MAX_S,
    AGAIN_AFTER_OF_SEVERAL_MAX_S,
    AGAIN_AFTER_S,
    CONNECT_WITHIN_OF_SEVERAL_S,
    CONNECT_WITHIN_S,
    GATHERING_FIRST_S,
    GATHERING_MAX_S,
    GATHERING_S,
    NEXT_AFTER_S,
    SILENT_BEATS,
    SILENT_LEAST_S,
    Search,
)
from protocol.messages import Hello, Ping, Welcome
from protocol.names import (
    ClusterId,
    Endpoint,
    Incarnation,
    NetworkName,
    NodeName,
    Term,
    Timing,
    ViewNumber,
)

C1 = ClusterId("c1")
ENDPOINT = Endpoint(((NetworkName("lan"), "10.0.0.1"),), 1, 2)
STRANGER = Hello(
    *(NodeName("node1"), Incarnation("a"), None, Term(0), ViewNumber(0), None, ENDPOINT, 4096),
    tracker="map",
)
MEMBER = replace(STRANGER, cluster=C1)


def welcome(delay_s: float) -> Welcome:
    return Welcome(C1, Term(1), Incarnation("a"), Timing(delay_s=delay_s))


def test_of_several_all_are_asked_at_once_and_then_again_after_a_growing_pause() -> None:
    search = Search(3, several=True)

    rounds = [[search.missed() for _ in range(3)] for _ in range(6)]

    assert [pauses[:2] for pauses in rounds] == [[NEXT_AFTER_S] * 2] * 6
    ends = [pauses[2] for pauses in rounds]
    assert ends[0] == AGAIN_AFTER_S
    assert ends == sorted(ends)
    assert ends[-1] == AGAIN_AFTER_OF_SEVERAL_MAX_S


def test_a_single_one_is_asked_again_after_a_pause_that_grows_until_a_link_stood() -> None:
    search = Search(1, several=False)
    pauses = [search.missed() for _ in range(9)]

    assert (pauses[0], pauses[-1]) == (AGAIN_AFTER_S, AGAIN_AFTER_MAX_S)
    assert search.ended() == AGAIN_AFTER_S


def test_who_was_welcome_begins_anew_with_the_next_and_who_was_turned_away_goes_on_round() -> None:
    search = Search(2, several=True)
    search.missed()
    search.connected(0.0)
    turned_away = search.ended()
    search.connected(1.0)
    search.heard(welcome(1.0), 1.0)

    assert turned_away == AGAIN_AFTER_S, "all were asked"
    assert search.ended() == AGAIN_AFTER_S
    assert search.missed() == NEXT_AFTER_S


@pytest.mark.parametrize("delay_s", [0.25, 1.0, 2.0])
def test_a_leader_that_misses_beats_is_left(delay_s: float) -> None:
    search = Search(2, several=True)
    search.connected(5.0)
    search.heard(welcome(delay_s), 10.0)
    first = search.silent_at
    search.heard(Ping(C1, Term(1), 1), 12.0)

    assert first == 10.0 + max(SILENT_LEAST_S, SILENT_BEATS * delay_s)
    assert search.silent_at == first + 2.0


def test_a_single_coordinator_is_never_left_for_its_silence() -> None:
    search = Search(2, several=False)
    search.connected(5.0)
    search.heard(welcome(1.0), 10.0)

    assert search.silent_at == float("inf")


def test_a_node_of_no_cluster_expects_nothing_and_a_member_an_answer() -> None:
    search = Search(2, several=True)
    search.connected(5.0)
    search.said(STRANGER)
    of_none = search.silent_at
    search.said(MEMBER)

    assert of_none == float("inf")
    assert search.silent_at == 5.0 + GATHERING_S


def test_each_round_in_vain_waits_longer_for_who_may_be_gathering() -> None:
    search = Search(2, several=True)
    waits = []
    for _ in range(10):
        search.connected(0.0)
        search.said(MEMBER)
        waits.append(search.silence_s)
        search.fell_silent()
        search.ended(), search.missed()

    assert waits[:2] == [GATHERING_S, 2 * GATHERING_S]
    assert waits[-1] == GATHERING_MAX_S


def test_a_leader_that_froze_is_met_again_with_little_patience() -> None:
    search = Search(2, several=True)
    search.connected(0.0)
    search.heard(welcome(1.0), 0.0)
    search.fell_silent()
    search.ended()
    search.connected(3.0)
    search.said(MEMBER)

    assert search.silence_s == GATHERING_FIRST_S


def test_of_several_one_that_does_not_answer_is_passed_over_sooner() -> None:
    assert Search(2, several=True).connect_within_s == CONNECT_WITHIN_OF_SEVERAL_S
    assert Search(2, several=False).connect_within_s == CONNECT_WITHIN_S
