"""Names and files of a volume as nodes see them: texts, folders, checks, and what is removed."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from agent.io.disks.service import Service
from agent.volumes.errors import VolumeError
from protocol import messages as say
from protocol.disks import VolumeAccess
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


async def settled(node: Node, access: VolumeAccess) -> None:
    await node.until(lambda: node.access is access)


def ground_service(node: Node) -> Service:
    ownership = node.disks.owned(DISK)
    assert ownership is not None
    assert ownership.service is not None
    return ownership.service


async def test_texts_are_there_wholly_and_names_lead_nowhere_else(ground: Ground) -> None:
    b = ground.nodes["b"]
    await b.volumes.write_text(VOLUME, "/vm1/vm1.json", '{"name": "vm1"}')
    await b.volumes.write_text(VOLUME, "/vm1/vm1.json", '{"name": "vm1", "more": "' + "x" * 999)

    text = await ground.nodes["a"].volumes.read_text(VOLUME, "/vm1/vm1.json")
    assert text is not None
    assert text.startswith('{"name": "vm1", "more"')
    assert [entry.name for entry in await b.volumes.entries(VOLUME, "/vm1")] == ["vm1.json"]
    assert await b.volumes.read_text(VOLUME, "/vm2.json") is None
    with pytest.raises(VolumeError):
        await b.volumes.write_text(VOLUME, "/../etc/passwd", "no")
    await b.volumes.remove_folder(VOLUME, "/vm1")
    assert await b.volumes.entries(VOLUME, "/") == ()


async def test_the_folder_of_a_volume_says_what_it_is(ground: Ground, tmp_path: Path) -> None:
    await settled(ground.nodes["b"], VolumeAccess.DIRECT)

    label = (tmp_path / "b" / "ClusterStorage" / VOLUME / "volume.json").read_text()

    assert '"owner": "a"' in label
    assert '"state": "direct"' in label


async def test_a_check_of_a_volume_finds_nothing_wrong(ground: Ground) -> None:
    a = ground.nodes["a"]
    await a.volumes.make_vhd(VOLUME, PATH, MIB)

    a.tell(say.CheckVolume(CLUSTER, TERM, a.me, DISK, Epoch(ground.epoch), 7))
    checked = await a.heard(say.VolumeChecked, ground.epoch)

    assert isinstance(checked, say.VolumeChecked)
    assert (checked.check, checked.files, checked.findings, checked.reason) == (7, 1, (), "")


async def removed(ground: Ground, node: Node, vm_epoch: int) -> str:
    """The reason why not; empty if it was."""
    node.said = [said for said in node.said if not isinstance(said, say.FilesRemoved)]
    head = CLUSTER, TERM, node.me
    node.tell(say.RemoveFiles(*head, DISK, Epoch(ground.epoch), VM, Epoch(vm_epoch)))
    done = await node.heard(say.FilesRemoved, ground.epoch)
    assert isinstance(done, say.FilesRemoved)
    assert (done.vm, done.vm_epoch) == (VM, vm_epoch)
    return done.reason


async def test_the_files_of_a_deleted_vm_go_also_if_a_dead_life_has_them_open(
    ground: Ground,
) -> None:
    """What it may still write to is given to nobody else before it was fenced."""
    a, b = ground.nodes["a"], ground.nodes["b"]
    await a.volumes.make_vhd(VOLUME, PATH, MIB)
    await a.volumes.write_text(VOLUME, "/vm1/vm1.json", "{}")
    disk = await b.volumes.open_vhd(VOLUME, PATH, VM, Epoch(1))
    service = ground_service(a)
    before = service.mount.filesystem.free_bytes

    assert await removed(ground, a, 1) == ""
    assert await removed(ground, a, 1) == "", "nothing to remove is as good"
    assert await b.volumes.entries(VOLUME, "/") == ()
    assert service.mount.filesystem.free_bytes - before < MIB
    await disk.close()
    await service.mount.change(lambda fs: fs.fence(b.me))
    assert service.mount.filesystem.free_bytes - before >= MIB


async def test_a_late_order_leaves_the_files_of_a_newer_vm_of_that_name(ground: Ground) -> None:
    a, b = ground.nodes["a"], ground.nodes["b"]
    await b.volumes.make_vhd(VOLUME, PATH, MIB)
    disk = await b.volumes.open_vhd(VOLUME, PATH, VM, Epoch(5))

    assert await removed(ground, a, 4) == ""
    assert [entry.name for entry in await b.volumes.entries(VOLUME, "/vm1")] == ["disk.vhd"]
    await disk.write(0, [bytes(4096)], fua=True)
    await disk.close()
    assert await removed(ground, a, 5) == ""
    assert await b.volumes.entries(VOLUME, "/") == ()


async def test_nobody_but_the_owner_removes_files(ground: Ground) -> None:
    a, b = ground.nodes["a"], ground.nodes["b"]
    await b.volumes.make_vhd(VOLUME, PATH, MIB)

    assert "does not own" in await removed(ground, b, 9)
    assert len(await a.volumes.entries(VOLUME, "/")) == 1
