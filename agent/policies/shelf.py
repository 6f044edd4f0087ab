"""Which policies a node has, and how one is named: `NAME` or `NAME:number=VALUE,number=VALUE`."""

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from agent.policies.auto_converge import AutoConverge
from agent.policies.clark import Clark
from agent.policies.interface import Policy
from agent.policies.ramp import Ramp
from agent.policies.stopping import Downtime, PostCopyAfter, Windows2008R2
from protocol import names
from protocol.errors import Refused

DEFAULT_POLICY = names.POLICIES[0]


@dataclass(frozen=True, slots=True)
class Shelf:
    """The policies by their names. `broken`: plug-ins that could not be loaded, and why."""

    known: Mapping[str, type[Policy]]
    broken: Mapping[str, str] = field(default_factory=dict)

    def find(self, text: str) -> Policy:
        """The policy of that name and those numbers; no name means the default. `Refused` says
        what is wrong.
        """
        name, _, numbers = (text or DEFAULT_POLICY).partition(":")
        kind = self.known.get(name) or self.known.get(name.lower())
        if kind is None and name in self.broken:
            raise Refused(f"The migration policy {name!r} cannot be used: {self.broken[name]}")
        if kind is None:
            choice = ", ".join(sorted(self.known))
            raise Refused(
                f"There is no migration policy {name!r} on this node; there are {choice}."
            )
        try:
            return kind(**_chosen(kind, numbers))
        except Refused:
            raise
        except Exception as error:  # a plug-in's own check may raise whatever it likes
            raise Refused(f"The migration policy {text!r} is not possible: {error}.") from error

    def why_not(self, text: str) -> str | None:
        """Why a migration cannot follow that policy; None if it can."""
        try:
            self.find(text)
        except Refused as refused:
            return str(refused)
        return None

    def joined(self, kinds: Iterable[type[Policy]], broken: Mapping[str, str]) -> "Shelf":
        """With plug-ins beside what is here."""
        known = {**self.known, **{kind.name: kind for kind in kinds}}
        return Shelf(known, {**self.broken, **broken})


def _chosen(kind: type[Policy], numbers: str) -> dict[str, float]:
    fields: dict[str, dataclasses.Field[Any]] = {}
    if dataclasses.is_dataclass(kind):
        fields = {one.name: one for one in dataclasses.fields(kind) if one.init}
    chosen: dict[str, float] = {}
    for part in filter(None, numbers.split(",")):
        name, _, value = part.partition("=")
        if name not in fields:
            there = ", ".join(fields) or "none"
            raise Refused(f"The migration policy {kind.name!r} has no {name!r}; it has {there}.")
        try:
            is_whole = isinstance(fields[name].default, int)
            chosen[name] = int(value) if is_whole else float(value)
        except ValueError:
            wanted = "a whole number" if is_whole else "a number"
            raise Refused(f"{name} of {kind.name!r} is {value!r}; it must be {wanted}.") from None
    return chosen


BUILT_IN = Shelf(
    {
        kind.name: kind
        for kind in (Windows2008R2, Downtime, Clark, AutoConverge, Ramp, PostCopyAfter)
    }
)
