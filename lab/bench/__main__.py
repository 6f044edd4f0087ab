"""Measurements on this machine, with their spread: A against B in turns, or against what may be."""

import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import rich.console
import rich.table
import typer
import uvloop

from lab.bench import Part, failover, initiators, migrations, page_path, redirected, scale, storage
from lab.bench.failover import Failover
from lab.bench.heartbeats import CONTROL, PRODUCT, Beats, beats_under, full_load
from lab.bench.migrations import Move, whole_migrations
from lab.bench.page_path import PIECE_BYTES, in_words
from lab.bench.scale import Rest
from protocol.workload import parse_size

FAILOVER_ROUNDS_MAX = 3
"""Each is seven deaths for each number of VMs, and takes about two minutes."""


def size_of(text: str) -> int:
    """Bytes from words like `1GiB` or `512MiB`."""
    try:
        size = parse_size(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    if size == 0 or size % PIECE_BYTES:
        raise typer.BadParameter(f"{text} is not a multiple of 1MiB greater than 0")
    return size


def moves(memory_bytes: int, rounds: int, note: Callable[[str], None]) -> list[Move]:
    with tempfile.TemporaryDirectory(prefix="hvlab-bench-") as folder:
        return uvloop.run(whole_migrations(memory_bytes, rounds, Path(folder), note))


def moves_table(title: str, found: list[Move]) -> rich.table.Table:
    table = rich.table.Table(title=title, caption="median (min - max)")
    table.add_column("what")
    table.add_column("figure", justify="right")
    rows = {
        "round 0, GB/s": [move.goodput_bytes_per_s / 1e9 for move in found],
        "bare loop, GB/s": [move.bare_bytes_per_s / 1e9 for move in found],
        "ratio": [move.ratio for move in found],
        "copy part of the blackout, ms": [move.copy_s * 1e3 for move in found],
        "blackout, ms": [sum(move.blackout.values()) * 1e3 for move in found],
        "whole migration, s": [move.total_s for move in found],
    }
    for name, figures in rows.items():
        table.add_row(name, in_words(figures))
    return table


def heartbeats(note: Callable[[str], None]) -> list[tuple[str, Beats]]:
    """What migrations do to heartbeats, and what they would if pages went over the event loop."""
    load = full_load()
    found = []
    for name, agent in (("pages in threads", PRODUCT), ("pages on the loop", CONTROL)):
        note(f"heartbeats, {name}")
        with tempfile.TemporaryDirectory(prefix="hvlab-bench-") as folder:
            beats = uvloop.run(beats_under(load, Path(folder), note, agent))
        found.append((name, beats))
    return found


def beats_table(found: list[tuple[str, Beats]]) -> rich.table.Table:
    table = rich.table.Table(title="Gaps between heartbeats while VMs move back to back")
    table.add_column("agents")
    for heading in ("migrations", "median s", "p99.9 s", "longest s"):
        table.add_column(heading, justify="right")
    table.add_column("verdict")
    for name, beats in found:
        figures = (beats.median_s, beats.long_s, beats.longest_s)
        words = [f"{figure:.3f}" for figure in figures]
        table.add_row(name, str(beats.migrations), *words, beats.suffer or "they do not suffer")
    return table


def failovers(rounds: int, note: Callable[[str], None]) -> list[Failover]:
    with tempfile.TemporaryDirectory(prefix="hvlab-bench-") as folder:
        return uvloop.run(failover.failovers(rounds, Path(folder), note))


def failover_table(found: list[Failover]) -> rich.table.Table:
    delay_ms, threshold = failover.TIMING.delay_s * 1000, failover.TIMING.threshold
    table = rich.table.Table(
        title=f"From a node's death on, in seconds: delay {delay_ms:g} ms, threshold {threshold}",
        caption="median (min - max); a limit is the sum of docs/protocol.md for the case",
    )
    table.add_column("who dies")
    for heading in ("VMs", "taken for dead", "view holds", "limit", "first VM runs"):
        table.add_column(heading, justify="right")
    for heading in ("all run", "limit", "each runs elsewhere, once"):
        table.add_column(heading, justify="right")
    for row in failover.rows(found):
        table.add_row(*row)
    return table


def at_rest(note: Callable[[str], None]) -> Rest:
    with tempfile.TemporaryDirectory(prefix="hvlab-bench-") as folder:
        return uvloop.run(scale.at_rest(scale.FULL, Path(folder), note))


def rest_table(rest: Rest) -> rich.table.Table:
    table = rich.table.Table(title="A large cluster at rest", caption="median (min - max)")
    table.add_column("what")
    table.add_column("figure", justify="right")
    for name, figure in scale.in_words(rest):
        table.add_row(name, figure)
    return table


def volumes(rounds: int, note: Callable[[str], None]) -> storage.Storage:
    with tempfile.TemporaryDirectory(prefix="hvlab-bench-") as folder:
        return uvloop.run(storage.storage(rounds, Path(folder), note))


def run(
    rounds: Annotated[int, typer.Option(min=1, help="Interleaved rounds of each way.")] = 10,
    memory: Annotated[str, typer.Option(help="Memory of the VM, like 512MiB or 1GiB.")] = "1GiB",
    parts: Annotated[
        list[Part] | None, typer.Option("--part", help="Only this part; may be repeated.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print data, not a table.")] = False,
) -> None:
    """Measure migrations and what they do to heartbeats, failovers, shared disks, and a large
    cluster at rest.

    Pages and migrations are held against a bare send/recv loop, heartbeats against a control,
    failovers against the sum of their parts in docs/protocol.md, our iSCSI target and initiator
    against others, redirected I/O against direct, the large cluster against what it may cost.
    """
    memory_bytes = size_of(memory)
    aloud, out = rich.console.Console(stderr=True), rich.console.Console(quiet=as_json)
    data: dict[str, object] = {"memory_bytes": memory_bytes, "rounds": rounds}
    for part in parts or list(Part):
        match part:
            case Part.PAGE_PATH:
                results = page_path.page_path(memory_bytes, rounds, aloud.print)
                data["page_path"] = page_path.as_data(results)
                title = f"Page path: {memory} of random pages, {rounds} rounds"
                out.print(page_path.as_table(title, results))
            case Part.MIGRATIONS:
                moved = moves(memory_bytes, rounds, aloud.print)
                data["migrations"] = migrations.as_data(moved)
                title = f"Migrations of an idle guest with {memory} of random pages, {rounds} times"
                out.print(moves_table(title, moved))
            case Part.HEARTBEATS:
                found = heartbeats(aloud.print)
                data["heartbeats"] = {name: beats.as_data() for name, beats in found}
                out.print(beats_table(found))
            case Part.FAILOVER:
                deaths = failovers(min(rounds, FAILOVER_ROUNDS_MAX), aloud.print)
                data["failover"] = failover.as_data(deaths)
                out.print(failover_table(deaths))
            case Part.SCALE:
                rest = at_rest(aloud.print)
                data["scale"] = rest.as_data()
                out.print(rest_table(rest))
            case Part.INITIATORS:
                duels = initiators.initiators(rounds, aloud.print)
                data["initiators"] = {duel.name: duel.as_data() for duel in duels}
                out.print(initiators.as_table("Our initiator beside libiscsi", duels))
            case Part.TARGETS:
                duels = initiators.targets(rounds, aloud.print)
                duels += initiators.files(rounds, aloud.print)
                data["targets"] = {duel.name: duel.as_data() for duel in duels}
                out.print(initiators.as_table("Our target beside tgtd", duels))
            case Part.STORAGE:
                stored = volumes(rounds, aloud.print)
                data["storage"] = stored.as_data()
                out.print(storage.as_table(stored))
            case Part.REDIRECTED:
                duels = redirected.redirected(rounds, aloud.print)
                data["redirected"] = {duel.name: duel.as_data() for duel in duels}
                out.print(initiators.as_table("Through a volume's owner", duels))
    if as_json:
        print(json.dumps(data, indent=2))


if __name__ == "__main__":
    typer.run(run)
