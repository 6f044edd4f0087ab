"""A disk that is one VM's own, from node to node: what S10 does with it, and what an abort does."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from agent.volumes.errors import StaleEpoch
from protocol import messages as say
from protocol.disks import DiskRole, VolumeAccess
from protocol.names import Epoch
from tests.agent.volume_ground import CLUSTER, CSV, OTHER, TERM, VM, VOLUME, Ground, Node

PATH = "/vm1/disk.vhd"
SIZE = 1024 * 1024


class Private(Ground):
    """Only the owner is told where the volume is served; the others that it is nowhere."""

    async def _own(self, owner: Node) -> None:
        owner.said = [said for said in owner.said if not isinstance(said, say.DiskOwned)]
        owner.tell(
            say.OwnDisk(
                *(CLUSTER, TERM, owner.me, self.disk, Epoch(self.epoch)),
                *(DiskRole.VM, VOLUME, self.mode),
            )
        )
        done = await owner.heard(say.DiskOwned, self.epoch)
        assert isinstance(done, say.DiskOwned)
        assert not done.reason, done.reason
        self.owner = owner
        self.place()

    def place(self) -> None:
        for node in self.nodes.values():
            owner = node.member if node is self.owner else None
            node.tell(
                say.VolumeAt(
                    *(CLUSTER, TERM, node.me, self.disk, VOLUME, "", Epoch(self.epoch)),
                    *(owner, self.mode, (CSV, OTHER)),
                )
            )


@pytest.fixture
async def ground(tmp_path: Path) -> AsyncIterator[Private]:
    made = Private(tmp_path, "ab")
    async with made:
        await made.format(made.nodes["a"])
        await made.nodes["a"].volumes.make_vhd(VOLUME, PATH, SIZE)
        yield made


async def read(disk: Any, length: int = 4096) -> bytes:
    into = memoryview(bytearray(length))
    await disk.read_into(0, into)
    return bytes(into)


def labels_in(folder: Path) -> list[Path]:
    return list(folder.rglob("volume.json"))


def holders(node: Node, ground: Ground) -> dict[Any, Any]:
    ownership = node.disks.owned(ground.disk)
    assert ownership is not None
    assert ownership.service is not None
    return dict(ownership.service.mount.filesystem.holders())


async def test_the_target_waits_for_the_disk_and_reads_what_the_source_wrote(
    ground: Private,
) -> None:
    a, b = ground.nodes["a"], ground.nodes["b"]
    source = await a.volumes.open_vhd(VOLUME, PATH, VM, Epoch(1))
    await source.write(0, [b"a" * 4096], fua=True)

    opening = asyncio.create_task(b.volumes.open_vhd(VOLUME, PATH, VM, Epoch(2)))
    await asyncio.sleep(0)
    assert not opening.done(), "nobody serves it there"
    await ground.move(b)
    target = await opening

    assert await read(target) == b"a" * 4096
    assert b.access is VolumeAccess.DIRECT
    assert a.access is VolumeAccess.QUEUED


async def test_after_an_abort_the_source_goes_on_under_the_next_epoch_when_the_disk_is_back(
    ground: Private,
) -> None:
    a, b = ground.nodes["a"], ground.nodes["b"]
    source = await a.volumes.open_vhd(VOLUME, PATH, VM, Epoch(1))
    await source.write(0, [b"a" * 4096], fua=True)
    await ground.move(b)
    target = await b.volumes.open_vhd(VOLUME, PATH, VM, Epoch(2))
    waiting = asyncio.create_task(source.write(0, [b"b" * 4096], fua=True))
    again = asyncio.create_task(a.volumes.open_vhd(VOLUME, PATH, VM, Epoch(2)))
    await asyncio.sleep(0)
    assert not waiting.done(), "the guest's disk is elsewhere"

    await target.close()
    await ground.move(a)
    with pytest.raises(StaleEpoch):
        await waiting
    disk = await again
    await disk.write(0, [b"b" * 4096], fua=True)
    assert await read(disk) == b"b" * 4096


async def test_the_grants_of_who_had_it_before_are_worth_nothing(ground: Private) -> None:
    a, b = ground.nodes["a"], ground.nodes["b"]
    for epoch in range(1, 6):
        node, other = (a, b) if epoch % 2 else (b, a)
        await node.volumes.open_vhd(VOLUME, PATH, VM, Epoch(epoch))
        await ground.move(other)

    last = ground.owner
    assert last is not None
    await last.volumes.open_vhd(VOLUME, PATH, VM, Epoch(6))
    assert list(holders(last, ground)) == [last.me]


async def test_no_folder_shows_it(ground: Private, tmp_path: Path) -> None:
    assert not labels_in(tmp_path)
