"""What each node owns, counted as rows change, so that nobody walks all VMs to place one."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from coordinator.store.rows import VmRow
from protocol.names import NodeName, VmName


@dataclass(slots=True)
class Owned:
    """The groups of one node."""

    memory_bytes: int = 0
    groups: set[VmName] = field(default_factory=set)
    classes: dict[str, set[VmName]] = field(default_factory=dict)
    """Groups by their AntiAffinityClassNames."""


NOTHING = Owned()


class Tally:
    def __init__(self) -> None:
        self._nodes: dict[NodeName, Owned] = {}
        self._counted: dict[VmName, tuple[NodeName, int, tuple[str, ...]]] = {}

    def of(self, node: NodeName) -> Owned:
        """Not to be changed by who looks."""
        return self._nodes.get(node, NOTHING)

    def nodes(self) -> Iterable[NodeName]:
        return self._nodes.keys()

    def count(self, vm: VmRow, classes: tuple[str, ...]) -> None:
        """The row is this now, and its group is of these classes."""
        counts = (vm.owner, vm.spec.memory_bytes, classes)
        if self._counted.get(vm.name) == counts:
            return
        self.drop(vm.name)
        self._counted[vm.name] = counts
        owned = self._nodes.setdefault(vm.owner, Owned())
        owned.memory_bytes += vm.spec.memory_bytes
        owned.groups.add(vm.name)
        for name in classes:
            owned.classes.setdefault(name, set()).add(vm.name)

    def drop(self, name: VmName) -> None:
        counted = self._counted.pop(name, None)
        if counted is None:
            return
        node, memory_bytes, classes = counted
        owned = self._nodes[node]
        owned.memory_bytes -= memory_bytes
        owned.groups.discard(name)
        for name_of_class in classes:
            owned.classes[name_of_class].discard(name)
