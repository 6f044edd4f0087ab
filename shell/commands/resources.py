"""`hvlab resource`: the parts of groups, and what happens when one of them fails."""

from typing import Annotated

import typer

from shell import boards
from shell.errors import DONE
from shell.paths import path
from shell.session import ApiUrl, Call, Json, Lab, Session, desk_of, examples
from shell.settings import settings

Name = Annotated[str, typer.Argument(metavar="RESOURCE", help="The resource, in quotation marks.")]
LISTS = ("PossibleOwners",)

resource = typer.Typer(no_args_is_help=True, help="Resources: list, show, set, fail.")


@resource.command("list", epilog=examples("hvlab resource list", "hvlab resource list --json"))
def list_all(
    ctx: typer.Context, as_json: Json = False, lab: Lab = None, api: ApiUrl = None
) -> None:
    """List the resources of all groups."""

    async def command(session: Session) -> int:
        rows = await session.api.get("/resources")
        people = [boards.resources(rows)] if rows else ["There are no resources."]
        session.show(rows, lambda: people)
        return DONE

    desk_of(ctx).run(Call(as_json, lab, api), command)


@resource.command(epilog=examples('hvlab resource show "Virtual Machine sql01"'))
def show(
    ctx: typer.Context, name: Name, as_json: Json = False, lab: Lab = None, api: ApiUrl = None
) -> None:
    """Show one resource with its settings."""

    async def command(session: Session) -> int:
        row = await session.api.get(path("resources", name))
        session.show(row, lambda: boards.resource(row))
        return DONE

    desk_of(ctx).run(Call(as_json, lab, api), command)


@resource.command(
    "set",
    epilog=examples(
        'hvlab resource set "Virtual Machine sql01" RestartAction=1 RestartThreshold=3',
        'hvlab resource set "Virtual Machine sql01" PossibleOwners=node1,node2',
    ),
)
def set_resource(
    ctx: typer.Context,
    name: Name,
    words: Annotated[
        list[str], typer.Argument(metavar="NAME=VALUE...", help="Settings; lists with commas.")
    ],
    as_json: Json = False,
    lab: Lab = None,
    api: ApiUrl = None,
) -> None:
    """Change settings of a resource, all or none."""
    body = {"settings": settings(words, LISTS)}

    async def command(session: Session) -> int:
        row = await session.api.patch(path("resources", name), body)
        session.show(row, lambda: boards.resource(row))
        return DONE

    desk_of(ctx).run(Call(as_json, lab, api), command)


@resource.command(epilog=examples('hvlab resource fail "Virtual Machine sql01"'))
def fail(
    ctx: typer.Context, name: Name, as_json: Json = False, lab: Lab = None, api: ApiUrl = None
) -> None:
    """Let it fail once, to see what its rules make of it."""

    async def command(session: Session) -> int:
        row = await session.api.post(path("resources", name, "fail"))
        session.show(row, lambda: [f"{name} fails now; hvlab events tells what follows."])
        return DONE

    desk_of(ctx).run(Call(as_json, lab, api), command)


def add_to(app: typer.Typer) -> None:
    app.add_typer(resource, name="resource")
