"""Disks and shared volumes over HTTP, with a real core behind it and nodes that obey."""

from collections.abc import Callable
from typing import Any

from coordinator.io import api_answers as answers
from protocol.disks import (
    DiskContent,
    DiskId,
    DiskStatus,
    VolumeAccess,
    VolumeStatus,
    registration_key,
)
from protocol.messages import (
    CheckVolume,
    DiskFormatted,
    DiskOwned,
    DiskReleased,
    DiskReport,
    FormatDisk,
    FromAgent,
    GrantDisk,
    OwnDisk,
    ReleaseDisk,
    UseDisks,
    VolumeAt,
    VolumeChecked,
    VolumeGone,
    Welcome,
)
from protocol.names import ClusterId
from tests.coordinator.io.scripted import Bench, ScriptedAgent, coordinator
from tests.coordinator.io.test_cluster_operations import check_shape

DISK, NAME = "6000000000000001", "Cluster%20Disk%201"


def storing(name: str) -> ScriptedAgent:
    """A node that sees one LUN."""
    agent = ScriptedAgent(name)
    used: dict[str, Any] = {"registered": 0, "granted": 0, "at": None}

    def report(cluster: ClusterId) -> DiskReport:
        key = registration_key(cluster, agent.incarnation, 1) if used["registered"] else b""
        status = DiskStatus(
            *(DiskId(DISK), 1 << 30, 512, "HVLAB", 2, 2, DiskContent.BLANK),
            key=key,  # type: ignore[arg-type]
            registrations=used["registered"],
            granted=used["granted"],
        )
        at: VolumeAt | None = used["at"]
        volumes: tuple[VolumeStatus, ...] = ()
        if at is not None:
            direct = VolumeAccess.DIRECT
            volumes = (VolumeStatus(at.disk, at.volume, at.epoch, direct, "", 1 << 30, 1 << 29),)
        return DiskReport(cluster, agent.term, agent.incarnation, (status,), volumes)

    def obey(message: Any) -> list[FromAgent]:
        head = (agent.cluster or ClusterId(""), agent.term, agent.incarnation)
        match message:
            case UseDisks():
                used["registered"] = 1
            case GrantDisk():
                used["granted"] = message.registrations
            case VolumeAt():
                used["at"] = message
            case VolumeGone():
                used["at"] = None
            case OwnDisk(disk=disk, epoch=epoch):
                return [DiskOwned(*head, disk, epoch)]
            case ReleaseDisk(disk=disk, epoch=epoch):
                return [DiskReleased(*head, disk, epoch, True)]
            case FormatDisk(disk=disk, epoch=epoch, label=label):
                return [DiskFormatted(*head, disk, epoch, label)]
            case CheckVolume(disk=disk, epoch=epoch, check=check):
                return [VolumeChecked(*head, disk, epoch, check, 2, ("a block is lost",))]
            case Welcome():
                pass
            case _:
                return []
        return [report(head[0])]

    agent.storage = obey
    return agent


async def with_disk(bench: Bench, then: Callable[[Any], bool] | None = None) -> None:
    await bench.form(storing("node1"), storing("node2"))
    await bench.until(f"/disks/{DISK}", clustered=False)
    status, body = await bench.post("/disks", disk=DISK)
    assert status == 201, body
    await bench.until(f"/disks/{NAME}", state="Online")


async def with_volume(bench: Bench) -> None:
    await with_disk(bench)
    body = {"EnableSharedVolumes": "enabled"}
    assert (await bench.call("PATCH", "/cluster/properties", json=body))[0] == 200
    status, made = await bench.post("/volumes", disk="Cluster Disk 1")
    assert (status, made["name"]) == (201, "Volume1")
    await bench.until("/volumes/Volume1", state="direct")


async def test_a_disk_is_added_moved_and_removed() -> None:
    async with coordinator() as bench:
        await with_disk(bench)

        disk = await bench.get(f"/disks/{NAME}")
        check_shape(answers.Disk, disk)
        check_shape(list[answers.Disk], await bench.get("/disks"))
        assert len(disk["registered"]) == 2
        other = "node2" if disk["owner"] == "node1" else "node1"
        assert (await bench.post(f"/disks/{NAME}/owner", to=other))[0] == 202
        await bench.until(f"/disks/{NAME}", state="Online", owner=other)
        assert (await bench.post(f"/disks/{NAME}/maintenance", on=True))[1]["maintenance"]
        assert (await bench.call("DELETE", f"/disks/{NAME}"))[0] == 202
        await bench.until(f"/disks/{DISK}", clustered=False)


async def test_a_volume_is_in_the_status_and_can_be_all_that_it_can_be() -> None:
    async with coordinator() as bench:
        await with_volume(bench)

        status = await bench.get("/status")
        check_shape(answers.Status, status)
        owner = (await bench.get("/volumes/Volume1"))["owner"]
        assert status["volumes"] == [
            {"name": "Volume1", "state": "direct", "owner": owner, "path": "ClusterStorage/Volume1"}
        ]
        check_shape(list[answers.Volume], await bench.get("/volumes"))
        code, row = await bench.post("/volumes/Volume1/redirect", on=True)
        assert (code, row["state"]) == (200, "redirected")
        code, row = await bench.post("/volumes/Volume1/redirect", on=True)
        assert (code, row["error"]["code"]) == (409, "as-it-was")
        await bench.post("/volumes/Volume1/redirect", on=False)
        assert (await bench.post("/volumes/Volume1/move"))[0] == 202
        code, found = await bench.post("/volumes/Volume1/check")
        if code == 200:
            assert (found["sound"], found["findings"]) == (False, ["a block is lost"])
        await bench.until("/volumes/Volume1", state="direct")
        code, row = await bench.post("/volumes/Volume1/rename", name="Data")
        assert (code, row["path"]) == (200, "ClusterStorage/Data")
        await bench.until("/volumes/Data", state="direct")
        assert (await bench.call("DELETE", "/volumes/Data"))[0] == 202
        assert (await bench.get("/volumes")) == []


async def test_a_volume_is_answered_by_every_word_by_which_it_is_changed() -> None:
    async with coordinator() as bench:
        await with_volume(bench)

        for on, word in ((True, "cluster%20disk%201"), (False, DISK)):
            code, row = await bench.post(f"/volumes/{word}/redirect", on=on)
            assert (code, row.get("name"), row.get("redirected")) == (200, "Volume1", on)


async def test_a_vm_on_a_volume_has_its_files_there_and_keeps_it() -> None:
    async with coordinator() as bench:
        await with_volume(bench)

        wish = {"name": "sql01", "memory": "1MiB", "volume": "Volume1", "disks": ["8MiB"]}
        status, vm = await bench.post("/vms", **wish)
        assert status == 201, vm
        check_shape(answers.Vm, vm)
        assert vm["disks"] == [
            {"volume": "Volume1", "path": "sql01/disk1.vhd", "size_bytes": 8 << 20}
        ]
        assert (vm["home"], vm["shared_storage"]) == ("Volume1", True)
        status, body = await bench.call("DELETE", "/volumes/Volume1")
        assert (status, body["error"]["code"]) == (409, "volume-in-use")


async def test_a_vm_is_given_a_volume_unless_it_is_to_be_local() -> None:
    async with coordinator() as bench:
        await with_volume(bench)

        status, vm = await bench.post("/vms", name="x", memory="1MiB", disks=["8MiB"])
        assert (status, vm["home"], vm["shared_storage"]) == (201, "Volume1", True)
        assert [disk["volume"] for disk in vm["disks"]] == ["Volume1"]
        status, vm = await bench.post("/vms", name="y", memory="1MiB", local=True)
        assert (status, vm["home"], vm["shared_storage"]) == (201, "", False)
        for more in ({"disks": ["8MiB"]}, {"volume": "Volume1"}):
            status, body = await bench.post("/vms", name="z", memory="1MiB", local=True, **more)
            assert (status, body["error"]["code"]) == (422, "local-with-volume")
        for other in ({"local": True}, {"volume": "Volume1"}):
            where = {"disk_resource": "Cluster Disk 1", **other}
            status, body = await bench.post("/vms", name="z", memory="1MiB", **where)
            assert (status, body["error"]["code"]) == (422, "disk-and-volume")


async def test_what_is_not_there_is_not_found() -> None:
    async with coordinator() as bench:
        await bench.form(storing("node1"))

        for method, path, body in (
            ("GET", "/disks/ghost", None),
            ("GET", "/volumes/ghost", None),
            ("POST", "/disks", {"disk": "ghost"}),
            ("DELETE", "/volumes/ghost", None),
            ("POST", "/volumes/ghost/check", None),
            ("POST", "/volumes/ghost/maintenance", {"on": True}),
            ("POST", "/disks/ghost/owner", {}),
            ("POST", "/disks/ghost/force", {"oath": True}),
        ):
            status, found = await bench.call(method, path, json=body)
            assert status == 404, (path, found)
            assert "ghost" in found["error"]["message"]
