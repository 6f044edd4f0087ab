"""Whose keys have to go from a disk before it, or anything on it, is given to somebody else."""

from dataclasses import dataclass, replace

from coordinator.membership.agents import Agent
from coordinator.pen import Draft
from coordinator.scene import Scene
from coordinator.shown import chronicle_storage as chronicle
from coordinator.storage import disks
from coordinator.store.disk_rows import DiskRow, Registrant, disk_key
from coordinator.store.rows import VIEW
from protocol.disks import GENERATION_LAST, DiskId, FencedLife
from protocol.names import Incarnation

STRANGERS_MAX = 64
"""So many lives that left, and were never granted the disk, have their keys removed as well."""


def members(scene: Scene) -> frozenset[Incarnation]:
    """The lives of the held view; none while no view holds."""
    return frozenset(m.incarnation for m in (scene.held.members if scene.held else ()))


def departed(scene: Scene, row: DiskRow) -> list[FencedLife]:
    """Registrants whose keys must go: lives that the held view has not, and those that are marked.

    Nothing that is on the disk moves while there is one. Without a held view nobody is fenced, for
    then nobody is known to be out.
    """
    if scene.held is None:
        return []
    inside, found = members(scene), []
    for registrant in row.registrants:
        if registrant.incarnation not in inside:
            found.append(FencedLife(registrant.incarnation, GENERATION_LAST))
        elif registrant.fenced_to:
            found.append(FencedLife(registrant.incarnation, registrant.fenced_to))
    return found


def may_move(scene: Scene, row: DiskRow) -> bool:
    """The disk and what is on it may be given to somebody: every registrant is a member."""
    return scene.held is not None and not departed(scene, row)


def order_for(scene: Scene, row: DiskRow) -> tuple[FencedLife, ...]:
    """What a fencer is told: who has to go, and lives that left and may have registered."""
    wanted = departed(scene, row)
    if not wanted:
        return ()
    named = {life.incarnation for life in wanted}
    left = () if scene.book.view is None else scene.book.view.left[-STRANGERS_MAX:]
    inside = members(scene)
    more = [FencedLife(life) for life in left if life not in named and life not in inside]
    return (*wanted, *more)


def fencer(
    scene: Scene, row: DiskRow, lives: tuple[FencedLife, ...], turn: int = 0
) -> Agent | None:
    """A member with a path and a key of its own on the disk: its owner whenever it can.

    The owner also ends what it did for these lives as redirected ones. If it does not answer, the
    others have their `turn`: files that VMs open under a newer epoch are closed to older ones.
    """
    out = {life.incarnation: life.generation for life in lives}
    able = []
    for agent in disks.members(scene):
        status = disks.status_of(agent, row.id)
        if status is None or not status.paths_up or not status.key or status.is_lost:
            continue
        owns = row.is_served and agent.incarnation == row.owner_incarnation
        # One that gave a key up may have the next, and be the only one that can remove the first.
        if status.key[-1] <= out.get(agent.incarnation, 0):
            continue
        if owns or scene.may_own(agent.node, agent.incarnation):
            able.append((not owns, agent.incarnation in out, agent.node, agent))
    able.sort(key=lambda one: one[:3])
    return able[turn % len(able)][3] if able else None


@dataclass(frozen=True, slots=True)
class Admit:
    """A member has registered: write it before it is granted the disk.

    The write is guarded by the term and by the view, so that nobody who was put out, and no leader
    who was deposed, can make a registration count that was made behind a fence.
    """

    disk: DiskId
    incarnation: Incarnation
    registrations: int

    def draft(self, scene: Scene) -> Draft | None:
        row = scene.book.disks.get(self.disk)
        if row is None or not self._is_member(scene):
            return None
        known = row.registrant(self.incarnation)
        if known is not None and (known.fenced_to or known.registrations >= self.registrations):
            return None
        others = tuple(r for r in row.registrants if r.incarnation != self.incarnation)
        admitted = replace(
            row, registrants=(*others, Registrant(self.incarnation, self.registrations))
        )
        return Draft(relies=(VIEW,), puts=((disk_key(row.id), admitted.data()),))

    def _is_member(self, scene: Scene) -> bool:
        view = scene.book.view
        return (
            view is not None
            and self.incarnation in members(scene)
            and any(member.incarnation == self.incarnation for member in view.view.members)
        )


@dataclass(frozen=True, slots=True)
class TakeFenced:
    """A member has seen that no key of `lives` is left: they are registrants no more."""

    disk: DiskId
    lives: tuple[FencedLife, ...]

    def draft(self, scene: Scene) -> Draft | None:
        row = scene.book.disks.get(self.disk)
        if row is None:
            return None
        done = {life.incarnation: life.generation for life in self.lives}
        out = departed(scene, row)
        gone = [
            wanted.incarnation
            for wanted in out
            if done.get(wanted.incarnation, 0) >= wanted.generation
        ]
        if not gone:
            return None
        # Who lives on may have its next key already: it stays one who has to be fenced if it goes.
        alive = {wanted.incarnation for wanted in out if wanted.generation < GENERATION_LAST}
        kept = tuple(
            replace(r, fenced_to=0) if r.incarnation in gone else r
            for r in row.registrants
            if r.incarnation not in gone or r.incarnation in alive
        )
        note = chronicle.fenced(row.name, tuple(gone))
        fenced = replace(row, registrants=kept)
        return Draft(relies=(VIEW,), puts=((disk_key(row.id), fenced.data()),), notes=(note,))


@dataclass(frozen=True, slots=True)
class Banish:
    """A member says that its key was refused: its keys have to go, whoever took the one."""

    disk: DiskId
    incarnation: Incarnation

    def draft(self, scene: Scene) -> Draft | None:
        row = scene.book.disks.get(self.disk)
        known = None if row is None else row.registrant(self.incarnation)
        if row is None or known is None or known.fenced_to >= GENERATION_LAST:
            return None
        marked = marked_row(row, self.incarnation, GENERATION_LAST)
        return Draft(puts=((disk_key(row.id), marked.data()),))


def marked_row(row: DiskRow, life: Incarnation, generation: int) -> DiskRow:
    """`row` with the keys of `life` up to `generation` to be fenced."""
    registrants = tuple(
        replace(r, fenced_to=max(r.fenced_to, generation)) if r.incarnation == life else r
        for r in row.registrants
    )
    return replace(row, registrants=registrants)
