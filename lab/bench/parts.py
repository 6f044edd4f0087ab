"""The parts of `make bench` that have a table of their own: each measured, told and shown."""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import rich.table
import uvloop

from lab.bench import (
    Part,
    codecs,
    failover,
    initiators,
    migrations,
    page_path,
    redirected,
    scale,
    storage,
)
from lab.bench.failover import Failover
from lab.bench.heartbeats import CONTROL, PRODUCT, Beats, beats_under, full_load
from lab.bench.holding import judged
from lab.bench.migrations import Move, whole_migrations
from lab.bench.page_path import in_words
from lab.bench.report import Section, as_rich, of_rich
from lab.bench.scale import Rest
from protocol.workload import format_size

FAILOVER_ROUNDS_MAX = 3
"""Each is seven deaths for each number of VMs, and takes about two minutes."""


Note = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Came:
    """What a part came to: data under its key, tables for a terminal, sections for a report."""

    key: str
    data: Any
    tables: list[rich.table.Table]
    sections: list[Section] = field(default_factory=list)


def came(key: str, data: Any, table: rich.table.Table) -> Came:
    title = key.replace("_", " ")
    return Came(key, data, [table], [Section(title, "", [of_rich(table)])])


def measured(part: Part, memory_bytes: int, rounds: int, note: Note) -> Came:
    """Carry one part out."""
    memory = format_size(memory_bytes)
    match part:
        case Part.PAGE_PATH:
            results = page_path.page_path(memory_bytes, rounds, note)
            title = f"Page path: {memory} of random pages, {rounds} rounds"
            table = page_path.as_table(title, results)
            return came("page_path", page_path.as_data(results), table)
        case Part.CODECS:
            packed = codecs.codecs(memory_bytes, rounds, note)
            title = f"Codecs at 118 MB/s, {rounds} rounds"
            return came("codecs", codecs.as_data(packed), codecs.as_table(title, packed))
        case Part.MIGRATIONS:
            moved = moves(memory_bytes, rounds, note)
            title = f"Migrations of an idle guest with {memory} of random pages, {rounds} times"
            return came("migrations", migrations.as_data(moved), moves_table(title, moved))
        case Part.HEARTBEATS:
            found = heartbeats(note)
            data = {name: beats.as_data() for name, beats in found}
            return came("heartbeats", data, beats_table(found))
        case Part.FAILOVER:
            deaths = failovers(min(rounds, FAILOVER_ROUNDS_MAX), note)
            return came("failover", failover.as_data(deaths), failover_table(deaths))
        case Part.SCALE:
            rest = at_rest(note)
            return came("scale", rest.as_data(), rest_table(rest))
        case Part.STORAGE:
            stored = volumes(rounds, note)
            return came("storage", stored.as_data(), storage.as_table(stored))
        case Part.INITIATORS | Part.TARGETS | Part.REDIRECTED:
            return duelled(part, rounds, note)
        case Part.GOALS:
            return goals(memory_bytes, rounds, note)


def duelled(part: Part, rounds: int, note: Note) -> Came:
    """Ours beside somebody else's, or one way beside another."""
    match part:
        case Part.INITIATORS:
            duels, title = initiators.initiators(rounds, note), "Our initiator beside libiscsi"
        case Part.TARGETS:
            duels = [*initiators.targets(rounds, note), *initiators.files(rounds, note)]
            title = "Our target beside tgtd"
        case _:
            duels, title = redirected.redirected(rounds, note), "Through a volume's owner"
    data = {duel.name: duel.as_data() for duel in duels}
    return came(part.value, data, initiators.as_table(title, duels))


def goals(memory_bytes: int, rounds: int, note: Note) -> Came:
    with tempfile.TemporaryDirectory(prefix="hvlab-bench-") as folder:
        held = judged(memory_bytes, rounds, Path(folder), note)
    return Came("goals", held.as_data(), [as_rich(held.table())], held.sections())


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
