"""Pictures of migrations as SVG, drawn with matplotlib, which is imported when one is drawn."""

import io
from collections.abc import Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from protocol.names import PAGE_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from matplotlib.axes import Axes

WIDTH_IN = 7.2
MB = 1e6
COLOURS = ("#31688e", "#d95f02", "#35b779", "#7b3294", "#b8860b", "#666666", "#c51b7d", "#1b1b1b")
ROUND, BLACKOUT, PREPARE, REST = "#7fb3d5", "#c0392b", "#d5d8dc", "#ecf0f1"


@dataclass(frozen=True, slots=True)
class Line:
    """One migration to draw, and what it is called."""

    name: str
    run: Mapping[str, Any]


def time_line(lines: Sequence[Line]) -> str:
    """Where the time went: preparing, each round, the blackout, and what lies between."""
    with _drawing(0.9 + 0.42 * len(lines)) as (axes, done):
        for row, line in enumerate(reversed(lines)):
            at = 0.0
            for seconds, colour in _pieces(line.run):
                axes.barh(row, seconds, left=at, color=colour, edgecolor="white", linewidth=0.4)
                at += seconds
        axes.set_yticks(range(len(lines)), [line.name for line in reversed(lines)])
        axes.set_xlabel(
            "seconds; grey: preparing (S3), blue: rounds, red: blackout, pale: the rest"
        )
    return done[0]


def rounds(lines: Sequence[Line]) -> str:
    """What was dirty at the end of each round."""
    with _drawing(3.0) as (axes, done):
        for line, colour in zip(lines, _colours(lines), strict=True):
            rows = line.run["rounds"]
            if len(rows) > 1:
                dirty = [row["dirty_pages_at_end"] * PAGE_BYTES / MB for row in rows[:-1]]
                axes.plot(
                    range(len(dirty)), dirty, "o-", color=colour, label=line.name, markersize=4
                )
        axes.set_yscale("symlog", linthresh=0.1)
        axes.set_xlabel("round")
        axes.set_ylabel("dirty at its end, MB")
        _legend(axes)
    return done[0]


def dirty_curve(lines: Sequence[Line]) -> str:
    """Unique bytes that the guest dirtied in a time: each round is a point, the forecast a line."""
    with _drawing(3.0) as (axes, done):
        for line, colour in zip(lines, _colours(lines), strict=True):
            points = [
                (row["seconds"], row["dirty_pages_at_end"] * PAGE_BYTES / MB)
                for row in line.run["rounds"][:-1]
            ]
            if points:
                seconds, dirty = zip(*points, strict=True)
                axes.scatter(seconds, dirty, color=colour, s=16, label=line.name)
            curve = (line.run["predicted"] or {}).get("curve") or ()
            if curve:
                axes.plot(
                    [point[0] for point in curve],
                    [point[1] / MB for point in curve],
                    color=colour,
                    linewidth=1,
                )
        axes.set_xlabel("seconds")
        axes.set_ylabel("unique MB dirtied")
        _legend(axes)
    return done[0]


def predicted(lines: Sequence[Line]) -> str:
    """Total time as it was predicted beside what it was; on the diagonal the forecast is right."""
    with _drawing(3.4) as (axes, done):
        most = 0.0
        for line, colour in zip(lines, _colours(lines), strict=True):
            told = line.run["predicted"] or {}
            if told.get("total_s"):
                axes.scatter(told["total_s"], line.run["total_s"], color=colour, label=line.name)
                most = max(most, told["total_s"], line.run["total_s"])
        axes.plot([0, most * 1.1], [0, most * 1.1], color="#999999", linewidth=0.8)
        axes.set_xlabel("predicted, seconds")
        axes.set_ylabel("measured, seconds")
        _legend(axes)
    return done[0]


def _pieces(run: Mapping[str, Any]) -> list[tuple[float, str]]:
    """Seconds and colour of each piece, in their order."""
    rows = run["rounds"][:-1] if len(run["rounds"]) > 1 else run["rounds"]
    copying = [(row["seconds"], ROUND) for row in rows]
    told = sum(seconds for seconds, _ in copying) + run["blackout_s"]
    between = max(0.0, run["total_s"] - told)
    return [
        (run["prepare_s"] or 0.0, PREPARE),
        *copying,
        (between, REST),
        (run["blackout_s"], BLACKOUT),
    ]


def _colours(lines: Sequence[Line]) -> list[str]:
    return [COLOURS[number % len(COLOURS)] for number in range(len(lines))]


def _legend(axes: "Axes") -> None:
    if axes.get_legend_handles_labels()[0]:
        axes.legend(fontsize=7, frameon=False)


@contextmanager
def _drawing(height_in: float) -> "Iterator[tuple[Axes, list[str]]]":
    """Axes to draw on; afterwards the list holds the SVG, without a date, so it can be compared."""
    import matplotlib
    from matplotlib.figure import Figure

    done = list[str]()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "hvlab", "font.size": 8}):
        figure = Figure(figsize=(WIDTH_IN, height_in), layout="constrained")
        axes = figure.add_subplot()
        axes.spines[["top", "right"]].set_visible(False)
        yield axes, done
        text = io.StringIO()
        figure.savefig(text, format="svg", metadata={"Date": None})
    drawn = text.getvalue()
    done.append(drawn[drawn.index("<svg") :])
