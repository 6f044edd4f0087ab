"""Answers of nodes that watched a guest, and rows of migrations that are over."""

from dataclasses import replace
from typing import Any

from coordinator.store.prediction_row import Prediction
from protocol.messages import (
    Figure,
    Forecast,
    RoundRecord,
    SampleWrites,
    Spread,
    WayAhead,
    Window,
    WritesForecast,
)
from protocol.names import Decision, Outcome
from tests.coordinator.stage import Stage

FORECAST = Forecast(
    "2008r2",
    Figure(3.0, 2.0, 4.0, 11.0),
    Figure(80e6, 70e6, 90e6, 700e6),
    Figure(1.5, 1.2, 1.8, 9.0),
    Figure(0.05, 0.03, 0.06, 1.0),
    "it is small enough",
    first_dirty_pages=1000.0,
)
WAY = WayAhead(
    Spread(100e6, 90e6, 110e6),
    Spread(0.001, 0.0, 0.002),
    Spread(0.3, 0.2, 0.4),
    Spread(0.02, 0.01, 0.03),
    "the last migration",
)
WINDOWS = (Window(0.1, Spread(100, 90, 110)), Window(1.0, Spread(900, 800, 1000)))
PREDICTION = Prediction(FORECAST, WAY, WINDOWS, 0.0, 1.0)


def answer(order: SampleWrites, **fields: Any) -> WritesForecast:
    """What the node would say to that order."""
    names = order.policies or ("2008r2", "clark")
    told = WritesForecast(
        *(order.cluster, order.term, order.incarnation, order.request, order.vm, order.epoch),
        windows=WINDOWS,
        forecasts=tuple(replace(FORECAST, policy=name) for name in names),
        cost_s=0.01,
    )
    return replace(told, **fields)


def completed(stage: Stage, number: int, speed: float = 100e6, **fields: Any) -> None:
    """A migration of 64 MiB at `speed` bytes/s that is over: rounds of 64 and 4 MiB, 1 MiB last."""
    sizes = (64 << 20, 4 << 20, 1 << 20)
    rounds = tuple(
        RoundRecord(nth, size // 4096, 0, size, size / speed, 100) for nth, size in enumerate(sizes)
    )
    inside = sum(record.seconds for record in rounds)
    facts: dict[str, Any] = {
        "rounds": rounds,
        "parts": (("pause", 0.001), ("last pages", rounds[-1].seconds), ("commit", 0.009)),
        "decision": Decision.COMMITTED,
        "outcome": Outcome.COMPLETED,
        "ended_at": 99.0 + inside + 0.01 + 0.2,
    }
    stage.attempt(number, **{**facts, **fields})
