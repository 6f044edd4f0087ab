"""The agent's side of the disk loop: actions go over, events come back, in their order."""

import asyncio
from collections.abc import Callable
from pathlib import Path

from agent.disk_words import DiskAction, DiskEvent
from agent.io.disks.loop import DiskLoop
from agent.io.disks.lun import Luns
from agent.io.disks.node_disks import NodeDisks
from agent.io.disks.ownership import Ownership
from agent.io.disks.volume_folder import VolumeFolders
from agent.io.disks.volume_server import VolumeServer
from agent.io.disks.volume_use import VolumeUse
from agent.io.disks.volumes import Volumes
from agent.io.disks.witness_disks import WitnessDisks
from protocol.disks import DiskId
from protocol.names import Incarnation, NetworkName, VolumeName


class DiskDoor:
    """Outlives the lives of the node: one thread, one port, and for each life its own sessions with
    the disks.
    """

    def __init__(
        self,
        state: Path,
        addresses: dict[NetworkName, str],
        make_luns: Callable[[], Luns],
        clock: Callable[[], float],
        make_witnesses: Callable[[DiskLoop], WitnessDisks] | None = None,
    ) -> None:
        self.thread = DiskLoop()
        self.witnesses = None if make_witnesses is None else make_witnesses(self.thread)
        self.volumes = Volumes(self._use_of)
        self.lease_end_s = 0.0
        """Until when the owner may serve; written by the agent's loop, read by the other."""

        self._folders = VolumeFolders(state)
        self._addresses = addresses
        self._make_luns = make_luns
        self._clock = clock
        self._server = VolumeServer(self._owned)
        self._luns: Luns | None = None
        self._starting: asyncio.Task[None] | None = None
        self._life: NodeDisks | None = None
        self._of: Incarnation | None = None

    # ---- on the agent's loop

    async def open(self, csv_port: int) -> int:
        """Begin the thread and listen; `Refused` if the port is in use. Returns the port."""
        self.thread.start()
        return await self.thread.run(self._open(csv_port))

    def watch(self, broken: Callable[[Exception], None]) -> None:
        """`broken` hears on this loop of a broken promise on the other."""
        agents = asyncio.get_running_loop()

        def said(error: Exception) -> None:
            if not agents.is_closed():
                agents.call_soon_threadsafe(broken, error)

        self.thread.watch(said)

    def begin(self, me: Incarnation, feed: Callable[[DiskEvent], None]) -> None:
        """A new life of the node; `feed` is called on this loop, and only while it lasts."""
        agents, self._of = asyncio.get_running_loop(), me
        if self.witnesses is not None:
            self.witnesses.begin(me)

        def heard(event: DiskEvent) -> None:
            if self._of == me:
                feed(event)

        def said(event: DiskEvent) -> None:
            if not agents.is_closed():
                agents.call_soon_threadsafe(heard, event)

        self.thread.soon(lambda: self._begin(me, said))

    def go(self, action: DiskAction) -> None:
        self.thread.soon(lambda: self._go(action))

    async def end_life(self) -> None:
        """Nothing of this life goes to any disk afterwards, and nothing of it is heard."""
        self._of = None
        await self.thread.run(self._end())

    async def close(self) -> None:
        self._of = None
        if self.thread.is_running:
            await self.thread.run(self._close())
        await self.thread.stop()

    # ---- on the disk loop

    async def _open(self, csv_port: int) -> int:
        return await self._server.listen(dict.fromkeys(self._addresses.values()), csv_port)

    def _begin(self, me: Incarnation, said: Callable[[DiskEvent], None]) -> None:
        luns = self._luns = self._make_luns()
        self._life = NodeDisks(me, luns, self._addresses, self._folders, said, self._has_lease)
        self._life.begin()
        self._starting = asyncio.get_running_loop().create_task(luns.start())

    def _go(self, action: DiskAction) -> None:
        if self._life is not None:
            self._life.do(action)

    async def _end(self) -> None:
        if self.witnesses is not None:
            await self.witnesses.end()
        life, self._life = self._life, None
        if life is None or self._luns is None or self._starting is None:
            return
        await life.end()
        self._starting.cancel()
        await asyncio.wait({self._starting})
        await self._luns.close()

    async def _close(self) -> None:
        await self._end()
        await self._server.close()

    def _has_lease(self) -> bool:
        return self._clock() < self.lease_end_s

    def _owned(self, disk: DiskId) -> Ownership | None:
        return None if self._life is None else self._life.owned(disk)

    def _use_of(self, volume: VolumeName) -> VolumeUse | None:
        return None if self._life is None else self._life.use_of(volume)
