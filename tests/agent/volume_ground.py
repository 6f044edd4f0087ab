"""Nodes that share one disk in memory, and the coordinator's part played by hand."""

import asyncio
from collections.abc import Callable
from pathlib import Path

from agent.actions import Action
from agent.disk_reports import Said
from agent.disk_words import DiskEvent
from agent.io.disks.lun import Luns
from agent.io.disks.node_disks import NodeDisks
from agent.io.disks.volume_folder import VolumeFolders
from agent.io.disks.volume_server import VolumeServer
from agent.io.disks.volumes import Volumes
from agent.storage import Storage
from agent.vms import Outcome
from protocol import messages as say
from protocol.disks import (
    GENERATION_LAST,
    DiskId,
    DiskName,
    DiskRole,
    DiskStatus,
    DiskUse,
    FencedLife,
    VolumeAccess,
    VolumeMode,
)
from protocol.messages import StorageOrder, StorageReport
from protocol.names import (
    ClusterId,
    Endpoint,
    Epoch,
    Incarnation,
    Member,
    NetworkName,
    NodeName,
    Term,
    View,
    ViewNumber,
    VmName,
    VolumeName,
    VoteConfig,
)
from tests.agent.memory_san import DISK, MemoryDisk, MemoryLun, MemoryLuns

CLUSTER = ClusterId("c1")
TERM = Term(1)
CSV, OTHER = NetworkName("csv"), NetworkName("management")
VOLUME = VolumeName("Volume1")
VM = VmName("vm1")
PATIENCE_S = 5.0


class Node:
    """The pure part and the edge of one life, joined as the driver joins them."""

    def __init__(self, name: str, luns: Luns, folder: Path) -> None:
        self.me = Incarnation(f"{name}-1")
        self.name = NodeName(name)
        self.luns = luns
        self.storage = Storage(self.me)
        self.said: list[StorageReport] = []
        self.has_lease = True
        self.is_dead = False
        self.addresses = {CSV: "127.0.0.1", OTHER: "127.0.0.2"}
        self.disks = NodeDisks(
            self.me,
            self.luns,
            self.addresses,
            VolumeFolders(folder / name),
            self.feed,
            lambda: self.has_lease,
        )
        self.volumes = Volumes(self.disks.use_of)
        self.server = VolumeServer(self.disks.owned)
        self.changed = asyncio.Event()

    @property
    def lun(self) -> MemoryLun:
        assert isinstance(self.luns, MemoryLuns)
        return self.luns.lun

    @property
    def member(self) -> Member:
        endpoint = Endpoint(tuple(self.addresses.items()), 0, 0, self.server.port)
        return Member(self.name, self.me, endpoint)

    def feed(self, event: DiskEvent) -> None:
        self._perform(self.storage.happened(event))

    def tell(self, order: StorageOrder) -> None:
        if not self.is_dead:
            self._perform(self.storage.told(order))

    def _perform(self, outcome: Outcome | list[Action]) -> None:
        for item in outcome:
            if isinstance(item, Said):
                self.said.append(item.addressed(CLUSTER, TERM, self.me))
            elif type(item).__module__ == "agent.disk_words":
                self.disks.do(item)  # type: ignore[arg-type]
        self.changed.set()

    @property
    def report(self) -> say.DiskReport:
        return next(said for said in reversed(self.said) if isinstance(said, say.DiskReport))

    @property
    def reported(self) -> tuple[DiskStatus, ...]:
        reports = [said for said in self.said if isinstance(said, say.DiskReport)]
        return reports[-1].disks if reports else ()

    @property
    def access(self) -> VolumeAccess | None:
        volumes = self.report.volumes
        return volumes[0].access if volumes else None

    async def until(self, holds: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while not holds():
                self.changed.clear()
                await self.changed.wait()

    async def heard(self, kind: type[StorageReport], epoch: int = 0) -> StorageReport:
        def found() -> list[StorageReport]:
            return [
                said
                for said in self.said
                if isinstance(said, kind) and getattr(said, "epoch", 0) in (0, epoch)
            ]

        await self.until(lambda: bool(found()))
        return found()[-1]

    async def end(self) -> None:
        self.is_dead = True
        await self.disks.end()
        await self.server.close()
        await self.luns.close()


class Ground:
    """`with` it: a disk, and nodes that were granted it."""

    def __init__(
        self,
        folder: Path,
        names: str = "ab",
        disk: DiskId = DISK,
        make_luns: Callable[[str], Luns] | None = None,
    ) -> None:
        self.disk = disk
        self.there = MemoryDisk()
        make = make_luns or (lambda name: MemoryLuns(name, self.there))
        self.nodes = {name: Node(name, make(name), folder) for name in names}
        self.epoch = 0
        self.mode = VolumeMode.DIRECT
        self.owner: Node | None = None

    async def __aenter__(self) -> "Ground":
        for node in self.nodes.values():
            await node.server.listen(node.addresses.values(), 0)
            node.disks.begin()
            await node.luns.start()
        self.set_view()
        for node in self.nodes.values():
            await self.grant(node)
        return self

    async def __aexit__(self, *exc: object) -> None:
        for node in self.nodes.values():
            if not node.is_dead:
                await node.end()

    def set_view(self) -> None:
        members = tuple(node.member for node in self.nodes.values() if not node.is_dead)
        view = View(ViewNumber(1), members, VoteConfig(1, ()))
        for node in self.nodes.values():
            if not node.is_dead:
                node._perform(node.storage.live_by(view))

    async def grant(self, node: Node) -> None:
        use = DiskUse(self.disk, DiskName("Cluster Disk 1"), DiskRole.CSV)
        node.tell(say.UseDisks(CLUSTER, TERM, node.me, (use,)))
        await node.until(lambda: bool(node.reported) and node.reported[0].key != b"")
        count = node.report.disks[0].registrations
        node.tell(say.GrantDisk(CLUSTER, TERM, node.me, self.disk, count))

    async def format(self, owner: Node) -> None:
        self.epoch += 1
        epoch = Epoch(self.epoch)
        owner.tell(say.FormatDisk(CLUSTER, TERM, owner.me, self.disk, epoch, "Volume1", False))
        done = await owner.heard(say.DiskFormatted, self.epoch)
        assert isinstance(done, say.DiskFormatted)
        assert not done.reason, done.reason
        await self._own(owner)

    async def _own(self, owner: Node) -> None:
        owner.said = [said for said in owner.said if not isinstance(said, say.DiskOwned)]
        order = say.OwnDisk(
            CLUSTER, TERM, owner.me, self.disk, Epoch(self.epoch), DiskRole.CSV, VOLUME, self.mode
        )
        owner.tell(order)
        done = await owner.heard(say.DiskOwned, self.epoch)
        assert isinstance(done, say.DiskOwned)
        assert not done.reason, done.reason
        self.owner = owner
        self.place()

    def place(self) -> None:
        owner = None if self.owner is None else self.owner.member
        for node in self.nodes.values():
            node.tell(
                say.VolumeAt(
                    CLUSTER,
                    TERM,
                    node.me,
                    self.disk,
                    VOLUME,
                    "ClusterStorage",
                    Epoch(self.epoch),
                    owner,
                    self.mode,
                    (CSV, OTHER),
                )
            )

    async def move(self, to: Node) -> None:
        """Planned: the old owner gives it up first."""
        old = self.owner
        assert old is not None
        old.tell(say.ReleaseDisk(CLUSTER, TERM, old.me, self.disk, Epoch(self.epoch)))
        done = await old.heard(say.DiskReleased, self.epoch)
        assert isinstance(done, say.DiskReleased)
        assert done.is_clean, done.reason
        await self.take_over(to)

    async def take_over(self, to: Node) -> None:
        self.owner, self.epoch = None, self.epoch + 1
        await self._own(to)

    async def kill(self, node: Node) -> None:
        """Its process is gone; its registration stays."""
        await node.end()
        self.set_view()

    async def fence(self, victim: Node, by: Node, generation: int = GENERATION_LAST) -> None:
        lives = (FencedLife(victim.me, generation),)
        by.tell(say.FenceDisk(CLUSTER, TERM, by.me, self.disk, lives))
        done = await by.heard(say.DiskFenced)
        assert isinstance(done, say.DiskFenced)
        assert not done.reason, done.reason
