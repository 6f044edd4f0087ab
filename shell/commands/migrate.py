"""`hvlab migrate`: one live migration, watched to its end."""

from collections.abc import Callable, Mapping
from typing import Annotated, Any

import typer

from protocol.names import Priority, Verify
from protocol.travel import STREAMS_MAX, ZSTD_LEVELS, Compress, Marking
from protocol.workload import parse_rate, parse_seconds, parse_size
from shell import tables
from shell.errors import DONE, FAILED, BadWords, Declined, as_data
from shell.paths import path
from shell.progress import Bars, ended
from shell.session import ApiUrl, Call, Data, Json, Lab, Session, desk_of, examples
from shell.waiting import follow

Streams = Annotated[
    int | None,
    typer.Option(metavar="N", min=1, max=STREAMS_MAX, help="Connections that carry pages."),
]
Packing = Annotated[Compress | None, typer.Option(help="Pack pages; auto: where that is faster.")]
Level = Annotated[
    int | None,
    typer.Option(metavar="N", min=ZSTD_LEVELS[0], max=ZSTD_LEVELS[-1], help="Of zstd."),
]
Delta = Annotated[
    str | None,
    typer.Option(metavar="SIZE", help="Remember so much of what was sent, send differences."),
]
Kept = Annotated[
    bool | None, typer.Option("--kept/--no-kept", help="Do not send what the target still has.")
]
Checksum = Annotated[
    bool | None, typer.Option("--checksum/--no-checksum", help="Check every batch of pages.")
]
Stripe = Annotated[
    bool | None,
    typer.Option("--stripe/--no-stripe", help="Streams over as many networks as answer."),
]
Marks = Annotated[
    Marking | None, typer.Option(help="When a page that is sent stops counting as dirty.")
]
Rate = Annotated[
    str | None,
    typer.Option(metavar="RATE", help="The most that it sends, such as 118MB/s; 0: no limit."),
]
Downtime = Annotated[
    str | None, typer.Option(metavar="TIME", help="The pause to aim at, such as 20ms.")
]
Queue = Annotated[
    bool, typer.Option("--queue", help="Wait while others are under way, with medium priority.")
]
Rank = Annotated[
    Priority | None, typer.Option(help="Wait, and go before those of a lower priority.")
]


def code_of(record: Data) -> int:
    """Done is only what completed and did not turn out to differ."""
    return DONE if record["outcome"] == "completed" and record["verified"] is not False else FAILED


def wanted(words: Mapping[str, Any]) -> Data:
    """The body that asks for it, without what was not said; BadWords where a word is off."""
    readers: dict[str, Callable[[str], float]] = {
        **{"delta": parse_size, "rate": parse_rate, "downtime": parse_seconds},
        "window": parse_seconds,
    }
    body = {key: value for key, value in words.items() if value is not None}
    for key in readers.keys() & body.keys():
        try:
            body[key] = readers[key](body[key])
        except ValueError as exc:
            raise BadWords(str(exc)) from exc
    return body


async def move(session: Session, vm: str, body: Data) -> int:
    try:
        begun = await session.api.post(path("vms", vm, "migrate"), body)
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
    policy: Annotated[
        str, typer.Option(help="How rounds go on and when they end, such as ramp or ramp:steps=4.")
    ] = "2008r2",
    verify: Annotated[
        Verify, typer.Option(help="How much of the memory is compared at the switch.")
    ] = Verify.OFF,
    streams: Streams = None,
    compress: Packing = None,
    level: Level = None,
    delta: Delta = None,
    kept: Kept = None,
    checksum: Checksum = None,
    stripe: Stripe = None,
    marking: Marks = None,
    rate: Rate = None,
    downtime: Downtime = None,
    queue: Queue = False,
    priority: Rank = None,
    as_json: Json = False,
    lab: Lab = None,
    api: ApiUrl = None,
) -> None:
    """Move a running VM to another node; Ctrl-C cancels it.

    How its pages travel is the cluster's default where it is not said (hvlab cluster show).
    """
    if queue and priority is None:
        priority = Priority.MEDIUM
    body = wanted(
        {
            **{"to": to, "policy": policy, "verify": verify.value, "streams": streams},
            **{"compress": compress and compress.value, "level": level, "delta": delta},
            **{"kept": kept, "checksum": checksum, "stripe": stripe},
            "marking": marking and marking.value,
            **{"rate": rate, "downtime": downtime, "priority": priority and priority.value},
        }
    )

    async def command(session: Session) -> int:
        return await move(session, name, body)

    desk_of(ctx).run(Call(as_json, lab, api), command)


def add_to(app: typer.Typer) -> None:
    app.command(
        epilog=examples(
            "hvlab migrate sql01 --to node2",
            "hvlab migrate sql01 --to node2 --verify full --json",
            "hvlab migrate sql01 --to node2 --streams 2 --compress auto --rate 118MB/s",
            "hvlab migrate sql01 --to node2 --delta 64MiB --downtime 20ms --priority high",
        )
    )(migrate)
