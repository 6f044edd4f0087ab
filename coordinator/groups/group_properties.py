"""The settings of groups and resources by their names in the field: defaults, ranges, checks."""

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from coordinator.requests import Declined

NONE = 0xFFFFFFFF
"""What the field writes for 'not set': the default of the type, no window, never."""

Value = int | str | tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Number:
    """A whole number. `also` is allowed besides the range."""

    default: int
    least: int
    most: int
    unit: str = ""
    also: int | None = None


@dataclass(frozen=True, slots=True)
class Text:
    default: str = ""


@dataclass(frozen=True, slots=True)
class Names:
    """A list of names; `of_nodes`: each must be a node of the cluster."""

    of_nodes: bool
    default: tuple[str, ...] = ()


Kind = Number | Text | Names

GROUP: Mapping[str, Kind] = {
    "AntiAffinityClassNames": Names(of_nodes=False),
    "AutoFailbackType": Number(0, 0, 1),
    "Description": Text(),
    "FailbackWindowEnd": Number(NONE, 0, 23, "h", also=NONE),
    "FailbackWindowStart": Number(NONE, 0, 23, "h", also=NONE),
    "FailoverPeriod": Number(6, 0, 1193, "h"),
    "FailoverThreshold": Number(NONE, 0, NONE),
    "PersistentState": Number(1, 0, 1),
    "PreferredOwners": Names(of_nodes=True),
}
"""A FailoverThreshold that is not set stands for one less than there are nodes."""

RESOURCE: Mapping[str, Kind] = {
    "DeadlockTimeout": Number(300_000, 10, NONE, "ms"),
    "Description": Text(),
    "IsAlivePollInterval": Number(NONE, 10, NONE, "ms"),
    "LooksAlivePollInterval": Number(NONE, 10, NONE, "ms"),
    "PendingTimeout": Number(180_000, 10, NONE, "ms"),
    "PossibleOwners": Names(of_nodes=True),
    "RestartAction": Number(2, 0, 2),
    "RestartPeriod": Number(900_000, 0, NONE, "ms"),
    "RestartThreshold": Number(1, 0, NONE),
    "RetryPeriodOnFailure": Number(3_600_000, 0, NONE, "ms"),
}
"""No PossibleOwners means every node."""

LOOKS_ALIVE_MS, IS_ALIVE_MS = 5_000, 60_000
"""The poll intervals of the resource types, for a resource that has none of its own."""


def nearest(name: str, known: Iterable[str]) -> str:
    """A question to add to a refusal, if `name` looks like a slip for something known."""
    lower = {one.lower(): one for one in known}
    found = difflib.get_close_matches(name.lower(), lower, n=1, cutoff=0.6)
    return f" Did you mean {lower[found[0]]!r}?" if found else ""


def checked(
    kinds: Mapping[str, Kind], settings: Iterable[tuple[str, Any]], nodes: Iterable[str], of: str
) -> dict[str, Value] | Declined:
    """`settings` by their proper names and in their proper types, or why nothing is changed."""
    proper = {name.lower(): name for name in kinds}
    by_lower = {node.lower(): node for node in nodes}
    found: dict[str, Value] = {}
    for said, value in settings:
        name = proper.get(said.lower())
        if name is None:
            sentence = f"{of} has no setting {said!r}.{nearest(said, kinds)}"
            hint = "" if sentence.endswith("?") else f" It has {', '.join(kinds)}."
            return Declined(404, "unknown-property", sentence + hint)
        got: Value | Declined
        match kinds[name]:
            case Number() as number:
                got = _number(name, number, value)
            case Text():
                got = value if isinstance(value, str) else _off(name, value, "a text")
            case Names(of_nodes):
                got = _names(name, value, by_lower if of_nodes else None)
        if isinstance(got, Declined):
            return got
        found[name] = got
    return found


def _off(name: str, value: object, right: str) -> Declined:
    return Declined(422, "out-of-range", f"{name} cannot be {value!r}: it is {right}.")


def _number(name: str, kind: Number, value: object) -> int | Declined:
    unit = f" {kind.unit}" if kind.unit else ""
    right = f"a whole number from {kind.least} to {kind.most}{unit}"
    if kind.also is not None:
        right += f", or {kind.also} for none"
    if isinstance(value, bool) or not isinstance(value, int):
        return _off(name, value, right)
    if kind.least <= value <= kind.most or value == kind.also:
        return value
    return _off(name, value, right)


def _names(name: str, value: object, nodes: Mapping[str, str] | None) -> tuple[str, ...] | Declined:
    if not isinstance(value, list | tuple) or not all(isinstance(v, str) and v for v in value):
        return _off(name, value, "a list of names")
    if nodes is None:
        return tuple(dict.fromkeys(value))
    for node in value:
        if node.lower() not in nodes:
            sentence = f"{name} names {node!r}, which is no node of this cluster."
            return Declined(404, "unknown-node", sentence + nearest(node, nodes.values()))
    return tuple(dict.fromkeys(nodes[node.lower()] for node in value))
