"""`hvlab cluster backup` and `restore`: the store of a lab on this machine."""

from pathlib import Path
from typing import Annotated, Any

import typer

from lab.commands import LabName, home, print_data
from lab.errors import LabError
from protocol.errors import ClusterError
from shell.session import Json, examples

File = Annotated[Path, typer.Argument(help="The backup.")]


def state_dir(name: str | None) -> Path:
    """The folder of the lab's coordinator; LabError where several share an etcd."""
    record = home().lab(name)
    if record.stores:
        url = record.stores[0].url
        raise LabError(
            f"lab {record.name!r} keeps its rows in etcd: save them with etcdctl --endpoints {url}"
            " snapshot save FILE"
        )
    return record.state_dir / record.coordinators[0].name


def told(word: str, found: Any, file: Path, as_json: bool) -> None:
    data = {"cluster": found.cluster, "term": found.term, "revision": found.revision}
    if as_json:
        print_data({**data, "file": str(file)})
    else:
        typer.echo(f"{word} cluster {found.cluster}, term {found.term}, as {file}.")


def backup(file: File, name: LabName = None, as_json: Json = False) -> None:
    """Copy the cluster's store to a new file; the coordinator may run meanwhile."""
    from coordinator.io import backup as stores  # other commands need not load it

    try:
        found = stores.backup(state_dir(name), file)
    except ClusterError as exc:
        raise LabError(str(exc)) from exc
    told("Kept", found, file, as_json)


def restore(
    file: File,
    force: Annotated[
        bool, typer.Option("--force", help="Also replace a newer store, or another cluster's.")
    ] = False,
    name: LabName = None,
    as_json: Json = False,
) -> None:
    """Put a backup in place of the store; kill the coordinator before, and restart it after."""
    from coordinator.io import backup as stores

    try:
        found = stores.restore(state_dir(name), file, force=force)
    except ClusterError as exc:
        raise LabError(str(exc)) from exc
    told("Restored", found, file, as_json)


def add_to(cluster: typer.Typer) -> None:
    """Enter them into the family `hvlab cluster`."""
    cluster.command(epilog=examples("hvlab cluster backup cluster.kept"))(backup)
    cluster.command(
        epilog=examples("hvlab fault kill coordinator", "hvlab cluster restore cluster.kept")
    )(restore)
