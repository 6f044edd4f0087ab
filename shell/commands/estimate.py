"""`hvlab estimate`: what a migration would cost, before anything moves."""

from typing import Annotated

import typer

from shell import forecasts
from shell.commands import migrate as words
from shell.errors import DONE
from shell.paths import path
from shell.session import ApiUrl, Call, Json, Lab, Session, desk_of, examples


def estimate(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="The VM.")],
    to: Annotated[
        str | None, typer.Option(metavar="NODE", help="Where to; left out: the best node.")
    ] = None,
    policy: Annotated[
        str | None, typer.Option(metavar="POLICY", help="By this policy; left out: by all.")
    ] = None,
    window: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="How long the guest is watched at most, such as 10s."),
    ] = None,
    streams: words.Streams = None,
    compress: words.Packing = None,
    level: words.Level = None,
    marking: words.Marks = None,
    rate: words.Rate = None,
    downtime: words.Downtime = None,
    as_json: Json = False,
    lab: Lab = None,
    api: ApiUrl = None,
) -> None:
    """Watch what a guest writes, and foretell a migration of it by every policy.

    The guest runs on, and nothing is moved. A longer window knows more of a long migration.
    """
    body = words.wanted(
        {
            **{"to": to, "policy": policy, "window": window, "streams": streams, "level": level},
            **{"compress": compress and compress.value, "marking": marking and marking.value},
            **{"rate": rate, "downtime": downtime},
        }
    )

    async def command(session: Session) -> int:
        if not session.call.as_json:
            session.aloud.print(f"Watching what {name} writes.", markup=False, highlight=False)
        data = await session.api.post(path("vms", name, "estimate"), body)
        session.show(data, lambda: forecasts.estimate(data))
        return DONE

    desk_of(ctx).run(Call(as_json, lab, api), command)


def add_to(app: typer.Typer) -> None:
    app.command(
        epilog=examples(
            "hvlab estimate sql01 --to node2",
            "hvlab estimate sql01 --policy 2008r2 --rate 118MB/s --json",
            "hvlab estimate sql01 --window 10s --downtime 20ms",
        )
    )(estimate)
