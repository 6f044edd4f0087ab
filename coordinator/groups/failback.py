"""Failback: a group goes back to a preferred owner that has come back, at once or in its hours."""

from dataclasses import dataclass, replace

from coordinator.desk import Desk
from coordinator.groups.group_properties import NONE
from coordinator.groups.ownership import group_puts, seated
from coordinator.groups.placement import fitting
from coordinator.migration import admission
from coordinator.migration.attempts import Open
from coordinator.pen import Draft
from coordinator.requests import Declined
from coordinator.scene import Scene
from coordinator.shown import chronicle
from coordinator.store.group_rows import GroupRow
from coordinator.store.rows import VmRow, vm_key
from protocol.names import NodeName, Verify, VmName

AGAIN_S = 300.0
"""After a migration that failed, the next try waits so long."""


def local_hour(scene: Scene) -> int:
    return int((scene.wall + scene.config.local_offset_s) // 3600) % 24


def in_window(start: int, end: int, hour: int) -> bool:
    """FailbackWindowStart to FailbackWindowEnd, that hour not included; over midnight, too.

    Both are needed; without them any hour will do. A window of one name is that one hour.
    """
    if NONE in (start, end):
        return True
    if start == end:
        return hour == start
    if start < end:
        return start <= hour < end
    return hour >= start or hour < end


def called_back_to(scene: Scene, vm: VmRow, group: GroupRow, hour: int) -> NodeName | None:
    """The best preferred owner that came after the group got its node, and is better than that."""
    if not group.number("AutoFailbackType") or not group.preferred:
        return None
    start, end = group.number("FailbackWindowStart"), group.number("FailbackWindowEnd")
    if not in_window(start, end, hour):
        return None
    preferred = group.preferred
    rank = preferred.index(vm.owner) if vm.owner in preferred else len(preferred)
    found = set(fitting(scene, vm.spec.memory_bytes, group))
    for node in preferred[:rank]:
        agent = scene.agents.at(node)
        if node in found and agent is not None and agent.incarnation not in group.passed:
            return node
    return None


@dataclass(frozen=True, slots=True)
class BringBack:
    """A group that does not run only changes hands."""

    vm: VmName
    node: NodeName

    def draft(self, scene: Scene) -> Draft | None:
        vm = scene.book.vms.get(self.vm)
        if vm is None or vm.live or vm.attempt is not None or vm.owner == self.node:
            return None
        row = replace(vm, owner=self.node)
        group = seated(scene, scene.book.group(vm.name))
        note = chronicle.group_moved(vm.name, vm.owner, self.node, "a preferred owner came back")
        return Draft(puts=((vm_key(vm.name), row.data()), *group_puts(scene, group)), notes=(note,))


class Failback:
    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._tried: dict[VmName, float] = {}

    def tick(self) -> None:
        """Only groups that were ever configured have a row, and only they can go back."""
        scene = self._desk.scene
        hour = local_hour(scene)
        for name, group in sorted(scene.book.groups.items()):
            vm = scene.book.vms.get(name)
            if vm is None or scene.now < self._tried.get(name, 0.0):
                continue
            node = called_back_to(scene, vm, group, hour)
            if node is not None:
                self._go(vm, node)

    def _go(self, vm: VmRow, node: NodeName) -> None:
        scene, pen = self._desk.scene, self._desk.pen
        if not vm.live:
            if not vm.on or vm.failed:
                pen.put(BringBack(vm.name, node))
            return
        if isinstance(admission.migration_target(scene, vm.name, node), Declined):
            return
        self._tried[vm.name] = scene.now + AGAIN_S
        pen.put(Open(None, vm.name, node, scene.config.policy, Verify.OFF))
