"""What the families `cluster`, `node`, `network`, `group` and `resource` show to people."""

from collections.abc import Iterable
from typing import Any

import rich.table

from protocol.workload import format_size
from shell.amounts import mib
from shell.session import Renderables
from shell.tables import ROLES, Row, heading, table, text

UNLIMITED = 2**32 - 1
"""How the field writes 'no limit' and 'as its type has it'."""


def value(of: Any) -> str:
    """A setting; a sign for the field's number that means none."""
    return f"{of} (none)" if of == UNLIMITED else text(of)


def fields(title: str, rows: Iterable[tuple[str, str]]) -> rich.table.Table:
    return table(title, ("field", "value"), rows)


def cluster(status: Row, rows: Iterable[Row]) -> Renderables:
    if not status.get("cluster"):
        return ["No cluster has been formed."]
    cells = [
        [
            row["name"],
            value(row["value"]),
            value(row.get("default")),
            range_of(row),
            text(row.get("meaning")),
        ]
        for row in rows
    ]
    head = "\n".join((*heading(status), f"Id {text(status.get('cluster_id'))}"))
    return [head, table("Properties", ("name", ">value", ">default", "range", "meaning"), cells)]


def range_of(row: Row) -> str:
    """What may be set, with its unit."""
    if not row.get("writable", True):
        return "read only"
    unit = f" {row['unit']}" if row.get("unit") else ""
    if row.get("least") is None or row.get("most") is None:
        return unit.strip() or "-"
    return f"{row['least']}-{row['most']}{unit}"


def nodes(rows: Iterable[Row]) -> rich.table.Table:
    cells = [
        [
            row["name"],
            text(row.get("id")),
            row["state"] + (", stopped" if row.get("stopped") else ""),
            text(row.get("weight")),
            text(row["votes"]),
            f"{mib(row.get('memory_free_bytes'))} of {mib(row.get('memory_bytes'))}",
            text(row.get("vms")),
        ]
        for row in rows
    ]
    headings = ("name", ">id", "state", ">weight", ">votes", ">memory free", "VMs")
    return table("Nodes", headings, cells)


def node(row: Row) -> Renderables:
    lease = row.get("lease_s")
    facts = [
        ("state", row["state"] + (", stopped by an operator" if row.get("stopped") else "")),
        ("id", text(row.get("id"))),
        ("weight", text(row.get("weight"))),
        ("votes", text(row["votes"])),
        ("lease", "-" if lease is None else f"{lease:.1f} s"),
        ("memory", mib(row.get("memory_bytes"))),
        ("memory free", mib(row.get("memory_free_bytes"))),
        ("VMs", text(row.get("vms"))),
        ("migrations", limit(row)),
        *((f"address on {name}", at) for name, at in (row.get("addresses") or {}).items()),
    ]
    parts: list[Any] = [fields(str(row["name"]), facts)]
    if row.get("routes"):
        cells = [
            [one["node"], one["network"], "up" if one["up"] else "DOWN"] for one in row["routes"]
        ]
        parts.append(table("Routes", ("to", "network", "state"), cells))
    return parts


def role(row: Row) -> str:
    return f"{row['role']} ({ROLES.get(row['role'], '?')})"


def metric(row: Row) -> str:
    return f"{row['metric']} ({'automatic' if row.get('auto_metric') else 'manual'})"


def limit(row: Row) -> str:
    rate = row.get("migration_rate_bytes_per_s")
    return f"at most {format_size(rate)}/s" if rate else "no limit"


def networks(rows: Iterable[Row]) -> rich.table.Table:
    cells = [[row["name"], row["state"], role(row), metric(row), row["subnet"]] for row in rows]
    return table("Networks", ("name", "state", "role", "metric", "subnet"), cells)


def network(row: Row) -> Renderables:
    facts = [
        ("state", text(row["state"])),
        ("role", role(row)),
        ("metric", metric(row)),
        ("subnet", text(row["subnet"])),
        ("migrations", limit(row)),
    ]
    parts: list[Any] = [fields(str(row["name"]), facts)]
    if row.get("interfaces"):
        cells = [[one["node"], text(one["address"]), one["state"]] for one in row["interfaces"]]
        parts.append(table("Interfaces", ("node", "address", "state"), cells))
    return parts


def migration_networks(data: Row) -> Renderables:
    rule = "as it was set" if data["order"] else "by the default rule"
    lines = [f"Live migration tries, {rule}: {text(data['effective'])}."]
    if data["exclude"]:
        lines.append(f"It never uses: {text(data['exclude'])}.")
    if data.get("warning"):
        lines.append(f"Warning: {data['warning']}")
    return ["\n".join(lines)]


def groups(rows: Iterable[Row]) -> rich.table.Table:
    cells = [
        [row["name"], row["state"], text(row["owner"]), text(row["epoch"]), text(row.get("reason"))]
        for row in rows
    ]
    return table("Groups", ("name", "state", "owner", ">epoch", "remark"), cells)


def settings_table(row: Row) -> list[rich.table.Table]:
    settings = row.get("settings") or {}
    cells = [(name, value(of)) for name, of in settings.items()]
    return [table("Settings", ("name", "value"), cells)] if cells else []


def group(row: Row) -> Renderables:
    facts = [
        ("state", row["state"]),
        ("owner", text(row["owner"])),
        ("epoch", text(row["epoch"])),
        ("remark", text(row.get("reason"))),
    ]
    return [
        fields(str(row["name"]), facts),
        resources({**one, "group": row["name"]} for one in row["resources"]),
        *settings_table(row),
    ]


def resources(rows: Iterable[Row]) -> rich.table.Table:
    cells = [
        [row["name"], row["state"], text(row.get("group")), text(row["depends_on"])] for row in rows
    ]
    return table("Resources", ("name", "state", "group", "depends on"), cells)


def resource(row: Row) -> Renderables:
    facts = [
        ("type", text(row["type"])),
        ("state", row["state"]),
        ("group", text(row["group"])),
        ("owner", text(row["owner"])),
        ("depends on", text(row["depends_on"])),
    ]
    return [fields(str(row["name"]), facts), *settings_table(row)]
