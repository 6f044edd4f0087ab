"""`hvlab events`: the event log, and what is added to it."""

import datetime
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Annotated, Any

import typer

from shell import tables
from shell.errors import DONE, BadWords
from shell.session import ApiUrl, Call, Data, Json, Lab, Session, desk_of, examples
from shell.times import moment

PAGE_EVENTS = 500
LEVELS = ("info", "warning", "error", "critical")


@dataclass(frozen=True, slots=True)
class Filter:
    """Which events are told; a level tells the worse ones, too."""

    since: float | None = None
    until: float | None = None
    level: str | None = None
    node: str | None = None
    ids: tuple[int, ...] = ()
    group: str | None = None

    def query(self) -> dict[str, Any]:
        """As the API takes it."""
        ids = ",".join(str(one) for one in self.ids)
        return {
            "since": self.since,
            "until": self.until,
            "level": self.level,
            "node": self.node,
            "id": ids or None,
            "group": self.group,
        }

    def admits(self, row: Data) -> bool:
        """The same for what a stream tells."""
        return (
            (self.since is None or row["at"] >= self.since)
            and (self.until is None or row["at"] <= self.until)
            and (self.level is None or _badness(row["level"]) >= _badness(self.level))
            and self.node in (None, row.get("node"))
            and (not self.ids or row["id"] in self.ids)
            and self.group in (None, row.get("group"))
        )


def _badness(level: str) -> int:
    return LEVELS.index(level) if level in LEVELS else 0


ALL = Filter()


async def logged(session: Session, after: int, only: Filter = ALL) -> AsyncIterator[Data]:
    """All events after that index, as many as there are by now."""
    query = only.query()
    while rows := await session.api.get("/log", after=after, limit=PAGE_EVENTS, **query):
        for row in rows:
            yield row
        after = rows[-1]["index"]


def tell(session: Session, row: Data) -> None:
    at = datetime.datetime.fromtimestamp(row["at"], datetime.UTC).astimezone()
    clock = at.strftime("%H:%M:%S.%f")[:-3]
    session.show(row, lambda: [tables.event({**row, "clock": clock})])


async def read(session: Session, after: int, follow: bool, only: Filter = ALL) -> int:
    last = after
    async for row in logged(session, after, only):
        last = row["index"]
        tell(session, row)
    if follow:
        async for heard in session.api.events(last):
            row = json.loads(heard.data) if heard.event == "event" else {}
            if row and only.admits(row):
                tell(session, row)
    return DONE


def events(
    ctx: typer.Context,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with new ones.")] = False,
    after: Annotated[int, typer.Option(min=0, help="Only those after this index.")] = 0,
    since: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="Only from then on: 10m, 2h (ago) or an ISO time."),
    ] = None,
    until: Annotated[
        str | None, typer.Option(metavar="TIME", help="Only up to then, in the same words.")
    ] = None,
    level: Annotated[
        str | None,
        typer.Option(metavar="LEVEL", help="Only this and worse: info, warning, error, critical."),
    ] = None,
    node: Annotated[str | None, typer.Option(metavar="NODE", help="Only of this node.")] = None,
    ids: Annotated[
        list[int] | None, typer.Option("--id", help="Only this event id; may be repeated.")
    ] = None,
    group: Annotated[str | None, typer.Option(metavar="GROUP", help="Only of this group.")] = None,
    as_json: Json = False,
    lab: Lab = None,
    api: ApiUrl = None,
) -> None:
    """Print the event log; with --json one object a line."""
    if level is not None and level not in LEVELS:
        raise BadWords(f"{level!r} is no level: it is one of {', '.join(LEVELS)}")

    async def command(session: Session) -> int:
        now = session.wall()
        only = Filter(
            None if since is None else moment(since, now),
            None if until is None else moment(until, now),
            *(level, node, tuple(ids or ()), group),
        )
        return await read(session, after, follow, only)

    desk_of(ctx).run(Call(as_json, lab, api), command)


def add_to(app: typer.Typer) -> None:
    app.command(
        epilog=examples(
            "hvlab events --follow",
            "hvlab events --after 40 --json",
            "hvlab events --since 10m --level warning --node node1",
            "hvlab events --id 1135 --id 1177",
        )
    )(events)
