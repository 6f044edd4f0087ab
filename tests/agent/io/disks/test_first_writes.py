"""Blocks that are written for the first time while others are: the owner's zeros never come after a
write that was answered, and what another file left is never read.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from agent.io.disks.mount import Mount, blocks_of, carry_out
from agent.io.disks.service import Service, extents_of
from agent.volumes.extents import BLOCK_BYTES, runs
from agent.volumes.formatting import format_volume
from agent.volumes.layout import HEAD_BLOCKS
from agent.volumes.owner import VolumeOwner
from protocol import messages as say
from protocol.disks import RegistrationKey
from protocol.names import ClusterId, Epoch, Incarnation, VmName, VolumeName
from tests.agent.memory_san import MemoryDisk, MemoryLun
from tests.agent.volume_ground import VM, VOLUME, Ground

MIB = 1024 * 1024
OLD, NEW = b"\xaa" * BLOCK_BYTES, b"\x55" * BLOCK_BYTES
CLIENT = Incarnation("b-1")
KEY = RegistrationKey(b"lifeAAA\1")


class HeldLun(MemoryLun):
    """Each write of zeros waits for a gate of its own, where there is one; other writes pass."""

    gates: deque[asyncio.Event]
    held: Sequence[asyncio.Event] = ()

    async def write(
        self, lba: int, buffers: Sequence[bytes | memoryview], fua: bool = False
    ) -> None:
        if self.gates and not any(any(buffer) for buffer in buffers):
            await self.gates.popleft().wait()
        await super().write(lba, buffers, fua)

    def hold(self, count: int) -> Sequence[asyncio.Event]:
        self.gates = deque(asyncio.Event() for _ in range(count))
        self.held = list(self.gates)
        return self.held


@pytest.fixture
async def lun() -> HeldLun:
    """A disk on which something lies everywhere."""
    lun = HeldLun("a", MemoryDisk())
    lun.gates = deque()
    lun.use(KEY)
    lun.admit(9)
    lun.there.content[:] = OLD * (len(lun.there.content) // len(OLD))
    head = bytes(HEAD_BLOCKS * BLOCK_BYTES)
    await carry_out(lun, format_volume(head, blocks_of(lun), bytes(16), "Volume1", 1, force=True))
    return lun


@pytest.fixture
async def service(lun: HeldLun) -> AsyncIterator[Service]:
    mount, _ = await Mount.begin(lun, Epoch(1), lambda _: None)
    owner = VolumeOwner(ClusterId("c1"), Incarnation("a-1"), KEY, Epoch(1), {CLIENT})
    owner.begin(VolumeName("Volume1"))
    yield Service(owner, mount, lambda: True)
    for gate in lun.held:
        gate.set()
    await mount.end()


async def opened(service: Service, mibs: int = 4) -> int:
    change = service.mount.change
    await change(lambda fs: fs.create("/disk", mibs * MIB))
    grant = await change(
        lambda fs: fs.open("/disk", CLIENT, writable=True, vm=VmName("vm1"), epoch=1)
    )
    return int(grant.grant)


async def asked(service: Service, request: say.VolumeRequest) -> say.FileOpened:
    answer, _ = await service._serve(CLIENT, request, None)
    assert isinstance(answer, say.FileOpened)
    return answer


async def turns(count: int = 20) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def read(mount: Mount, grant: int, offset: int) -> bytes:
    target = memoryview(bytearray(BLOCK_BYTES))
    await mount.read(grant, offset, target)
    return bytes(target)


async def test_a_redirected_write_waits_for_the_zeros_that_another_one_asked_for(
    lun: HeldLun, service: Service
) -> None:
    mount, grant = service.mount, await opened(service)
    (gate,) = lun.hold(1)
    first = asyncio.create_task(mount.write(grant, 0, [NEW], False))
    await turns()
    second = asyncio.create_task(mount.write(grant, 8192, [NEW], False))
    await turns()
    gate.set()
    await asyncio.gather(first, second)

    assert await read(mount, grant, 0) == NEW
    assert await read(mount, grant, 8192) == NEW


async def test_a_redirected_read_beside_a_first_write_shows_zeros(
    lun: HeldLun, service: Service
) -> None:
    mount, grant = service.mount, await opened(service)
    (gate,) = lun.hold(1)
    writing = asyncio.create_task(mount.write(grant, 0, [NEW], False))
    await turns()
    reading = asyncio.create_task(read(mount, grant, 8192))
    await turns()
    gate.set()

    assert await reading == bytes(BLOCK_BYTES)
    await writing


async def test_an_answer_names_no_blocks_as_written_that_are_still_to_become_zeros(
    lun: HeldLun, service: Service
) -> None:
    grant = await opened(service)
    gate, later = lun.hold(2)
    first = asyncio.create_task(asked(service, say.ConvertExtents(1, grant, 0, BLOCK_BYTES)))
    await turns()
    second = asyncio.create_task(asked(service, say.ConvertExtents(2, grant, MIB, BLOCK_BYTES)))
    await turns()
    looking = asyncio.create_task(asked(service, say.LookAtFile(3, grant, 0)))
    gate.set()
    one = runs(extents_of(await first), 0, 2 * MIB)
    await turns()

    assert [(run.length_bytes, run.written) for run in one] == [(MIB, True), (MIB, False)]
    assert not second.done()
    assert not looking.done()
    later.set()
    for answer in (await second, await looking):
        assert all(run.written for run in runs(extents_of(answer), 0, 2 * MIB))


async def test_a_new_owner_shows_what_was_written_and_zeros_around_it(
    lun: HeldLun, service: Service
) -> None:
    grant = await opened(service)
    await service.mount.write(grant, 0, [NEW], True)
    await service.mount.end()

    mount, _ = await Mount.begin(lun, Epoch(2), lambda _: None)

    assert await read(mount, grant, 0) == NEW
    assert await read(mount, grant, BLOCK_BYTES) == bytes(BLOCK_BYTES)


async def test_first_writes_one_behind_the_other_ask_the_owner_less_and_less(
    tmp_path: Path,
) -> None:
    async with Ground(tmp_path) as ground:
        await ground.format(ground.nodes["a"])
        a, b = ground.nodes["a"], ground.nodes["b"]
        await b.volumes.make_vhd(VOLUME, "/vm1/disk.vhd", 12 * MIB)
        disk = await b.volumes.open_vhd(VOLUME, "/vm1/disk.vhd", VM, Epoch(1))
        ownership = a.disks.owned(ground.there.disk)
        assert ownership is not None
        assert ownership.service is not None
        before = ownership.service.mount.filesystem.committer.journal.sequence

        pieces = range(0, 12 * MIB, 64 * 1024)
        writes = [disk.write(at, [bytes([at >> 16]) * 65536]) for at in pieces]
        await asyncio.gather(*writes)
        whole = memoryview(bytearray(12 * MIB))
        await disk.read_into(0, whole)
        records = ownership.service.mount.filesystem.committer.journal.sequence - before
        await disk.close()

    assert bytes(whole) == b"".join(bytes([at >> 16]) * 65536 for at in pieces)
    assert records < 8
