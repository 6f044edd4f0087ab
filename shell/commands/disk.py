"""`hvlab disk`: clustered disks, and those that could be."""

from typing import Annotated

import typer

from shell import storage_boards as boards
from shell.confirmation import DISK_OATH, WRITERS, swear
from shell.errors import DONE
from shell.paths import path
from shell.session import ApiUrl, Call, Data, Json, Lab, NoWait, Session, desk_of, examples
from shell.waiting import until_row

Name = Annotated[str, typer.Argument(metavar="DISK", help="Its name in the cluster, or its id.")]

disk = typer.Typer(no_args_is_help=True, help="Disks of the cluster: list, add, remove, owner.")


async def online(session: Session, word: str, no_wait: bool) -> Data:
    """The disk, once somebody owns it; with `no_wait` as it is now."""

    def what(row: Data) -> str:
        return f"{word} is still {boards.state(row)}"

    return await until_row(
        session, path("disks", word), lambda row: no_wait or row["state"] == "Online", what
    )


@disk.command(
    "list",
    epilog=examples("hvlab disk list", "hvlab disk list --available", "hvlab disk list --json"),
)
def list_all(
    ctx: typer.Context,
    available: Annotated[
        bool, typer.Option("--available", help="Only disks that could be added.")
    ] = False,
    as_json: Json = False,
    lab: Lab = None,
    api: ApiUrl = None,
) -> None:
    """List the disks of the cluster, and those that all nodes see."""

    async def command(session: Session) -> int:
        found = await session.api.get("/disks")
        rows = [row for row in found if not (available and row["clustered"])]
        session.show(rows, lambda: [boards.disks(rows)] if rows else ["There are no disks."])
        return DONE

    desk_of(ctx).run(Call(as_json, lab, api), command)


@disk.command(epilog=examples('hvlab disk show "Cluster Disk 1"'))
def show(
    ctx: typer.Context, name: Name, as_json: Json = False, lab: Lab = None, api: ApiUrl = None
) -> None:
    """Show one disk: who owns it, who may write to it, and each node's paths."""

    async def command(session: Session) -> int:
        row = await session.api.get(path("disks", name))
        session.show(row, lambda: boards.disk(row))
        return DONE

    desk_of(ctx).run(Call(as_json, lab, api), command)


@disk.command(epilog=examples("hvlab disk add", "hvlab disk add 600140500000000000000001"))
def add(
    ctx: typer.Context,
    ids: Annotated[
        list[str] | None, typer.Argument(metavar="[ID]...", help="Left out: all that there are.")
    ] = None,
    no_wait: NoWait = False,
    as_json: Json = False,
    lab: Lab = None,
    api: ApiUrl = None,
) -> None:
    """Add disks that all nodes see to Available Storage, and wait until they are Online."""

    async def command(session: Session) -> int:
        wanted = ids
        if not wanted:
            found = await session.api.get("/disks")
            wanted = [row["id"] for row in found if not row["clustered"]]
        for one in wanted:
            await session.api.post("/disks", {"disk": one})
        rows = [await online(session, one, no_wait) for one in wanted]
        none = "There is no disk that all nodes see and that is not in the cluster."
        session.show(rows, lambda: [boards.disks(rows)] if rows else [none])
        return DONE

    desk_of(ctx).run(Call(as_json, lab, api), command)


@disk.command(epilog=examples('hvlab disk remove "Cluster Disk 2"'))
def remove(
    ctx: typer.Context, name: Name, as_json: Json = False, lab: Lab = None, api: ApiUrl = None
) -> None:
    """Take a disk of Available Storage out of the cluster; what is on it stays."""

    async def command(session: Session) -> int:
        await session.api.delete(path("disks", name))
        data = {"disk": name, "removed": True}
        session.show(data, lambda: [f"{name} leaves the cluster."])
        return DONE

    desk_of(ctx).run(Call(as_json, lab, api), command)


@disk.command(
    epilog=examples('hvlab disk owner "Cluster Disk 1"', 'hvlab disk owner "Cluster Disk 1" node2')
)
def owner(
    ctx: typer.Context,
    name: Name,
    node: Annotated[
        str | None, typer.Argument(metavar="[NODE]", help="The new owner; left out: say who it is.")
    ] = None,
    no_wait: NoWait = False,
    as_json: Json = False,
    lab: Lab = None,
    api: ApiUrl = None,
) -> None:
    """Say who owns a disk, or move it to another node."""

    async def command(session: Session) -> int:
        if node is not None:
            await session.api.post(path("disks", name, "owner"), {"to": node})
            row = await online(session, name, no_wait)
        else:
            row = await session.api.get(path("disks", name))
        who = row["owner"] or "no node"
        session.show(row, lambda: [f"{name}: {row['state']}, owned by {who}."])
        return DONE

    desk_of(ctx).run(Call(as_json, lab, api), command)


@disk.command(
    epilog=examples(
        'hvlab disk force "Cluster Disk 1"', f'hvlab disk force Volume1 --oath "{DISK_OATH}"'
    )
)
def force(
    ctx: typer.Context,
    name: Name,
    oath: Annotated[
        str | None,
        typer.Option(
            metavar="WORDS",
            help=f'"{DISK_OATH}": look first. Left out: it is asked for, but never of a script.',
        ),
    ] = None,
    as_json: Json = False,
    lab: Lab = None,
    api: ApiUrl = None,
) -> None:
    """Let a disk and what is on it move although nobody can fence the nodes that left.

    If one of those nodes still writes, data are destroyed: the oath is that they are off.
    """
    call = Call(as_json, lab, api)
    swear(desk_of(ctx), call, oath, DISK_OATH, WRITERS)

    async def command(session: Session) -> int:
        row = await session.api.post(path("disks", name, "force"), {"oath": True})
        session.show(row, lambda: boards.disk(row))
        return DONE

    desk_of(ctx).run(call, command)


def add_to(app: typer.Typer) -> None:
    app.add_typer(disk, name="disk")
