"""`hvlab vm move-storage`: the files of a running VM, to another volume."""

from typing import Annotated

import typer

from protocol.workload import format_size
from shell.errors import DONE, FAILED, BadWords
from shell.paths import path
from shell.session import ApiUrl, Call, Data, Json, Lab, Session, desk_of, examples
from shell.waiting import follow


def _far(row: Data) -> str:
    copied, total = int(row["copied_bytes"]), int(row["total_bytes"])
    share = 100 * copied // total if total else 100
    return f"{share} % of {format_size(total)} copied"


async def _ended(session: Session, name: str, number: int) -> Data:
    """The move once it is over."""
    said = ""

    def is_over(vm: Data) -> bool:
        nonlocal said
        row = vm["storage_move"]
        if row["move"] != number or row["state"] == "Closed":
            return True
        if (far := _far(row)) != said and not session.call.as_json:
            said = far
            session.aloud.print(f"{name}: {far}", markup=False, highlight=False)
        return False

    where, stop = path("vms", name), path("vms", name, "cancel-storage-move")
    row: Data = await follow(session, where, is_over, stop, f"the move of the files of {name}")
    moved: Data = row["storage_move"]
    return moved


def _told(name: str, row: Data) -> str:
    match row["outcome"]:
        case "completed":
            return f"The files of {name} are on {row['to']} now, after {row['seconds']:.1f} s."
        case None:
            return f"The files of {name} are being moved to {row['to']}."
        case how:
            return f"The move of {name} to {row['to']} {how}: {row['reason'].rstrip('.')}."


def move_storage(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="The VM, which runs on.")],
    to: Annotated[
        str | None, typer.Option(help="The volume for its files, such as Volume2.")
    ] = None,
    cancel: Annotated[
        bool, typer.Option("--cancel", help="Leave them where they are; until it is decided.")
    ] = False,
    no_wait: Annotated[
        bool, typer.Option("--no-wait", help="Return once it has begun, not once it is over.")
    ] = False,
    as_json: Json = False,
    lab: Lab = None,
    api: ApiUrl = None,
) -> None:
    """Move the virtual disks and the configuration of a running VM to another volume.

    Ctrl-C cancels it.
    """
    if (to is None) != cancel:
        raise BadWords("say either --to VOLUME or --cancel")

    async def command(session: Session) -> int:
        if cancel:
            asked = await session.api.post(path("vms", name, "cancel-storage-move"))
        else:
            asked = await session.api.post(path("vms", name, "move-storage"), {"to": to})
        if no_wait:
            row: Data = (await session.api.get(path("vms", name)))["storage_move"]
        else:
            row = await _ended(session, name, asked["move"])
        session.show({"vm": name, **row}, lambda: [_told(name, row)])
        wanted = ("cancelled",) if cancel else ("completed", None) if no_wait else ("completed",)
        return DONE if row["outcome"] in wanted else FAILED

    desk_of(ctx).run(Call(as_json, lab, api), command)


def add_to(vm: typer.Typer) -> None:
    words = (
        "hvlab vm move-storage sql01 --to Volume2",
        "hvlab vm move-storage sql01 --cancel",
    )
    vm.command("move-storage", epilog=examples(*words))(move_storage)
