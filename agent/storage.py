"""The node's part in shared storage: what the coordinator orders about disks and volumes, under
which keys and epochs it is obeyed, and what is reported.

Whose orders count was looked at before (`agent.authority`). Here it is kept what this life has
promised: never to own a disk again under an epoch that it gave up, never to use a key again that it
gave up, and never to register again with a disk that it lost.
"""

from collections.abc import Iterable
from typing import assert_never

from agent import disk_reports as reports
from agent.actions import Action, Note
from agent.disk_here import NO_VOLUME, DiskHere, Owning, status_of
from agent.disk_reports import Said
from agent.disk_words import (
    AdmitDisk,
    DiskConflicted,
    DiskEvent,
    DiskGiven,
    DisksSeen,
    DiskTaken,
    FolderRemoved,
    FormatVolume,
    GiveDisk,
    KeyGivenUp,
    LeaveVolume,
    LetGo,
    LivesRemoved,
    LookOver,
    ReachVolume,
    RemoveFolder,
    RemoveLives,
    SeenDisk,
    SetMembers,
    TakeDisk,
    UseDisk,
    VolumeLookedOver,
    VolumeMade,
    VolumeTurned,
)
from agent.vms import Outcome
from protocol.disks import (
    GENERATION_LAST,
    NO_KEY,
    DiskId,
    DiskRole,
    RegistrationKey,
    VolumeStatus,
    registration_key,
)
from protocol.messages import (
    CheckVolume,
    FenceDisk,
    FormatDisk,
    GrantDisk,
    OwnDisk,
    ReleaseDisk,
    RemoveFiles,
    StorageOrder,
    UseDisks,
    VolumeAt,
    VolumeGone,
)
from protocol.names import ClusterId, Epoch, Incarnation, View


class Storage:
    """All disks and volumes of one life of a node."""

    def __init__(self, me: Incarnation) -> None:
        self.me = me
        self.disks: dict[DiskId, DiskHere] = {}
        self.volumes: dict[DiskId, VolumeStatus] = {}
        self._placed: dict[DiskId, Epoch] = {}
        self._members: frozenset[Incarnation] = frozenset()
        self._folder: DisksSeen | None = None
        """None on a node that has no way to any disk."""
        self._cluster = ClusterId("")

    # ---- orders

    def told(self, order: StorageOrder) -> Outcome:
        self._cluster = order.cluster
        if isinstance(order, OwnDisk | FormatDisk) and self.me not in self._members:
            return []  # said again; until then this life knows of no member, and all are strangers
        match order:
            case UseDisks():
                return self._use(order)
            case GrantDisk(disk=disk, registrations=registrations):
                return self._granted(self._of(disk), registrations)
            case FenceDisk(cluster=cluster, disk=disk, lives=lives):
                return [RemoveLives(cluster, disk, lives)]
            case OwnDisk():
                return self._own(self._of(order.disk), _take(order))
            case ReleaseDisk():
                return self._release(self._of(order.disk), order)
            case FormatDisk():
                return self._format(self._of(order.disk), order)
            case CheckVolume(disk=disk, epoch=epoch, check=check):
                if why := self._not_owned(disk, epoch):
                    return [reports.checked(disk, epoch, check, 0, (), why)]
                return [LookOver(disk, epoch, check)]
            case RemoveFiles(disk=disk, epoch=epoch, vm=vm, vm_epoch=vm_epoch):
                if why := self._not_owned(disk, epoch):
                    return [reports.files_removed(disk, epoch, vm, vm_epoch, why)]
                return [RemoveFolder(disk, epoch, vm, vm_epoch)]
            case VolumeAt():
                return self._volume_at(order)
            case VolumeGone(disk=disk):
                self._placed.pop(disk, None)
                self.volumes.pop(disk, None)
                return [LeaveVolume(disk), *self._report()]
        assert_never(order)

    def _of(self, disk: DiskId) -> DiskHere:
        return self.disks.setdefault(disk, DiskHere(disk))

    def _use(self, order: UseDisks) -> Outcome:
        named = {use.disk: use.epoch for use in order.disks}
        out: Outcome = []
        for disk, epoch in sorted(named.items()):
            here = self._of(disk)
            here.is_used = True
            out += self._heard_epoch(here, epoch) or self._register(here)
        for disk, here in sorted(self.disks.items()):
            if here.is_used and disk not in named:
                if here.key != NO_KEY:  # a key that was let go is never used again
                    here.generation += 1
                here.is_used, here.key, here.granted = False, NO_KEY, 0
                out.append(LetGo(disk))
        return out

    def _register(self, here: DiskHere) -> Outcome:
        """Only what is used and was not lost."""
        if not here.is_used or here.lost:
            return []
        if here.generation > GENERATION_LAST:
            return []  # redirected until the node begins anew
        key = registration_key(self._cluster, self.me, here.generation)
        if key == here.key:
            return []
        here.key = key
        return [UseDisk(here.disk, key)]

    def _granted(self, here: DiskHere, registrations: int) -> Outcome:
        """An older grant comes late and says less; none covers what is lost or let go."""
        if here.lost or not here.is_used or registrations <= here.granted:
            return []
        here.granted = registrations
        return [AdmitDisk(here.disk, registrations), *self._report()]

    def _own(self, here: DiskHere, take: TakeDisk) -> Outcome:
        disk, epoch = take.disk, take.epoch
        if epoch <= here.over or epoch < here.epoch:
            if epoch == here.over and here.failure:
                return [reports.owned(disk, epoch, here.failure)]
            return [self._released(here, epoch, is_clean=here.unclean_at is None)]
        again = self._heard_epoch(here, epoch)
        if here.lost:
            return [reports.owned(disk, epoch, here.lost)]
        if epoch == here.epoch and here.owning is not Owning.NOT:
            return [*again, *self._own_again(here, take)]
        if not here.granted or here.key == NO_KEY:
            return [*again, reports.owned(disk, epoch, "The disk was not granted to this life.")]
        here.owning, here.epoch, here.volume = Owning.TAKING, epoch, take.volume
        return [*again, take]

    def _own_again(self, here: DiskHere, take: TakeDisk) -> Outcome:
        if here.owning is Owning.GIVING:
            return []  # its end is told when it has come
        if here.volume != take.volume:
            here.owning, here.volume = Owning.TAKING, take.volume
            return [take]
        return [reports.owned(take.disk, take.epoch)] if here.owning is Owning.OWNED else []

    def _format(self, here: DiskHere, order: FormatDisk) -> Outcome:
        """It may be the first order under its epoch: then the disk is taken without a volume."""
        disk, epoch = order.disk, order.epoch
        taken: Outcome = []
        if here.owning is Owning.NOT or here.epoch != epoch:
            taken = self._own(here, TakeDisk(order.cluster, disk, epoch, NO_VOLUME))
        if here.owning not in (Owning.TAKING, Owning.OWNED) or here.epoch != epoch:
            why = here.lost or f"This node cannot own the disk under epoch {epoch}."
            return [reports.formatted(disk, epoch, order.label, why)]
        return [*taken, FormatVolume(disk, epoch, order.label, order.force)]

    def _release(self, here: DiskHere, order: ReleaseDisk) -> Outcome:
        if here.owning is Owning.NOT or here.epoch > order.epoch:
            if order.epoch > here.over:
                here.over, here.failure = order.epoch, ""
            return [self._released(here, order.epoch, is_clean=here.unclean_at is None)]
        if here.owning is Owning.GIVING:
            return []
        here.owning = Owning.GIVING
        return [GiveDisk(order.disk, here.epoch, order.clear)]

    def _not_owned(self, disk: DiskId, epoch: Epoch) -> str:
        here = self.disks.get(disk)
        if here is None or here.owning is not Owning.OWNED or here.epoch != epoch:
            return f"This node does not own the disk under epoch {epoch}."
        return ""

    def _volume_at(self, order: VolumeAt) -> Outcome:
        if order.epoch < self._placed.get(order.disk, Epoch(0)):
            return []
        self._placed[order.disk] = order.epoch
        again = self._heard_epoch(self._of(order.disk), order.epoch)
        reach = ReachVolume(
            order.cluster,
            order.disk,
            order.volume,
            order.root,
            order.epoch,
            order.owner,
            order.mode,
            order.networks,
        )
        return [*again, reach]

    def _heard_epoch(self, here: DiskHere, epoch: Epoch) -> Outcome:
        """A higher epoch says that the key under which the disk was given up uncleanly is gone."""
        if here.unclean_at is None or epoch <= here.unclean_at:
            return []
        here.unclean_at = None
        return self._register(here)

    def live_by(self, view: View) -> list[Action]:
        self._members = frozenset(member.incarnation for member in view.members)
        return [] if self._folder is None else [SetMembers(self._members)]

    # ---- what happened

    def happened(self, event: DiskEvent) -> Outcome:
        match event:
            case DisksSeen(disks):
                is_first, self._folder = self._folder is None, event
                self._see(disks)
                return [*([SetMembers(self._members)] if is_first else []), *self._report()]
            case DiskConflicted():
                return self._conflicted(event)
            case KeyGivenUp(disk, key):
                return self._given_up(disk, key)
            case LivesRemoved(disk, lives, reason):
                return [reports.fenced(disk, lives, reason)]
            case DiskTaken(disk, epoch, reason):
                return self._taken(disk, epoch, reason)
            case DiskGiven():
                return self._given(event)
            case VolumeMade(disk, epoch, label, reason):
                return [reports.formatted(disk, epoch, label, reason)]
            case VolumeLookedOver(disk, epoch, check, files, findings, reason):
                return [reports.checked(disk, epoch, check, files, findings, reason)]
            case FolderRemoved(disk, epoch, vm, vm_epoch, reason):
                return [reports.files_removed(disk, epoch, vm, vm_epoch, reason)]
            case VolumeTurned(status):
                if status.disk not in self._placed or self.volumes.get(status.disk) == status:
                    return []
                self.volumes[status.disk] = status
                return self._report()
        assert_never(event)

    def _see(self, disks: Iterable[SeenDisk]) -> None:
        for here in self.disks.values():
            here.seen = None
        for seen in disks:
            self._of(seen.disk).seen = seen

    def _conflicted(self, event: DiskConflicted) -> Outcome:
        here = self._of(event.disk)
        if here.lost or event.key != here.key:
            return []  # a key that this life gave up itself was to be preempted
        here.lost, here.granted = event.reason or "Its key was taken away.", 0
        here.key = NO_KEY
        out: Outcome = [LetGo(here.disk), reports.lost(here.disk, event.key, here.lost)]
        if here.owning is not Owning.NOT:
            here.over, here.owning, here.failure = here.epoch, Owning.NOT, here.lost
            out.append(GiveDisk(here.disk, here.epoch, clear=False))
        note = Note("error", f"Disk {here.disk} is lost for this life: {here.lost}")
        return [note, *out, *self._report()]

    def _given_up(self, disk: DiskId, key: RegistrationKey) -> Outcome:
        here = self._of(disk)
        if key != here.key or key == NO_KEY:
            return []
        here.generation, here.key, here.granted = here.generation + 1, NO_KEY, 0
        return [*self._register(here), *self._report()]

    def _taken(self, disk: DiskId, epoch: Epoch, reason: str) -> Outcome:
        here = self._of(disk)
        if here.owning is not Owning.TAKING or here.epoch != epoch:
            return []
        if reason:
            here.owning, here.over, here.failure = Owning.NOT, epoch, reason
        else:
            here.owning = Owning.OWNED
        return [reports.owned(disk, epoch, reason)]

    def _given(self, event: DiskGiven) -> Outcome:
        here = self._of(event.disk)
        if here.owning is Owning.NOT or here.epoch != event.epoch:
            return []
        here.owning, here.over, here.failure = Owning.NOT, event.epoch, ""
        said = self._released(here, event.epoch, event.is_clean, event.reason)
        if not event.is_clean:
            # With the next UseDisks it registers another key, since it may be the only one that
            # can remove this one. It is granted nothing until that is gone.
            here.unclean_at, here.unclean_generation = event.epoch, here.generation
            here.generation, here.key, here.granted = here.generation + 1, NO_KEY, 0
            return [LetGo(here.disk), said, *self._report()]
        return [said]

    def _released(self, here: DiskHere, epoch: Epoch, is_clean: bool, reason: str = "") -> Said:
        generation = here.generation if here.key != NO_KEY else here.generation - 1
        if not is_clean and here.unclean_at is not None:
            generation = here.unclean_generation
        return reports.released(here.disk, epoch, is_clean, generation, reason)

    # ---- reports

    def welcomed(self) -> Outcome:
        """A new leader hears of everything, if there is anything to be heard."""
        return [] if self._folder is None else self._report()

    def _report(self) -> Outcome:
        """The whole picture: what is not in it is not seen."""
        statuses = tuple(
            status_of(here, here.seen)
            for _, here in sorted(self.disks.items())
            if here.seen is not None
        )
        volumes = tuple(status for _, status in sorted(self.volumes.items()))
        return [reports.report(statuses, volumes, self._folder or DisksSeen(()))]


def _take(order: OwnDisk) -> TakeDisk:
    is_private = order.role is DiskRole.VM
    return TakeDisk(order.cluster, order.disk, order.epoch, order.volume, is_private)
