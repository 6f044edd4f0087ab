"""What each node is told of shared storage: disks to register with, grants, where volumes are."""

from collections.abc import Hashable
from dataclasses import dataclass, field, replace

from coordinator.desk import Desk
from coordinator.events import LinkId
from coordinator.membership.agents import Agent
from coordinator.networks.networks import conditions, csv_order, networks_of, with_all_addresses
from coordinator.scene import Scene
from coordinator.storage import disks, fences, vm_disks
from coordinator.storage.csv_settings import volumes_root
from coordinator.store.disk_rows import DiskRow
from protocol.disks import NO_KEY, DiskId, DiskRole, DiskStatus, DiskUse, VolumeMode
from protocol.messages import GrantDisk, ToAgent, UseDisks, VolumeAt, VolumeGone
from protocol.names import Member, NetworkName

ASK_AGAIN_S = 2.0
"""How long a node may take to show that it has heard."""


@dataclass(slots=True)
class Pace:
    """Lets the same words pass once in a while, and others at once."""

    said: dict[Hashable, tuple[object, float]] = field(default_factory=dict)

    def may_say(self, about: Hashable, words: object, now: float) -> bool:
        before, at = self.said.get(about, (None, 0.0))
        if before == words and now - at < ASK_AGAIN_S:
            return False
        self.said[about] = words, now
        return True

    def has_said(self, about: Hashable) -> bool:
        return about in self.said

    def keep(self, links: set[LinkId]) -> None:
        """What was said on links that are gone was perhaps never heard."""
        for about in [a for a in self.said if isinstance(a, tuple) and a[0] not in links]:
            del self.said[about]


class Telling:
    """Compares what a node shows with what it ought to; repeats itself until both are one."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._pace = Pace()

    def tell(self, agent: Agent, networks: tuple[NetworkName, ...]) -> None:
        """A member whose report has come is told what it lacks."""
        if agent.storage is None:
            return
        rows = [r for r in disks.ordered(self._desk.scene) if r.role is not DiskRole.WITNESS]
        self._use(agent, rows)
        for row in rows:
            self._grant(agent, row)
            if disks.has_files(row):
                self._place(agent, row, networks)
        self._tidy(agent, rows)

    def forget_links(self, links: set[LinkId]) -> None:
        self._pace.keep(links)

    def _say(self, agent: Agent, about: Hashable, message: ToAgent) -> None:
        if self._pace.may_say((agent.link, about), message, self._desk.scene.now):
            self._desk.send(agent, message)

    def _once(self, agent: Agent, about: Hashable, message: ToAgent) -> None:
        """What needs no repetition: the words go out when they are others than the last ones."""
        known, _ = self._pace.said.get((agent.link, about), (None, 0.0))
        if known != message:
            self._say(agent, about, message)

    def _use(self, agent: Agent, rows: list[DiskRow]) -> None:
        uses = tuple(DiskUse(row.id, row.name, row.role, row.epoch) for row in rows)
        scene = self._desk.scene
        message = UseDisks(self._desk.cluster, scene.term, agent.incarnation, uses)
        statuses = [disks.status_of(agent, row.id) for row in rows]
        if any(s is not None and s.paths_up and not s.key and not s.is_lost for s in statuses):
            self._say(agent, "use", message)
        elif rows or (agent.link, "use") in self._pace.said:
            self._once(agent, "use", message)

    def _grant(self, agent: Agent, row: DiskRow) -> None:
        """The registration is written first; the row that says so is what allows the grant."""
        status, scene = disks.status_of(agent, row.id), self._desk.scene
        if status is None or not status.key or status.is_lost:
            return
        known = row.registrant(agent.incarnation)
        if known is not None and known.fenced_to:
            return
        if known is None or known.registrations < status.registrations:
            self._desk.pen.put(fences.Admit(row.id, agent.incarnation, status.registrations))
        elif status.granted < status.registrations:
            message = GrantDisk(
                *(self._desk.cluster, scene.term, agent.incarnation),
                *(row.id, known.registrations),
            )
            self._say(agent, ("grant", row.id), message)

    def _place(self, agent: Agent, row: DiskRow, networks: tuple[NetworkName, ...]) -> None:
        scene = self._desk.scene
        mode = disks.mode_of(scene, row)
        owner = None if mode is VolumeMode.OFFLINE else owner_of(scene, row)
        head = self._desk.cluster, scene.term, agent.incarnation
        root, mode = volumes_root(scene.book.cluster), mode if owner else VolumeMode.OFFLINE
        if vm_disks.is_private(row):
            # No folder, and no way through the owner: who has files open there waits.
            root, mode = "", VolumeMode.DIRECT
            owner = owner if owner is not None and owner.incarnation == agent.incarnation else None
        message = VolumeAt(*head, row.id, row.volume, root, row.epoch, owner, mode, networks)
        access = disks.access_of(agent, row.id)
        about = ("volume", row.id)
        if access is None or (access.epoch, access.volume) != (row.epoch, row.volume):
            self._say(agent, about, message)
        else:
            self._once(agent, about, message)

    def _tidy(self, agent: Agent, rows: list[DiskRow]) -> None:
        """Folders of volumes that are none any more."""
        here = {row.id for row in rows if disks.has_files(row)}
        for access in agent.storage.volumes if agent.storage is not None else ():
            if access.disk not in here:
                scene = self._desk.scene
                head = self._desk.cluster, scene.term, agent.incarnation
                message = VolumeGone(*head, access.disk, access.volume)
                self._say(agent, ("gone", access.disk), message)


def owner_of(scene: Scene, row: DiskRow) -> Member | None:
    """The owner as a member, with all its addresses; None while nobody has the disk."""
    if not row.is_served or scene.held is None:
        return None
    for member in scene.held.members:
        if member.node == row.owner and member.incarnation == row.owner_incarnation:
            return with_all_addresses(scene, member)
    return None


def networks_for_csv(scene: Scene) -> tuple[NetworkName, ...]:
    """What carries CSV now, and then the others in the order in which it would move to them."""
    return csv_order(networks_of(scene), conditions(scene))


def without_key(status: DiskStatus, disk: DiskId) -> DiskStatus:
    """What is known of a disk whose key was taken or given up, until the node reports again."""
    return replace(status, key=NO_KEY, granted=0) if status.disk == disk else status
