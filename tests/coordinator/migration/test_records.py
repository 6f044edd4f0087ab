from dataclasses import replace

import pytest

from coordinator.migration.attempts import Seen
from coordinator.migration.records import goodput_bytes_per_s, merged, record_of, with_round
from coordinator.store.rows import AttemptRow
from protocol.messages import Part, RoundRecord
from protocol.names import NetworkName
from protocol.travel import AS_USUAL, Travel
from tests.coordinator.store.test_rows import ATTEMPT

CONTRACT = {
    "attempt", "vm", "source", "target", "network", "outcome", "reason", "total_s", "blackout_s",
    "blackout", "rounds", "wire_bytes", "goodput_bytes_per_s", "verified", "predicted",
}  # fmt: skip


def test_a_record_has_the_fields_of_the_contract() -> None:
    record = record_of(ATTEMPT)

    assert record.keys() >= CONTRACT
    assert set(record["rounds"][0]) == {
        "round", "pages", "zero_pages", "wire_bytes", "seconds", "dirty_pages_at_end",
        "packed_pages", "delta_pages", "kept_pages", "left_pages", "cpu_s", "throttle",
    }  # fmt: skip
    assert set(record["travel"]) == {
        "streams", "compress", "level", "delta_bytes", "kept", "checked", "stripe", "marking",
        "rate_bytes_per_s", "downtime_s",
    }  # fmt: skip
    assert record["total_s"] == 2.0
    assert record["blackout"] == {"pause": 0.25}
    assert record["blackout_s"] == 0.25


def test_the_rate_of_a_record_is_the_least_limit_also_of_the_network_it_took() -> None:
    row = replace(ATTEMPT, rates=((NetworkName("lan"), 5_000_000), (NetworkName("other"), 1)))

    def rate(row: AttemptRow) -> int:
        return int(record_of(row)["travel"]["rate_bytes_per_s"])

    assert rate(row) == 5_000_000
    assert rate(replace(row, travel=Travel(rate_bytes_per_s=2_000_000))) == 2_000_000
    assert rate(replace(row, network=None)) == ATTEMPT.travel.rate_bytes_per_s
    assert rate(replace(row, travel=AS_USUAL, rates=())) == 0


def test_what_is_not_known_yet_is_none() -> None:
    record = record_of(replace(ATTEMPT, ended_at=None, outcome=None, parts=()))

    assert record["total_s"] is record["outcome"] is record["blackout_s"] is None


def test_parts_stand_in_their_order_and_count_once() -> None:
    first = merged((), [Part("resume", 3.0), Part("pause", 1.0)])
    again = merged(first, [Part("pause", 1.0), Part("commit", 2.0), Part("else", 9.0)])

    assert [name for name, _ in again] == ["pause", "commit", "resume", "else"]


def test_a_round_that_is_told_again_takes_the_place_of_the_first_telling() -> None:
    one, two = RoundRecord(0, 5, 0, 5, 1.0, 2), RoundRecord(1, 2, 0, 2, 1.0, 0)
    rounds = with_round(with_round(with_round((), two), one), replace(two, pages=3))

    assert [(record.round, record.pages) for record in rounds] == [(0, 5), (1, 3)]


def test_goodput_counts_guest_pages_per_second_of_copying() -> None:
    rounds = (RoundRecord(0, 10, 5, 1, 0.5, 0), RoundRecord(1, 10, 0, 1, 0.5, 0))

    assert goodput_bytes_per_s(rounds) == pytest.approx(20 * 4096)
    assert goodput_bytes_per_s(()) == 0.0


def test_a_record_keeps_how_long_the_attempt_waited_for_a_coordinator() -> None:
    row = Seen(waited_s=7.5).into(ATTEMPT)

    assert record_of(AttemptRow.read(row.data()))["waited_s"] == 7.5
