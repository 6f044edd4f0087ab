"""`hvlab network`: roles, metrics, and the order in which live migration tries networks."""

from typing import Annotated, Any

import typer

from protocol.workload import parse_rate
from shell import boards
from shell.errors import DONE, BadWords
from shell.paths import path
from shell.session import ApiUrl, Call, Json, Lab, Session, desk_of, examples

Name = Annotated[str, typer.Argument(metavar="NETWORK", help="The network.")]
ROLES = (0, 1, 3)

network = typer.Typer(no_args_is_help=True, help="Networks: list, show, set, order.")


@network.command("list", epilog=examples("hvlab network list", "hvlab network list --json"))
def list_all(
    ctx: typer.Context, as_json: Json = False, lab: Lab = None, api: ApiUrl = None
) -> None:
    """List all networks."""

    async def command(session: Session) -> int:
        rows = await session.api.get("/networks")
        session.show(rows, lambda: [boards.networks(rows)] if rows else ["There are no networks."])
        return DONE

    desk_of(ctx).run(Call(as_json, lab, api), command)


@network.command(epilog=examples("hvlab network show migration"))
def show(
    ctx: typer.Context, name: Name, as_json: Json = False, lab: Lab = None, api: ApiUrl = None
) -> None:
    """Show one network and the state of each node's interface on it."""

    async def command(session: Session) -> int:
        row = await session.api.get(path("networks", name))
        session.show(row, lambda: boards.network(row))
        return DONE

    desk_of(ctx).run(Call(as_json, lab, api), command)


def change(
    role: int | None, metric: int | None, auto_metric: bool, rate: str | None = None
) -> dict[str, Any]:
    """The body that asks for it; BadWords for what cannot be meant."""
    if role is not None and role not in ROLES:
        raise BadWords(
            f"a network has no role {role}: it is 0 (none), 1 (cluster) or 3 (cluster and clients)"
        )
    if metric is not None and auto_metric:
        raise BadWords("--metric and --auto-metric exclude each other: say one of them")
    try:
        limit = None if rate is None else parse_rate(rate)
    except ValueError as exc:
        raise BadWords(str(exc)) from exc
    body = {
        **{"role": role, "metric": metric, "auto_metric": True if auto_metric else None},
        "migration_rate": limit,
    }
    wanted = {key: value for key, value in body.items() if value is not None}
    if not wanted:
        raise BadWords("nothing is to be changed: say --role, --metric, --auto-metric or --rate")
    return wanted


@network.command(
    "set",
    epilog=examples(
        "hvlab network set csv --metric 900",
        "hvlab network set csv --auto-metric",
        "hvlab network set storage --role 0",
        "hvlab network set migration --rate 118MB/s",
    ),
)
def set_network(
    ctx: typer.Context,
    name: Name,
    role: Annotated[
        int | None, typer.Option(help="0 none, 1 cluster, 3 cluster and clients.")
    ] = None,
    metric: Annotated[
        int | None, typer.Option(help="The lowest carries CSV and cluster traffic.")
    ] = None,
    auto_metric: Annotated[
        bool, typer.Option("--auto-metric", help="Let the cluster choose the metric again.")
    ] = False,
    rate: Annotated[
        str | None,
        typer.Option(help="What a node's migrations send on it, such as 118MB/s; 0: no limit."),
    ] = None,
    as_json: Json = False,
    lab: Lab = None,
    api: ApiUrl = None,
) -> None:
    """Change the role or the metric of a network, or how fast migrations are there."""
    body = change(role, metric, auto_metric, rate)

    async def command(session: Session) -> int:
        row = await session.api.patch(path("networks", name), body)
        session.show(row, lambda: boards.network(row))
        return DONE

    desk_of(ctx).run(Call(as_json, lab, api), command)


@network.command(
    epilog=examples(
        "hvlab network order",
        "hvlab network order migration management --exclude csv",
        "hvlab network order --default",
    )
)
def order(
    ctx: typer.Context,
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[NETWORK]...", help="The first to try first.")
    ] = None,
    exclude: Annotated[
        list[str] | None,
        typer.Option(metavar="NETWORK", help="Never use this one; may be repeated."),
    ] = None,
    default: Annotated[
        bool, typer.Option("--default", help="Forget order and exclusions: by role and metric.")
    ] = False,
    as_json: Json = False,
    lab: Lab = None,
    api: ApiUrl = None,
) -> None:
    """Show or set which networks live migration tries, for all VMs."""
    if default and (names or exclude):
        raise BadWords("--default excludes names: say either")
    body = {"order": names or [], "exclude": exclude or []}

    async def command(session: Session) -> int:
        if default or names or exclude:
            data = await session.api.put("/migration-networks", body)
        else:
            data = await session.api.get("/migration-networks")
        session.show(data, lambda: boards.migration_networks(data))
        return DONE

    desk_of(ctx).run(Call(as_json, lab, api), command)


def add_to(app: typer.Typer) -> None:
    app.add_typer(network, name="network")
