"""What is reckoned with comes from migrations that were alike."""

from typing import Any

import pytest

from coordinator.migration.experience import SETUP_S, UNKNOWN_WIRE, way_ahead, written_before
from protocol.messages import Spread, WayAhead, Window
from protocol.names import AttemptId, NetworkName, VmName
from protocol.travel import Compress, Marking, Travel
from tests.coordinator.migration.told import PREDICTION, WINDOWS, completed
from tests.coordinator.stage import SQL, A, B, C, Stage

MEMORY = 64 << 20
LIMIT = 118_000_000


def ahead(stage: Stage, travel: Travel | None = None) -> WayAhead:
    return way_ahead(stage.scene, A, B, MEMORY, travel or Travel())


def test_without_any_migration_the_bounds_are_wide_and_say_so() -> None:
    way = ahead(Stage())

    assert way.wire_bytes_per_s == UNKNOWN_WIRE
    assert way.basis.startswith("no migration whose speed would tell")
    assert way.setup_s.likely > SETUP_S


def test_the_wire_is_as_fast_as_it_was_between_these_two() -> None:
    stage = Stage()
    completed(stage, 1, speed=100e6)
    completed(stage, 2, speed=120e6)
    completed(stage, 3, speed=900e6, target="c")

    way = ahead(stage)

    assert way.wire_bytes_per_s.likely == pytest.approx(110e6)
    assert way.wire_bytes_per_s.least < 100e6 < 120e6 < way.wire_bytes_per_s.most
    assert way.basis == "the last 2 migrations between a and b"
    assert way.switch_s.likely == pytest.approx(0.01)


def test_other_nodes_tell_something_where_these_two_do_not() -> None:
    stage = Stage()
    completed(stage, 1, speed=200e6, target="c")

    way = ahead(stage)

    assert way.wire_bytes_per_s.likely == pytest.approx(200e6)
    assert way.basis == "the last migration between other nodes"


def test_a_limit_makes_the_speed_where_it_is_lower_than_the_wire() -> None:
    stage = Stage()
    completed(stage, 1, speed=2e9)

    way = ahead(stage, Travel(rate_bytes_per_s=LIMIT))

    assert 0.9 * LIMIT < way.wire_bytes_per_s.least < way.wire_bytes_per_s.likely <= LIMIT
    assert way.basis == "the limit of 118 MB/s"


def test_what_a_limit_held_down_says_nothing_of_the_wire_but_how_limits_are_used() -> None:
    stage = Stage()
    completed(stage, 1, speed=0.95 * LIMIT, travel=Travel(rate_bytes_per_s=LIMIT))

    free, held = ahead(stage), ahead(stage, Travel(rate_bytes_per_s=LIMIT))

    assert free.wire_bytes_per_s.most == UNKNOWN_WIRE.most
    assert free.wire_bytes_per_s.least == pytest.approx(0.95 * LIMIT)
    assert held.wire_bytes_per_s.likely == pytest.approx(0.95 * LIMIT)


def test_a_limit_above_the_wire_changes_nothing_that_is_likely() -> None:
    stage = Stage()
    completed(stage, 1, speed=50e6)

    way = ahead(stage, Travel(rate_bytes_per_s=LIMIT))

    assert way.wire_bytes_per_s.likely == pytest.approx(50e6)


def test_compressed_migrations_are_held_against_compressed_ones() -> None:
    stage = Stage()
    completed(stage, 1, speed=100e6)
    completed(stage, 2, speed=30e6, travel=Travel(compress=Compress.ZSTD))

    assert ahead(stage).wire_bytes_per_s.likely == pytest.approx(100e6)
    packed = ahead(stage, Travel(compress=Compress.ZSTD))
    assert packed.wire_bytes_per_s.likely == pytest.approx(30e6)


@pytest.mark.parametrize("fields", [{"policy": "clark"}, {"ended_at": None}, {"rounds": ()}])
def test_what_is_paced_or_not_over_or_empty_tells_nothing(fields: dict[str, Any]) -> None:
    stage = Stage()
    policy = fields.pop("policy", None)
    completed(stage, 1, **fields)
    if policy:
        row = stage.scene.book.attempts[1]  # type: ignore[index]
        stage.put("attempt/000000001", {**row.data(), "policy": policy})

    assert ahead(stage).wire_bytes_per_s == UNKNOWN_WIRE


def test_what_lies_around_is_as_long_as_it_was() -> None:
    stage = Stage()
    completed(stage, 1)

    way = ahead(stage)

    assert way.setup_s.likely == pytest.approx(0.2, rel=0.05)
    twice = way_ahead(stage.scene, A, C, 64 * MEMORY, Travel())
    assert twice.setup_s.likely > 3 * way.setup_s.likely, "more memory takes longer to make"


def test_the_limit_of_the_network_that_comes_first_counts() -> None:
    stage = Stage()
    stage.put(
        "network/migration",
        {
            "name": NetworkName("migration"),
            "role": 1,
            "metric": 1100,
            "auto_metric": False,
            "migration_rate_bytes_per_s": 50_000_000,
        },
    )

    assert ahead(stage).wire_bytes_per_s.most <= 52_000_000


def test_the_first_round_of_the_last_migration_says_what_the_guest_writes_in_that_time() -> None:
    stage = Stage()
    stage.vm()
    completed(stage, 1, predicted=PREDICTION)
    first = stage.scene.book.attempts[AttemptId(1)].rounds[0]

    known = written_before(stage.scene, SQL)

    assert known[:-1] == WINDOWS[:1], "the windows that are shorter, as they were seen"
    assert known[-1] == Window(first.seconds, Spread(100.0, 100.0, 100.0))
    assert written_before(stage.scene, VmName("other")) == ()


def test_marks_that_go_with_the_sending_say_only_what_the_windows_said() -> None:
    stage = Stage()
    completed(stage, 1, predicted=PREDICTION, travel=Travel(marking=Marking.SENT))

    assert written_before(stage.scene, SQL) == WINDOWS


def test_one_slow_migration_under_a_limit_is_held_against_those_that_used_it() -> None:
    stage = Stage()
    for number, share in enumerate((0.99, 0.7, 0.98), start=1):
        completed(stage, number, speed=share * LIMIT, travel=Travel(rate_bytes_per_s=LIMIT))

    way = ahead(stage, Travel(rate_bytes_per_s=LIMIT))

    assert way.wire_bytes_per_s.likely == pytest.approx(0.98 * LIMIT)
    assert way.wire_bytes_per_s.least < 0.7 * LIMIT
