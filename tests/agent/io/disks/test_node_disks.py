"""Nodes that share a volume, on one loop: direct, redirected, queued, and what is never lost."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from agent.io.disks.service import Service
from agent.volumes.errors import Conflict, StaleEpoch
from protocol import messages as say
from protocol.disks import DiskRole, VolumeAccess, VolumeMode
from protocol.names import Epoch
from tests.agent.memory_san import DISK
from tests.agent.volume_ground import CLUSTER, TERM, VM, VOLUME, Ground, Node

MIB = 1024 * 1024
PATH = "/vm1/disk.vhd"


@pytest.fixture
async def ground(tmp_path: Path) -> AsyncIterator[Ground]:
    async with Ground(tmp_path) as made:
        await made.format(made.nodes["a"])
        yield made


def pattern(number: int, length: int = 4096) -> bytes:
    return bytes([number % 251 + 1]) * length


async def read(disk: object, offset: int, length: int) -> bytes:
    into = memoryview(bytearray(length))
    await disk.read_into(offset, into)  # type: ignore[attr-defined]
    return bytes(into)


async def settled(node: Node, access: VolumeAccess) -> None:
    await node.until(lambda: node.access is access)


async def test_what_one_node_writes_straight_another_reads_straight(ground: Ground) -> None:
    a, b = ground.nodes["a"], ground.nodes["b"]
    await b.volumes.make_vhd(VOLUME, PATH, 4 * MIB)
    on_b = await b.volumes.open_vhd(VOLUME, PATH, VM, Epoch(1))
    await on_b.write(8192, [memoryview(pattern(1)), memoryview(pattern(2))], fua=True)
    await on_b.flush()
    assert b.access is VolumeAccess.DIRECT
    assert ground.there.accepted[-1][0] == b.lun.key
    await on_b.close()

    on_a = await a.volumes.open_vhd(VOLUME, PATH, VM, Epoch(2))

    assert await read(on_a, 8192, 8192) == pattern(1) + pattern(2)
    assert await read(on_a, 0, 8192) == bytes(8192)
    await on_a.close()


async def test_a_vm_that_ran_elsewhere_under_a_newer_epoch_opens_nothing(ground: Ground) -> None:
    a, b = ground.nodes["a"], ground.nodes["b"]
    await a.volumes.make_vhd(VOLUME, PATH, MIB)
    disk = await a.volumes.open_vhd(VOLUME, PATH, VM, Epoch(3))

    with pytest.raises(StaleEpoch):
        await b.volumes.open_vhd(VOLUME, PATH, VM, Epoch(2))

    await disk.close()


async def test_a_node_that_loses_its_path_goes_on_through_the_owner_and_comes_back(
    ground: Ground,
) -> None:
    b = ground.nodes["b"]
    await b.volumes.make_vhd(VOLUME, PATH, 4 * MIB)
    disk = await b.volumes.open_vhd(VOLUME, PATH, VM, Epoch(1))
    await disk.write(0, [pattern(1)], fua=True)
    first_key = b.lun.key

    b.lun.cut()
    await disk.write(4096, [pattern(2)], fua=True)
    assert b.access is VolumeAccess.REDIRECTED
    assert first_key not in ground.there.keys.values()
    assert ground.there.accepted[-1][0] == ground.nodes["a"].lun.key
    assert await read(disk, 0, 8192) == pattern(1) + pattern(2)

    b.lun.heal()
    await ground.grant(b)
    await settled(b, VolumeAccess.DIRECT)
    assert b.lun.key[-1] == first_key[-1] + 1
    await disk.write(8192, [pattern(3)], fua=True)

    assert ground.there.accepted[-1][0] == b.lun.key
    assert await read(disk, 0, 12288) == pattern(1) + pattern(2) + pattern(3)
    await disk.close()


async def test_the_owner_moves_and_writers_see_a_delay(ground: Ground) -> None:
    a, b = ground.nodes["a"], ground.nodes["b"]
    await a.volumes.make_vhd(VOLUME, PATH, 4 * MIB)
    disk = await a.volumes.open_vhd(VOLUME, PATH, VM, Epoch(1))

    async def keep_writing() -> None:
        for number in range(200):
            await disk.write(number * 4096, [pattern(number)], fua=True)

    writing = asyncio.create_task(keep_writing())
    await ground.move(b)
    await ground.move(a)
    await ground.move(b)
    await writing

    whole = await read(disk, 0, 200 * 4096)
    assert whole == b"".join(pattern(number) for number in range(200))
    await disk.close()


async def test_after_the_owners_death_writes_wait_for_the_next_one(ground: Ground) -> None:
    a, b = ground.nodes["a"], ground.nodes["b"]
    await b.volumes.make_vhd(VOLUME, PATH, 4 * MIB)
    disk = await b.volumes.open_vhd(VOLUME, PATH, VM, Epoch(1))
    await disk.write(0, [pattern(1)], fua=True)

    await ground.kill(a)
    await settled(b, VolumeAccess.QUEUED)
    waiting = [
        asyncio.create_task(disk.write(number * 4096, [pattern(number)], fua=True))
        for number in range(1, 9)
    ]
    await asyncio.sleep(0)
    assert not any(task.done() for task in waiting)
    await ground.fence(a, by=b)
    await ground.take_over(b)
    await asyncio.gather(*waiting)

    assert await read(disk, 4096, 8 * 4096) == b"".join(pattern(n) for n in range(1, 9))
    await disk.close()


async def test_a_redirected_writer_outlives_its_owner(tmp_path: Path) -> None:
    async with Ground(tmp_path, "abc") as ground:
        a, b, c = (ground.nodes[name] for name in "abc")
        await ground.format(a)
        await c.volumes.make_vhd(VOLUME, PATH, MIB)
        disk = await c.volumes.open_vhd(VOLUME, PATH, VM, Epoch(1))
        c.lun.cut()
        await disk.write(0, [pattern(1)], fua=True)

        await ground.kill(a)
        await settled(c, VolumeAccess.QUEUED)
        waiting = asyncio.create_task(disk.write(4096, [pattern(2)], fua=True))
        await ground.fence(a, by=b)
        await ground.take_over(b)
        await waiting

        assert c.access is VolumeAccess.REDIRECTED
        assert await read(disk, 0, 8192) == pattern(1) + pattern(2)
        await disk.close()


async def test_who_was_fenced_writes_nothing_more_and_says_that_the_disk_is_lost(
    ground: Ground,
) -> None:
    a, b = ground.nodes["a"], ground.nodes["b"]
    await b.volumes.make_vhd(VOLUME, PATH, MIB)
    disk = await b.volumes.open_vhd(VOLUME, PATH, VM, Epoch(1))
    await disk.write(0, [pattern(1)], fua=True)
    key = b.lun.key

    await ground.fence(b, by=a)
    accepted = len(ground.there.accepted)
    with pytest.raises(Conflict):
        await disk.write(0, [pattern(2)], fua=True)

    lost = await b.heard(say.DiskLost)
    assert isinstance(lost, say.DiskLost)
    assert lost.key == key
    assert b.report.disks[0].is_lost
    assert all(who != key for who, _, _ in ground.there.accepted[accepted:])
    await ground_use_again(ground, b)


async def ground_use_again(ground: Ground, node: Node) -> None:
    before = node.lun.registrations
    await asyncio.sleep(0)
    for _ in range(2):
        node.lun.cut()
        node.lun.heal()
    assert node.lun.registrations == before, "what was lost is never registered again"


async def test_a_redirected_life_that_was_fenced_is_not_served_either(ground: Ground) -> None:
    a, b = ground.nodes["a"], ground.nodes["b"]
    await b.volumes.make_vhd(VOLUME, PATH, MIB)
    disk = await b.volumes.open_vhd(VOLUME, PATH, VM, Epoch(1))
    b.lun.cut()
    await disk.write(0, [pattern(1)], fua=True)

    await ground.fence(b, by=a)
    accepted = len(ground.there.accepted)
    waiting = asyncio.create_task(disk.write(0, [pattern(2)], fua=True))
    await settled(b, VolumeAccess.QUEUED)

    assert not waiting.done()
    on_a = await a.volumes.open_vhd(VOLUME, PATH, VM, Epoch(2))
    assert await read(on_a, 0, 4096) == pattern(1)
    assert len(ground.there.accepted) - accepted < 20
    waiting.cancel()
    await asyncio.wait({waiting})
    await on_a.close()


async def test_an_owner_without_a_lease_serves_nobody(ground: Ground) -> None:
    a, b = ground.nodes["a"], ground.nodes["b"]
    await b.volumes.make_vhd(VOLUME, PATH, MIB)
    disk = await b.volumes.open_vhd(VOLUME, PATH, VM, Epoch(1))
    b.lun.cut()
    await disk.write(0, [pattern(1)], fua=True)
    a.has_lease = False

    waiting = asyncio.create_task(disk.write(0, [pattern(2)], fua=True))
    await settled(b, VolumeAccess.QUEUED)
    assert not waiting.done()
    a.has_lease = True
    await waiting

    assert await read(disk, 0, 4096) == pattern(2)
    await disk.close()


async def test_redirected_access_by_an_operator_keeps_the_registration(ground: Ground) -> None:
    a, b = ground.nodes["a"], ground.nodes["b"]
    await b.volumes.make_vhd(VOLUME, PATH, MIB)
    disk = await b.volumes.open_vhd(VOLUME, PATH, VM, Epoch(1))
    key = b.lun.key
    ground.mode = VolumeMode.REDIRECTED
    ground.place()
    await settled(b, VolumeAccess.REDIRECTED)
    await disk.write(0, [pattern(1)], fua=True)

    assert ground.there.accepted[-1][0] == a.lun.key
    assert a.access is VolumeAccess.DIRECT
    ground.mode = VolumeMode.DIRECT
    ground.place()
    await settled(b, VolumeAccess.DIRECT)
    assert b.lun.key == key
    await disk.close()


async def test_an_owner_that_loses_its_path_gives_the_volume_up_at_once(ground: Ground) -> None:
    a, b = ground.nodes["a"], ground.nodes["b"]
    await a.volumes.make_vhd(VOLUME, PATH, MIB)
    disk = await a.volumes.open_vhd(VOLUME, PATH, VM, Epoch(1))
    await disk.write(0, [pattern(1)], fua=True)

    a.lun.cut()
    given = await a.heard(say.DiskReleased, 1)
    assert isinstance(given, say.DiskReleased)
    assert not given.is_clean
    assert given.generation == 1
    writing = asyncio.create_task(disk.write(4096, [pattern(2)], fua=True))
    await ground.fence(a, by=b, generation=given.generation)
    await ground.take_over(b)
    await writing

    assert a.access is VolumeAccess.REDIRECTED
    assert await read(disk, 0, 8192) == pattern(1) + pattern(2)
    await disk.close()


async def test_another_network_carries_the_volume_when_one_fails(ground: Ground) -> None:
    a, b = ground.nodes["a"], ground.nodes["b"]
    await b.volumes.make_vhd(VOLUME, PATH, MIB)
    disk = await b.volumes.open_vhd(VOLUME, PATH, VM, Epoch(1))
    b.lun.cut()
    await disk.write(0, [pattern(1)], fua=True)

    a.server.stop_listening_on("127.0.0.1")
    await disk.write(4096, [pattern(2)], fua=True)

    assert await read(disk, 0, 8192) == pattern(1) + pattern(2)
    assert not [
        volume
        for said in b.said
        if isinstance(said, say.DiskReport)
        for volume in said.volumes
        if volume.access is VolumeAccess.QUEUED and "not reached:" in volume.reason
    ]
    await disk.close()


async def test_what_was_written_through_the_owner_is_read_straight_afterwards(
    ground: Ground,
) -> None:
    """The owner turned what was never written into what was, and nobody has told the node so."""
    b = ground.nodes["b"]
    await b.volumes.make_vhd(VOLUME, PATH, 4 * MIB)
    disk = await b.volumes.open_vhd(VOLUME, PATH, VM, Epoch(1))
    await disk.write(0, [pattern(1)], fua=True)
    b.lun.cut()
    await disk.write(2 * MIB, [pattern(2)], fua=True)

    b.lun.heal()
    await ground.grant(b)
    await settled(b, VolumeAccess.DIRECT)

    assert await read(disk, 2 * MIB, 4096) == pattern(2)
    await disk.close()


async def test_who_opens_a_disk_anew_finds_no_redirected_write_of_the_former_epoch_behind_it(
    ground: Ground,
) -> None:
    a, b = ground.nodes["a"], ground.nodes["b"]
    await b.volumes.make_vhd(VOLUME, PATH, MIB)
    disk = await b.volumes.open_vhd(VOLUME, PATH, VM, Epoch(1))
    await disk.write(0, [pattern(1)], fua=True)
    b.lun.cut()
    await disk.write(0, [pattern(2)], fua=True)
    slow = a.lun.stalled = asyncio.Event()
    writing = asyncio.create_task(disk.write(0, [pattern(3)], fua=True))
    service = ground_service(a)
    async with asyncio.timeout(5):
        for _ in iter(lambda: bool(service.writes), True):
            await asyncio.sleep(0)
    await asyncio.sleep(0)
    a.lun.stalled = None

    opening = asyncio.create_task(a.volumes.open_vhd(VOLUME, PATH, VM, Epoch(2)))
    for _ in range(200):
        await asyncio.sleep(0)
    assert not opening.done()
    slow.set()
    on_a = await opening
    await on_a.write(0, [pattern(4)], fua=True)
    await asyncio.wait({writing})

    assert await read(on_a, 0, 4096) == pattern(4)
    with pytest.raises(StaleEpoch):
        await disk.write(0, [pattern(5)], fua=True)
    await on_a.close()


def ground_service(node: Node) -> Service:
    ownership = node.disks.owned(DISK)
    assert ownership is not None
    assert ownership.service is not None
    return ownership.service


async def test_a_mount_that_is_cut_short_leaves_nothing_that_could_write_later(
    ground: Ground,
) -> None:
    """Else it would go on under its old epoch when the path is back and another node owns."""
    a, b = ground.nodes["a"], ground.nodes["b"]
    a.tell(say.ReleaseDisk(CLUSTER, TERM, a.me, DISK, Epoch(1)))
    await a.heard(say.DiskReleased, 1)
    slow = b.lun.stalled = asyncio.Event()
    b.tell(
        say.OwnDisk(*(CLUSTER, TERM, b.me, DISK, Epoch(2), DiskRole.CSV, VOLUME, VolumeMode.DIRECT))
    )
    for _ in range(50):
        await asyncio.sleep(0)

    b.lun.cut()
    given = await b.heard(say.DiskReleased, 2)
    assert isinstance(given, say.DiskReleased)
    assert not given.is_clean
    accepted = len(ground.there.accepted)
    b.lun.stalled = None
    b.lun.heal()
    slow.set()
    for _ in range(50):
        await asyncio.sleep(0)

    assert len(ground.there.accepted) == accepted


async def test_an_owner_whose_key_was_taken_says_that_the_disk_is_lost(ground: Ground) -> None:
    """Not only that it gave the volume up: its guests have to go on elsewhere."""
    a = ground.nodes["a"]
    await a.volumes.make_vhd(VOLUME, PATH, MIB)
    disk = await a.volumes.open_vhd(VOLUME, PATH, VM, Epoch(1))
    await disk.write(0, [pattern(1)], fua=True)
    del ground.there.keys["a"]

    with pytest.raises(Conflict):
        await disk.write(0, [pattern(2)], fua=True)

    await a.heard(say.DiskLost)
    assert a.report.disks[0].is_lost
