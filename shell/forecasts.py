"""What was foretold, as tables and sentences for people."""

from collections.abc import Mapping
from typing import Any

from shell.amounts import count, mib, mib_per_s, ms, seconds
from shell.session import Renderables
from shell.tables import table, text

Row = Mapping[str, Any]

BOUND = "Brackets hold what it may come to, for what was seen of the guest and of the wire."


def estimate(data: Row) -> Renderables:
    """The guest's curve, and what each policy would make of a migration."""
    wire = data["wire_bytes_per_s"]
    speed = f"{mib_per_s(wire['likely'])} ({mib_per_s(wire['least'])} to {mib_per_s(wire['most'])})"
    lines = [
        f"{data['vm']} from {data['source']} to {text(data['target'])}",
        f"Wire: {speed}, from {data['basis']}.",
    ]
    if data["zero_share"] > 0.005:
        lines.append(f"Zero pages: {data['zero_share'] * 100:.0f} %.")
    if data["packed_share"] < 1:
        lines.append(f"Compressed, {data['packed_share'] * 100:.0f} % of the bytes are left.")
    tables = (curve(data["curve"]), policies(data["policies"]))
    return ["\n".join(lines), *tables, *map(_ending, data["policies"]), BOUND]


def _ending(row: Row) -> str:
    return f"{row['policy']}: {row['reason']}"


def curve(points: list[Row]) -> Any:
    rows = [
        [
            ms(point["seconds"]),
            mib(point["bytes"]),
            f"{mib(point['least_bytes'])} to {mib(point['most_bytes'])}",
            mib_per_s(point["bytes"] / point["seconds"]),
        ]
        for point in points
    ]
    headings = (">within", ">written", ">from, to", ">a second")
    return table("What the guest writes, each page counted once", headings, rows)


def policies(rows: list[Row]) -> Any:
    cells = [
        [
            str(row["policy"]),
            _in_cell(row["rounds"], count),
            _in_cell(row["wire_bytes"], mib),
            _in_cell(row["total_s"], seconds),
            _in_cell(row["blackout_s"], ms),
        ]
        for row in rows
    ]
    headings = ("policy", ">rounds", ">sent", ">total", ">blackout")
    return table("A migration by each policy", headings, cells)


def _in_cell(figure: Row, said: Any) -> str:
    return _figure(figure, said, "\n")


def _figure(figure: Row, said: Any, between: str = " ") -> str:
    likely, least, most = (said(figure[name]) for name in ("likely", "least", "most"))
    return likely if least == most else f"{likely}{between}({least} to {most})"


def drain(data: Row) -> Renderables:
    """In which order, whereto, and how long."""
    rows = [
        [
            *(str(place), str(row["vm"]), str(row["target"])),
            _in_cell(row["total_s"], seconds),
            _in_cell(row["blackout_s"], ms),
        ]
        for place, row in enumerate(data["vms"], start=1)
    ]
    title = f"Draining {data['node']}, {'one' if data['at_once'] == 1 else data['at_once']} at once"
    headings = (">order", "VM", "to", ">total", ">blackout")
    parts: list[Any] = [table(title, headings, rows)] if rows else [f"{title}: nothing has to move"]
    parts += [f"{row['vm']} stays: {row['reason']}" for row in data["stay"]]
    if rows:
        parts.append(f"All of it: {_figure(data['total_s'], seconds)}.")
    return parts


def score(data: Row, took_s: float) -> str:
    """What a drain took, against what was foretold."""
    total = data["total_s"]
    off = (took_s - total["likely"]) / max(took_s, 1e-9)
    inside = "within" if total["least"] <= took_s <= total["most"] else "outside"
    bounds = f"{seconds(total['least'])} to {seconds(total['most'])}"
    return (
        f"Foretold {seconds(total['likely'])}, took {seconds(took_s)} ({off:+.0%}; {inside}"
        f" {bounds})."
    )
