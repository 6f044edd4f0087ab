"""Quorum as a picture: a line for each voter, the sum, and what may fail yet."""

from typing import Any

from shell.session import Renderables
from shell.tables import Row, table, text

PRESENT, ABSENT, LINE = "#", ".", "|"

KINDS = {"Disk": "disk witness", "FileShare": "file share witness"}
FOUND = {
    "Held": "held",
    "Free": "free, nobody holds it",
    "Contending": "being taken",
    "Other": "held by a node that is not heard",
    "Unreachable": "unreachable",
    "Newer": "knows a newer configuration",
    "Unknown": "not looked at yet",
}


def quorum(data: Row) -> Renderables:
    """All of `hvlab quorum show`."""
    if data.get("mode") is None:
        return ["No cluster has been formed, so nobody votes."]
    parts: list[Any] = [headline(data)]
    if data.get("forced"):
        parts.append("FORCED: an operator has sworn that no other node runs.")
    if data.get("pending"):
        parts.append("A changed configuration is written, but does not hold yet.")
    rows = [_node(one) for one in data["nodes"]]
    if data.get("witness"):
        rows.append(_witness(data["witness"]))
    headings = ("voter", "kind", "state", ">votes", "counted")
    parts += [table("Votes", headings, rows), f"{bar(data)}  {data['outlook']}"]
    return parts


def headline(data: Row) -> str:
    state = "quorum" if data["has_quorum"] else "NO QUORUM"
    return (
        f"{data['mode']}: {state}, {data['present']} of {data['votes']} votes are there and "
        f"{data['needed']} are needed"
    )


def bar(data: Row) -> str:
    """A sign for each vote; the line stands behind the last that is needed."""
    signs = PRESENT * data["present"] + ABSENT * (data["votes"] - data["present"])
    return f"[{signs[: data['needed']]}{LINE}{signs[data['needed'] :]}]"


def _node(one: Row) -> list[str]:
    votes = str(one["votes"])
    if one["weight"] == 0:
        votes = "0 (weight 0)"
    state = "heard" if one["counted"] and one["state"] == "Down" else one["state"]
    return [one["name"], "node", state, votes, _counted(one)]


def _witness(one: Row) -> list[str]:
    return [
        one["name"],
        KINDS.get(one["kind"], text(one["kind"])),
        witness_state(one),
        str(one["votes"]),
        _counted(one),
    ]


def witness_state(one: Row) -> str:
    state = FOUND.get(one["state"], text(one["state"]))
    return f"{state} by {one['holder']}" if one.get("holder") else state


def _counted(one: Row) -> str:
    return "yes" if one["counted"] else "no"
