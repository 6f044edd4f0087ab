"""Two nodes and a real san: a volume written by one and read by the other, through what may break.

The nodes' disks live on one loop here, but for the last test, which gives each its own thread.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from agent.disks.session_states import Patience
from agent.io.disks.connection import Portal
from agent.io.disks.disk_door import DiskDoor
from agent.io.disks.targets import Account, IscsiLuns, Settings
from agent.storage import Storage
from protocol.disks import DiskId, VolumeAccess
from protocol.names import Epoch, Incarnation, VmName
from tests.agent.volume_ground import CSV, VM, VOLUME, Ground, Node
from tests.san.io.serving import TARGET, Serving, serving

MIB = 1024 * 1024
PATH = "/vm1/disk.vhd"
LOCAL = {"a": "127.0.0.11", "b": "127.0.0.12"}


def luns_of(san: Serving, name: str) -> IscsiLuns:
    host, _, port = san.ready["portals"][0].rpartition(":")
    account = Account(f"iqn.2026-01.test:{name}", san.ready.get("target", TARGET))
    patience = Patience()
    settings = Settings(patience=patience, no_path_s=0.3)
    return IscsiLuns([Portal(host, int(port), LOCAL[name])], account, settings)


async def hurt(san: Serving, **words: Any) -> dict[str, Any]:
    reader, writer = await asyncio.open_unix_connection(str(san.state / "admin.sock"))
    writer.write(json.dumps(words).encode() + b"\n")
    answer = json.loads(await reader.readline())
    writer.close()
    await writer.wait_closed()
    assert "error" not in answer, answer
    return dict(answer)


@pytest.fixture
async def san(tmp_path: Path) -> AsyncIterator[Serving]:
    async with serving(tmp_path / "san") as running:
        yield running


@pytest.fixture
async def ground(san: Serving, tmp_path: Path) -> AsyncIterator[Ground]:
    disk = DiskId(next(iter(san.ready["luns"].values())))
    made = Ground(tmp_path, "ab", disk, lambda name: luns_of(san, name))
    async with made:
        await made.format(made.nodes["a"])
        yield made


async def read(disk: Any, offset: int, length: int) -> bytes:
    into = memoryview(bytearray(length))
    await disk.read_into(offset, into)
    return bytes(into)


async def settled(node: Node, access: VolumeAccess) -> None:
    await node.until(lambda: node.access is access)


async def test_a_direct_write_on_one_node_is_read_on_the_other(ground: Ground) -> None:
    a, b = ground.nodes["a"], ground.nodes["b"]
    await b.volumes.make_vhd(VOLUME, PATH, 4 * MIB)
    disk = await b.volumes.open_vhd(VOLUME, PATH, VM, Epoch(1))
    await disk.write(MIB - 512, [b"one " * 256], fua=True)
    assert b.access is VolumeAccess.DIRECT
    await disk.close()

    on_a = await a.volumes.open_vhd(VOLUME, PATH, VM, Epoch(2))

    assert await read(on_a, MIB - 512, 1024) == b"one " * 256
    await on_a.close()


async def test_after_a_kill_of_the_owner_what_waited_goes_on(ground: Ground) -> None:
    a, b = ground.nodes["a"], ground.nodes["b"]
    await b.volumes.make_vhd(VOLUME, PATH, 4 * MIB)
    disk = await b.volumes.open_vhd(VOLUME, PATH, VM, Epoch(1))
    await disk.write(0, [b"a" * 4096], fua=True)

    await ground.kill(a)
    await settled(b, VolumeAccess.QUEUED)
    waiting = asyncio.create_task(disk.write(4096, [b"b" * 4096], fua=True))
    await ground.fence(a, by=b)
    await ground.take_over(b)
    await waiting

    assert await read(disk, 0, 8192) == b"a" * 4096 + b"b" * 4096
    await disk.close()


async def test_a_cut_path_is_gone_around_and_used_again(ground: Ground, san: Serving) -> None:
    b = ground.nodes["b"]
    await b.volumes.make_vhd(VOLUME, PATH, 4 * MIB)
    disk = await b.volumes.open_vhd(VOLUME, PATH, VM, Epoch(1))
    await disk.write(0, [b"a" * 4096], fua=True)

    await hurt(san, do="cut", **{"from": LOCAL["b"]})
    await disk.write(4096, [b"b" * 4096], fua=True)
    assert b.access is VolumeAccess.REDIRECTED
    await hurt(san, do="heal", **{"from": LOCAL["b"]})
    await ground.grant(b)
    await settled(b, VolumeAccess.DIRECT)
    await disk.write(8192, [b"c" * 4096], fua=True)

    assert b.reported[0].key[-1] == 2
    whole = await read(disk, 0, 3 * 4096)
    assert whole == b"a" * 4096 + b"b" * 4096 + b"c" * 4096
    await disk.close()


async def test_a_vhd_is_as_long_as_it_was_made_and_reads_zeros(ground: Ground) -> None:
    b = ground.nodes["b"]
    await b.volumes.make_vhd(VOLUME, PATH, 3 * MIB)
    await b.volumes.make_vhd(VOLUME, PATH, 3 * MIB)

    disk = await b.volumes.open_vhd(VOLUME, PATH, VmName("vm1"), Epoch(1))

    assert disk.size_bytes == 3 * MIB
    assert await read(disk, 0, 3 * MIB) == bytes(3 * MIB)
    await disk.write(512, [bytes(range(256)) * 8192], fua=True)
    assert await read(disk, 512, 2 * MIB) == bytes(range(256)) * 8192
    await disk.close()


async def test_the_disks_of_an_agent_live_in_a_thread_of_their_own(
    san: Serving, tmp_path: Path
) -> None:
    door = DiskDoor(tmp_path, {CSV: "127.0.0.1"}, lambda: luns_of(san, "a"), lambda: 0.0)
    me, seen = Incarnation("a-1"), asyncio.Event()
    storage = Storage(me)

    def feed(event: Any) -> None:
        storage.happened(event)
        if any(here.seen is not None for here in storage.disks.values()):
            seen.set()

    port = await door.open(0)
    faults: asyncio.Queue[Exception] = asyncio.Queue()
    door.watch(faults.put_nowait)
    door.begin(me, feed)
    door.thread.soon(lambda: {}["a promise that is broken"])
    async with asyncio.timeout(5):
        assert isinstance(await faults.get(), KeyError)
    async with asyncio.timeout(5):
        await seen.wait()
    await door.end_life()
    await door.close()

    assert port > 0
    assert not door.thread.is_running
    (here,) = storage.disks.values()
    assert here.seen is not None
    assert here.seen.size_bytes == 64 * MIB
