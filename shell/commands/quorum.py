"""`hvlab quorum`: who votes, what may fail, and how to run on when too much has."""

from typing import Annotated

import typer

from protocol.names import QuorumMode
from shell import ballot
from shell.confirmation import OATH, swear
from shell.errors import DONE, BadWords
from shell.session import ApiUrl, Call, Data, Json, Lab, Session, desk_of, examples

quorum = typer.Typer(no_args_is_help=True, help="Show, change and force quorum.")

KINDS = {
    QuorumMode.NODE_AND_DISK: "Disk",
    QuorumMode.DISK_ONLY: "Disk",
    QuorumMode.NODE_AND_SHARE: "FileShare",
}
"""What kind of witness each mode that has one needs."""


def wanted(mode: QuorumMode, witness: str | None, name: str | None) -> Data:
    """The body that asks for a mode; BadWords for one without its witness, or with a needless
    one.
    """
    kind = KINDS.get(mode)
    if kind is None:
        if witness is not None or name is not None:
            raise BadWords(f"{mode.value} has no witness: leave it out, or choose another mode")
        return {"mode": mode.value}
    if not witness:
        what = "a disk or its folder" if kind == "Disk" else "a share's folder"
        raise BadWords(f"{mode.value} needs a witness: say --witness PATH, {what}")
    body = {"kind": kind, "path": witness}
    return {"mode": mode.value, "witness": body if name is None else {**body, "name": name}}


def tell(session: Session, data: Data) -> int:
    session.show(data, lambda: ballot.quorum(data))
    return DONE


@quorum.command(epilog=examples("hvlab quorum show", "hvlab quorum show --json"))
def show(ctx: typer.Context, as_json: Json = False, lab: Lab = None, api: ApiUrl = None) -> None:
    """Show every voter, the sum, and how many votes may be lost yet."""

    async def command(session: Session) -> int:
        return tell(session, await session.api.get("/quorum"))

    desk_of(ctx).run(Call(as_json, lab, api), command)


@quorum.command(
    "set",
    epilog=examples(
        "hvlab quorum set NodeMajority",
        "hvlab quorum set NodeAndDiskMajority --witness 'Cluster Disk 2'",
        "hvlab quorum set NodeAndDiskMajority --witness /srv/witness",
        "hvlab quorum set NodeAndFileShareMajority --witness /srv/share --witness-name share1",
    ),
)
def set_mode(
    ctx: typer.Context,
    mode: Annotated[
        QuorumMode, typer.Argument(metavar="MODE", case_sensitive=False, help="Whose votes count.")
    ],
    witness: Annotated[
        str | None,
        typer.Option(metavar="PATH", help="A disk of the SAN, or a folder that all nodes reach."),
    ] = None,
    witness_name: Annotated[
        str | None, typer.Option(metavar="WITNESS", help="What to call it.")
    ] = None,
    as_json: Json = False,
    lab: Lab = None,
    api: ApiUrl = None,
) -> None:
    """Change mode and witness; nothing is taken offline, and no quorum may be lost by it.

    Modes: NodeMajority, NodeAndDiskMajority, NodeAndFileShareMajority, DiskOnly.
    """
    body = wanted(mode, witness, witness_name)

    async def command(session: Session) -> int:
        return tell(session, await session.api.put("/quorum", body))

    desk_of(ctx).run(Call(as_json, lab, api), command)


@quorum.command(
    epilog=examples(
        "hvlab quorum force node1", f'hvlab quorum force node1 node2 --oath "{OATH}" --json'
    )
)
def force(
    ctx: typer.Context,
    nodes: Annotated[list[str], typer.Argument(metavar="NODE...", help="Those that shall run.")],
    oath: Annotated[
        str | None,
        typer.Option(
            metavar="WORDS",
            help=f'"{OATH}": look first. Left out: it is asked for, but never of a script.',
        ),
    ] = None,
    as_json: Json = False,
    lab: Lab = None,
    api: ApiUrl = None,
) -> None:
    """Run on these nodes without a quorum; only their votes count until others return.

    If another node of the cluster runs as well, VMs run twice: the oath is that none does.
    """
    call = Call(as_json, lab, api)
    swear(desk_of(ctx), call, oath)

    async def command(session: Session) -> int:
        body = {"nodes": nodes, "oath": True}
        return tell(session, await session.api.post("/quorum/force", body))

    desk_of(ctx).run(call, command)


def add_to(app: typer.Typer) -> None:
    app.add_typer(quorum, name="quorum")
