import dataclasses

from agent.actions import SendBeat
from agent.heartbeat import Heartbeats, Promises
from protocol.messages import Heartbeat, HeartbeatAnswer, RouteReport
from protocol.names import (
    ClusterId,
    NodeName,
    Timing,
    ViewNumber,
    VoteConfig,
    Witness,
    WitnessKind,
)
from tests.agent.ground import CLUSTER, CSV, LAN, OUTLAST, TIMING, L, life, member, view, votes

ABC = view(1, member("a"), member("b"), member("c"))


def beats(name: str = "a", members: str = "abc") -> Heartbeats:
    mine = Heartbeats(NodeName(name), life(name), (LAN, CSV))
    now_in = view(1, *(member(other) for other in members), of=members)
    mine.live_by(now_in, CLUSTER, TIMING, 0.0)
    return mine


def from_b(
    seq: int = 1, hears: bool = True, number: int = 1, cluster: ClusterId = CLUSTER
) -> Heartbeat:
    return Heartbeat(
        cluster, NodeName("b"), life("b", number), NodeName("a"), seq, hears, ViewNumber(1)
    )


def answer_to(send: SendBeat, support_s: float = L) -> HeartbeatAnswer:
    beat = send.message
    assert isinstance(beat, Heartbeat)
    return HeartbeatAnswer(
        CLUSTER,
        beat.to,
        life(beat.to),
        beat.sender,
        beat.incarnation,
        beat.seq,
        beat.view,
        1,
        support_s,
    )


def sends(mine: Heartbeats, until: float) -> list[tuple[float, SendBeat]]:
    out = []
    while mine.next_send_s <= until:
        now = mine.next_send_s
        out += [(now, send) for send in mine.send_due(now)]
    return out


def only(answers: list[SendBeat]) -> HeartbeatAnswer:
    (send,) = answers
    assert isinstance(send.message, HeartbeatAnswer)
    return send.message


def test_each_route_has_its_turn_once_a_period_and_not_in_a_burst() -> None:
    sent = sends(beats(), until=1.999)

    turns = [(round(now, 3), send.message.to, send.network) for now, send in sent]
    assert turns[:5] == [
        (0.0, "b", CSV),
        (0.25, "b", LAN),
        (0.5, "c", CSV),
        (0.75, "c", LAN),
        (1.0, "b", CSV),
    ]
    assert len(turns) == 8
    assert sent[1][1].address == "b.lan"
    assert sent[1][1].port == 3343


def test_after_a_long_sleep_each_route_has_one_turn_and_not_all_that_it_missed() -> None:
    mine = beats()
    sends(mine, until=0.9)

    late = mine.send_due(60.1)

    assert sorted((send.message.to, send.network) for send in late) == [
        ("b", CSV),
        ("b", LAN),
        ("c", CSV),
        ("c", LAN),
    ]
    assert 60.1 < mine.next_send_s <= 60.36


def test_nothing_is_sent_before_a_view_is_adopted() -> None:
    mine = Heartbeats(NodeName("a"), life("a"), (LAN,))

    assert mine.next_send_s == float("inf")
    assert mine.send_due(99.0) == []
    assert mine.hear(LAN, from_b(), True, 1.0) == []


def test_support_is_counted_from_when_the_answered_heartbeat_was_sent() -> None:
    mine = beats()
    sent_at, send = sends(mine, until=0.3)[1]

    grew = mine.hear_answer(LAN, answer_to(send), now=4.0)

    assert grew
    assert mine.lease_end_s == sent_at + L, "b's support and our own are two votes of three"


def test_the_witness_is_counted_as_its_carrier_says_and_the_latest_end_counts() -> None:
    mine = Heartbeats(NodeName("a"), life("a"), (LAN, CSV))
    shared = VoteConfig(
        1, votes("abc").votes, witness=Witness("w", WitnessKind.SHARE, "/w"), witness_votes=1
    )
    mine.live_by(dataclasses.replace(ABC, votes=shared), CLUSTER, TIMING, 0.0)
    by_peer = {send.message.to: (at, send) for at, send in sends(mine, until=0.9)}
    at_b, to_b = by_peer[NodeName("b")]
    at_c, to_c = by_peer[NodeName("c")]

    assert not mine.hear_answer(to_b.network, answer_to(to_b), 1.0), "two votes of four"
    carried = dataclasses.replace(answer_to(to_b), witness_s=2.0)
    assert mine.hear_answer(to_b.network, carried, 1.0)
    assert mine.lease_end_s == at_b + 2.0, "the third vote of four"
    assert mine.around(2.0).witness_supports

    by_c = dataclasses.replace(answer_to(to_c), witness_s=99.0)
    assert mine.hear_answer(to_c.network, by_c, 1.0)
    assert mine.lease_end_s == at_c + L, "never beyond L; c, the witness and this node are three"


def test_a_carried_vote_is_given_only_with_support_and_counted_only_while_it_is_held() -> None:
    mine = beats()
    mine.carry(2.0, 0.0)

    assert only(mine.hear(LAN, from_b(), False, 1.0)).witness_s == 0.0
    assert only(mine.hear(LAN, from_b(), True, 1.0)).witness_s == 1.0
    assert mine.carried_spent_s == 1.0 + OUTLAST
    assert only(mine.hear(LAN, from_b(), True, 2.0)).witness_s == 0.0
    assert only(mine.hear(LAN, from_b(), True, 2.0)).support_s == L


def test_a_promise_is_never_counted_for_longer_than_the_cluster_allows() -> None:
    mine = beats()
    sent_at, send = sends(mine, until=0.3)[1]

    mine.hear_answer(LAN, answer_to(send, support_s=1000.0), now=0.3)

    assert mine.lease_end_s == sent_at + L


def test_a_lease_needs_a_quorum() -> None:
    mine = beats(members="abcde")
    by_peer = {send.message.to: send for _, send in sends(mine, until=0.99)}

    assert not mine.hear_answer(LAN, answer_to(by_peer[NodeName("b")]), now=1.0)
    assert mine.hear_answer(LAN, answer_to(by_peer[NodeName("c")]), now=1.0)


def test_answers_that_are_not_about_this_life_view_or_cluster_give_no_lease() -> None:
    mine = beats()
    good = answer_to(sends(mine, until=0.3)[1][1])
    bad = [
        dataclasses.replace(good, cluster=ClusterId("other")),
        dataclasses.replace(good, incarnation=life("b", 2)),
        dataclasses.replace(good, to_incarnation=life("a", 2)),
        dataclasses.replace(good, votes_index=2),
        dataclasses.replace(good, seq=999),
        dataclasses.replace(good, support_s=0.0),
        dataclasses.replace(good, sender=NodeName("z")),
    ]

    assert not any(mine.hear_answer(LAN, answer, now=0.3) for answer in bad)
    assert mine.lease_end_s == 0.0
    assert mine.hear_answer(LAN, good, now=0.3)


def test_an_answer_that_comes_twice_or_late_changes_nothing() -> None:
    mine = beats()
    _, first, *_ = [send for _, send in sends(mine, until=0.3)]
    second = sends(mine, until=1.3)[-1][1]
    assert mine.hear_answer(LAN, answer_to(second), now=1.3)
    end = mine.lease_end_s

    assert not mine.hear_answer(LAN, answer_to(second), now=1.4)
    assert not mine.hear_answer(LAN, answer_to(first), now=1.4)
    assert mine.lease_end_s == end


def test_only_the_last_few_heartbeats_are_remembered() -> None:
    mine = beats()
    first = sends(mine, until=0.3)[1][1]
    sends(mine, until=20.0)

    assert not mine.hear_answer(LAN, answer_to(first), now=20.0)


def test_a_heartbeat_is_answered_on_its_route_with_a_promise_that_is_remembered() -> None:
    mine = beats()

    (send,) = mine.hear(LAN, from_b(seq=17), may_support=True, now=3.0)

    assert (send.network, send.address, send.port) == (LAN, "b.lan", 3343)
    assert only([send]).seq == 17
    assert only([send]).support_s == L
    assert mine.promises.ran_out_at(keep=()) == 3.0 + OUTLAST


def test_no_promise_is_made_when_views_forbid_it() -> None:
    mine = beats()

    assert only(mine.hear(LAN, from_b(), may_support=False, now=3.0)).support_s == 0.0
    assert mine.promises.ran_out_at(keep=()) == float("-inf")


def test_another_life_of_a_member_is_not_supported_and_not_heard() -> None:
    mine = beats()

    assert only(mine.hear(LAN, from_b(number=2), may_support=True, now=3.0)).support_s == 0.0
    assert not any(route.up for route in mine.routes(3.0))


def test_strangers_and_other_clusters_get_no_answer() -> None:
    mine = beats()
    stranger = dataclasses.replace(from_b(), sender=NodeName("z"))
    misdirected = dataclasses.replace(from_b(), to=NodeName("c"))

    assert mine.hear(LAN, stranger, True, 1.0) == []
    assert mine.hear(LAN, misdirected, True, 1.0) == []
    assert mine.hear(LAN, from_b(cluster=ClusterId("other")), True, 1.0) == []


def test_a_route_is_up_while_it_is_heard_in_both_directions() -> None:
    mine = beats()
    up = RouteReport(NodeName("b"), LAN, True)

    mine.hear(LAN, from_b(hears=False), True, now=1.0)
    assert up not in mine.routes(1.0)
    mine.hear(LAN, from_b(hears=True), True, now=2.0)
    assert up in mine.routes(2.0)
    assert up in mine.routes(2.0 + L)
    assert up not in mine.routes(2.1 + L)


def test_a_heartbeat_says_whether_its_receiver_is_heard_on_that_network() -> None:
    mine = beats()
    mine.hear(LAN, from_b(hears=False), True, now=0.1)

    said = {
        (send.message.to, send.network): send.message.hears
        for _, send in sends(mine, until=0.99)
        if isinstance(send.message, Heartbeat)
    }

    assert [route for route, hears in said.items() if hears] == [("b", LAN)]


def test_a_cluster_of_one_supports_itself() -> None:
    mine = beats(members="a")

    assert mine.lease_end_s == L
    assert mine.send_due(mine.next_send_s) == []
    mine.send_due(1.0)
    assert mine.lease_end_s == 1.0 + L


def test_a_new_view_keeps_what_is_known_of_the_same_lives_and_forgets_others() -> None:
    mine = beats()
    mine.hear(LAN, from_b(), True, now=1.0)
    mine.live_by(view(2, member("a"), member("b"), member("c", 2)), CLUSTER, TIMING, 1.5)
    assert RouteReport(NodeName("b"), LAN, True) in mine.routes(2.0)

    mine.live_by(view(3, member("a"), member("b", 2)), CLUSTER, TIMING, 2.0)
    assert mine.routes(2.0) == (
        RouteReport(NodeName("b"), CSV, False),
        RouteReport(NodeName("b"), LAN, False),
    )


def test_a_lease_that_was_given_lasts_under_new_votes_but_is_renewed_only_by_them() -> None:
    mine = beats()
    old = sends(mine, until=0.3)[1][1]
    mine.hear_answer(LAN, answer_to(old), now=0.3)
    end = mine.lease_end_s

    with_new_votes = dataclasses.replace(view(2, *ABC.members), votes=votes("abcd", index=2))
    mine.live_by(with_new_votes, CLUSTER, TIMING, 1.0)

    assert mine.lease_end_s == end
    again = sends(mine, until=2.0)[-1][1]
    assert not mine.hear_answer(again.network, answer_to(again), now=2.0), "of the old votes"
    assert mine.lease_end_s == end


def test_the_asker_stops_counting_before_the_giver_does_whatever_their_clocks_do() -> None:
    timing = Timing(delay_s=1.0, threshold=5, drift_rate=0.01)
    slow, fast = 1 - timing.drift_rate, 1 + timing.drift_rate

    asker_counts_real_s = timing.support_s / slow
    giver_waits_real_s = timing.outlast_s / fast

    assert giver_waits_real_s >= asker_counts_real_s


def test_a_shorter_promise_does_not_take_back_a_longer_one() -> None:
    promises = Promises()
    promises.promise(life("a"), 9.0)
    promises.promise(life("a"), 8.0)

    assert promises.ran_out_at(keep=()) == 9.0
    assert promises.ran_out_at(keep={life("a")}) == float("-inf")
    promises.forget_old(9.0)
    assert promises.ran_out_at(keep=()) == float("-inf")
