"""The console script `hvlab`: the shell's commands, and those that need the lab's own machine."""

from pathlib import Path
from typing import Annotated

import rich.console
import typer

from lab import commands, fault_commands, store_commands
from lab.bench import Part
from lab.errors import LabError
from shell.app import build
from shell.commands.cluster import cluster
from shell.errors import DONE, FAILED, ShellError
from shell.io import desk
from shell.session import Json, examples

SEEDS = 1000


def demo(
    keep: Annotated[bool, typer.Option("--keep", help="Leave the lab running at the end.")] = False,
    as_json: Json = False,
) -> None:
    """Watch a running VM move, be refused, survive its target, and start again elsewhere."""
    from lab.demo.play import play  # with all that measures, which other commands need not load

    raise typer.Exit(play(keep=keep, as_json=as_json))


def sim(
    seeds: Annotated[
        int | None, typer.Option(min=1, help="How many seeds to play; 1000, or 1 with --seed.")
    ] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="The first of them.")] = None,
    tables: Annotated[
        bool, typer.Option("--tables", help="Before them, every broken network and every step.")
    ] = False,
    storage: Annotated[
        bool, typer.Option("--storage", help="Seeds of a lab with shared disks instead.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Play seeds of the simulated cluster and check its promises after every event."""
    from lab.simulation import seeds as plain
    from lab.simulation import storage_seeds
    from lab.simulation.tables import play_tables

    replay = storage_seeds.replay if storage else plain.replay
    simulate = storage_seeds.simulate if storage else plain.simulate

    well = not tables or play_tables(console=rich.console.Console(stderr=as_json))
    if seed is not None and seeds is None:
        kept = replay(seed, rich.console.Console(stderr=as_json))
    else:
        first, many = seed or 0, seeds or SEEDS
        console = rich.console.Console(stderr=as_json)
        kept = simulate(range(first, first + many), console=console)
    kept = kept and well
    if as_json:
        played = seeds or (SEEDS if seed is None else 1)
        commands.print_data({"first": seed or 0, "seeds": played, "ok": kept})
    raise typer.Exit(DONE if kept else FAILED)


def bench(
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
    as_json: Json = False,
) -> None:
    """Measure migrations, beside QEMU where it is installed, and what else `make bench` does."""
    from lab.bench.__main__ import run

    run(names, rounds, memory, parts, listed, html_file, json_file, as_json)


def program() -> typer.Typer:
    """All commands of `hvlab`."""
    app = build()
    commands.add_to(app)
    fault_commands.add_to(app)
    store_commands.add_to(cluster)
    app.command(epilog=examples("hvlab demo", "hvlab demo --json"))(demo)
    app.command(
        epilog=examples(
            "hvlab sim --seeds 200", "hvlab sim --seeds 1 --seed 42", "hvlab sim --storage --seed 7"
        )
    )(sim)
    app.command(
        epilog=examples(
            "hvlab bench --list", "hvlab bench policies qemu --rounds 5 --html report.html"
        )
    )(bench)
    return app


def main() -> None:
    desk.main(program(), desk.LiveDesk(commands.find_api), (ShellError, LabError))


if __name__ == "__main__":
    main()
