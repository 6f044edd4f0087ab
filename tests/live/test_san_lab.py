"""A lab with a SAN as processes: volumes that the topology asks for, paths that are cut and healed,
a san that is killed and comes back.
"""

from pathlib import Path

import pytest

from lab import deeds, san_admin
from lab.cluster import Cluster, running, until
from lab.errors import LabError
from lab.home import Home, read_record
from lab.procfs import runs
from lab.topology import parse_topology

pytestmark = pytest.mark.live

TOPOLOGY = """\
name: shared
timing: {delay: 250ms, threshold: 5}
networks:
  management: {subnet: 10.0.1.0/24, gateway: true}
  storage: {subnet: 10.0.8.0/24, role: None}
nodes: {node1: {memory: 256MiB}, node2: {memory: 256MiB}}
coordinator: {networks: [management]}
san:
  luns: [{name: data1, size: 64MiB, use: volume}, {name: data2, size: 64MiB, use: disk}]
  chap: {name: hvlab, secret: a-long-enough-secret}
"""


async def until_access(cluster: Cluster, node: str, access: str) -> None:
    async def look() -> bool | None:
        (volume,) = await cluster.api.get("/volumes")
        ways = {way["node"]: way["access"] for way in volume["nodes"]}
        return True if ways.get(node) == access else None

    await until(f"{node} did not get {access} access", look)


async def test_a_lab_has_the_volumes_of_its_file_and_each_path_can_be_cut_and_healed(
    tmp_path: Path,
) -> None:
    async with running(parse_topology(TOPOLOGY), Home(tmp_path)) as cluster:
        lab = cluster.lab
        public = lab.public()["san"]
        assert runs(lab.san.process)
        assert public["pid"] == lab.san.pid
        assert public["portals"] == list(lab.san.portals)
        (volume,) = await cluster.api.get("/volumes")
        assert volume["path"] == "ClusterStorage/Volume1"
        disks = {row["id"]: row for row in await cluster.api.get("/disks")}
        second = disks[lab.san.ready["luns"]["data2"]]
        assert second["role"] == "Available Storage"

        other = "node2" if volume["owner"] == "node1" else "node1"
        assert await san_admin.cut(lab, other) >= 1
        await until_access(cluster, other, "redirected")
        await san_admin.heal(lab, other)
        await until_access(cluster, other, "direct")

        await deeds.kill(lab, "san", agent_only=False)
        with pytest.raises(LabError, match="the san does not listen"):
            await san_admin.cut(lab, other)
        await deeds.restart(lab, "san", agent_only=False)
        lab = cluster.lab = read_record(lab.state_dir) or lab
        await until_access(cluster, other, "direct")
        san = lab.san.process
    assert not runs(san)


async def test_what_cannot_be_cut_is_said(tmp_path: Path) -> None:
    async with running(parse_topology(TOPOLOGY), Home(tmp_path)) as cluster:
        with pytest.raises(LabError, match="no portal on 'management': it has one on storage"):
            await san_admin.cut(cluster.lab, "node1", "management")
        with pytest.raises(LabError, match="has no node 'node9'"):
            await san_admin.cut(cluster.lab, "node9")
