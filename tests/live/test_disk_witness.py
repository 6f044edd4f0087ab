"""The vote of a LUN, in a real cluster: it goes on with the one node that is left."""

from pathlib import Path

import pytest

from lab.cluster import Cluster, Data, until
from lab.processes import kill_node, kill_san, restart_node, restart_san
from shell.errors import Declined
from tests.live.cluster import FAILOVER_S, live_cluster

pytestmark = pytest.mark.live

MORE = """\
quorum: {witness: {disk: quorum1}}
san:
  luns:
    - {name: quorum1, size: 16MiB}
    - {name: data1, size: 64MiB, use: disk}
    - {name: data2, size: 64MiB}
"""
RESTART_S = 40.0


async def held(cluster: Cluster, by: str | None = None, within_s: float = FAILOVER_S) -> Data:
    """Once a node, or this one, carries the witness's vote."""

    async def look() -> Data | None:
        found: Data = (await cluster.api.get("/quorum"))["witness"]
        return found if found["counted"] and by in (None, found["holder"]) else None

    return await until("nobody holds the witness", look, within_s)


async def disk(cluster: Cluster, role: str, state: str = "Online") -> Data:
    async def look() -> Data | None:
        rows = await cluster.api.get("/disks")
        return next((r for r in rows if (r["role"], r["state"]) == (role, state)), None)

    return await until(f"no disk is {role} and {state}", look, FAILOVER_S)


async def put_quorum(cluster: Cluster, **body: object) -> None:
    """A membership that is changing is waited for."""

    async def put() -> Data | None:
        try:
            return dict(await cluster.api.put("/quorum", body))
        except Declined as error:
            if "changing just now" not in str(error):
                raise
            return None

    await until("the membership does not settle", put, FAILOVER_S)


async def test_the_disk_goes_on_with_the_node_that_is_left_and_outlives_the_san(
    tmp_path: Path, story: list[Path]
) -> None:
    async with live_cluster(2, tmp_path, story, more=MORE) as cluster:
        witness = await held(cluster)
        assert witness["path"].startswith("lun:")
        row = await disk(cluster, "Witness")
        assert row["owner"] == witness["holder"]
        with pytest.raises(Declined, match="it is Witness"):
            await cluster.api.delete(f"/disks/{row['id']}")

        await kill_san(cluster.lab)
        cluster.lab = await restart_san(cluster.lab)
        await held(cluster, within_s=RESTART_S)

        first = (await held(cluster))["holder"]
        (second,) = {"node1", "node2"} - {first}
        await kill_node(cluster.lab, first)
        await cluster.until_node(first, "Down", RESTART_S)
        await held(cluster, second, RESTART_S)
        assert (await cluster.api.get("/quorum"))["has_quorum"]

        # A whole cluster that comes up with one node: it takes the disk before it is in any view.
        await kill_node(cluster.lab, second)
        cluster.lab = await restart_node(cluster.lab, second)
        await held(cluster, second, RESTART_S)
        await cluster.until_node(second, "Up", RESTART_S)
        cluster.lab = await restart_node(cluster.lab, first)
        await cluster.until_node(first, "Up", RESTART_S)


async def test_a_disk_becomes_the_witness_and_comes_back(tmp_path: Path, story: list[Path]) -> None:
    async with live_cluster(2, tmp_path, story, more=MORE) as cluster:
        await held(cluster)
        storage = await disk(cluster, "Available Storage")

        witness = {"kind": "Disk", "path": storage["name"]}
        await put_quorum(cluster, mode="NodeAndDiskMajority", witness=witness)
        assert (await held(cluster))["name"] == storage["name"]
        assert (await disk(cluster, "Witness"))["id"] == storage["id"]
        back = await disk(cluster, "Available Storage")
        assert back["id"] != storage["id"], "the witness before"

        await put_quorum(cluster, mode="NodeMajority")

        async def all_back() -> bool | None:
            rows = [r for r in await cluster.api.get("/disks") if r["clustered"]]
            right = all(r["state"] == "Online" and r["role"] == "Available Storage" for r in rows)
            return right or None

        await until("a disk is not in Available Storage", all_back, FAILOVER_S)
        rows = await cluster.api.get("/disks")
        assert all(way["registered"] for r in rows if r["clustered"] for way in r["paths"])
        await cluster.api.patch("/cluster/properties", {"EnableSharedVolumes": 1})
        await cluster.api.post("/volumes", {"disk": storage["id"]})

        async def usable() -> Data | None:
            (volume,) = await cluster.api.get("/volumes")
            ways = {way["access"] for way in volume["nodes"]}
            return volume if ways == {"direct"} else None

        await until("a witness of before becomes no volume", usable, FAILOVER_S)
