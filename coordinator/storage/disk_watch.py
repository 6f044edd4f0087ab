"""Keeps each disk on its way to what its row wants: fenced, owned, mounted, and known to all."""

from dataclasses import replace

from coordinator.desk import Desk
from coordinator.groups.stops import MACHINE
from coordinator.groups.tending import Tending
from coordinator.membership.agents import Agent
from coordinator.pen import Draft, Plan
from coordinator.scene import Scene
from coordinator.storage import balance, disks, fences, quorum_disk, vm_disks
from coordinator.storage.csv_checks import AskCheck, Checks
from coordinator.storage.disk_owners import LoseOwner, Own, TakeFormatted, TakeOwned, TakeReleased
from coordinator.storage.disk_plans import MoveDisk, Release
from coordinator.storage.exemption import Exempt
from coordinator.storage.move_watch import MoveWatch
from coordinator.storage.removals import Removals
from coordinator.storage.telling import Pace, Telling, networks_for_csv, without_key
from coordinator.storage.volume_events import VolumeEvents
from coordinator.store.disk_rows import DiskRow, DiskState
from coordinator.store.rows import VIEW
from protocol.disks import GENERATION_LAST, DiskId, DiskRole, FencedLife
from protocol.messages import (
    DiskFenced,
    DiskFormatted,
    DiskLost,
    DiskOwned,
    DiskReleased,
    DiskReport,
    FenceDisk,
    FilesRemoved,
    FormatDisk,
    MoveReport,
    OwnDisk,
    ReleaseDisk,
    RequestRefused,
    StorageReport,
    VolumeChecked,
)
from protocol.names import NO_VOLUME, Epoch, NodeName, VolumeName

SHUNNED_S = 15.0
"""A node that could not own a disk is not asked again before, while there are others."""

FENCER_S = 6.0
"""So long a member may take to fence a disk; then the next one is asked as well."""

SETTLING_S = 3.0
"""So long the first owner of a new disk is not chosen while nodes are still to be granted it."""

STRANDED_S = 5.0
"""So long a VM waits for its own disk on a node that cannot bring it online."""

ROW_PREFIXES = ("disk/", "node/", "deleted/")


class DiskWatch:
    """What it remembers is only how often it has said what; all that counts is in the rows."""

    def __init__(self, desk: Desk, tending: Tending) -> None:
        self._desk = desk
        self._tending = tending
        self._events = VolumeEvents(desk)
        self._checks = Checks(desk)
        self.begin_anew()

    def begin_anew(self) -> None:
        """It leads no more: by the time that it leads again all of this is old."""
        self._telling = Telling(self._desk)
        self._removals = Removals(self._desk)
        self._moves = MoveWatch(self._desk)
        self._pace = Pace()
        self._shunned: dict[DiskId, dict[NodeName, float]] = {}
        self._new: dict[DiskId, float] = {}
        self._fencing: dict[DiskId, float] = {}
        self._stranded: dict[DiskId, float] = {}
        self._balanced_at = self._desk.scene.now
        self._checks.give_up()
        self._events.begin_anew()

    # ---- looking

    def tick(self) -> None:
        """Comes with every ping of the leader."""
        links = {agent.link for agent in self._desk.scene.agents}
        self._telling.forget_links(links)
        self._removals.forget_links(links)
        self._moves.tick(links)
        self._pace.keep(links)
        self._checks.tick()
        self.look()
        self._balance()
        self._events.tick()

    def _balance(self) -> None:
        scene = self._desk.scene
        if scene.now - self._balanced_at < balance.PAUSE_S:
            return
        if (move := balance.next_move(scene)) is not None:
            self._balanced_at = scene.now
            self._desk.pen.put(move)

    def look(self) -> None:
        scene = self._desk.scene
        if scene.held is None:
            return
        for disk in quorum_disk.unsettled(scene):
            self._desk.pen.put(quorum_disk.Settle(disk))
        if not (scene.book.disks or _somebody_uses(scene)):
            return
        for row in disks.ordered(scene):
            self._tend(row)
        networks = networks_for_csv(scene)
        for agent in disks.members(scene):
            self._telling.tell(agent, networks)

    def written(self, plan: Plan, draft: Draft) -> None:
        """A row that disks depend on is another one now."""
        rows = self._desk.scene.book.disks.values()
        keys = [*(key for key, _ in draft.puts), *draft.deletes]
        # Maintenance begins when the last VM has stopped, and a VM's own disk goes where the VM is;
        # else VMs are none of a disk's business.
        heeds_vms = any(r.maintenance or vm_disks.is_private(r) for r in rows)
        kinds = (*ROW_PREFIXES, "vm/") if heeds_vms else ROW_PREFIXES
        if rows and any(key == VIEW or key.startswith(kinds) for key in keys):
            self.look()
        self._moves.written(plan)
        if isinstance(plan, AskCheck):
            self._checks.begin(plan.request, plan.volume)
        if isinstance(plan, fences.TakeFenced | TakeOwned | Exempt):
            row = disks.by_name(self._desk.scene, plan.disk)
            self._wake(NO_VOLUME if row is None else row.volume)

    def _wake(self, volume: VolumeName) -> None:
        """VMs that wait for the volume may have a place now."""
        scene = self._desk.scene
        for vm in disks.users_of(scene, volume):
            row = scene.book.vms[vm]
            if row.on and (not row.live or vm_disks.rows_of(scene, row.spec)):
                self._tending.tend(row)

    # ---- one disk

    def _tend(self, row: DiskRow) -> None:
        if row.role is DiskRole.WITNESS:
            return  # it has no owner; who holds it is a matter of votes
        scene, pen = self._desk.scene, self._desk.pen
        if vm_disks.is_private(row):
            self._look_for_stranded(row)
        if lives := fences.order_for(scene, row):
            self._fence(row, lives)
        else:
            self._fencing.pop(row.id, None)
        if not row.is_served:
            if not lives:
                self._give(row)
            return
        if not scene.in_held_view(row.owner, row.owner_incarnation):
            assert row.owner_incarnation is not None, row.id
            pen.put(LoseOwner(row.id, row.owner_incarnation))
            return
        agent = scene.agents.living(row.owner, row.owner_incarnation)
        if agent is None:
            return
        self._removals.tell(agent, row)
        match row.state:
            case DiskState.PENDING:
                self._order_owner(agent, row)
            case DiskState.RELEASING if row.leaving and lives:
                pass  # what is cleared afterwards aborts nothing
            case DiskState.RELEASING:
                head = self._desk.cluster, scene.term, agent.incarnation
                self._say(agent, row, ReleaseDisk(*head, row.id, row.epoch, row.leaving))
            case DiskState.ONLINE if row.leaving:
                pen.put(Release(row.id))
            case DiskState.ONLINE if disks.must_leave(scene, row):
                pen.put(MoveDisk(None, row.id))
            case DiskState.ONLINE if vm_disks.follows(scene, row) is not None:
                pen.put(vm_disks.Follow(row.id))
            case DiskState.ONLINE if vm_disks.is_spare(scene, row):
                pen.put(vm_disks.GiveBack(row.id))
            case DiskState.ONLINE if not self._pace.has_said((agent.link, "own", row.id)):
                # On a new link: a leader that was deposed since may have had it released.
                self._order_owner(agent, row)

    def _fence(self, row: DiskRow, lives: tuple[FencedLife, ...]) -> None:
        now = self._desk.scene.now
        since = self._fencing.setdefault(row.id, now)
        agent = fences.fencer(self._desk.scene, row, lives, int((now - since) / FENCER_S))
        if agent is None:
            return
        head = self._desk.cluster, self._desk.scene.term, agent.incarnation
        message = FenceDisk(*head, row.id, lives)
        if self._pace.may_say((agent.link, "fence", row.id), message, now):
            self._desk.send(agent, message)

    def _give(self, row: DiskRow) -> None:
        scene, now = self._desk.scene, self._desk.scene.now
        since = self._new.setdefault(row.id, now)
        if not row.epoch and now - since < SETTLING_S and disks.awaits_grants(scene, row):
            return
        shunned = self._shunned.get(row.id, {})
        avoid = frozenset(node for node, until in shunned.items() if until > now)
        if disks.candidates(scene, row, avoid):
            self._desk.pen.put(Own(row.id, avoid))

    def _look_for_stranded(self, row: DiskRow) -> None:
        """A VM whose node cannot have its disk fails there, and so it can go where that can be."""
        now = self._desk.scene.now
        shunned = {n for n, until in self._shunned.get(row.id, {}).items() if until > now}
        vm = vm_disks.stranded(self._desk.scene, row, shunned)
        if vm is None:
            self._stranded.pop(row.id, None)
        elif now - self._stranded.setdefault(row.id, now) >= STRANDED_S:
            del self._stranded[row.id]
            why = f"{row.name} cannot come online on node {vm.owner}"
            self._tending.fail(vm.name, MACHINE, f"{why}: {row.reason}" if row.reason else why)

    def _order_owner(self, agent: Agent, row: DiskRow) -> None:
        head = self._desk.cluster, self._desk.scene.term, agent.incarnation
        message: OwnDisk | FormatDisk
        if row.format_as:
            message = FormatDisk(*head, row.id, row.epoch, row.format_as, row.overwrite)
        else:
            mode = disks.mode_of(self._desk.scene, row)
            message = OwnDisk(*head, row.id, row.epoch, row.role, row.volume, mode)
        self._say(agent, row, message)

    def _say(self, agent: Agent, row: DiskRow, message: OwnDisk | FormatDisk | ReleaseDisk) -> None:
        if self._pace.may_say((agent.link, "own", row.id), message, self._desk.scene.now):
            self._desk.send(agent, message)

    # ---- what agents say

    def told(self, agent: Agent, said: StorageReport) -> None:
        pen = self._desk.pen
        match said:
            case DiskReport():
                self._reported(agent, said)
            case DiskFenced(disk=disk, lives=lives, reason=reason):
                if not reason:
                    pen.put(fences.TakeFenced(disk, lives), urgent=True)
            case DiskOwned(disk=disk, epoch=epoch, reason=reason):
                self._failed(agent, disk, epoch, reason)
                pen.put(TakeOwned(disk, agent.incarnation, epoch, reason), urgent=True)
            case DiskFormatted(disk=disk, epoch=epoch, label=label, reason=reason):
                self._failed(agent, disk, epoch, reason)
                pen.put(TakeFormatted(disk, agent.incarnation, epoch, label, reason))
            case DiskReleased():
                self._released(agent, said)
            case DiskLost(disk=disk, reason=reason):
                self._lost(agent, disk, reason)
            case VolumeChecked():
                self._checks.checked(said)
            case FilesRemoved():
                self._removals.told(agent, said)
                self._moves.removed(agent, said)
            case RequestRefused():
                self._events.refused(agent, said)

    def moved(self, agent: Agent, said: MoveReport) -> None:
        self._moves.told(agent, said)

    def _reported(self, agent: Agent, said: DiskReport) -> None:
        before, agent.storage = agent.storage, said
        if before == said:
            return
        self.look()
        for access in said.volumes:
            self._wake(access.volume)

    def _failed(self, agent: Agent, disk: DiskId, epoch: Epoch, reason: str) -> None:
        row = self._desk.scene.book.disks.get(disk)
        if reason and row is not None and row.epoch == epoch:
            until = self._desk.scene.now + SHUNNED_S
            self._shunned.setdefault(disk, {})[agent.node] = until

    def _released(self, agent: Agent, said: DiskReleased) -> None:
        if not said.is_clean:
            self._drop_key(agent, said.disk)
        generation = min(max(said.generation, 1), GENERATION_LAST)
        plan = TakeReleased(
            *(said.disk, agent.incarnation, said.epoch, said.is_clean, generation, said.reason)
        )
        self._desk.pen.put(plan, urgent=True)

    def _lost(self, agent: Agent, disk: DiskId, reason: str) -> None:
        """Its own word is enough: the target has refused it. It is fenced, and owns it no more."""
        row = self._desk.scene.book.disks.get(disk)
        self._drop_key(agent, disk)
        if row is None:
            return
        self._events.lost(row, agent, reason)
        self._desk.pen.put(fences.Banish(disk, agent.incarnation), urgent=True)
        if row.is_served and row.owner_incarnation == agent.incarnation:
            plan = TakeReleased(
                *(disk, agent.incarnation, row.epoch, False, GENERATION_LAST, reason)
            )
            self._desk.pen.put(plan)
        for vm in disks.users_of(self._desk.scene, row.volume):
            vm_row = self._desk.scene.book.vms[vm]
            if vm_row.live and vm_row.owner_incarnation == agent.incarnation:
                self._tending.fail(vm, MACHINE, reason)

    def _drop_key(self, agent: Agent, disk: DiskId) -> None:
        report = agent.storage
        if report is not None:
            kept = tuple(without_key(status, disk) for status in report.disks)
            agent.storage = replace(report, disks=kept)


def _somebody_uses(scene: Scene) -> bool:
    """A node still shows a volume or a key, though no disk is clustered."""
    return any(
        agent.storage is not None
        and (agent.storage.volumes or any(status.key for status in agent.storage.disks))
        for agent in scene.agents
    )
