"""Who owns a disk: the transactions that give it, take it, and end what was begun.

One owner, under an epoch that grows with each. It is taken from a life by its own word, or because
the held view has it no more; it is given only while every registrant is a member.
"""

from dataclasses import dataclass, replace

from coordinator.pen import Draft
from coordinator.scene import Scene
from coordinator.shown import chronicle_storage as chronicle
from coordinator.storage import disks, fences, vm_disks
from coordinator.storage.disk_states import as_available, moved, owned_at
from coordinator.store.disk_rows import (
    DiskRow,
    DiskState,
    GoneDiskRow,
    disk_key,
    gone_disk_key,
)
from coordinator.store.rows import VIEW
from protocol.disks import GENERATION_LAST, DiskId
from protocol.names import Epoch, Incarnation, NodeName


def given(scene: Scene, row: DiskRow, avoid: frozenset[NodeName]) -> DiskRow | None:
    """`row` in the hands of the best node, under the next epoch; None if nobody may have it."""
    if not fences.may_move(scene, row):
        return None
    found = [node for _, _, node in disks.candidates(scene, row, avoid)]
    if not found:
        return None
    node: NodeName | None = row.move_to if row.move_to in found else found[0]
    if vm_disks.is_private(row):
        node = vm_disks.place(scene, row, found)
    pending = moved(row, "give")
    agent = None if node is None else scene.agents.at(node)
    if agent is None or pending is None:
        return None
    return replace(
        pending,
        owner=node,
        owner_incarnation=agent.incarnation,
        epoch=Epoch(disks.epoch_seen(scene, row) + 1),
        move_to=None,
        reason="",
    )


@dataclass(frozen=True, slots=True)
class Own:
    """Give a disk that nobody owns to the best node that is not in `avoid`."""

    disk: DiskId
    avoid: frozenset[NodeName] = frozenset()

    def draft(self, scene: Scene) -> Draft | None:
        row = scene.book.disks.get(self.disk)
        if row is None or row.is_served:
            return None
        owned = given(scene, row, self.avoid)
        if owned is None or owned.owner is None:
            return None
        note = chronicle.disk_pending(owned.name, owned.owner, owned.epoch)
        return Draft(relies=(VIEW,), puts=((disk_key(row.id), owned.data()),), notes=(note,))


@dataclass(frozen=True, slots=True)
class TakeOwned:
    """The owner says that it serves the disk, or with a reason that it cannot."""

    disk: DiskId
    incarnation: Incarnation
    epoch: Epoch
    reason: str = ""

    def draft(self, scene: Scene) -> Draft | None:
        row = scene.book.disks.get(self.disk)
        if row is None or not owned_at(row, self.incarnation, self.epoch):
            return None
        if not self.reason and row.format_as:
            return None
        then = moved(row, "not-owned" if self.reason else "owned")
        if then is None or row.owner is None:
            return None
        # A disk is given away without a reason: one that stands here is why it is no volume.
        then = replace(then, reason=self.reason or row.reason)
        if self.reason:
            note = chronicle.disk_failed(row.name, row.volume, row.owner, self.reason)
        else:
            note = chronicle.disk_online(row.name, row.volume, row.owner, row.epoch)
        return Draft(puts=((disk_key(row.id), then.data()),), notes=(note,))


@dataclass(frozen=True, slots=True)
class TakeFormatted:
    """The empty volume is there, and is to be mounted next. With a reason it is not, and the disk
    is in Available Storage again.
    """

    disk: DiskId
    incarnation: Incarnation
    epoch: Epoch
    label: str
    reason: str = ""

    def draft(self, scene: Scene) -> Draft | None:
        row = scene.book.disks.get(self.disk)
        if row is None or not owned_at(row, self.incarnation, self.epoch) or row.owner is None:
            return None
        if not row.format_as or row.format_as != self.label:
            return None
        if not self.reason:
            done = replace(row, format_as="", overwrite=False)
            return Draft(puts=((disk_key(row.id), done.data()),))
        if row.state is not DiskState.PENDING:
            return None
        # Nothing of it was touched: it is what it was, for whoever asks again (with force).
        note = chronicle.disk_failed(row.name, row.volume, row.owner, self.reason)
        kept = replace(as_available(row), reason=self.reason)
        return Draft(puts=((disk_key(row.id), kept.data()),), notes=(note,))


@dataclass(frozen=True, slots=True)
class TakeReleased:
    """The owner has let go. Unless it did so cleanly its keys have to go before the next one."""

    disk: DiskId
    incarnation: Incarnation
    epoch: Epoch
    is_clean: bool
    generation: int = GENERATION_LAST
    reason: str = ""

    def draft(self, scene: Scene) -> Draft | None:
        row = scene.book.disks.get(self.disk)
        if row is None or not owned_at(row, self.incarnation, self.epoch) or row.owner is None:
            return None
        if row.leaving and row.state is DiskState.RELEASING:
            return removed(row, cleared=self.is_clean)
        free = moved(row, "released")
        if free is None:
            return None
        free = replace(free, reason=self.reason)
        notes = []
        if not self.is_clean:
            free = fences.marked_row(free, self.incarnation, self.generation)
            notes.append(chronicle.owner_gave_up(row.name, row.volume, row.owner, self.reason))
        elif (next_one := given(scene, free, frozenset())) is not None and next_one.owner:
            notes.append(chronicle.disk_pending(row.name, next_one.owner, next_one.epoch))
            free = next_one
        return Draft(relies=(VIEW,), puts=((disk_key(row.id), free.data()),), notes=tuple(notes))


@dataclass(frozen=True, slots=True)
class LoseOwner:
    """The owner's life is in no held view any more. Who comes next waits for the fence."""

    disk: DiskId
    incarnation: Incarnation

    def draft(self, scene: Scene) -> Draft | None:
        row = scene.book.disks.get(self.disk)
        if row is None or not row.is_served or row.owner_incarnation != self.incarnation:
            return None
        if scene.held is None or scene.in_held_view(row.owner, self.incarnation):
            return None
        free = moved(row, "lost")
        if free is None or row.owner is None:
            return None
        reason = f"node {row.owner}, its owner, was removed from the cluster"
        note = chronicle.disk_owner_lost(row.name, row.volume, row.owner, row.epoch)
        free = replace(free, reason=reason)
        return Draft(relies=(VIEW,), puts=((disk_key(row.id), free.data()),), notes=(note,))


def removed(row: DiskRow, cleared: bool) -> Draft:
    """The row goes. Unless its owner cleared the keys, who has one is remembered: they have to be
    fenced if the disk ever comes again.
    """
    gone = GoneDiskRow(row.id, row.epoch, () if cleared else row.registrants)
    return Draft(
        puts=((gone_disk_key(row.id), gone.data()),),
        deletes=(disk_key(row.id),),
        notes=(chronicle.disk_removed(row.name),),
    )
