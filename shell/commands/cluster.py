"""`hvlab cluster`: what the cluster is, and the properties that it lives by."""

from typing import Annotated

import typer

from shell import boards
from shell.errors import DONE, BadWords
from shell.session import ApiUrl, Call, Data, Json, Lab, Session, desk_of, examples
from shell.settings import settings

cluster = typer.Typer(
    no_args_is_help=True, help="The cluster and its properties, by their names in the field."
)


async def properties(session: Session) -> list[Data]:
    rows: list[Data] = await session.api.get("/cluster/properties")
    return rows


def chosen(rows: list[Data], names: list[str]) -> list[Data]:
    """The rows of these names, whatever their capitals; BadWords for a name that is none."""
    known = {row["name"].lower(): row for row in rows}
    for name in names:
        if name.lower() not in known:
            raise BadWords(
                f"there is no property {name!r}: hvlab cluster show lists those that there are"
            )
    return [known[name.lower()] for name in names]


@cluster.command(epilog=examples("hvlab cluster show", "hvlab cluster show --json"))
def show(ctx: typer.Context, as_json: Json = False, lab: Lab = None, api: ApiUrl = None) -> None:
    """Show the cluster and all its properties with their ranges."""

    async def command(session: Session) -> int:
        status = await session.api.get("/status")
        rows = await properties(session)
        facts = {key: status.get(key) for key in ("cluster", "cluster_id", "leader", "term")}
        data = {**facts, "properties": {row["name"]: row["value"] for row in rows}}
        session.show(data, lambda: boards.cluster(status, rows))
        return DONE

    desk_of(ctx).run(Call(as_json, lab, api), command)


@cluster.command(
    epilog=examples("hvlab cluster get SameSubnetDelay", "hvlab cluster get AddEvictDelay --json")
)
def get(
    ctx: typer.Context,
    names: Annotated[list[str], typer.Argument(metavar="NAME...", help="Properties.")],
    as_json: Json = False,
    lab: Lab = None,
    api: ApiUrl = None,
) -> None:
    """Print properties: their values, or with --json all that is known of them."""

    async def command(session: Session) -> int:
        rows = chosen(await properties(session), names)
        session.show(rows, lambda: [f"{row['name']}={row['value']}" for row in rows])
        return DONE

    desk_of(ctx).run(Call(as_json, lab, api), command)


@cluster.command(
    "set",
    epilog=examples(
        "hvlab cluster set SameSubnetDelay=500",
        "hvlab cluster set SameSubnetDelay=500 SameSubnetThreshold=10",
    ),
)
def set_properties(
    ctx: typer.Context,
    words: Annotated[
        list[str], typer.Argument(metavar="NAME=VALUE...", help="Properties and their values.")
    ],
    as_json: Json = False,
    lab: Lab = None,
    api: ApiUrl = None,
) -> None:
    """Set properties, all or none: one that is out of range changes nothing."""
    body = settings(words)

    async def command(session: Session) -> int:
        rows = await session.api.patch("/cluster/properties", body)
        mine = chosen(rows, list(body))
        session.show(mine, lambda: [f"{row['name']}={row['value']}" for row in mine])
        return DONE

    desk_of(ctx).run(Call(as_json, lab, api), command)


def add_to(app: typer.Typer) -> None:
    app.add_typer(cluster, name="cluster")
