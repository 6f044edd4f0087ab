"""`hvlab drain` and `hvlab resume`: a node taken out of service and back."""

from typing import Annotated, Any

import typer

from shell import forecasts
from shell.errors import DONE, FAILED, Declined, Inconclusive
from shell.paths import path
from shell.progress import Bars
from shell.session import ApiUrl, Call, Data, Json, Lab, Session, desk_of, examples
from shell.waiting import patiently

Node = Annotated[str, typer.Argument(metavar="NODE", help="The node.")]
GONE = {"Offline", "Failed"}


def left_on(vms: list[Data], node: str) -> list[str]:
    """VMs that run, or are about to, on `node`."""
    return [vm["name"] for vm in vms if vm.get("node") == node and vm["state"] not in GONE]


def drain_is_over(left: list[str], rows: list[Data], node: str) -> bool:
    """Nothing is left to move, or the cluster says that it has stopped trying."""
    draining = next((row.get("draining", True) for row in rows if row["name"] == node), True)
    return not left or not draining


async def foretold(session: Session, node: str) -> Data | None:
    """What the drain would cost; None where that cannot be said, which keeps nobody from it."""
    try:
        data: Data = await session.api.post(path("nodes", node, "estimate"))
    except (Declined, Inconclusive):
        return None
    return data


async def empty(session: Session, node: str) -> int:
    """Drain and watch until the node is empty or what is left cannot be moved."""
    forecast = await foretold(session, node)
    if forecast is not None and forecast["vms"] and not session.call.as_json:
        session.aloud.print(*forecasts.drain(forecast), sep="\n")
    before: list[Data] = await session.api.get("/vms")
    had = left_on(before, node)
    known = {row["attempt"] for row in await session.api.get("/attempts")}
    await session.api.post(path("nodes", node, "pause"), {"drain": True})
    since = began = session.now()
    with Bars(session.aloud, silent=session.call.as_json) as bars:
        while True:
            # The nodes first: what they say of the end is then true of the VMs, too.
            rows = await patiently(session, "/nodes", since)
            vms = await patiently(session, "/vms", since)
            attempts = await patiently(session, "/attempts", since)
            if rows is not None and vms is not None and attempts is not None:
                since = session.now()
                mine = [
                    row for row in attempts if row["source"] == node and row["attempt"] not in known
                ]
                bars.update(row for row in mine if row["outcome"] != "refused")
                left = left_on(vms, node)
                if drain_is_over(left, rows, node):
                    break
            await session.rest()
    took = {"predicted": forecast, "took_s": session.now() - began}
    return drained(session, node, had, left, {"attempts": mine, **took})


def drained(session: Session, node: str, had: list[str], left: list[str], more: Data) -> int:
    moved = [vm for vm in had if vm not in left]
    data: dict[str, Any] = {"node": node, "moved": moved, "left": left, **more}

    def people() -> list[str]:
        gone = f"{len(moved)} VMs moved away" if moved else "nothing had to move"
        if left:
            return [f"{node} is paused, but {', '.join(left)} could not be moved: see hvlab events"]
        done = f"{node} is drained: {gone}. hvlab resume {node} brings it back into service."
        told = more["predicted"]
        return [done, forecasts.score(told, more["took_s"])] if moved and told else [done]

    session.show(data, people)
    return FAILED if left else DONE


def drain(
    ctx: typer.Context,
    node: Node,
    estimate: Annotated[
        bool, typer.Option("--estimate", help="Only say what it would cost; nothing is moved.")
    ] = False,
    as_json: Json = False,
    lab: Lab = None,
    api: ApiUrl = None,
) -> None:
    """Pause a node and move its VMs away; waits until it is empty."""

    async def command(session: Session) -> int:
        if not estimate:
            return await empty(session, node)
        data = await session.api.post(path("nodes", node, "estimate"))
        session.show(data, lambda: forecasts.drain(data))
        return DONE

    desk_of(ctx).run(Call(as_json, lab, api), command)


def resume(
    ctx: typer.Context, node: Node, as_json: Json = False, lab: Lab = None, api: ApiUrl = None
) -> None:
    """Let a paused node accept VMs again."""

    async def command(session: Session) -> int:
        await session.api.post(path("nodes", node, "resume"))
        session.show({"node": node, "resumed": True}, lambda: [f"{node} accepts VMs again."])
        return DONE

    desk_of(ctx).run(Call(as_json, lab, api), command)


def add_to(app: typer.Typer) -> None:
    app.command(
        epilog=examples("hvlab drain node1", "hvlab drain node1 --estimate", "hvlab resume node1")
    )(drain)
    app.command(epilog=examples("hvlab resume node1"))(resume)
