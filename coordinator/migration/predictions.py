"""Predictions in the words of the record, and what explains that it came otherwise."""

from typing import Any

from coordinator.store.prediction_row import FIGURES, Prediction
from coordinator.store.rows import AttemptRow
from protocol.messages import Figure, Forecast, Spread, Window
from protocol.names import PAGE_BYTES, Outcome

NEAR = 0.1
"""Within this share of what was foretold nothing needs to be explained."""

BUSY_CPU = 0.9
"""From this share of a processor on a stream is held up by its own work."""

Data = dict[str, Any]


def predicted_data(row: AttemptRow) -> Data | None:
    """What was foretold; `bounds` are least, most, and the limit that the policy's rules set."""
    if (prediction := row.predicted) is None:
        return None
    told, way = prediction.forecast, prediction.way
    return {
        "policy": told.policy,
        **{name: getattr(told, name).likely for name in FIGURES},
        "bounds": {name: _bounds(getattr(told, name)) for name in FIGURES},
        "wire_bytes_per_s": way.wire_bytes_per_s.likely,
        "basis": way.basis,
        "curve": [[window.seconds, window.pages.likely * PAGE_BYTES] for window in _seen(row)],
        "reason": told.reason,
        "ends_by_itself": told.ends_by_itself,
    }


def _seen(row: AttemptRow) -> tuple[Window, ...]:
    return () if row.predicted is None else row.predicted.windows


def _bounds(figure: Figure) -> list[float]:
    return [figure.least, figure.most, figure.limit]


def explained_data(row: AttemptRow) -> Data | None:
    """How far off it was, and why; None where there is nothing to compare."""
    prediction = row.predicted
    if prediction is None or row.outcome is not Outcome.COMPLETED or not row.closed:
        return None
    told, was = prediction.forecast, measured(row)
    errors = {name: _off(was[name], getattr(told, name).likely) for name in FIGURES}
    outside = [name for name in FIGURES if not _inside(was[name], getattr(told, name))]
    goodput, dirtying, cpu = _speed(row, prediction), _writing(row, prediction), _cpu_share(row)
    return {
        "within_bounds": not outside,
        "outside": outside,
        "errors": errors,
        "goodput_ratio": goodput,
        "dirtying_ratio": dirtying,
        "cpu_share": cpu,
        "sentence": sentence(errors, goodput, dirtying, cpu),
    }


def measured(row: AttemptRow) -> dict[str, float]:
    """The figures that are foretold, as they came: without waiting for a place or for a
    coordinator, and without verifying.
    """
    assert row.ended_at is not None, "only what is over is measured"
    verifying = sum(seconds for name, seconds in row.parts if name == "verify")
    total = row.ended_at - row.asked_at - row.queued_s - row.waited_s - verifying
    return {
        "rounds": float(len(row.rounds)),
        "wire_bytes": float(sum(record.wire_bytes for record in row.rounds)),
        "total_s": max(0.0, total),
        "blackout_s": max(0.0, sum(seconds for _, seconds in row.parts) - verifying),
    }


def _off(was: float, likely: float) -> float:
    """How much more it was than foretold, as a share of what it was."""
    return (was - likely) / max(was, 1e-9)


def _inside(was: float, figure: Figure) -> bool:
    return figure.least <= was <= figure.most


def _speed(row: AttemptRow, prediction: Prediction) -> float:
    """The wire's speed against the likely one; 1 is as foretold."""
    copied = [record for record in row.rounds if record.seconds > 0 and record.wire_bytes]
    if not copied:
        return 1.0
    largest = max(copied, key=lambda record: record.wire_bytes)
    speed = largest.wire_bytes / largest.seconds
    return speed / max(prediction.way.wire_bytes_per_s.likely, 1.0)


def _writing(row: AttemptRow, prediction: Prediction) -> float:
    """What the guest wrote in the first round; 1 is as foretold."""
    wrote, expected = row.rounds[0].dirty_pages_at_end, prediction.forecast.first_dirty_pages
    return 1.0 if max(wrote, expected) < 1 else wrote / max(expected, 1.0)


def _cpu_share(row: AttemptRow) -> float:
    """How busy each stream kept a processor."""
    seconds = sum(record.seconds for record in row.rounds) * max(row.travel.streams, 1)
    return sum(record.cpu_s for record in row.rounds) / seconds if seconds > 0 else 0.0


def sentence(errors: dict[str, float], goodput: float, dirtying: float, cpu: float) -> str:
    """What explains the difference, for a person."""
    if max(abs(errors[name]) for name in ("total_s", "wire_bytes")) <= NEAR:
        return "As foretold."
    why = []
    if abs(goodput - 1) > NEAR:
        why.append(f"the wire carried {goodput:.2f} times what was reckoned with")
    if abs(dirtying - 1) > NEAR:
        why.append(f"the guest wrote {dirtying:.2f} times as much in the first round")
    if cpu > BUSY_CPU:
        why.append(f"the streams kept their processors busy for {cpu * 100:.0f} % of the time")
    if not why:
        why.append("rounds and wire were as foretold, so it is what lies around them")
    return f"Total {errors['total_s']:+.0%} against the forecast: {', and '.join(why)}."


# ---- for who asks before


def forecast_data(told: Forecast) -> Data:
    figures = {name: _figure(getattr(told, name)) for name in FIGURES}
    more = {"reason": told.reason, "ends_by_itself": told.ends_by_itself}
    return {"policy": told.policy, **figures, **more}


def _figure(figure: Figure) -> Data:
    return {name: getattr(figure, name) for name in ("likely", "least", "most", "limit")}


def spread_data(spread: Spread) -> Data:
    return {name: getattr(spread, name) for name in ("likely", "least", "most")}


def curve_data(windows: tuple[Window, ...]) -> list[Data]:
    return [
        {
            "seconds": window.seconds,
            "bytes": window.pages.likely * PAGE_BYTES,
            "least_bytes": window.pages.least * PAGE_BYTES,
            "most_bytes": window.pages.most * PAGE_BYTES,
        }
        for window in windows
    ]
