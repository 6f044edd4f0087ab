"""`hvlab node`: nodes from their joining to their eviction."""

from typing import Annotated

import typer

from protocol.workload import parse_rate
from shell import ballot, boards
from shell.commands.nodes import Node, empty, resume
from shell.confirmation import confirm
from shell.errors import DONE, BadWords, Declined
from shell.paths import path
from shell.session import ApiUrl, Call, Json, Lab, NoWait, Session, desk_of, examples
from shell.waiting import until_node

ALREADY = {"stop": "node-stopped", "start": "node-not-stopped"}

node = typer.Typer(
    no_args_is_help=True,
    help="Nodes: list, show, join, pause, resume, stop, start, weight, rate, evict.",
)


@node.command("list", epilog=examples("hvlab node list", "hvlab node list --json"))
def list_all(
    ctx: typer.Context, as_json: Json = False, lab: Lab = None, api: ApiUrl = None
) -> None:
    """List all nodes of the cluster."""

    async def command(session: Session) -> int:
        rows = await session.api.get("/nodes")
        session.show(rows, lambda: [boards.nodes(rows)] if rows else ["There are no nodes."])
        return DONE

    desk_of(ctx).run(Call(as_json, lab, api), command)


@node.command(epilog=examples("hvlab node show node1"))
def show(
    ctx: typer.Context, name: Node, as_json: Json = False, lab: Lab = None, api: ApiUrl = None
) -> None:
    """Show one node, its addresses and whom it hears."""

    async def command(session: Session) -> int:
        row = await session.api.get(path("nodes", name))
        session.show(row, lambda: boards.node(row))
        return DONE

    desk_of(ctx).run(Call(as_json, lab, api), command)


@node.command(epilog=examples("hvlab node join node5"))
def join(
    ctx: typer.Context, name: Node, as_json: Json = False, lab: Lab = None, api: ApiUrl = None
) -> None:
    """Let a node that belongs to no cluster join this one."""

    async def command(session: Session) -> int:
        await session.api.post("/nodes", {"node": name})
        row = await session.api.get(path("nodes", name))
        session.show(row, lambda: [f"{name} has joined: {row['state']}."])
        return DONE

    desk_of(ctx).run(Call(as_json, lab, api), command)


@node.command(epilog=examples("hvlab node pause node1", "hvlab node pause node1 --drain"))
def pause(
    ctx: typer.Context,
    name: Node,
    drain: Annotated[
        bool, typer.Option("--drain", help="Also move its VMs away, as hvlab drain does.")
    ] = False,
    as_json: Json = False,
    lab: Lab = None,
    api: ApiUrl = None,
) -> None:
    """Let a node accept no more VMs."""

    async def command(session: Session) -> int:
        if drain:
            return await empty(session, name)
        await session.api.post(path("nodes", name, "pause"), {"drain": False})
        session.show({"node": name, "paused": True}, lambda: [f"{name} accepts no more VMs."])
        return DONE

    desk_of(ctx).run(Call(as_json, lab, api), command)


node.command(epilog=examples("hvlab node resume node1"))(resume)


async def switched(session: Session, name: str, word: str, state: tuple[str, ...]) -> int:
    """Stop or start a node, and wait for one of these states, if any; one that is so already is
    as was wished.
    """
    try:
        await session.api.post(path("nodes", name, word))
    except Declined as exc:
        if exc.code != ALREADY[word]:
            raise
    row = await (
        until_node(session, name, state) if state else session.api.get(path("nodes", name))
    )
    session.show(row, lambda: [f"{name}: {row['state']}."])
    return DONE


@node.command(epilog=examples("hvlab node stop node1"))
def stop(
    ctx: typer.Context,
    name: Node,
    no_wait: NoWait = False,
    as_json: Json = False,
    lab: Lab = None,
    api: ApiUrl = None,
) -> None:
    """Stop a node's cluster service: its groups go elsewhere, then it is Down.

    Its vote still counts in the sum, so it is refused where that would lose the quorum.
    """

    async def command(session: Session) -> int:
        return await switched(session, name, "stop", () if no_wait else ("Down",))

    desk_of(ctx).run(Call(as_json, lab, api), command)


@node.command(epilog=examples("hvlab node start node1"))
def start(
    ctx: typer.Context,
    name: Node,
    no_wait: NoWait = False,
    as_json: Json = False,
    lab: Lab = None,
    api: ApiUrl = None,
) -> None:
    """Start the cluster service of a node that was stopped."""

    async def command(session: Session) -> int:
        return await switched(session, name, "start", () if no_wait else ("Up", "Paused"))

    desk_of(ctx).run(Call(as_json, lab, api), command)


@node.command(epilog=examples("hvlab node weight node3 0", "hvlab node weight node3 1"))
def weight(
    ctx: typer.Context,
    name: Node,
    votes: Annotated[int, typer.Argument(metavar="0|1", min=0, max=1, help="Its vote.")],
    as_json: Json = False,
    lab: Lab = None,
    api: ApiUrl = None,
) -> None:
    """Take a node's vote away, or give it back; it hosts groups with or without one."""

    async def command(session: Session) -> int:
        data = await session.api.patch(path("nodes", name), {"weight": votes})
        session.show(data, lambda: ballot.quorum(data))
        return DONE

    desk_of(ctx).run(Call(as_json, lab, api), command)


@node.command(epilog=examples("hvlab node rate node3 118MB/s", "hvlab node rate node3 0"))
def rate(
    ctx: typer.Context,
    name: Node,
    limit: Annotated[str, typer.Argument(metavar="RATE", help="Such as 118MB/s; 0: no limit.")],
    as_json: Json = False,
    lab: Lab = None,
    api: ApiUrl = None,
) -> None:
    """Limit what a node's migrations send and receive together; it counts for those that begin."""
    try:
        body = {"rate": parse_rate(limit)}
    except ValueError as exc:
        raise BadWords(str(exc)) from exc

    async def command(session: Session) -> int:
        row = await session.api.put(path("nodes", name, "migration-rate"), body)
        session.show(row, lambda: boards.node(row))
        return DONE

    desk_of(ctx).run(Call(as_json, lab, api), command)


@node.command(epilog=examples("hvlab node evict node3", "hvlab node evict node3 --yes --json"))
def evict(
    ctx: typer.Context,
    name: Node,
    yes: Annotated[
        bool, typer.Option("--yes", help="Do not ask; scripts and --json must say it.")
    ] = False,
    as_json: Json = False,
    lab: Lab = None,
    api: ApiUrl = None,
) -> None:
    """Remove a node and its vote from the cluster for good."""
    call = Call(as_json, lab, api)
    where = path("nodes", name)
    confirm(desk_of(ctx), call, yes, f"{name} would leave the cluster for good.", name)

    async def command(session: Session) -> int:
        await session.api.delete(where)
        session.show({"node": name, "evicted": True}, lambda: [f"{name} was evicted."])
        return DONE

    desk_of(ctx).run(call, command)


def add_to(app: typer.Typer) -> None:
    app.add_typer(node, name="node")
