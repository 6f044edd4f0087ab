"""What the store keeps of a group besides its VM: settings, and what has failed how often."""

import functools
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from coordinator.groups.group_properties import GROUP, RESOURCE, Kind, Value
from coordinator.store.plain import Data
from protocol.names import Incarnation, NodeName, VmName

Settings = tuple[tuple[str, Value], ...]


def group_key(group: VmName) -> str:
    return f"group/{group}"


def _value(kinds: Mapping[str, Kind], settings: Settings, name: str) -> Value:
    for known, value in settings:
        if known == name:
            return value
    return kinds[name].default


@functools.lru_cache(maxsize=512)
def _all(of_group: bool, settings: Settings) -> Mapping[str, Any]:
    """Every setting with its value, the default ones, too; most groups have only those."""
    kinds = GROUP if of_group else RESOURCE
    return _plain(tuple((name, _value(kinds, settings, name)) for name in kinds))


def _plain(settings: Settings) -> dict[str, Any]:
    return {name: list(v) if isinstance(v, tuple) else v for name, v in settings}


def _read(data: Data) -> Settings:
    pairs = ((name, tuple(v) if isinstance(v, list | tuple) else v) for name, v in data.items())
    return tuple(sorted(pairs))


@dataclass(frozen=True, slots=True)
class ResourceRow:
    """One resource: what was set of it, and its restarts since the present period began."""

    settings: Settings = ()
    restarts: int = 0
    restarts_since: float = 0.0

    def number(self, name: str) -> int:
        value = _value(RESOURCE, self.settings, name)
        assert isinstance(value, int), name
        return value

    def names(self, name: str) -> tuple[str, ...]:
        value = _value(RESOURCE, self.settings, name)
        assert isinstance(value, tuple), name
        return value

    def shown(self) -> dict[str, Any]:
        """Every setting with its value, the default ones, too."""
        return dict(_all(False, self.settings))

    def data(self) -> dict[str, Any]:
        return {
            "settings": _plain(self.settings),
            "restarts": self.restarts,
            "restarts_since": self.restarts_since,
        }

    @staticmethod
    def read(data: Data) -> "ResourceRow":
        return ResourceRow(_read(data["settings"]), data["restarts"], data["restarts_since"])


@dataclass(frozen=True, slots=True)
class GroupRow:
    """A group without a row has all the defaults and has never failed.

    `move_to`: where it is to be started once it has stopped. `retry_at`: when a failed group is
    tried again. `waits_until`: until then it waits for a preferred owner, after a cold start.
    `passed`: lives of preferred owners that were there when the group last got its node, so that
    only a later life of theirs calls it back. Times are of the wall clock.
    """

    name: VmName
    settings: Settings = ()
    configuration: ResourceRow = field(default_factory=ResourceRow)
    machine: ResourceRow = field(default_factory=ResourceRow)
    failovers: int = 0
    failovers_since: float = 0.0
    move_to: NodeName | None = None
    retry_at: float | None = None
    waits_until: float = 0.0
    passed: tuple[Incarnation, ...] = ()

    def number(self, name: str) -> int:
        value = _value(GROUP, self.settings, name)
        assert isinstance(value, int), name
        return value

    def names(self, name: str) -> tuple[str, ...]:
        value = _value(GROUP, self.settings, name)
        assert isinstance(value, tuple), name
        return value

    def shown(self) -> dict[str, Any]:
        return dict(_all(True, self.settings))

    @property
    def preferred(self) -> tuple[NodeName, ...]:
        return tuple(map(NodeName, self.names("PreferredOwners")))

    def may_be_on(self, node: NodeName) -> bool:
        """Whether every resource allows it; one that names no possible owners allows all nodes."""
        for resource in (self.configuration, self.machine):
            possible = resource.names("PossibleOwners")
            if possible and node not in possible:
                return False
        return True

    def data(self) -> dict[str, Any]:
        plain = {f.name: getattr(self, f.name) for f in fields(self)}
        return {
            **plain,
            "settings": _plain(self.settings),
            "configuration": self.configuration.data(),
            "machine": self.machine.data(),
            "passed": list(self.passed),
        }

    @staticmethod
    def read(data: Data) -> "GroupRow":
        known = {f.name: data[f.name] for f in fields(GroupRow) if f.name in data}
        return GroupRow(
            **{
                **known,
                "settings": _read(data["settings"]),
                "configuration": ResourceRow.read(data["configuration"]),
                "machine": ResourceRow.read(data["machine"]),
                "passed": tuple(data["passed"]),
            }
        )
