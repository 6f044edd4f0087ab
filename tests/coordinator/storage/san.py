"""LUNs with registrations, and nodes that use them as they are told: the world of these tests.

A write is taken from whoever has a key on the LUN, as the target would. What a node may do by its
grant is what the node itself keeps to.
"""

from dataclasses import dataclass, field

from protocol.disks import (
    GENERATION_LAST,
    NO_KEY,
    DiskContent,
    DiskId,
    DiskStatus,
    RegistrationKey,
    VolumeAccess,
    VolumeMode,
    VolumeStatus,
    key_of_life,
    registration_key,
)
from protocol.messages import (
    DiskFenced,
    DiskFormatted,
    DiskOwned,
    DiskReleased,
    DiskReport,
    FenceDisk,
    FilesRemoved,
    FormatDisk,
    GrantDisk,
    OwnDisk,
    ReleaseDisk,
    RemoveFiles,
    ToAgent,
    UseDisks,
    VolumeAt,
    VolumeGone,
    Welcome,
)
from protocol.names import Epoch, Incarnation, VmName
from tests.coordinator.agent import Scripted
from tests.coordinator.driver import World

GIB = 1024**3


@dataclass
class Lun:
    """One disk on the san, and who may write to it. `log` is what the checker reads."""

    id: DiskId
    size_bytes: int = GIB
    content: DiskContent = DiskContent.BLANK
    label: str = ""
    epoch: Epoch = Epoch(0)
    keys: set[RegistrationKey] = field(default_factory=set)


@dataclass
class Use:
    """What one life has of one disk."""

    registered: bool = False
    generation: int = 1
    registrations: int = 0
    granted: int = 0
    lost: bool = False
    owns: Epoch | None = None
    mounted: bool = False


@dataclass
class San:
    """All LUNs, what each life has of them, and which nodes have no path."""

    luns: dict[DiskId, Lun]
    uses: dict[tuple[Incarnation, DiskId], Use] = field(default_factory=dict)
    volumes: dict[tuple[Incarnation, DiskId], VolumeAt] = field(default_factory=dict)
    pathless: set[tuple[str, DiskId]] = field(default_factory=set)
    silent: set[str] = field(default_factory=set)
    """Nodes that hear orders and do nothing: frozen."""

    fails_to_own: dict[str, str] = field(default_factory=dict)
    cannot_fence: str = ""
    """Why the target removes no key."""

    cannot_remove: str = ""
    """Why no owner removes files."""

    free_bytes: int = GIB
    """Of every volume."""

    removed: list[tuple[Incarnation, DiskId, VmName, Epoch]] = field(default_factory=list)
    fences: list[tuple[Incarnation, DiskId, tuple[Incarnation, ...]]] = field(default_factory=list)

    def use(self, agent: Scripted, disk: DiskId) -> Use:
        return self.uses.setdefault((agent.incarnation, disk), Use())

    def key(self, agent: Scripted, disk: DiskId) -> RegistrationKey:
        generation = self.use(agent, disk).generation
        return registration_key(agent.known, agent.incarnation, generation)

    def may_write(self, agent: Scripted, disk: DiskId) -> bool:
        """Its key stands at the target, and it was granted what it registered."""
        use = self.use(agent, disk)
        return self.key(agent, disk) in self.luns[disk].keys and use.granted >= use.registrations

    # ---- what nodes do

    def __call__(self, agent: Scripted, message: ToAgent) -> None:
        if agent.name in self.silent:
            return
        head = (agent.known, agent.term, agent.incarnation)
        match message:
            case Welcome():
                self.report(agent)
            case UseDisks(disks=wanted):
                for one in wanted:
                    self._register(agent, one.disk)
                self.report(agent)
            case GrantDisk(disk=disk, registrations=count):
                use = self.use(agent, disk)
                use.granted = max(use.granted, min(count, use.registrations))
                self.report(agent)
            case FenceDisk(disk=disk, lives=lives):
                agent.say(DiskFenced(*head, disk, lives, self._fence(agent, message)))
            case OwnDisk(disk=disk, epoch=epoch):
                agent.say(DiskOwned(*head, disk, epoch, self._own(agent, message)))
                self.report(agent)
            case FormatDisk(disk=disk, epoch=epoch, label=label):
                lun = self.luns[disk]
                lun.content, lun.label, lun.epoch = DiskContent.OURS, label, Epoch(0)
                agent.say(DiskFormatted(*head, disk, epoch, label))
            case ReleaseDisk(disk=disk, epoch=epoch, clear=clear):
                use = self.use(agent, disk)
                use.owns, use.mounted = None, False
                if clear:
                    self.luns[disk].keys.clear()
                agent.say(DiskReleased(*head, disk, epoch, True))
            case RemoveFiles(disk=disk, epoch=epoch, vm=vm, vm_epoch=vm_epoch):
                mine = self.use(agent, disk).owns == epoch
                reason = self.cannot_remove if mine else "it is not the owner"
                if not reason:
                    self.removed.append((agent.incarnation, disk, vm, vm_epoch))
                agent.say(FilesRemoved(*head, disk, epoch, vm, vm_epoch, reason))
            case VolumeAt(disk=disk):
                self.volumes[agent.incarnation, disk] = message
                self.report(agent)
            case VolumeGone(disk=disk):
                self.volumes.pop((agent.incarnation, disk), None)
                self.report(agent)

    def _register(self, agent: Scripted, disk: DiskId) -> None:
        use = self.use(agent, disk)
        if not use.registered and not use.lost and (agent.name, disk) not in self.pathless:
            use.registered = True
            use.registrations += 1
            self.luns[disk].keys.add(self.key(agent, disk))

    def _fence(self, agent: Scripted, order: FenceDisk) -> str:
        lun = self.luns[order.disk]
        if (agent.name, order.disk) in self.pathless or self.key(agent, order.disk) not in lun.keys:
            return "it has no path"
        if self.cannot_fence:
            return self.cannot_fence
        for life in order.lives:
            first = key_of_life(agent.known, life.incarnation)
            lun.keys = {key for key in lun.keys if key[:7] != first or key[7] > life.generation}
        named = tuple(life.incarnation for life in order.lives)
        self.fences.append((agent.incarnation, order.disk, named))
        return ""

    def _own(self, agent: Scripted, order: OwnDisk) -> str:
        if reason := self.fails_to_own.get(agent.name, ""):
            return reason
        lun = self.luns[order.disk]
        if self.key(agent, order.disk) not in lun.keys:
            return "its key was refused"
        if lun.epoch > order.epoch:
            return f"the superblock names epoch {lun.epoch}"
        use = self.use(agent, order.disk)
        use.owns, use.mounted = order.epoch, bool(order.volume)
        if order.volume:
            lun.epoch = order.epoch
        return ""

    def report(self, agent: Scripted) -> None:
        head = (agent.known, agent.term, agent.incarnation)
        seen = tuple(self._status(agent, lun) for lun in self.luns.values())
        volumes = tuple(
            self._access(agent, at)
            for (life, _), at in self.volumes.items()
            if life == agent.incarnation
        )
        agent.say(DiskReport(*head, seen, volumes, "ClusterStorage"))

    def _status(self, agent: Scripted, lun: Lun) -> DiskStatus:
        use, path = self.use(agent, lun.id), (agent.name, lun.id) not in self.pathless
        key = self.key(agent, lun.id) if use.registered and not use.lost else NO_KEY
        return DiskStatus(
            *(lun.id, lun.size_bytes, 512, "HVLAB", 2, 2 * path, lun.content, lun.label),
            *(lun.epoch, key, use.registrations, use.granted, use.lost),
        )

    def _access(self, agent: Scripted, at: VolumeAt) -> VolumeStatus:
        if at.mode is VolumeMode.MAINTENANCE:
            access = VolumeAccess.MAINTENANCE
        elif at.owner is None:
            access = VolumeAccess.QUEUED
        elif (agent.name, at.disk) in self.pathless or at.mode is VolumeMode.REDIRECTED:
            access = VolumeAccess.REDIRECTED
        else:
            access = VolumeAccess.DIRECT
        return VolumeStatus(at.disk, at.volume, at.epoch, access, "", GIB, self.free_bytes)

    # ---- what happens to them

    def gives_up(self, agent: Scripted, disk: DiskId) -> None:
        """The owner has lost its path, and says that its last writes are not answered."""
        use = self.use(agent, disk)
        self.pathless.add((agent.name, disk))
        epoch, use.owns, use.mounted = use.owns or Epoch(0), None, False
        head = (agent.known, agent.term, agent.incarnation)
        agent.say(DiskReleased(*head, disk, epoch, False, use.generation, "its path is gone"))
        use.registered, use.granted = False, 0
        self.report(agent)

    def finds_path(self, agent: Scripted, disk: DiskId) -> None:
        use = self.use(agent, disk)
        self.pathless.discard((agent.name, disk))
        use.generation = min(use.generation + 1, GENERATION_LAST)
        self.report(agent)


def with_san(world: World, count: int = 2, **fields: object) -> San:
    """`count` LUNs that every agent of `world` sees, and knows what to do with."""
    names = [DiskId(f"60{number:014d}") for number in range(1, count + 1)]
    san = San({name: Lun(name, **fields) for name in names})  # type: ignore[arg-type]
    for agent in world.agents.values():
        agent.storage = san
        san.report(agent)
    world.drain()
    return san
