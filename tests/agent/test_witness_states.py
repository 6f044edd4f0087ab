"""Holding the witness, and letting it go."""

from agent.actions import ReadWitness, WriteWitness
from agent.events import WitnessFailed, WitnessWritten
from agent.lease import NEVER
from agent.witness_record import NOBODY, usable_s
from protocol.names import (
    Timing,
    Witness,
    WitnessKind,
    WitnessState,
)
from tests.agent.ground import CLUSTER, life
from tests.agent.witness_bench import SHARE, USABLE, Bench, around, bench, record, view, votes

# ---- holding


def test_a_holder_renews_it_each_delay_and_counts_from_when_it_began() -> None:
    it = bench()
    it.takes()

    near = around(lease_end_s=200.0)
    deed = it.one(101.0, near)
    assert isinstance(deed, WriteWitness)
    it.it.written(WitnessWritten(deed.version, True, deed.begun_at), 101.9)

    assert deed.version == 1
    assert it.it.usable_until_s == 101.0 + USABLE
    assert it.it.next_s == 102.0


def test_a_renewal_that_fails_leaves_what_the_one_before_gave() -> None:
    it = bench()
    it.takes()
    deed = it.one(101.0)
    assert isinstance(deed, WriteWitness)

    it.it.failed(WitnessFailed("away", deed.begun_at), 101.0)

    assert it.it.usable_until_s == 100.0 + USABLE
    assert it.state() is WitnessState.HELD
    it.reads(2, deed.record)
    assert it.it.usable_until_s == 100.0 + USABLE, "done or not, nobody said so in time"
    assert it.writes().version == 2
    it.now = 300.0
    assert it.state() is not WitnessState.HELD


def test_a_holder_that_finds_another_there_stops_at_once() -> None:
    it = bench()
    it.takes()

    it.writes(ok=False)
    assert it.it.usable_until_s == NEVER
    it.reads(9, record(life("b")))

    assert it.state() is WitnessState.OTHER
    assert it.it.usable_until_s == NEVER


def test_a_holder_whose_view_is_older_than_the_witness_carries_no_vote() -> None:
    it = bench()
    it.it.ask(votes(), CLUSTER, 100.0)
    it.takes(number=1)
    assert it.it.usable_until_s > 0

    behind = bench()
    behind.it.ask(votes(), CLUSTER, 100.0)
    behind.reads(7, record(NOBODY, 4))
    behind.writes()
    assert behind.state() is WitnessState.NEWER
    assert behind.it.usable_until_s == NEVER
    assert not behind.it.vouches_for(view(3)), "what it acknowledged last is newer"
    assert not behind.it.vouches_for(view(5))

    behind.it.live_by(view(5), CLUSTER, 100.2)
    assert behind.state() is WitnessState.HELD
    assert behind.it.usable_until_s == 100.0 + USABLE
    assert not behind.it.vouches_for(view(5)), "it is not written yet"
    assert behind.it.next_s == 100.2, "and that is in a hurry"
    behind.writes()
    assert behind.it.vouches_for(view(5))


def test_who_lives_by_an_older_view_than_the_witness_does_not_contend_by_itself() -> None:
    it = bench()

    it.reads(7, record(NOBODY, 4))

    assert it.state() is WitnessState.FREE
    assert it.it.next_s == 101.0


def test_a_disk_witness_keeps_the_configuration_and_a_share_only_its_index() -> None:
    disk = Witness("d", WitnessKind.DISK, "/d")
    config = votes(4, disk)
    it = Bench(view(2, config))
    it.reads(0, None)
    assert it.writes().record.copy == config

    share = bench()
    assert share.takes().record.copy is None


# ---- letting go


def test_a_holder_without_a_lease_stops_promising_and_releases_when_nothing_is_left() -> None:
    it = bench()
    it.takes()
    spent = around(spent_until_s=108.0)
    while it.now < 104.0:
        it.writes(spent)

    assert it.due(105.0, spent) == []
    assert it.it.usable_until_s == NEVER
    assert it.it.next_s <= 108.0
    while it.it.next_s < 108.0:
        assert it.due(it.it.next_s, spent) == []
    deed = it.one(108.0, spent)

    assert isinstance(deed, WriteWitness)
    assert deed.record.holder == NOBODY
    it.it.failed(WitnessFailed("it hangs", deed.begun_at), 109.0)
    assert isinstance(it.one(it.it.next_s, around(lease_end_s=900.0)), ReadWitness)
    assert it.it.usable_until_s == NEVER, "it may be another's by now, whatever comes back"


def test_a_lease_that_comes_back_ends_the_letting_go() -> None:
    it = bench()
    it.takes()
    spent = around(spent_until_s=110.0)
    while it.now < 104.0:
        it.writes(spent)
    assert it.due(105.0, spent) == []
    assert it.it.usable_until_s == NEVER

    it.writes(around(lease_end_s=120.0))

    assert it.it.usable_until_s == it.now + USABLE


def test_a_witness_that_is_configured_no_more_hears_of_it_and_is_released() -> None:
    it = bench()
    it.takes()
    without = view(2, votes(2, None, 0))

    it.it.live_by(without, CLUSTER, 100.5)
    assert it.it.usable_until_s == NEVER
    assert not it.it.vouches_for(without)
    near = around(lease_end_s=200.0, spent_until_s=104.0)
    told = it.writes(near)
    assert (told.record.view, told.record.index, told.record.holder) == (2, 2, life("a"))
    assert it.it.vouches_for(without), "the votes before may need its word"

    while it.it.next_s < 104.0:
        assert it.due(it.it.next_s, near) == []
    assert it.writes(near).record.holder == NOBODY
    assert it.it.next_s == float("inf")
    assert it.it.status(105.0) is None
    assert it.it.vouches_for(without)


def test_a_witness_in_the_place_of_another_is_vouched_for_by_itself() -> None:
    it = bench()
    it.takes()
    other = Witness("v", WitnessKind.SHARE, "/v")
    changed = view(2, votes(2, other))

    it.it.live_by(changed, CLUSTER, 100.5)
    near = around(spent_until_s=102.0)
    assert it.writes(near).witness == SHARE
    assert not it.it.vouches_for(changed)
    it.due(it.it.next_s, near)
    assert it.writes(near).record.holder == NOBODY

    it.reads(0, None)
    assert it.writes().witness == other
    assert it.it.vouches_for(changed)


def test_under_shorter_clocks_the_record_holds_for_what_was_used_and_no_longer_is_used() -> None:
    it, fast = bench(), Timing(delay_s=0.25)
    it.takes()
    it.it.timing = fast

    deed = it.one(101.0, around(lease_end_s=200.0, spent_until_s=105.5))
    assert isinstance(deed, WriteWitness)
    assert deed.record.hold_s == 4.5
    may_be_seen_s = deed.begun_at + usable_s(4.5, fast.drift_rate)
    assert it.it.usable_until_s == may_be_seen_s, "its answer may be lost, and it be there"

    it.it.failed(WitnessFailed("lost", deed.begun_at), 101.5)
    assert it.it.usable_until_s == may_be_seen_s
