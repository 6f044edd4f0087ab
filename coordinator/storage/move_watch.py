"""Keeps each move of storage on its way: its node is told, its consent is taken to the store."""

from coordinator.desk import Desk
from coordinator.events import LinkId
from coordinator.membership.agents import Agent
from coordinator.pen import Plan
from coordinator.scene import Scene
from coordinator.storage import disks
from coordinator.storage.leavings import Leavings
from coordinator.storage.moves import AbortMove, CloseMove, OpenMove, SwitchMove, belongs
from coordinator.storage.telling import Pace
from coordinator.store.move_rows import StorageMove
from coordinator.store.rows import VmRow
from protocol.messages import (
    FilesRemoved,
    MoveReport,
    MoveStorage,
    StorageDecided,
    StorageMirrored,
    StorageMoveEnded,
    StorageMoveFailed,
    StorageProgress,
)
from protocol.names import Decision


class MoveWatch:
    """What it remembers is only what it has said, and how far copies are."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._pace = Pace()
        self._leavings = Leavings(desk)

    def tick(self, links: set[LinkId]) -> None:
        """Comes with every ping of the leader."""
        self._pace.keep(links)
        self._leavings.forget_links(links)
        for vm in list(self._desk.scene.book.vms.values()):
            if vm.storage_moves:
                self._tend(vm)
        self._leavings.tick()

    def written(self, plan: Plan) -> None:
        if isinstance(plan, OpenMove | SwitchMove | AbortMove):
            vm = self._desk.scene.book.vms.get(plan.vm)
            if vm is not None and vm.storage_moves:
                self._tend(vm)

    def _tend(self, vm: VmRow) -> None:
        move, scene = vm.move, self._desk.scene
        assert move is not None, vm.name
        if move.is_open and (why := _why_not(scene, vm, move)):
            self._desk.pen.put(AbortMove(vm.name, move.number, why))
            return
        agent = scene.agents.living(vm.owner, move.incarnation)
        if agent is None:
            return
        head = self._desk.cluster, scene.term, agent.incarnation, vm.name, move.epoch, move.number
        order: MoveStorage | StorageDecided
        if move.is_open:
            order = MoveStorage(*head, move.spec)
        else:
            order = StorageDecided(*head, move.decision is Decision.COMMITTED, move.spec)
        if self._pace.may_say((agent.link, vm.name), order, scene.now):
            self._desk.send(agent, order)

    def told(self, agent: Agent, said: MoveReport) -> None:
        scene, pen = self._desk.scene, self._desk.pen
        vm = scene.book.vms.get(said.vm)
        move = None if vm is None else vm.move
        if vm is None or vm.owner_incarnation != agent.incarnation or vm.epoch != said.epoch:
            return
        if move is None or move.number < said.move:
            self._undone(agent, vm, said)
            return
        if move.number > said.move or move.is_closed:
            return
        match said:
            case StorageProgress(copied_bytes=copied, total_bytes=total):
                scene.copied[vm.name] = (said.move, copied, total)
            case StorageMirrored():
                pen.put(SwitchMove(vm.name, said.move, agent.incarnation), urgent=True)
            case StorageMoveFailed(reason=reason):
                pen.put(AbortMove(vm.name, said.move, reason), urgent=True)
            case StorageMoveEnded():
                pen.put(CloseMove(vm.name, said.move, agent.incarnation))

    def _undone(self, agent: Agent, vm: VmRow, said: MoveReport) -> None:
        """The store, put back from a copy, knows nothing of it: the files are where the row says,
        which is where they were.
        """
        if isinstance(said, StorageMoveEnded):
            return
        head = self._desk.cluster, self._desk.scene.term, agent.incarnation
        order = StorageDecided(*head, vm.name, vm.epoch, said.move, False, vm.spec)
        if self._pace.may_say((agent.link, vm.name), order, self._desk.scene.now):
            self._desk.send(agent, order)

    def removed(self, agent: Agent, said: FilesRemoved) -> None:
        self._leavings.told(agent, said)


def _why_not(scene: Scene, vm: VmRow, move: StorageMove) -> str:
    """Why it cannot come to a good end; empty while it may."""
    if not belongs(vm, move):
        return f"the VM does not run on node {vm.owner} under epoch {move.epoch} any more"
    row = disks.volume_row(scene, move.volume)
    if row is None or not disks.is_csv(row):
        return f"{move.volume} is no shared volume any more"
    return f"{move.volume} is in maintenance mode" if row.maintenance else ""
