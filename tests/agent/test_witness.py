"""Taking the witness, by need and by order; and every state with every event."""

import pytest

from agent.actions import ReadWitness, WriteWitness
from agent.events import WitnessEvent, WitnessFailed, WitnessRead, WitnessWritten
from agent.lease import NEVER
from agent.witness import RESTART_S, UNANSWERED_MAX_S, Carrier
from agent.witness_record import NOBODY
from agent.witness_states import Around
from protocol.names import (
    ClusterId,
    Witness,
    WitnessKind,
    WitnessState,
)
from tests.agent.ground import CLUSTER, TIMING, life
from tests.agent.witness_bench import (
    ALONE,
    EXPIRES,
    SHARE,
    USABLE,
    A,
    B,
    Bench,
    C,
    around,
    bench,
    record,
    view,
    votes,
)

# ---- taking


def test_a_witness_that_nobody_holds_is_taken_at_once_by_who_needs_its_vote() -> None:
    it = bench()
    assert it.state() is WitnessState.UNKNOWN

    it.reads(0, None)
    assert it.state() is WitnessState.CONTENDING
    taken = it.writes()

    assert (taken.version, taken.record.holder, taken.record.view) == (0, life("a"), 1)
    assert it.now == 100.0
    assert it.state() is WitnessState.HELD
    assert it.it.usable_until_s == 100.0 + USABLE
    assert it.it.vouches_for(view())


def test_who_has_a_quorum_without_it_only_looks() -> None:
    it = bench()

    it.reads(3, record(), around(B))

    assert it.state() is WitnessState.FREE
    assert it.it.next_s == 101.0
    it.reads(3, record(), around(B))
    assert it.it.usable_until_s == NEVER


def test_a_held_witness_is_taken_only_when_its_record_has_not_changed_for_long_enough() -> None:
    it = bench()
    it.reads(5, record(life("b")))
    assert it.state() is WitnessState.CONTENDING

    while it.it.next_s < 100.0 + EXPIRES:
        it.reads(5, record(life("b")))
        assert it.it.usable_until_s == NEVER

    assert it.it.next_s == 100.0 + EXPIRES
    assert it.writes().version == 5
    assert it.it.usable_until_s == 100.0 + EXPIRES + USABLE


def test_every_renewal_that_is_seen_begins_the_wait_anew() -> None:
    it = bench()
    it.reads(5, record(life("b")))
    it.reads(6, record(life("b")))

    while it.it.next_s < 101.0 + EXPIRES:
        it.reads(6, record(life("b")))

    assert it.it.next_s == 101.0 + EXPIRES


def test_those_of_a_lower_name_go_first() -> None:
    it = Bench()
    it.it = Carrier(B, life("b"), CLUSTER, None, TIMING)
    it.it.live_by(view(), CLUSTER, 100.0)
    near = Around(0.0, frozenset({B}), False, (A, C), NEVER)

    it.reads(0, None, near)

    assert it.it.next_s == 101.0, "one delay later than a would"


def test_who_loses_the_race_looks_again_before_it_does_anything() -> None:
    it = bench()
    it.reads(0, None)

    it.writes(ok=False)

    assert it.it.usable_until_s == NEVER
    it.reads(1, record(life("b")))
    assert it.it.next_s == 101.0


def test_a_write_without_an_answer_gives_nothing_even_if_it_was_done() -> None:
    it = bench()
    it.reads(0, None)
    deed = it.one(100.0)

    it.it.failed(WitnessFailed("it hangs", deed.begun_at), 104.0)
    assert it.state() is WitnessState.UNREACHABLE
    assert isinstance(deed, WriteWitness)
    it.reads(1, deed.record)
    assert it.it.usable_until_s == NEVER

    again = it.writes()
    assert again.version == 1
    assert it.it.usable_until_s == again.begun_at + USABLE


def test_an_answer_that_was_given_up_is_nobodys() -> None:
    it = bench()
    it.reads(0, None)
    deed = it.one(100.0)
    it.it.failed(WitnessFailed("it hangs", deed.begun_at), 104.0)

    it.it.written(WitnessWritten(0, True, deed.begun_at), 105.0)

    assert it.it.usable_until_s == NEVER


def test_an_edge_that_loses_an_answer_does_not_stop_it_for_ever() -> None:
    it = bench()
    it.one(100.0)

    assert it.due(101.0) == []
    assert it.it.next_s == 100.0 + UNANSWERED_MAX_S
    assert it.due(100.0 + UNANSWERED_MAX_S) != []


def test_after_the_arbitration_time_it_gives_up_and_rests() -> None:
    it = bench()
    version = 1
    while it.now < 100.0 + TIMING.arbitration_max_s:
        it.reads(version, record(life("b")))
        version += 1
    assert it.state() is WitnessState.OTHER
    gave_up_s = it.now

    it.reads(version, record(NOBODY))
    assert it.state() is WitnessState.FREE, "it rests"
    while it.it.next_s < gave_up_s + RESTART_S:
        it.reads(version, record(NOBODY))
    assert it.writes().begun_at == gave_up_s + RESTART_S


def test_another_clusters_witness_is_not_touched() -> None:
    it = bench()
    deed = it.one(100.0)

    reason = it.it.read(WitnessRead(4, record(cluster=ClusterId("c2")), deed.begun_at), 100.0)

    assert reason == "it belongs to cluster c2"
    assert it.state() is WitnessState.UNREACHABLE
    assert isinstance(it.one(101.0), ReadWitness)


def test_a_witness_that_was_emptied_is_waited_for_as_if_it_were_held() -> None:
    it = bench()
    it.reads(5, record(life("b")))

    it.reads(0, None)

    assert it.state() is WitnessState.CONTENDING
    while it.it.next_s < 101.0 + EXPIRES:
        it.reads(0, None)
    assert it.writes().version == 0


# ---- asked by a coordinator


def test_who_is_asked_takes_it_before_any_view_and_promises_nothing() -> None:
    it = Bench()
    assert it.it.next_s == float("inf")

    it.it.ask(votes(), CLUSTER, 100.0)
    it.takes()

    assert it.state() is WitnessState.HELD
    assert it.it.usable_until_s == NEVER, "there is no view to promise it in"
    it.it.live_by(view(), CLUSTER, 100.5)
    assert it.it.usable_until_s == 100.0 + USABLE


def test_who_is_asked_for_an_older_configuration_knows_better() -> None:
    it = Bench(known=votes(3))

    it.it.ask(votes(2), CLUSTER, 100.0)
    it.reads(0, None)

    assert it.state() is WitnessState.FREE
    status = it.it.status(100.0)
    assert status is not None
    assert status.index == 3


def test_a_witness_of_a_newer_configuration_is_not_taken_for_an_older_one() -> None:
    it = Bench()
    it.it.ask(votes(2), CLUSTER, 100.0)

    it.reads(9, record(NOBODY, 8, 3))

    assert it.state() is WitnessState.FREE
    status = it.it.status(100.0)
    assert status is not None
    assert (status.newest_index, status.newest_view) == (3, 8)


def test_votes_that_were_asked_for_and_never_came_are_forgotten() -> None:
    other = Witness("v", WitnessKind.SHARE, "/v")
    it = bench()
    it.reads(2, record(), around(B))

    it.it.ask(votes(2, other), CLUSTER, 100.5)
    it.reads(0, None, around(B))
    assert it.state() is WitnessState.CONTENDING
    while it.now < 100.5 + TIMING.arbitration_max_s:
        deed = it.one(it.it.next_s, around(B))
        it.it.failed(WitnessFailed("away", deed.begun_at), it.now)

    deed = it.one(it.it.next_s, around(B))
    assert deed.witness == SHARE, "the witness of the view that it lives by"


# ---- every state meets every event


def in_state(state: WitnessState) -> Bench:
    it = bench()
    match state:
        case WitnessState.UNREACHABLE:
            deed = it.one(100.0)
            it.it.failed(WitnessFailed("away", deed.begun_at), 100.0)
        case WitnessState.FREE:
            it.reads(2, record(), around(B))
        case WitnessState.OTHER:
            it.reads(2, record(life("b")), around(B))
        case WitnessState.CONTENDING:
            it.reads(2, record(life("b")))
        case WitnessState.HELD:
            it.takes()
        case WitnessState.NEWER:
            it.it.ask(votes(), CLUSTER, 100.0)
            it.reads(7, record(NOBODY, 4))
            it.writes()
        case WitnessState.UNKNOWN:
            pass
    assert it.state() is state
    return it


@pytest.mark.parametrize("state", WitnessState)
@pytest.mark.parametrize("near", [ALONE, around(B, lease_end_s=900.0)], ids=["alone", "two"])
@pytest.mark.parametrize("kind", ["read", "empty", "written", "refused", "failed", "stray"])
def test_every_state_meets_every_event(state: WitnessState, near: Around, kind: str) -> None:
    it = in_state(state)
    before = it.it.usable_until_s
    due = it.due(max(it.now, it.it.next_s), near)
    begun_at = due[0].begun_at if due and kind != "stray" else 1.0
    events: dict[str, WitnessEvent] = {
        "read": WitnessRead(9, record(life("b")), begun_at),
        "empty": WitnessRead(0, None, begun_at),
        "written": WitnessWritten(2, True, begun_at),
        "refused": WitnessWritten(2, False, begun_at),
        "failed": WitnessFailed("away", begun_at),
        "stray": WitnessWritten(2, True, begun_at),
    }
    now = it.now + 0.01

    match event := events[kind]:
        case WitnessRead():
            it.it.read(event, now)
        case WitnessWritten():
            it.it.written(event, now)
        case WitnessFailed():
            it.it.failed(event, now)

    gained = it.it.usable_until_s > before
    assert not gained or (kind == "written" and isinstance(due[0], WriteWitness))
    assert it.it.status(now) is not None
    assert it.it.next_s <= now + max(TIMING.delay_s, UNANSWERED_MAX_S)
