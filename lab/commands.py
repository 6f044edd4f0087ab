"""The commands that start a lab, end it and read its logs.

What loads the models of topologies is imported where it is needed: it takes longer than most
commands do.
"""

import asyncio
import json
import os
import signal
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Annotated, Any

import rich.console
import typer

from lab.errors import LabError
from lab.home import Home, LabRecord
from shell.io.desk import run
from shell.session import Json, examples

LabName = Annotated[
    str | None,
    typer.Option("--name", metavar="LAB", help="Which lab; left out: the only running one."),
]
LOOK_EVERY_S = 0.1


def home() -> Home:
    return Home.from_env(os.environ)


def find_api(name: str | None) -> str:
    """The URL of a lab's API."""
    record = home().lab(name)
    if not record.is_running():
        raise LabError(
            f"lab {record.name!r} does not run any more: hvlab down --name {record.name}"
        )
    if not record.api:
        raise LabError(f"lab {record.name!r} is still being started: wait a moment")
    if len(record.coordinators) <= 1:
        return record.api
    from lab.leaders import any_api  # only such a lab needs to ask

    return str(run(any_api(record)))


def print_data(data: Any) -> None:
    typer.echo(json.dumps(data))


def noting(as_json: bool) -> Callable[[str], None]:
    """Says on the terminal what is being done; scripts want no remarks."""
    console = rich.console.Console(stderr=True)

    def note(line: str) -> None:
        if not as_json:
            console.print(line, markup=False, highlight=False, soft_wrap=True)

    return note


async def ending_in_order(work: Coroutine[Any, Any, Any]) -> Any:
    """SIGTERM and SIGHUP end it as Ctrl-C does: what it has started is ended with it."""
    loop, task = asyncio.get_running_loop(), asyncio.ensure_future(work)
    for sig in (signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(sig, task.cancel)
    try:
        return await task
    finally:
        for sig in (signal.SIGTERM, signal.SIGHUP):
            loop.remove_signal_handler(sig)


def up(
    topology: Annotated[
        str, typer.Argument(metavar="[TOPOLOGY]", help="A file, or a built-in name.")
    ] = "demo",
    fabric: Annotated[str, typer.Option(help="What makes the networks.")] = "loopback",
    name: Annotated[
        str | None, typer.Option(metavar="LAB", help="What to call it; left out: as its topology.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Start a lab: its programs, its cluster, its VMs."""
    from lab.forming import bring_up
    from lab.topology import find_topology

    wanted = find_topology(topology)
    if name is not None:
        wanted = wanted.called(name)
    note = noting(as_json)
    record: LabRecord = run(ending_in_order(bring_up(wanted, home(), fabric, note)))
    if as_json:
        print_data(record.public())
        return
    typer.echo(
        f"{record.name} is up: {len(record.nodes)} nodes, API at {record.api}. "
        f"Look with hvlab status, end it with hvlab down."
    )


def down(
    name: LabName = None,
    everything: Annotated[bool, typer.Option("--all", help="All labs, stale ones too.")] = False,
    as_json: Json = False,
) -> None:
    """End a lab: every process of it, and its folder."""
    if everything and name is not None:
        raise typer.BadParameter("--all and --name exclude each other: say one of them")
    from lab.processes import stop_lab

    records = home().labs() if everything else (home().lab(name),)
    note = noting(as_json)

    async def end() -> None:
        for record in records:
            note(f"{record.name}: ending {len(record.processes)} programs")
            await stop_lab(record)

    run(end())
    ended = [record.name for record in records]
    if as_json:
        print_data({"ended": ended})
    else:
        typer.echo(f"Ended: {', '.join(ended)}." if ended else "There is no lab.")


def told(path: Path, name: str, lines: int, as_json: bool) -> int:
    """Print the last lines of a log; the size up to which it was read."""
    content = path.read_bytes() if path.exists() else b""
    whole = content[: content.rfind(b"\n") + 1]
    for line in whole.decode(errors="replace").splitlines()[-lines:] if lines else ():
        _tell(name, line, as_json)
    return len(whole)


def _tell(name: str, line: str, as_json: bool) -> None:
    if as_json:
        print_data({"program": name, "line": line})
    else:
        typer.echo(f"{name}: {line}")


async def follow_logs(record: LabRecord, read: dict[str, int], as_json: bool) -> None:
    """Print what is added to the logs until the lab has ended."""
    while record.is_running():
        for name, at in read.items():
            path = record.log_path(name)
            if not path.exists() or path.stat().st_size == at:
                continue
            with path.open("rb") as file:
                file.seek(at)
                content = file.read()
            whole = content[: content.rfind(b"\n") + 1]
            read[name] = at + len(whole)
            for line in whole.decode(errors="replace").splitlines():
                _tell(name, line, as_json)
        await asyncio.sleep(LOOK_EVERY_S)


def logs(
    target: Annotated[
        str | None, typer.Argument(metavar="[NODE|coordinator]", help="Left out: all.")
    ] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with new lines.")] = False,
    lines: Annotated[int, typer.Option(min=0, help="How many of the last lines.")] = 100,
    name: LabName = None,
    as_json: Json = False,
) -> None:
    """Print what the programs of a lab have logged."""
    record = home().lab(name)
    programs = (*record.coordinators, *record.nodes, *record.stores, *record.sans)
    names = [one.name for one in programs]
    if target is not None:
        if target not in names:
            record.node(target)  # says which there are
        names = [target]
    read = {one: told(record.log_path(one), one, lines, as_json) for one in names}
    if follow:
        run(follow_logs(record, read, as_json))


def schema() -> None:
    """Print the JSON schema of topology files, for editors."""
    from lab.topology import topology_schema

    typer.echo(json.dumps(topology_schema(), indent=2))


def add_to(app: typer.Typer) -> None:
    app.command(
        epilog=examples("hvlab up", "hvlab up my-lab.yaml --name rehearsal", "hvlab up --json")
    )(up)
    app.command(epilog=examples("hvlab down", "hvlab down --all"))(down)
    app.command(epilog=examples("hvlab logs node1 --follow", "hvlab logs coordinator"))(logs)
    app.command(epilog=examples("hvlab schema > topology.schema.json"))(schema)
