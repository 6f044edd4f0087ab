"""Measurements on this machine, with their spread: A against B in turns, or against what may be."""

import json
import shlex
import sys
import tempfile
from pathlib import Path
from typing import Annotated

import rich.console
import rich.table
import typer
import uvloop

from lab.bench import Part, comparing
from lab.bench.comparisons import BY_NAME, COMPARISONS
from lab.bench.page_path import PIECE_BYTES
from lab.bench.parts import Came, Note, measured
from lab.bench.report import Machine, as_rich, brief, page, section_of
from protocol.workload import parse_size

TITLE = "What hvlab bench measured"
WIDTH = 150
"""Of tables that go to a file."""


def size_of(text: str) -> int:
    """Bytes from words like `1GiB` or `512MiB`."""
    try:
        size = parse_size(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    if size == 0 or size % PIECE_BYTES:
        raise typer.BadParameter(f"{text} is not a multiple of 1MiB greater than 0")
    return size


def chosen(names: list[str], parts: list[Part]) -> list[str]:
    """What to measure, in the order that was asked for; all parts if nothing was."""
    known = {part.value for part in Part} | BY_NAME.keys()
    for name in names:
        if name not in known:
            raise typer.BadParameter(
                f"there is no {name!r}: hvlab bench --list names what there is"
            )
    asked = [*names, *(part.value for part in parts)]
    return list(dict.fromkeys(asked)) or [part.value for part in Part]


def listing() -> rich.table.Table:
    table = rich.table.Table(title="What hvlab bench can measure")
    table.add_column("name")
    table.add_column("what is compared, the first with each of the others")
    for part in Part:
        table.add_row(part.value, "a part of make bench")
    for comparison in COMPARISONS:
        cases = "; ".join(case.name for case in comparison.cases)
        table.add_row(comparison.name, f"{comparison.about}. {cases}")
    return table


def compare(name: str, memory_bytes: int, rounds: int, note: Note) -> Came:
    """One named comparison."""
    with tempfile.TemporaryDirectory(prefix="hvlab-bench-") as folder:
        work = comparing.compared(BY_NAME[name], memory_bytes, rounds, Path(folder), note)
        found = uvloop.run(work)
    return Came(name, comparing.as_data(found), [as_rich(brief(found))], [section_of(found)])


def run(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="[NAME...]", help="Parts or comparisons; left out: all parts."),
    ] = None,
    rounds: Annotated[int, typer.Option(min=1, help="Interleaved rounds of each way.")] = 10,
    memory: Annotated[str, typer.Option(help="Memory of the VM, like 512MiB or 1GiB.")] = "1GiB",
    parts: Annotated[
        list[Part] | None, typer.Option("--part", help="A part by name; may be repeated.")
    ] = None,
    listed: Annotated[bool, typer.Option("--list", help="Say what can be measured.")] = False,
    html_file: Annotated[
        Path | None, typer.Option("--html", metavar="FILE", help="Write a report with pictures.")
    ] = None,
    json_file: Annotated[
        Path | None, typer.Option("--json-file", metavar="FILE", help="Write data to a file.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print data, not a table.")] = False,
) -> None:
    """Measure migrations and what they do to heartbeats, failovers, shared disks, and a large
    cluster at rest.

    Pages and migrations are held against a bare send/recv loop and against QEMU, heartbeats against
    a control, failovers against the sum of their parts in docs/protocol.md, our iSCSI target and
    initiator against others, redirected I/O against direct, the large cluster against what it may
    cost.
    """
    width = None if sys.stdout.isatty() else WIDTH
    aloud = rich.console.Console(stderr=True)
    out = rich.console.Console(quiet=as_json, width=width)
    if listed:
        out.print(listing())
        return
    memory_bytes, machine = size_of(memory), Machine.this()
    data: dict[str, object] = {"memory_bytes": memory_bytes, "rounds": rounds}
    data["machine"], data["command"] = str(machine), shlex.join(sys.argv)
    sections = []
    for name in chosen(names or [], parts or []):
        if name in BY_NAME:
            came = compare(name, memory_bytes, rounds, aloud.print)
        else:
            came = measured(Part(name), memory_bytes, rounds, aloud.print)
        data[came.key] = came.data
        sections += came.sections
        for table in came.tables:
            out.print(table)
        # Written again after each, so that a run that is broken off leaves what it has.
        if html_file is not None:
            html_file.write_text(page(TITLE, machine, shlex.join(sys.argv), sections))
        if json_file is not None:
            json_file.write_text(json.dumps(data, indent=2))
    if as_json:
        print(json.dumps(data, indent=2))


if __name__ == "__main__":
    typer.run(run)
