"""Turns what nodes report of disks and volumes into events, each told once."""

from collections.abc import Iterator

from coordinator.desk import Desk, Tell
from coordinator.membership.agents import Agent
from coordinator.scene import Scene
from coordinator.shown import chronicle_storage as chronicle
from coordinator.shown.chronicle import Note
from coordinator.storage import disks
from coordinator.storage.csv_settings import volumes_root
from coordinator.store.disk_rows import DiskRow
from protocol.disks import DiskContent, DiskId, FolderTrouble, VolumeAccess, VolumeMode
from protocol.messages import RequestRefused
from protocol.names import Incarnation, VolumeName

NOTES_MAX = 50
MISSING_AFTER_S = 3.0
"""A disk that is only just clustered, or a path that blinks, is not missing yet."""


class VolumeEvents:
    """Remembers what was told of each node and disk; what is as it ought to be is as if told."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self.begin_anew()

    def begin_anew(self) -> None:
        self._access: dict[tuple[Incarnation, DiskId], VolumeAccess] = {}
        self._missing: dict[tuple[Incarnation, DiskId], float] = {}
        self._told: set[tuple[Incarnation, str, str]] = set()

    def lost(self, row: DiskRow, agent: Agent, reason: str) -> None:
        """1038, at once."""
        if self._is_new(agent.incarnation, "lost", row.id):
            note = chronicle.reservation_lost(row.name, agent.node, reason)
            self._desk.pen.put(Tell((note,)))

    def refused(self, agent: Agent, said: RequestRefused) -> None:
        """9076, once for each stay of a VM on a node."""
        if self._is_new(agent.incarnation, f"refused {said.epoch}", said.vm):
            note = chronicle.request_refused(said.vm, agent.node, said.epoch, said.deed)
            self._desk.pen.put(Tell((note,)))

    def tick(self) -> None:
        scene = self._desk.scene
        notes: list[Note] = []
        for agent in disks.members(scene):
            if agent.storage is None:
                continue
            notes += self._of_folder(scene, agent)
            for row in disks.ordered(scene):
                notes += self._of_disk(agent, row)
                if disks.is_csv(row):
                    notes += self._of_volume(scene, agent, row)
        for first in range(0, len(notes), NOTES_MAX):
            self._desk.pen.put(Tell(tuple(notes[first : first + NOTES_MAX])))

    def _is_new(self, life: Incarnation, what: str, about: str) -> bool:
        key = (life, what, about)
        if key in self._told:
            return False
        self._told.add(key)
        return True

    def _of_folder(self, scene: Scene, agent: Agent) -> Iterator[Note]:
        report, root = agent.storage, volumes_root(scene.book.cluster)
        if report is None or report.trouble is FolderTrouble.NONE:
            return
        if not self._is_new(agent.incarnation, report.trouble.name, root):
            return
        failed = report.trouble is FolderTrouble.FAILED
        told = chronicle.root_failed if failed else chronicle.root_renamed
        yield told(root, agent.node, report.trouble_text)

    def _of_disk(self, agent: Agent, row: DiskRow) -> Iterator[Note]:
        """1034 once a disk has been missing for a while, 1035 for content that is broken."""
        key, now = (agent.incarnation, row.id), self._desk.scene.now
        status = disks.status_of(agent, row.id)
        if status is not None:
            self._missing.pop(key, None)
            self._told.discard((agent.incarnation, "missing", row.id))
            damaged = status.content is DiskContent.DAMAGED
            if damaged and self._is_new(agent.incarnation, "damaged", row.id):
                yield chronicle.disk_unreadable(row.name, agent.node, status.reason)
            return
        since = self._missing.setdefault(key, now)
        if now - since >= MISSING_AFTER_S and self._is_new(agent.incarnation, "missing", row.id):
            yield chronicle.disk_missing(row.name, agent.node)

    def _of_volume(self, scene: Scene, agent: Agent, row: DiskRow) -> Iterator[Note]:
        """5120, 5121, 5142 and that it is direct again; not for what an operator has set."""
        status = disks.access_of(agent, row.id)
        if status is None:
            return
        key = (agent.incarnation, row.id)
        before = self._access.get(key, VolumeAccess.DIRECT)
        if status.access is before:
            return
        self._access[key] = status.access
        wanted = disks.mode_of(scene, row) in (VolumeMode.REDIRECTED, VolumeMode.MAINTENANCE)
        note = None if wanted else _note(row.volume, agent, status.access, status.reason, before)
        if note is not None:
            yield note


def _note(
    volume: VolumeName, agent: Agent, now: VolumeAccess, reason: str, before: VolumeAccess
) -> Note | None:
    match now:
        case VolumeAccess.QUEUED:
            return chronicle.volume_paused(volume, agent.node, reason)
        case VolumeAccess.REDIRECTED:
            return chronicle.volume_redirected(volume, agent.node, reason)
        case VolumeAccess.OFFLINE:
            return chronicle.volume_unreached(volume, agent.node, reason)
        case VolumeAccess.DIRECT if before is not VolumeAccess.MAINTENANCE:
            return chronicle.volume_direct(volume, agent.node)
        case _:
            return None
