"""`hvlab events`: the event log, and what is added to it."""

import datetime
import json
from collections.abc import AsyncIterator
from typing import Annotated

import typer

from shell import tables
from shell.errors import DONE
from shell.session import ApiUrl, Call, Data, Json, Lab, Session, desk_of, examples

PAGE_EVENTS = 500


async def logged(session: Session, after: int) -> AsyncIterator[Data]:
    """All events after that index, as many as there are by now."""
    while rows := await session.api.get("/log", after=after, limit=PAGE_EVENTS):
        for row in rows:
            yield row
        after = rows[-1]["index"]


def tell(session: Session, row: Data) -> None:
    at = datetime.datetime.fromtimestamp(row["at"], datetime.UTC).astimezone()
    clock = at.strftime("%H:%M:%S.%f")[:-3]
    session.show(row, lambda: [tables.event({**row, "clock": clock})])


async def read(session: Session, after: int, follow: bool) -> int:
    last = after
    async for row in logged(session, after):
        last = row["index"]
        tell(session, row)
    if follow:
        async for heard in session.api.events(last):
            if heard.event == "event":
                tell(session, json.loads(heard.data))
    return DONE


def events(
    ctx: typer.Context,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with new ones.")] = False,
    after: Annotated[int, typer.Option(min=0, help="Only those after this index.")] = 0,
    as_json: Json = False,
    lab: Lab = None,
    api: ApiUrl = None,
) -> None:
    """Print the event log; with --json one object a line."""

    async def command(session: Session) -> int:
        return await read(session, after, follow)

    desk_of(ctx).run(Call(as_json, lab, api), command)


def add_to(app: typer.Typer) -> None:
    app.command(epilog=examples("hvlab events --follow", "hvlab events --after 40 --json"))(events)
