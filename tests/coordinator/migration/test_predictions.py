"""What was foretold beside what came, and the sentence that explains the difference."""

from dataclasses import replace
from typing import Any

import pytest

from coordinator.migration.predictions import explained_data, predicted_data
from coordinator.store.prediction_row import Prediction
from coordinator.store.rows import AttemptRow
from protocol.messages import RoundRecord
from protocol.names import Outcome
from tests.coordinator.migration.told import PREDICTION, completed
from tests.coordinator.stage import Stage

PAGE = 4096


def row(**fields: Any) -> AttemptRow:
    stage = Stage()
    completed(stage, 1)
    done = stage.scene.book.attempts[1]  # type: ignore[index]
    rounds = (
        RoundRecord(0, 17_000, 0, 70_000_000, 0.7, 1000),
        RoundRecord(1, 1000, 0, 4_000_000, 0.04, 300),
        RoundRecord(2, 300, 0, 1_200_000, 0.02, 0),
    )
    parts = (("pause", 0.01), ("last pages", 0.02), ("commit", 0.01))
    facts = {"rounds": rounds, "parts": parts, "asked_at": 98.0, "ended_at": 99.4}
    return replace(done, **{"predicted": PREDICTION, **facts, **fields})


def test_a_record_shows_what_was_foretold_with_its_bounds_and_its_curve() -> None:
    told = predicted_data(row())

    assert told is not None
    assert (told["policy"], told["rounds"], told["total_s"]) == ("2008r2", 3.0, 1.5)
    assert told["bounds"]["blackout_s"] == [0.03, 0.06, 1.0]
    assert told["curve"] == [[0.1, 100 * PAGE], [1.0, 900 * PAGE]]
    assert told["basis"] == "the last migration"


def test_what_was_not_foretold_is_null() -> None:
    assert predicted_data(row(predicted=None)) is None
    assert explained_data(row(predicted=None)) is None


@pytest.mark.parametrize(
    "fields", [{"ended_at": None}, {"outcome": Outcome.FAILED}], ids=["open", "failed"]
)
def test_only_what_has_come_to_its_end_is_explained(fields: dict[str, Any]) -> None:
    assert explained_data(row(**fields)) is None
    assert predicted_data(row(**fields)) is not None


def test_what_came_as_foretold_needs_no_explanation() -> None:
    found = explained_data(row())

    assert found is not None
    assert (found["within_bounds"], found["outside"]) == (True, [])
    assert found["sentence"] == "As foretold."
    assert found["errors"]["total_s"] == pytest.approx(-0.1 / 1.4)


def test_a_slower_wire_and_a_busier_guest_explain_a_longer_migration() -> None:
    slow = (
        RoundRecord(0, 17_000, 0, 70_000_000, 1.4, 3000, cpu_s=1.4),
        RoundRecord(1, 3000, 0, 12_000_000, 0.3, 0),
    )

    found = explained_data(row(rounds=slow, ended_at=100.5))

    assert found is not None
    assert found["within_bounds"] is False
    assert found["outside"] == ["total_s"]
    assert (found["goodput_ratio"], found["dirtying_ratio"]) == (0.5, 3.0)
    assert found["sentence"] == (
        "Total +40% against the forecast: the wire carried 0.50 times what was reckoned with, and"
        " the guest wrote 3.00 times as much in the first round."
    )


def test_what_neither_wire_nor_guest_explain_lies_around_them() -> None:
    found = explained_data(row(ended_at=101.0))

    assert found is not None
    assert found["sentence"].endswith("so it is what lies around them.")


def test_waiting_and_verifying_are_not_held_against_the_forecast() -> None:
    plain, waited = explained_data(row()), row(ended_at=108.4, queued_s=6.0, waited_s=3.0)
    verified = replace(waited, ended_at=109.4, parts=(*waited.parts, ("verify", 1.0)))

    assert plain is not None
    for later in (waited, verified):
        found = explained_data(later)
        assert found is not None
        for name in ("total_s", "blackout_s"):
            assert found["errors"][name] == pytest.approx(plain["errors"][name])


def test_a_prediction_survives_the_store() -> None:
    assert Prediction.read(PREDICTION.data()) == PREDICTION
    assert Prediction.read(None) is None
