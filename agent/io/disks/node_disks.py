"""All that a node does with disks: carries out what its core wants of them, on the disk loop, and
says what happens. Decides nothing.
"""

import asyncio
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

from agent import disk_words as words
from agent.disk_words import DiskAction, DiskEvent, SeenDisk
from agent.disks.content import Content
from agent.io.disks.content import content_of, format_disk
from agent.io.disks.lun import Lun, Luns
from agent.io.disks.owner_link import LocalLink, OwnerLink, RemoteLink
from agent.io.disks.ownership import Ownership, remove_keys
from agent.io.disks.volume_folder import VolumeFolders
from agent.io.disks.volume_use import VolumeUse
from agent.volumes import owning, ways
from agent.volumes.checking import check_mounted
from agent.volumes.errors import DiskError, VolumeError
from agent.volumes.owner import VolumeOwner
from agent.volumes.ways import ClientEvent, Place
from protocol.disks import (
    NO_KEY,
    DiskId,
    RegistrationKey,
    VolumeAccess,
    VolumeStatus,
)
from protocol.names import ClusterId, Epoch, Incarnation, NetworkName, VolumeName

FINDINGS_MAX = 100
SIZES_AGAIN_S = 2.0
"""An owner tells how full its volumes are this often, if that has changed."""


class Shared:
    """A volume as the coordinator placed it, and this node's use of it."""

    def __init__(self, reach: words.ReachVolume, use: VolumeUse) -> None:
        self.reach = reach
        self.use = use


def no_path(why: str) -> str:
    return f"This node has no path to the disk{f': {why}' if why else '.'}"


class NodeDisks:
    """Of one life of the node; the next has another. `feed` may be called from the disk loop."""

    def __init__(
        self,
        me: Incarnation,
        luns: Luns,
        addresses: dict[NetworkName, str],
        folders: VolumeFolders,
        feed: Callable[[DiskEvent], None],
        has_lease: Callable[[], bool],
    ) -> None:
        self.me = me
        self._luns = luns
        self._addresses = addresses
        self._folders = folders
        self._feed = feed
        self._has_lease = has_lease
        self._keys: dict[DiskId, RegistrationKey] = {}
        self._lost: dict[DiskId, str] = {}
        self._contents: dict[DiskId, Content] = {}
        self._owned_disks: dict[DiskId, Ownership] = {}
        self._shared: dict[DiskId, Shared] = {}
        self._members: frozenset[Incarnation] = frozenset()
        self._jobs: set[asyncio.Task[None]] = set()
        self._told: words.DisksSeen | None = None

    def begin(self) -> None:
        self._luns.watch(self._changed, self._conflicted)
        self._changed()
        self._job(self._tell_sizes())

    async def end(self) -> None:
        """Nothing of this life goes to any disk afterwards."""
        self._feed = lambda _: None
        for shared in self._shared.values():
            await shared.use.end()
        for ownership in self._owned_disks.values():
            await ownership.end()
        for job in list(self._jobs):
            job.cancel()
        if self._jobs:
            await asyncio.wait(set(self._jobs))
        for lun in self._luns.luns.values():
            lun.let_go()

    # ---- actions

    def do(self, action: DiskAction) -> None:
        match action:
            case words.UseDisk(disk, key):
                self._keys[disk] = key
                if (lun := self._luns.luns.get(disk)) is not None:
                    lun.use(key)
            case words.LetGo(disk):
                self._let_go(disk)
            case words.AdmitDisk(disk, registrations):
                if (lun := self._luns.luns.get(disk)) is not None:
                    lun.admit(registrations)
                self._see(disk)
            case words.RemoveLives():
                self._job(self._remove(action))
            case words.TakeDisk():
                self._take(action)
            case words.GiveDisk(disk, epoch, clear):
                ownership = self._owned_disks.get(disk)
                if ownership is None or ownership.owner.epoch != epoch:
                    self._feed(words.DiskGiven(disk, epoch, is_clean=True))
                else:
                    ownership.feed(owning.ReleaseOrdered(clear))
            case words.FormatVolume():
                self._job(self._format(action))
            case words.LookOver():
                self._job(self._look_over(action))
            case words.RemoveFolder():
                self._job(self._remove_folder(action))
            case words.ReachVolume():
                self._reach(action)
            case words.LeaveVolume(disk):
                if (shared := self._shared.pop(disk, None)) is not None:
                    self._folders.hide(shared.reach.volume)
                    self._job(shared.use.end())
                    self._changed()
            case words.SetMembers(members):
                self._members = members
                for ownership in self._owned_disks.values():
                    ownership.feed(owning.MembersChanged(members))

    def _job(self, work: Coroutine[Any, Any, None]) -> None:
        job = asyncio.get_running_loop().create_task(work)
        self._jobs.add(job)
        job.add_done_callback(self._jobs.discard)

    # ---- disks

    def _changed(self) -> None:
        for disk, lun in self._luns.luns.items():
            if disk not in self._contents:
                self._contents[disk] = Content()
                self._job(self._read(disk, lun))
            wanted = self._keys.get(disk, NO_KEY)
            if wanted != NO_KEY:
                lun.use(wanted)  # it may have been seen only now
            self._see(disk)
        folders = self._folders
        seen = words.DisksSeen(
            tuple(self._seen(disk, lun) for disk, lun in sorted(self._luns.luns.items())),
            folders.root,
            folders.trouble,
            folders.trouble_text,
        )
        if seen != self._told:
            self._told = seen
            self._feed(seen)

    def _seen(self, disk: DiskId, lun: Lun) -> SeenDisk:
        content = self._contents[disk]
        return SeenDisk(
            disk,
            lun.blocks * lun.block_bytes,
            lun.block_bytes,
            lun.product,
            lun.paths,
            lun.paths_up,
            content.kind,
            content.label,
            content.epoch,
            lun.key,
            lun.registrations,
            lun.reason or content.reason,
        )

    def _see(self, disk: DiskId) -> None:
        """Tell who uses or owns the disk how the way to it is."""
        lun, key = self._luns.luns.get(disk), self._keys.get(disk, NO_KEY)
        lost = self._lost.get(disk, "")
        usable = lun is not None and lun.is_usable and key != NO_KEY and not lost
        reason = lost or ("" if lun is None else lun.reason) or no_path(self._luns.why_down)
        if (shared := self._shared.get(disk)) is not None:
            generation = key[-1] if key != NO_KEY else 0
            shared.use.feed(ways.DiskSeen(generation, usable, bool(lost), "" if usable else reason))
        ownership = self._owned_disks.get(disk)
        if ownership is not None and not usable:
            # An owner that loses its path says so by itself, at once.
            ownership.feed(owning.Faulted(reason))

    def _conflicted(self, disk: DiskId, key: RegistrationKey, reason: str) -> None:
        if key == NO_KEY or key != self._keys.get(disk):
            return  # a key that was given up was to be preempted
        self._lost[disk] = reason or "Its key was taken away."
        # First, or an owner would only seem to have given up what it has lost.
        self._feed(words.DiskConflicted(disk, key, reason))
        self._see(disk)

    def _let_go(self, disk: DiskId) -> None:
        self._keys[disk] = NO_KEY
        if (lun := self._luns.luns.get(disk)) is not None:
            lun.let_go()
        self._see(disk)

    def _give_up(self, disk: DiskId, generation: int) -> None:
        """The client goes redirected: the disk is let go, and the core makes the next key."""
        key = self._keys.get(disk, NO_KEY)
        if key != NO_KEY and key[-1] == generation:
            lun = self._luns.luns.get(disk)
            if (ownership := self._owned_disks.get(disk)) is not None:
                shared, why = self._shared.get(disk), "" if lun is None else lun.reason
                if not why and shared is not None:
                    why = shared.use.client.disk.reason
                ownership.feed(owning.Faulted(why or "A request of its own got no answer."))
            self._keys[disk] = NO_KEY
            if lun is not None:
                lun.let_go()
            self._feed(words.KeyGivenUp(disk, key))

    async def _tell_sizes(self) -> None:
        while True:
            await asyncio.sleep(SIZES_AGAIN_S)
            for disk in self._owned_disks:
                if (shared := self._shared.get(disk)) is not None:
                    self._show(disk, shared.use.client.access, shared.use.client.reason)

    async def _read(self, disk: DiskId, lun: Lun) -> None:
        self._contents[disk] = await content_of(lun)
        self._changed()

    async def _remove(self, action: words.RemoveLives) -> None:
        disk, lives = action.disk, action.lives
        ownership = self._owned_disks.get(disk)
        if ownership is not None:
            ownership.feed(owning.LivesFenced(lives))
            await ownership.left_behind()
        lun, reason = self._luns.luns.get(disk), "This node sees no path to the disk."
        if lun is not None:
            try:
                reason = await remove_keys(lun, action.cluster, lives)
            except DiskError as error:
                reason = error.sentence
        if ownership is not None and not reason:
            ownership.feed(owning.LivesGone(lives))
        self._feed(words.LivesRemoved(disk, lives, reason))

    # ---- owning

    def owned(self, disk: DiskId) -> Ownership | None:
        return self._owned_disks.get(disk)

    def _take(self, action: words.TakeDisk) -> None:
        disk, epoch = action.disk, action.epoch
        ownership = self._owned_disks.get(disk)
        if ownership is not None and ownership.owner.epoch == epoch:
            ownership.feed(owning.OwnOrdered(action.volume, action.is_private))
            return
        lun, key = self._luns.luns.get(disk), self._keys.get(disk, NO_KEY)
        if lun is None or key == NO_KEY or not lun.is_usable:
            self._feed(words.DiskTaken(disk, epoch, "No path to the disk is registered here."))
            return
        owner = VolumeOwner(action.cluster, self.me, key, epoch, self._members)
        said = partial(self._said, disk, epoch)
        self._owned_disks[disk] = ownership = Ownership(owner, lun, self._has_lease, said)
        ownership.begin(action.volume, action.is_private)

    def _said(self, disk: DiskId, epoch: Epoch, word: owning.SayTaken | owning.SayGiven) -> None:
        match word:
            case owning.SayTaken(""):
                self._job(self._taken(self._owned_disks[disk], disk, epoch))
            case owning.SayTaken(reason):
                self._owned_disks.pop(disk, None)
                self._feed(words.DiskTaken(disk, epoch, reason))
            case owning.SayGiven(is_clean, reason):
                self._owned_disks.pop(disk, None)
                self._feed(words.DiskGiven(disk, epoch, is_clean, reason))
        if (shared := self._shared.get(disk)) is not None:
            self._show(disk, shared.use.client.access, shared.use.client.reason)

    async def _taken(self, ownership: Ownership, disk: DiskId, epoch: Epoch) -> None:
        """Another node may have changed it since it was read: nobody decides by what it held."""
        await self._read(disk, ownership.lun)
        if self._owned_disks.get(disk) is ownership:
            self._feed(words.DiskTaken(disk, epoch))

    async def _format(self, action: words.FormatVolume) -> None:
        disk, epoch, label = action.disk, action.epoch, action.label
        ownership, reason = self._owned_disks.get(disk), "This node does not own the disk."
        if ownership is not None and await ownership.settled():
            try:
                await format_disk(ownership.lun, label, epoch, action.force)
                reason = ""
            except VolumeError as error:
                reason = error.sentence
            except DiskError as error:
                # What it wrote may still be on its way: the next owner needs its keys gone.
                reason = error.sentence
                ownership.feed(owning.Faulted(reason))
            await self._read(disk, ownership.lun)
        self._feed(words.VolumeMade(disk, epoch, label, reason))

    async def _look_over(self, action: words.LookOver) -> None:
        ownership = self._owned_disks.get(action.disk)
        service = None if ownership is None else ownership.service
        answer = partial(words.VolumeLookedOver, action.disk, action.epoch, action.check)
        if service is None:
            self._feed(answer(0, (), "The volume is not mounted here."))
            return
        report = check_mounted(service.mount.filesystem)
        findings = tuple(finding.sentence for finding in report.findings[:FINDINGS_MAX])
        self._feed(answer(report.files, findings))

    async def _remove_folder(self, action: words.RemoveFolder) -> None:
        ownership, reason = self._owned_disks.get(action.disk), ""
        service = None if ownership is None else ownership.service
        if service is None or service.owner.epoch != action.epoch:
            reason = "The volume is not mounted here."
        else:
            try:
                await service.remove_folder(f"/{action.vm}", action.vm, action.vm_epoch)
            except (DiskError, VolumeError) as error:
                reason = error.sentence
        told = action.disk, action.epoch, action.vm, action.vm_epoch
        self._feed(words.FolderRemoved(*told, reason))

    # ---- using

    def use_of(self, volume: VolumeName) -> VolumeUse | None:
        for shared in self._shared.values():
            if shared.reach.volume == volume:
                return shared.use
        return None

    def _reach(self, reach: words.ReachVolume) -> None:
        self._folders.name_root(reach.root)
        disk = reach.disk
        shared = self._shared.get(disk)
        if shared is None:
            use = VolumeUse(
                self.me,
                lambda: self._luns.luns.get(disk),
                partial(self._link, reach.cluster, disk),
                partial(self._give_up, disk),
                partial(self._show, disk),
            )
            shared = self._shared[disk] = Shared(reach, use)
        elif shared.reach.volume != reach.volume:
            self._folders.hide(shared.reach.volume)
        shared.reach = reach
        shared.use.feed(ways.Placed(self._place(reach)))
        self._see(disk)
        self._show(disk, shared.use.client.access, shared.use.client.reason)

    def _place(self, reach: words.ReachVolume) -> Place:
        owner = reach.owner
        if owner is None:
            return Place(reach.epoch, None, reach.mode)
        theirs, port = dict(owner.endpoint.addresses), owner.endpoint.csv_port
        addresses = tuple(
            (self._addresses[network], theirs[network], port)
            for network in reach.networks
            if network in theirs and network in self._addresses
        )
        return Place(reach.epoch, owner.incarnation, reach.mode, addresses)

    def _link(
        self,
        cluster: ClusterId,
        disk: DiskId,
        place: Place,
        feed: Callable[[ClientEvent], None],
    ) -> OwnerLink:
        if place.owner == self.me:
            return LocalLink(self.me, place, partial(self.owned, disk), feed)
        return RemoteLink(cluster, disk, self.me, place, feed)

    def _show(self, disk: DiskId, access: VolumeAccess, reason: str) -> None:
        shared = self._shared.get(disk)
        if shared is None:
            return
        reach, sizes = shared.reach, (0, 0, False)
        ownership = self._owned_disks.get(disk)
        if ownership is not None and ownership.service is not None:
            filesystem = ownership.service.mount.filesystem
            damage = filesystem.read_only_because
            sizes = (filesystem.size_bytes, filesystem.free_bytes, damage is not None)
            reason = reason or damage or ""
        status = VolumeStatus(disk, reach.volume, reach.epoch, access, reason, *sizes)
        owner = "" if reach.owner is None else reach.owner.node
        if access is VolumeAccess.MAINTENANCE:
            self._folders.hide(reach.volume)
        elif reach.root:  # a VM's own disk is in no folder
            self._folders.show(status, owner)
        self._feed(words.VolumeTurned(status))
