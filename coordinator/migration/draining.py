"""Carries on the drains: as many VMs at once as there are places, each tried a few times."""

from coordinator.desk import Desk
from coordinator.membership.pauses import EndDrain, next_to_move, still_on
from coordinator.migration.admission import migration_target
from coordinator.migration.attempts import Open
from coordinator.requests import Declined
from coordinator.store.rows import NodeRow
from protocol.names import NodeName, Verify, VmName


class Draining:
    """How often each VM was tried is not kept: a new leader tries again."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._tries: dict[VmName, int] = {}

    def forget(self, node: NodeName) -> None:
        """The node was resumed, or is paused anew."""
        for vm in self._desk.scene.book.vms.values():
            if vm.owner == node:
                self._tries.pop(vm.name, None)

    def opened(self, vm: VmName) -> None:
        self._tries[vm] = self._tries.get(vm, 0) + 1

    def tick(self) -> None:
        for row in sorted(self._desk.scene.book.nodes.values(), key=lambda row: row.name):
            if row.draining:
                self._carry_on(row)

    def _carry_on(self, row: NodeRow) -> None:
        scene, pen = self._desk.scene, self._desk.pen
        move = next_to_move(scene, row, self._tries)
        if isinstance(move, EndDrain):
            pen.put(move)
        elif move is not None:
            pen.put(Open(None, move, None, scene.config.policy, Verify.OFF))
        elif not scene.book.unclosed:
            self._count_stuck(row.name)

    def _count_stuck(self, node: NodeName) -> None:
        """Nothing moves anywhere, so a VM that has no place now will not have one by waiting."""
        for vm in still_on(self._desk.scene, node):
            checked = migration_target(self._desk.scene, vm, None)
            if isinstance(checked, Declined) and checked.code == "no-memory":
                self.opened(vm)
