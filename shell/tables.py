"""What the API answers, as tables for people."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import rich.box
import rich.markup
import rich.table

from protocol.names import PAGE_BYTES
from shell.amounts import MIB, count, mib, mib_per_s, ms, seconds
from shell.session import Renderables

Row = Mapping[str, Any]

ROLES: Mapping[Any, str] = {0: "none", 1: "cluster", 3: "cluster and client"}
"""What a network's role of 2008 R2 means."""


def table(title: str, headings: Sequence[str], rows: Iterable[Sequence[str]]) -> rich.table.Table:
    """A table; a heading that begins with `>` stands over numbers."""
    made = rich.table.Table(
        title=title, title_justify="left", box=rich.box.SIMPLE_HEAD, padding=(0, 1, 0, 0)
    )
    for heading in headings:
        made.add_column(
            heading.removeprefix(">"),
            justify="right" if heading.startswith(">") else "left",
            overflow="fold",
        )
    for row in rows:
        made.add_row(*(rich.markup.escape(cell) for cell in row))
    return made


def text(value: Any) -> str:
    """A field as it stands; nothing is a dash."""
    if value is None or value == "":
        return "-"
    if isinstance(value, list | tuple):
        names = (text(one.get("name") if isinstance(one, dict) else one) for one in value)
        return ", ".join(names) or "-"
    return str(value)


def status(data: Row) -> Renderables:
    """The whole cluster on a screen."""
    if not data.get("cluster"):
        available = text(data.get("available") or [])
        return [f"No cluster has been formed. Nodes that are in none: {available}"]
    head = "\n".join(heading(data))
    parts: list[Any] = [head, nodes(data["nodes"]), networks(data["networks"])]
    if data["groups"]:
        parts.append(groups(data["groups"]))
    if data.get("volumes"):
        rows = [_cells(one, "name", "state", "owner", "path") for one in data["volumes"]]
        parts.append(table("Volumes", ("name", "state", "owner", "path"), rows))
    if data.get("available"):
        parts.append(f"Nodes that are in no cluster: {text(data['available'])}")
    return parts


def heading(data: Row) -> list[str]:
    """Quorum, who leads, and why something waits: each on a line."""
    quorum = data["quorum"]
    state = "quorum" if quorum["has_quorum"] else "NO QUORUM"
    lines = [
        f"Cluster {data['cluster']}: {state}, {quorum['present']} of {quorum['votes']} votes "
        f"({quorum['needed']} needed, {quorum['mode']})"
    ]
    if witness := quorum.get("witness"):
        holder = f" by {witness['holder']}" if witness.get("holder") else ""
        lines.append(f"Witness {witness['name']}: {witness['state']}{holder}")
    if quorum.get("forced"):
        lines.append("Quorum is FORCED: an operator has sworn that no other node runs.")
    leads = f"Coordinator {text(data.get('leader'))} leads under term {text(data.get('term'))}"
    if not data.get("leader"):
        leads = f"No coordinator leads here; the newest term is {text(data.get('term'))}"
    if data.get("followers"):
        leads += f"; {text(data['followers'])} stand by"
    lines.append(leads)
    if data.get("waiting") and not data.get("leader"):
        lines.append(f"Failover waits, and guests run on where they may: {data['waiting']}")
    elif data.get("waiting"):
        lines.append(data["waiting"])
    lines += [f"{one['group']} waits: {one['reason']}" for one in data.get("waits") or []]
    return lines


def _cells(row: Row, *fields: str) -> list[str]:
    return [text(row.get(field)) for field in fields]


def nodes(rows: Iterable[Row]) -> rich.table.Table:
    cells = [_cells(row, "name", "state", "votes", "vms") for row in rows]
    return table("Nodes", ("name", "state", ">votes", "VMs"), cells)


def networks(rows: Iterable[Row]) -> rich.table.Table:
    words = [{**row, "role": ROLES.get(row.get("role"), row.get("role"))} for row in rows]
    cells = [_cells(row, "name", "state", "role", "metric", "subnet") for row in words]
    return table("Networks", ("name", "state", "role", ">metric", "subnet"), cells)


def groups(rows: Iterable[Row]) -> rich.table.Table:
    cells = [_cells(row, "name", "state", "owner", "epoch") for row in rows]
    return table("Groups", ("name", "state", "owner", ">epoch"), cells)


def vms(rows: Iterable[Row]) -> rich.table.Table:
    cells = [
        [
            *_cells(row, "name", "state", "node", "epoch"),
            mib(row.get("memory_bytes")),
            text(row.get("workload")),
            count(row.get("steps")),
            mib_per_s(row.get("dirty_bytes_per_s")),
        ]
        for row in rows
    ]
    headings = ("name", "state", "node", ">epoch", ">memory", "workload", ">steps", ">dirtied")
    return table("VMs", headings, cells)


def vm(row: Row) -> rich.table.Table:
    """One VM, a line for each field."""
    rows = [
        ["state", text(row.get("state"))],
        ["node", text(row.get("node"))],
        ["epoch", text(row.get("epoch"))],
        ["memory", mib(row.get("memory_bytes"))],
        ["workload", text(row.get("workload"))],
        ["guest's steps", count(row.get("steps"))],
        ["dirtied", mib_per_s(row.get("dirty_bytes_per_s"))],
        ["migration", text(row.get("attempt"))],
    ]
    return table(str(row["name"]), ("field", "value"), rows)


def rounds(rows: Iterable[Row]) -> rich.table.Table:
    """The passes of pre-copy, each with what the guest wrote while it travelled."""
    cells = [
        [
            text(row["round"]),
            count(row["pages"]),
            count(row["zero_pages"]),
            f"{row['wire_bytes'] / MIB:,.1f}",
            f"{row['seconds'] * 1000:,.1f}",
            _mib_per_s(row["pages"], row["seconds"]),
            count(row["dirty_pages_at_end"]),
            _mib_per_s(row["dirty_pages_at_end"], row["seconds"]),
        ]
        for row in rows
    ]
    headings = (
        *(">round", ">pages", ">zero pages", ">MiB sent"),
        *(">ms", ">MiB/s", ">dirtied pages", ">dirtied MiB/s"),
    )
    return table("Rounds", headings, cells)


def _mib_per_s(pages: int, seconds: float) -> str:
    return f"{pages * PAGE_BYTES / seconds / MIB:,.0f}" if seconds else "-"


def blackout(record: Row) -> str:
    """How long the guest did not run, and why."""
    parts = record.get("blackout") or {}
    if not parts:
        return "Blackout: none, the guest was not stopped."
    total = record.get("blackout_s")
    split = " + ".join(f"{name} {ms(seconds)}" for name, seconds in parts.items())
    return f"Blackout: {ms(sum(parts.values()) if total is None else total)} = {split}"


VERDICTS = {
    True: "Verified: the memory was byte-identical on both sides at the switch.",
    False: "NOT verified: the memory differed at the switch.",
    None: "Not verified: ask for it with --verify full.",
}


def verdict(record: Row) -> str:
    """How the attempt ended, in a sentence."""
    head = (
        f"Migration {text(record.get('attempt'))} of {record['vm']} from {text(record['source'])} "
        f"to {text(record['target'])}: {text(record.get('outcome'))}"
    )
    took = "" if record.get("total_s") is None else f" in {ms(record['total_s'])}"
    reason = f" ({record['reason'].rstrip('.')})" if record.get("reason") else ""
    return f"{head}{took}{reason}."


def record(row: Row) -> Renderables:
    """The record of an attempt."""
    parts: list[Any] = [verdict(row)]
    if row.get("rounds"):
        parts.append(rounds(row["rounds"]))
    if row.get("outcome") == "completed":
        goodput, wire = mib_per_s(row["goodput_bytes_per_s"]), mib(row["wire_bytes"])
        parts += [
            blackout(row),
            f"Throughput: {goodput} of guest memory, {wire} on network {text(row['network'])}",
            VERDICTS[row.get("verified")],
        ]
    elif row.get("outcome") != "refused":
        parts.append(blackout(row))
    parts += foretold(row)
    if row.get("queued_s"):
        parts.append(f"Waited {ms(row['queued_s'])} for its turn.")
    if row.get("waited_s"):
        parts.append(f"Waited {ms(row['waited_s'])} for a coordinator; the guest ran on.")
    return parts


def foretold(row: Row) -> list[str]:
    """What was expected of an attempt, and what explains the difference."""
    told = row.get("predicted")
    if not told:
        return []
    sent = f"{mib(told['wire_bytes'])} in {count(told['rounds'])} rounds"
    line = f"Foretold: {seconds(told['total_s'])}, {sent}, blackout {ms(told['blackout_s'])}."
    explained = row.get("explained")
    return [f"{line} {explained['sentence']}" if explained else line]


def event(row: Row) -> str:
    """One line of the event log."""
    who = " ".join(str(row[key]) for key in ("node", "group") if row.get(key))
    return (
        f"{row.get('clock', row['at'])}  {row['id']:>5} {row['level']:<8} {who:<16} {row['text']}"
    )
