"""`hvlab migrate`: one live migration, watched to its end."""

from typing import Annotated

import typer

from protocol.names import Verify
from shell import tables
from shell.errors import DONE, FAILED, Declined, as_data
from shell.paths import path
from shell.progress import Bars, ended
from shell.session import ApiUrl, Call, Data, Json, Lab, Session, desk_of, examples
from shell.waiting import follow


def code_of(record: Data) -> int:
    """Done is only what completed and did not turn out to differ."""
    return DONE if record["outcome"] == "completed" and record["verified"] is not False else FAILED


async def move(session: Session, vm: str, to: str | None, policy: str, verify: str) -> int:
    body = {"to": to, "policy": policy, "verify": verify}
    try:
        begun = await session.api.post(
            path("vms", vm, "migrate"),
            {key: value for key, value in body.items() if value is not None},
        )
    except Declined as exc:
        record = exc.body.get("record")
        if record is None or not session.call.as_json:
            raise
        session.show({**record, **as_data(exc)}, list)
        return FAILED
    with Bars(session.aloud, silent=session.call.as_json) as bars:
        record = await watched(session, begun["attempt"], bars)
    session.show(record, lambda: tables.record(record))
    return code_of(record)


async def watched(session: Session, attempt: int, bars: Bars) -> Data:
    """The attempt, once its record is complete."""
    where = f"/attempts/{attempt}"

    def is_over(row: Data) -> bool:
        bars.update([row])
        return ended(row)

    return await follow(session, where, is_over, f"{where}/cancel", f"migration {attempt}")


def migrate(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="The VM.")],
    to: Annotated[
        str | None, typer.Option(metavar="NODE", help="Where to; left out: the best node.")
    ] = None,
    policy: Annotated[str, typer.Option(help="When to stop the guest.")] = "2008r2",
    verify: Annotated[
        Verify, typer.Option(help="How much of the memory is compared at the switch.")
    ] = Verify.OFF,
    as_json: Json = False,
    lab: Lab = None,
    api: ApiUrl = None,
) -> None:
    """Move a running VM to another node; Ctrl-C cancels it."""

    async def command(session: Session) -> int:
        return await move(session, name, to, policy, verify.value)

    desk_of(ctx).run(Call(as_json, lab, api), command)


def add_to(app: typer.Typer) -> None:
    app.command(
        epilog=examples(
            "hvlab migrate sql01 --to node2", "hvlab migrate sql01 --to node2 --verify full --json"
        )
    )(migrate)
