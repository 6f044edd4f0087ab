"""Random stories on the real edge: three nodes write to their disks while owners move and die, and
paths come and go. What was acknowledged is there at the end.
"""

import asyncio
import random
from pathlib import Path

import pytest

from agent.io.disks.volumes import VhdFile
from protocol import messages as say
from protocol.disks import VolumeAccess, VolumeMode
from protocol.names import Epoch, VmName
from tests.agent.volume_ground import VOLUME, Ground, Node

BLOCKS = 32
BLOCK_BYTES = 4096
DEEDS = 10


class Writer:
    """Writes numbered blocks, one after the other on each, and remembers what was acknowledged."""

    def __init__(self, node: Node, disk: VhdFile, dice: random.Random) -> None:
        self.node = node
        self.disk = disk
        self.dice = dice
        self.acknowledged: dict[int, int] = {}
        self.count = 0
        self.is_over = False

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            for lane in range(4):
                group.create_task(self._lane(lane))

    async def _lane(self, lane: int) -> None:
        while not self.is_over:
            block = self.dice.randrange(BLOCKS // 4) * 4 + lane
            self.count += 1
            value = self.count
            await self.disk.write(block * BLOCK_BYTES, [content(value)], fua=True)
            self.acknowledged[block] = value
            await asyncio.sleep(0)

    async def check(self) -> None:
        for block, value in sorted(self.acknowledged.items()):
            into = memoryview(bytearray(BLOCK_BYTES))
            await self.disk.read_into(block * BLOCK_BYTES, into)
            assert bytes(into) == content(value), (self.node.name, block, value)


def content(value: int) -> bytes:
    return value.to_bytes(8, "big") * (BLOCK_BYTES // 8)


class Play:
    """One story."""

    def __init__(self, ground: Ground, dice: random.Random) -> None:
        self.ground = ground
        self.dice = dice

    @property
    def living(self) -> list[Node]:
        return [node for node in self.ground.nodes.values() if not node.is_dead]

    async def deed(self) -> None:
        others = [node for node in self.living if node is not self.ground.owner]
        match self.dice.choice(["move", "move", "cut", "heal", "heal", "mode", "net", "owner"]):
            case "move" if able := [node for node in others if node.lun.is_usable]:
                await self.ground.move(self.dice.choice(able))
            case "cut" if len([node for node in others if node.lun.paths_up]) > 1:
                self.dice.choice(others).lun.cut()
            case "heal":
                await self.heal(self.dice.choice(self.living))
            case "mode":
                modes = [VolumeMode.DIRECT, VolumeMode.REDIRECTED]
                self.ground.mode = self.dice.choice(modes)
                self.ground.place()
            case "net":
                node = self.dice.choice(self.living)
                for connection in list(node.server._connections):
                    connection.wire.abort("the network broke")
            case "owner" if able := [node for node in others if node.lun.is_usable]:
                await self.lose_owner(self.dice.choice(able))
            case _:
                pass

    async def lose_owner(self, heir: Node) -> None:
        """The owner's path goes: it gives the volume up, and its keys are removed."""
        owner = self.ground.owner
        assert owner is not None
        owner.lun.cut()
        given = await owner.heard(say.DiskReleased, self.ground.epoch)
        assert isinstance(given, say.DiskReleased)
        await self.ground.fence(owner, by=heir, generation=given.generation)
        await self.ground.take_over(heir)

    async def heal(self, node: Node) -> None:
        node.lun.heal()
        if node.lun.wanted:
            await self.ground.grant(node)


@pytest.mark.parametrize("seed", range(6))
async def test_what_was_acknowledged_is_there_whatever_happened(seed: int, tmp_path: Path) -> None:
    dice = random.Random(seed)
    async with Ground(tmp_path, "abc") as ground:
        await ground.format(ground.nodes["a"])
        play, writers = Play(ground, dice), list[Writer]()
        for name, node in ground.nodes.items():
            path = f"/vm-{name}/disk.vhd"
            await node.volumes.make_vhd(VOLUME, path, BLOCKS * BLOCK_BYTES)
            disk = await node.volumes.open_vhd(VOLUME, path, VmName(f"vm-{name}"), Epoch(1))
            writers.append(Writer(node, disk, dice))
        writing = [asyncio.create_task(writer.run()) for writer in writers]

        for _ in range(DEEDS):
            for _ in range(dice.randrange(60)):
                await asyncio.sleep(0)
            async with asyncio.timeout(10):
                await play.deed()
        ground.mode = VolumeMode.DIRECT
        ground.place()
        for node in play.living:
            await play.heal(node)
            await node.until(lambda node=node: node.access is VolumeAccess.DIRECT)  # type: ignore[misc]
        for writer in writers:
            writer.is_over = True
        async with asyncio.timeout(10):
            await asyncio.gather(*writing)

        for writer in writers:
            assert writer.acknowledged
            await writer.check()
            await writer.disk.close()
