"""`hvlab status`: the whole cluster at a glance."""

import typer

from shell import tables
from shell.errors import DONE
from shell.session import ApiUrl, Call, Json, Lab, Session, desk_of, examples


async def show_status(session: Session) -> int:
    data = await session.api.get("/status")
    session.show(data, lambda: tables.status(data))
    return DONE


def status(ctx: typer.Context, as_json: Json = False, lab: Lab = None, api: ApiUrl = None) -> None:
    """Show the cluster: quorum, nodes, networks, groups."""
    desk_of(ctx).run(Call(as_json, lab, api), show_status)


def add_to(app: typer.Typer) -> None:
    app.command(epilog=examples("hvlab status", "hvlab status --json"))(status)
