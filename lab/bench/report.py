"""The HTML report: one file with tables and pictures, which reads nothing from anywhere else."""

import html
import os
import platform
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

import rich.table

from lab.bench import plots
from lab.bench.comparing import Compared, Found
from lab.bench.figures import Spread
from lab.bench.moving import Measured
from lab.procfs import machine_memory_bytes

STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; color: #222; }
table { border-collapse: collapse; margin: .6rem 0 1rem; font-size: 13px; }
th, td { padding: .25rem .6rem; border-bottom: 1px solid #ddd; text-align: right; }
th:first-child, td:first-child { text-align: left; }
td.missing { text-align: left; color: #a33; }
code { background: #f4f4f4; padding: .1rem .3rem; }
figure { margin: 0 0 1rem; } figcaption { font-size: 13px; color: #555; }
svg { max-width: 100%; height: auto; }
.held { color: #1a7f37; } .missed { color: #a33; }
"""

Figure = Callable[[Measured], float | None]
COLUMNS: tuple[tuple[str, Figure, float], ...] = (
    ("total, s", lambda run: run.total_s, 1.0),
    ("S3, s", lambda run: run.prepare_s, 1.0),
    ("round 0, MB/s", lambda run: run.goodput_bytes_per_s, 1e-6),
    ("rounds", lambda run: float(len(run.rounds)) if run.rounds else None, 1.0),
    ("wire, MB", lambda run: float(run.wire_bytes), 1e-6),
    ("blackout, ms", lambda run: run.blackout_s, 1e3),
    ("guest's gap, ms", lambda run: run.gap_s, 1e3),
    ("CPU s/GiB", lambda run: run.cpu_s_per_gib, 1.0),
)
WITH_SPREAD = ("total, s", "blackout, ms", "guest's gap, ms")
CAPTION = (
    "Median (least to most). total: from the moment the target's memory is there until the guest"
    " has all of it and runs; beside the first: of the same round; blackout: as the program that"
    " migrates tells it; guest's gap: from the last write on the source to the first on the target,"
    " QEMU's with a beat of 5 ms in it."
)


@dataclass(frozen=True, slots=True)
class Table:
    """A heading, columns and rows of text; a row of two is a name and why there is nothing."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    caption: str = ""


@dataclass(frozen=True, slots=True)
class Section:
    """A part of the report. `pictures`: SVG and what it shows."""

    title: str
    about: str
    tables: Sequence[Table] = ()
    pictures: Sequence[tuple[str, str]] = ()
    remarks: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Machine:
    """Where and under what load it was measured."""

    text: str
    load: tuple[float, float, float]
    began: str = field(default_factory=lambda: datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"))

    @classmethod
    def this(cls) -> "Machine":
        gib = machine_memory_bytes() / (1 << 30)
        text = (
            f"{os.cpu_count()} processors, {gib:.0f} GiB, {platform.system()}"
            f" {platform.release().split('-')[0]}, Python {platform.python_version()}"
        )
        return cls(text, os.getloadavg())

    def __str__(self) -> str:
        load = ", ".join(f"{figure:.2f}" for figure in self.load)
        return f"{self.began}: {self.text}; load average before it began: {load}"


def of_rich(table: rich.table.Table) -> Table:
    """A table for terminals as one for the report."""
    columns = [str(column.header) for column in table.columns]
    rows = zip(*(map(str, column.cells) for column in table.columns), strict=True)
    return Table(str(table.title or ""), columns, list(rows), str(table.caption or ""))


def as_rich(table: Table) -> rich.table.Table:
    """A table of the report for a terminal; what is missing has a line to itself below."""
    shown = rich.table.Table(title=table.title, caption_justify="left")
    for number, heading in enumerate(table.columns):
        shown.add_column(heading, justify="right" if number else "left")
    missing = [row for row in table.rows if len(row) == 2 < len(table.columns)]
    for row in table.rows:
        if row not in missing:
            shown.add_row(*row)
    notes = [table.caption, *(f"{name}: {why}" for name, why in missing)]
    shown.caption = "\n".join(note for note in notes if note)
    return shown


def brief(result: Compared) -> Table:
    """For a terminal: spreads where they matter most, and medians."""
    table = table_of(result)
    rows = [
        row if len(row) == 2 else [row[0], *(_brief(*pair) for pair in enumerate(row[1:], 1))]
        for row in table.rows
    ]
    return Table(table.title, table.columns, rows)


def _brief(column: int, cell: str) -> str:
    return cell if COLUMNS[column - 2][0] in WITH_SPREAD or column == 1 else cell.split(" (")[0]


def table_of(result: Compared) -> Table:
    """A row for each case."""
    first = result.found[0]
    heads = ["case", "beside the first", *(name for name, _, _ in COLUMNS)]
    return Table(
        result.comparison.about, heads, [_row(one, first) for one in result.found], CAPTION
    )


def _row(found: Found, first: Found) -> list[str]:
    if not found.runs or found.missing:
        return [found.case.name, f"not available: {found.missing}"]
    cells = [found.spread(figure) for _, figure, _ in COLUMNS]
    shown = [
        "" if cell is None else str(cell.times(factor))
        for cell, (_, _, factor) in zip(cells, COLUMNS, strict=True)
    ]
    beside = found.beside(first)
    return [found.case.name, "" if beside is None else str(beside), *shown]


def section_of(result: Compared) -> Section:
    """Its table, and pictures of the run of each case that took the median time."""
    has_runs = [found for found in result.found if found.runs]
    lines = [plots.Line(found.case.name, _drawn(found.typical)) for found in has_runs]
    pictures = []
    if lines:
        pictures.append((plots.time_line(lines), "Where the time went, in the median run of each."))
    several = [line for line in lines if len(line.run["rounds"]) > 1]
    if any(row["dirty_pages_at_end"] for line in several for row in line.run["rounds"]):
        pictures.append((plots.rounds(several), "What was dirty at the end of each round."))
        about = "Unique bytes dirtied while a round took so long; lines are forecasts."
        pictures.append((plots.dirty_curve(several), about))
    told = [
        plots.Line(found.case.name, _drawn(run))
        for found in has_runs
        for run in found.runs
        if (run.predicted or {}).get("total_s")
    ]
    if told:
        pictures.append((plots.predicted(told), "Total time, predicted and measured."))
    remarks = [*result.remarks, f"A VM of {result.memory_bytes >> 20} MiB."]
    if result.wire:
        remarks.append(f"iperf3 beside it: {Spread.of(result.wire).times(1e-9)} GB/s.")
    return Section(
        result.comparison.name, result.comparison.about, [table_of(result)], pictures, remarks
    )


def _drawn(run: Measured) -> dict[str, object]:
    names = ("total_s", "prepare_s", "blackout_s", "rounds", "predicted")
    return {name: getattr(run, name) for name in names}


def page(title: str, machine: Machine, command: str, sections: Sequence[Section]) -> str:
    """The whole file."""
    body = "".join(map(_section, sections))
    contents = "".join(
        f'<li><a href="#s{number}">{_text(section.title)}</a></li>'
        for number, section in enumerate(sections)
    )
    for number in range(len(sections)):
        body = body.replace("<section>", f'<section id="s{number}">', 1)
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{_text(title)}</title>'
        f"<style>{STYLE}</style><h1>{_text(title)}</h1><p>{_text(str(machine))}</p>"
        f"<p><code>{_text(command)}</code></p><ul>{contents}</ul>{body}</html>\n"
    )


def _section(section: Section) -> str:
    tables = "".join(map(_table, section.tables))
    pictures = "".join(
        f"<figure>{drawn}<figcaption>{_text(about)}</figcaption></figure>"
        for drawn, about in section.pictures
    )
    remarks = "".join(f"<p>{_text(remark)}</p>" for remark in section.remarks)
    return (
        f"<section><h2>{_text(section.title)}</h2><p>{_text(section.about)}</p>"
        f"{remarks}{tables}{pictures}</section>"
    )


def _table(table: Table) -> str:
    head = "".join(f"<th>{_text(name)}</th>" for name in table.columns)
    rows = "".join(_table_row(row, len(table.columns)) for row in table.rows)
    caption = f"<p><small>{_text(table.caption)}</small></p>" if table.caption else ""
    return f"<table><tr>{head}</tr>{rows}</table>{caption}"


def _table_row(row: Sequence[str], width: int) -> str:
    if len(row) == 2 < width:
        why = f'<td class="missing" colspan="{width - 1}">{_text(row[1])}</td>'
        return f"<tr><td>{_text(row[0])}</td>{why}</tr>"
    cells = "".join(f"<td{_mark(cell)}>{_text(cell)}</td>" for cell in row)
    return f"<tr>{cells}</tr>"


def _mark(cell: str) -> str:
    word = cell.partition(" ")[0]
    return f' class="{word}"' if word in ("held", "missed") else ""


def _text(words: str) -> str:
    return html.escape(words)
