"""`hvlab csv`: Cluster Shared Volumes."""

from typing import Annotated, Any

import typer

from shell import storage_boards as boards
from shell.errors import DONE, FAILED, BadWords, Declined, ShellError
from shell.paths import path
from shell.session import ApiUrl, Call, Data, Json, Lab, NoWait, Session, desk_of, examples
from shell.waiting import until_row

Volume = Annotated[str, typer.Argument(metavar="VOLUME", help="The volume, such as Volume1.")]
Switch = Annotated[str, typer.Argument(metavar="on|off", help="What it shall be.")]

csv = typer.Typer(no_args_is_help=True, help="Cluster Shared Volumes: enable, add, move, check.")


class NotAdded(ShellError):
    """The disk stayed what it was."""

    code = "not-added"


def switched(word: str) -> bool:
    if word.lower() not in ("on", "off"):
        raise BadWords(f"{word!r} is neither on nor off: say one of them")
    return word.lower() == "on"


async def settled(session: Session, name: str, no_wait: bool) -> Data:
    """The volume, once its owner serves it and nothing of it moves; with `no_wait` as it is now."""

    def is_so(row: Data) -> bool:
        return no_wait or (row["state"] != "offline" and not row["moving_to"])

    def what(row: Data) -> str:
        return f"{name} is still {boards.state(row)}"

    return await until_row(session, path("volumes", name), is_so, what)


async def added(session: Session, name: str, disk: str, no_wait: bool) -> Data:
    """The volume, once it is online; or why its disk is in Available Storage again."""
    try:
        return await settled(session, name, no_wait)
    except Declined as error:
        row = await session.api.get(path("disks", disk))
        if error.code != "unknown-volume" or not row.get("reason"):
            raise
        raise NotAdded(f"{disk} did not become a volume: {row['reason'].rstrip('.')}") from None


@csv.command(epilog=examples("hvlab csv enable"))
def enable(
    ctx: typer.Context,
    root: Annotated[
        str | None, typer.Option(help="The folder that all nodes have them in.")
    ] = None,
    as_json: Json = False,
    lab: Lab = None,
    api: ApiUrl = None,
) -> None:
    """Enable shared volumes for the cluster: once, and for good; the second time is harmless."""

    async def command(session: Session) -> int:
        body: dict[str, Any] = {"EnableSharedVolumes": "Enabled"}
        if root is not None:
            body["SharedVolumesRoot"] = root
        rows = await session.api.patch("/cluster/properties", body)
        found = {row["name"]: row["value"] for row in rows}
        data = {"enabled": True, "root": found["SharedVolumesRoot"]}
        text = f"Cluster Shared Volumes are enabled, in {data['root']} on every node."
        session.show(data, lambda: [text])
        return DONE

    desk_of(ctx).run(Call(as_json, lab, api), command)


@csv.command(epilog=examples("hvlab csv show", "hvlab csv show Volume1 --json"))
def show(
    ctx: typer.Context,
    name: Annotated[
        str | None, typer.Argument(metavar="[VOLUME]", help="Left out: all of them.")
    ] = None,
    as_json: Json = False,
    lab: Lab = None,
    api: ApiUrl = None,
) -> None:
    """Show all volumes, or one with how each node reaches it."""

    async def command(session: Session) -> int:
        if name is not None:
            row = await session.api.get(path("volumes", name))
            session.show(row, lambda: boards.volume(row))
            return DONE
        rows = await session.api.get("/volumes")
        none = "There are no shared volumes: hvlab csv add makes one of a disk."
        session.show(rows, lambda: [boards.volumes(rows)] if rows else [none])
        return DONE

    desk_of(ctx).run(Call(as_json, lab, api), command)


@csv.command(
    epilog=examples('hvlab csv add "Cluster Disk 1"', 'hvlab csv add "Cluster Disk 2" --force')
)
def add(
    ctx: typer.Context,
    disk: Annotated[str, typer.Argument(metavar="DISK", help="A disk of Available Storage.")],
    force: Annotated[
        bool, typer.Option("--force", help="Format it, whatever it holds: that is lost.")
    ] = False,
    no_wait: NoWait = False,
    as_json: Json = False,
    lab: Lab = None,
    api: ApiUrl = None,
) -> None:
    """Make a disk of Available Storage a volume that every node has."""

    async def command(session: Session) -> int:
        made = await session.api.post("/volumes", {"disk": disk, "force": force})
        row = await added(session, made["name"], disk, no_wait)
        session.show(row, lambda: [f"{disk} is {row['name']}: {row['path']} on every node."])
        return DONE

    desk_of(ctx).run(Call(as_json, lab, api), command)


@csv.command(epilog=examples("hvlab csv remove Volume1"))
def remove(
    ctx: typer.Context, name: Volume, as_json: Json = False, lab: Lab = None, api: ApiUrl = None
) -> None:
    """Move a volume back to Available Storage; refused while VMs have files there."""

    async def command(session: Session) -> int:
        await session.api.delete(path("volumes", name))
        data = {"volume": name, "removed": True}
        session.show(data, lambda: [f"{name} is in Available Storage again."])
        return DONE

    desk_of(ctx).run(Call(as_json, lab, api), command)


@csv.command(epilog=examples("hvlab csv move Volume1 --to node2", "hvlab csv move Volume1"))
def move(
    ctx: typer.Context,
    name: Volume,
    to: Annotated[str | None, typer.Option(help="The new owner; left out: the best one.")] = None,
    no_wait: NoWait = False,
    as_json: Json = False,
    lab: Lab = None,
    api: ApiUrl = None,
) -> None:
    """Let another node own a volume; guests go on."""

    async def command(session: Session) -> int:
        await session.api.post(path("volumes", name, "move"), {"to": to})
        row = await settled(session, name, no_wait)
        session.show(row, lambda: [f"{name} is owned by {row['owner'] or 'no node'}."])
        return DONE

    desk_of(ctx).run(Call(as_json, lab, api), command)


def turn(ctx: typer.Context, call: Call, name: str, what: str, on: bool) -> None:
    """Redirected access or maintenance mode, on or off."""

    async def command(session: Session) -> int:
        row = await session.api.post(path("volumes", name, what), {"on": on})
        session.show(row, lambda: boards.volume(row))
        return DONE

    desk_of(ctx).run(call, command)


@csv.command(epilog=examples("hvlab csv redirect Volume1 on", "hvlab csv redirect Volume1 off"))
def redirect(
    ctx: typer.Context,
    name: Volume,
    state: Switch,
    as_json: Json = False,
    lab: Lab = None,
    api: ApiUrl = None,
) -> None:
    """Turn redirected access on or off: all I/O goes through the owner."""
    turn(ctx, Call(as_json, lab, api), name, "redirect", switched(state))


@csv.command(
    epilog=examples("hvlab csv maintenance Volume1 on", "hvlab csv maintenance Volume1 off")
)
def maintenance(
    ctx: typer.Context,
    name: Volume,
    state: Switch,
    as_json: Json = False,
    lab: Lab = None,
    api: ApiUrl = None,
) -> None:
    """Turn maintenance mode on or off; VMs with files there are turned off first."""
    turn(ctx, Call(as_json, lab, api), name, "maintenance", switched(state))


@csv.command(epilog=examples("hvlab csv rename Volume1 Data"))
def rename(
    ctx: typer.Context,
    name: Volume,
    new_name: Annotated[str, typer.Argument(metavar="NEW", help="Its new name.")],
    as_json: Json = False,
    lab: Lab = None,
    api: ApiUrl = None,
) -> None:
    """Give the volume's folder another name, on every node."""

    async def command(session: Session) -> int:
        row = await session.api.post(path("volumes", name, "rename"), {"name": new_name})
        session.show(row, lambda: [f"{name} is {row['path']} now."])
        return DONE

    desk_of(ctx).run(Call(as_json, lab, api), command)


@csv.command(epilog=examples("hvlab csv check Volume1", "hvlab csv check Volume1 --json"))
def check(
    ctx: typer.Context, name: Volume, as_json: Json = False, lab: Lab = None, api: ApiUrl = None
) -> None:
    """Have its owner check the volume; ends with 1 if anything is off."""

    async def command(session: Session) -> int:
        data = await session.api.post(path("volumes", name, "check"))
        session.show(data, lambda: boards.checked(data))
        return DONE if data["sound"] else FAILED

    desk_of(ctx).run(Call(as_json, lab, api), command)


def add_to(app: typer.Typer) -> None:
    app.add_typer(csv, name="csv")
