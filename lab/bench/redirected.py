"""File data of a shared volume: straight to the disk beside through the owner, in turns.

Target, owner and client are a process each, as they are in a lab; the client is this one.
"""

import asyncio
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import uvloop

from agent.io.disks.connection import Portal
from agent.io.disks.device import IscsiLun
from agent.io.disks.mount import blocks_of, carry_out, read_blocks
from agent.io.disks.owner_link import RemoteLink
from agent.io.disks.ownership import Ownership
from agent.io.disks.targets import Account, IscsiLuns, Settings
from agent.io.disks.volume_server import VolumeServer
from agent.io.disks.volume_use import VolumeUse
from agent.io.disks.volumes import VhdFile, Volumes
from agent.volumes import ways
from agent.volumes.client import Phase
from agent.volumes.formatting import format_volume
from agent.volumes.layout import HEAD_BLOCKS
from agent.volumes.owner import VolumeOwner
from lab.bench import initiators
from lab.bench.initiators import Duel
from lab.tgtd import TARGET
from protocol.disks import DiskId, RegistrationKey, VolumeMode, key_of_life
from protocol.names import ClusterId, Epoch, Incarnation, VmName, VolumeName

CLUSTER, EPOCH, VOLUME = ClusterId("bench"), Epoch(1), VolumeName("Volume1")
OWNER, CLIENT = Incarnation("owner-1"), Incarnation("client-1")
VM, VHD = VmName("vm1"), "/vm1/disk.vhd"
LUN_BYTES = 512 << 20
VHD_BYTES = 256 << 20
REQUEST_BYTES, DEPTH = 1 << 20, 4
RUN_S = 2.0
SETTLED_WITHIN_S = 10.0
GOAL_REDIRECTED, GOAL_FIRST = 0.4, 0.5


@asynccontextmanager
async def _disk(port: int, me: Incarnation, formats: bool = False) -> AsyncIterator[IscsiLun]:
    """The one disk of the target, registered under this life's first key."""
    account = Account(f"iqn.2026-01.hvlab:{me}", TARGET)
    luns = IscsiLuns([Portal("127.0.0.1", port)], account, Settings(unguarded=True))
    await luns.start()
    try:
        (lun,) = luns.luns.values()
        if formats:
            head = await read_blocks(lun, 0, HEAD_BLOCKS)
            await carry_out(lun, format_volume(head, blocks_of(lun), bytes(16), VOLUME, 1))
        lun.use(RegistrationKey(key_of_life(CLUSTER, me) + b"\1"))
        async with asyncio.timeout(SETTLED_WITHIN_S):
            while not lun.is_usable:
                lun.admit(lun.registrations)
                await asyncio.sleep(0.01)
        yield lun
    finally:
        await luns.close()


async def own(port: int) -> None:
    """Serve the volume until standard input ends."""
    loop = asyncio.get_running_loop()
    async with _disk(port, OWNER, formats=True) as lun:
        key = RegistrationKey(key_of_life(CLUSTER, OWNER) + b"\1")
        owner = VolumeOwner(CLUSTER, OWNER, key, EPOCH, {OWNER, CLIENT})
        ownership = Ownership(owner, lun, lambda: True, lambda _: None)
        ownership.begin(VOLUME)
        if not await ownership.settled():
            raise RuntimeError("the volume cannot be mounted")
        server = VolumeServer(lambda _: ownership)
        print(json.dumps({"port": await server.listen(["127.0.0.1"], 0), "disk": lun.disk}))
        sys.stdout.flush()
        await loop.run_in_executor(None, sys.stdin.read)
        await server.close()
        await ownership.end()


class Client:
    """This process's use of the volume, and the ways it can be told to go."""

    def __init__(self, use: VolumeUse, port: int) -> None:
        self.use = use
        self.volumes = Volumes(lambda _: use)
        self._addresses = (("127.0.0.1", "127.0.0.1", port),)

    async def go(self, mode: VolumeMode) -> None:
        self.use.feed(ways.Placed(ways.Place(EPOCH, OWNER, mode, self._addresses)))
        wanted = Phase.DIRECT if mode is VolumeMode.DIRECT else Phase.REDIRECTED
        async with asyncio.timeout(SETTLED_WITHIN_S):
            while self.use.client.phase is not wanted:  # noqa: ASYNC110
                await asyncio.sleep(0.01)

    async def opened(self) -> VhdFile:
        """A virtual disk that was never written."""
        await self.volumes.remove_folder(VOLUME, "/vm1")
        await self.volumes.make_vhd(VOLUME, VHD, VHD_BYTES)
        return await self.volumes.open_vhd(VOLUME, VHD, VM, Epoch(1))


@asynccontextmanager
async def _client(target_port: int, owner_port: int, disk: DiskId) -> AsyncIterator[Client]:
    async with _disk(target_port, CLIENT) as lun:
        use = VolumeUse(
            CLIENT,
            lambda: lun,
            lambda place, feed: RemoteLink(CLUSTER, disk, CLIENT, place, feed),
            lambda _: None,
            lambda access, reason: None,
        )
        use.feed(ways.DiskSeen(1, is_usable=True))
        client = Client(use, owner_port)
        await client.go(VolumeMode.DIRECT)
        yield client
        await use.end()


async def _moved(file: VhdFile, writes: bool) -> float:
    """Bytes per second, one request after the other, several under way."""
    buffers = [memoryview(bytearray(REQUEST_BYTES)) for _ in range(DEPTH)]
    done, turn, count = 0, iter(range(1 << 40)), VHD_BYTES // REQUEST_BYTES
    began = time.monotonic()

    async def work(buffer: memoryview) -> None:
        nonlocal done
        while time.monotonic() < began + RUN_S:
            offset = next(turn) % count * REQUEST_BYTES
            if writes:
                await file.write(offset, [buffer])
            else:
                await file.read_into(offset, buffer)
            done += REQUEST_BYTES

    await asyncio.gather(*(work(buffer) for buffer in buffers))
    return done / (time.monotonic() - began)


async def _filled(file: VhdFile) -> float:
    """Bytes per second of the first writes that the disk ever sees, until they are stable."""
    buffer, turn = memoryview(bytes(REQUEST_BYTES)), iter(range(0, VHD_BYTES, REQUEST_BYTES))
    began = time.monotonic()

    async def work() -> None:
        for offset in turn:
            await file.write(offset, [buffer])

    await asyncio.gather(*(work() for _ in range(DEPTH)))
    await file.flush()
    return VHD_BYTES / (time.monotonic() - began)


async def _rounds(
    target_port: int, owner_port: int, disk: DiskId, rounds: int, note: Callable[[str], None]
) -> list[Duel]:
    reads = Duel("1 MiB sequential reads of a VHD, redirected beside direct", GOAL_REDIRECTED)
    writes = Duel("1 MiB sequential writes of a VHD, redirected beside direct", GOAL_REDIRECTED)
    first = Duel("first writes of a VHD beside later ones, direct", GOAL_FIRST)
    async with _client(target_port, owner_port, disk) as client:
        for turn in range(rounds):
            note(f"redirected, round {turn + 1}")
            file = await client.opened()
            first.ours.append(await _filled(file))
            first.theirs.append(await _filled(file))
            for duel, is_write in ((reads, False), (writes, True)):
                await client.go(VolumeMode.DIRECT)
                duel.theirs.append(await _moved(file, is_write))
                await client.go(VolumeMode.REDIRECTED)
                duel.ours.append(await _moved(file, is_write))
            await client.go(VolumeMode.DIRECT)
            await file.close()
    return [reads, writes, first]


def redirected(rounds: int, note: Callable[[str], None]) -> list[Duel]:
    """Through the owner ("ours") beside straight to the disk ("theirs"), by one client; and first
    writes beside later ones.
    """
    with tempfile.TemporaryDirectory(prefix="hvlab-bench-") as folder:
        with initiators.own(Path(folder), LUN_BYTES) as place:
            words = [sys.executable, "-m", "lab.bench.redirected", str(place.port)]
            owner = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            assert owner.stdin is not None
            assert owner.stdout is not None
            try:
                said = json.loads(owner.stdout.readline())
                work = _rounds(place.port, int(said["port"]), DiskId(said["disk"]), rounds, note)
                return uvloop.run(work)
            finally:
                owner.stdin.close()
                owner.wait()
                owner.stdout.close()


if __name__ == "__main__":
    uvloop.run(own(int(sys.argv[1])))
