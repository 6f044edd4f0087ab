"""What emptying a node would cost: in which order, whereto, and how long all of it takes.

2008 R2 moves one VM at a time, so the times add up. Where a node takes part in several migrations
at once they share one wire: only what lies around the copying overlaps.
"""

from coordinator.groups.placement import best_node
from coordinator.migration.predictions import forecast_data
from coordinator.scene import Scene
from coordinator.storage import needs, vm_files
from coordinator.store.rows import VmRow
from protocol.messages import Figure, Forecast, WritesForecast
from protocol.names import NodeName, VmName

FIELDS = ("likely", "least", "most", "limit")


class DrainForecast:
    """The VMs in the order in which a drain takes them, each with its forecast or why it stays."""

    def __init__(self, node: NodeName, places: int) -> None:
        self.node = node
        self.places = places
        self.waits: set[VmName] = set()
        self._order: list[VmName] = []
        self._targets: dict[VmName, NodeName] = {}
        self._setup_s: dict[VmName, float] = {}
        self._told: dict[VmName, Forecast] = {}
        self._stays: dict[VmName, str] = {}

    def place(self, scene: Scene, vm: VmRow) -> NodeName | None:
        """Where it would go as things are; None if it stays."""
        if refusal := needs.check_may_leave(scene, vm):
            self.stays(vm.name, refusal.sentence)
            return None
        avoid = vm_files.without_volumes(scene, vm.spec) | {self.node}
        group = scene.book.group(vm.name)
        target = best_node(scene, vm.spec.memory_bytes, avoid, None, group)
        if target is None:
            sentence = f"No node that is Up has {vm.spec.memory_bytes} bytes of memory free."
            self.stays(vm.name, sentence)
            return None
        self._order.append(vm.name)
        self._targets[vm.name] = target
        return target

    def wait_for(self, vm: VmName, setup_s: float) -> None:
        self.waits.add(vm)
        self._setup_s[vm] = setup_s

    def stays(self, vm: VmName, reason: str) -> None:
        self.waits.discard(vm)
        self._stays[vm] = reason

    def told(self, vm: VmName, message: WritesForecast) -> None:
        self.waits.discard(vm)
        if message.forecasts:
            self._told[vm] = message.forecasts[0]
        else:
            self._stays[vm] = message.reason or f"Nothing can be foretold of {vm}."

    def data(self) -> dict[str, object]:
        rows = [
            {"vm": vm, "target": self._targets[vm], **forecast_data(self._told[vm])}
            for vm in self._order
            if vm in self._told
        ]
        return {
            "node": self.node,
            "at_once": self.places,
            "order": [row["vm"] for row in rows],
            "vms": rows,
            "stay": [{"vm": vm, "reason": why} for vm, why in sorted(self._stays.items())],
            "total_s": {name: self._total_s(name) for name in FIELDS},
        }

    def _total_s(self, name: str) -> float:
        total_s = 0.0
        for vm, told in self._told.items():
            figure: Figure = told.total_s
            around_s = min(self._setup_s[vm], figure.least)
            total_s += getattr(figure, name) - around_s * (1 - 1 / self.places)
        return total_s
