"""What the families `disk` and `csv` show to people."""

from collections.abc import Iterable
from typing import Any

import rich.table

from shell.amounts import mib
from shell.boards import fields
from shell.session import Renderables
from shell.tables import Row, table, text


def disks(rows: Iterable[Row]) -> rich.table.Table:
    cells = [
        [
            text(row["name"]),
            state(row),
            text(row["role"]),
            text(row["owner"]),
            text(row["volume"]),
            mib(row["size_bytes"]),
            row["content"],
            text(row["id"]),
        ]
        for row in rows
    ]
    headings = ("name", "state", "role", "owner", "volume", ">size", "content", "id")
    return table("Disks", headings, cells)


def state(row: Row) -> str:
    to = f", moving to {row['moving_to']}" if row.get("moving_to") else ""
    return f"{row['state']}{', maintenance' if row.get('maintenance') else ''}{to}"


def disk(row: Row) -> Renderables:
    facts = [
        ("id", text(row["id"])),
        ("state", state(row)),
        ("role", text(row["role"])),
        ("owner", text(row["owner"])),
        ("epoch", text(row["epoch"])),
        ("size", mib(row["size_bytes"])),
        ("content", text(row["content"])),
        ("volume", text(row["volume"])),
        ("registered", text(row["registered"])),
        ("to be fenced", text(row["to_be_fenced"])),
        ("remark", text(row["reason"])),
    ]
    cells = [
        [one["node"], f"{one['up']} of {one['of']}", "yes" if one["registered"] else "no"]
        for one in row["paths"]
    ]
    title = text(row["name"] or row["id"])
    return [fields(title, facts), table("Paths", ("node", ">up", "registered"), cells)]


def volumes(rows: Iterable[Row]) -> rich.table.Table:
    cells = [
        [
            row["name"],
            row["state"],
            text(row["owner"]),
            text(row["path"]),
            text(row["disk"]),
            mib(row["size_bytes"]),
            mib(row["free_bytes"]),
            text(row["vms"]),
        ]
        for row in rows
    ]
    headings = ("name", "state", "owner", "path", "disk", ">size", ">free", "VMs")
    return table("Cluster Shared Volumes", headings, cells)


def volume(row: Row) -> Renderables:
    facts = [
        ("state", row["state"]),
        ("owner", text(row["owner"])),
        ("path", text(row["path"])),
        ("disk", f"{text(row['disk'])} ({text(row['disk_id'])})"),
        ("epoch", text(row["epoch"])),
        ("size", mib(row["size_bytes"])),
        ("free", mib(row["free_bytes"])),
        ("VMs", text(row["vms"])),
        ("being removed", text(row.get("being_removed"))),
        ("moving to", text(row["moving_to"])),
        ("remark", text(row["reason"])),
    ]
    cells = [[one["node"], one["access"], text(one["reason"])] for one in row["nodes"]]
    return [fields(str(row["name"]), facts), table("Nodes", ("node", "access", "why"), cells)]


def checked(data: Row) -> Renderables:
    """What the owner found, a line for each thing that is off."""
    if data["sound"]:
        return [f"{data['volume']} is sound: {data['files']} files, nothing is off."]
    parts: list[Any] = [f"{data['volume']} is DAMAGED, in {len(data['findings'])} places:"]
    return [*parts, *data["findings"]]
