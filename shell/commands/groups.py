"""`hvlab group`: the units of failover, where they run and by which rules they move."""

from typing import Annotated

import typer

from shell import boards
from shell.errors import DONE
from shell.paths import path
from shell.session import ApiUrl, Call, Data, Json, Lab, NoWait, Session, desk_of, examples
from shell.settings import settings
from shell.waiting import until_group

Name = Annotated[str, typer.Argument(metavar="GROUP", help="The group.")]
LISTS = ("PreferredOwners", "AntiAffinityClassNames")

group = typer.Typer(no_args_is_help=True, help="Groups: list, show, set, move, start, stop, fail.")


@group.command("list", epilog=examples("hvlab group list", "hvlab group list --json"))
def list_all(
    ctx: typer.Context, as_json: Json = False, lab: Lab = None, api: ApiUrl = None
) -> None:
    """List all groups."""

    async def command(session: Session) -> int:
        rows = await session.api.get("/groups")
        session.show(rows, lambda: [boards.groups(rows)] if rows else ["There are no groups."])
        return DONE

    desk_of(ctx).run(Call(as_json, lab, api), command)


@group.command(epilog=examples("hvlab group show sql01", "hvlab group show sql01 --json"))
def show(
    ctx: typer.Context, name: Name, as_json: Json = False, lab: Lab = None, api: ApiUrl = None
) -> None:
    """Show one group with its resources and settings."""

    async def command(session: Session) -> int:
        row = await session.api.get(path("groups", name))
        session.show(row, lambda: boards.group(row))
        return DONE

    desk_of(ctx).run(Call(as_json, lab, api), command)


@group.command(
    "set",
    epilog=examples(
        "hvlab group set sql01 FailoverThreshold=2 FailoverPeriod=6",
        "hvlab group set sql01 PreferredOwners=node1,node2 AutoFailbackType=1",
    ),
)
def set_group(
    ctx: typer.Context,
    name: Name,
    words: Annotated[
        list[str], typer.Argument(metavar="NAME=VALUE...", help="Settings; lists with commas.")
    ],
    as_json: Json = False,
    lab: Lab = None,
    api: ApiUrl = None,
) -> None:
    """Change settings of a group, all or none."""
    body = {"settings": settings(words, LISTS)}

    async def command(session: Session) -> int:
        row = await session.api.patch(path("groups", name), body)
        session.show(row, lambda: boards.group(row))
        return DONE

    desk_of(ctx).run(Call(as_json, lab, api), command)


@group.command(
    epilog=examples("hvlab group move sql01 --to node2", "hvlab group move sql01 --json")
)
def move(
    ctx: typer.Context,
    name: Name,
    to: Annotated[
        str | None, typer.Option(metavar="NODE", help="Where to; left out: the best node.")
    ] = None,
    no_wait: NoWait = False,
    as_json: Json = False,
    lab: Lab = None,
    api: ApiUrl = None,
) -> None:
    """Take a group offline here and online there; hvlab migrate moves a VM while it runs."""

    async def command(session: Session) -> int:
        before = await session.api.get(path("groups", name))
        row = await session.api.post(path("groups", name, "move"), {} if to is None else {"to": to})
        if not no_wait:
            row = await until_group(
                session, name, before["state"], lambda now: bool(now["owner"] == row["node"])
            )
        return tell(session, row, "was moved")

    desk_of(ctx).run(Call(as_json, lab, api), command)


def tell(session: Session, row: Data, done: str) -> int:
    session.show(row, lambda: [f"{row['name']} {done}: {row['state']} on {row['owner']}."])
    return DONE


@group.command(epilog=examples("hvlab group start sql01"))
def start(
    ctx: typer.Context,
    name: Name,
    no_wait: NoWait = False,
    as_json: Json = False,
    lab: Lab = None,
    api: ApiUrl = None,
) -> None:
    """Bring a group online, its resources in their order."""

    async def command(session: Session) -> int:
        row = await session.api.post(path("groups", name, "start"))
        return tell(
            session, row if no_wait else await until_group(session, name, "Online"), "was started"
        )

    desk_of(ctx).run(Call(as_json, lab, api), command)


@group.command(epilog=examples("hvlab group stop sql01"))
def stop(
    ctx: typer.Context,
    name: Name,
    no_wait: NoWait = False,
    as_json: Json = False,
    lab: Lab = None,
    api: ApiUrl = None,
) -> None:
    """Take a group offline; the memory of its VM is lost."""

    async def command(session: Session) -> int:
        row = await session.api.post(path("groups", name, "stop"))
        return tell(
            session, row if no_wait else await until_group(session, name, "Offline"), "was stopped"
        )

    desk_of(ctx).run(Call(as_json, lab, api), command)


@group.command(
    epilog=examples(
        "hvlab group fail sql01",
        'hvlab group fail sql01 --resource "Virtual Machine Configuration sql01"',
    )
)
def fail(
    ctx: typer.Context,
    name: Name,
    resource: Annotated[
        str | None, typer.Option(metavar="RESOURCE", help="Which; left out: the VM itself.")
    ] = None,
    as_json: Json = False,
    lab: Lab = None,
    api: ApiUrl = None,
) -> None:
    """Let one resource of a group fail once, to see what its rules make of it."""

    async def command(session: Session) -> int:
        chosen = resource or f"Virtual Machine {name}"
        row = await session.api.post(path("resources", chosen, "fail"))
        session.show(row, lambda: [f"{chosen} fails now; hvlab events tells what follows."])
        return DONE

    desk_of(ctx).run(Call(as_json, lab, api), command)


def add_to(app: typer.Typer) -> None:
    app.add_typer(group, name="group")
