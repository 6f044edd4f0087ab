"""A VM with a disk of its own on real processes: it moves with the VM, and nothing is lost."""

import asyncio
from pathlib import Path

import pytest

from lab import deeds, san_admin
from lab.cluster import Cluster, running, until
from lab.home import Home
from lab.ledger_disks import entries_on
from lab.topology import parse_topology

pytestmark = pytest.mark.live

ENTRY_BYTES = 4096
LEDGER = 77
PING_PONGS = 4
TOPOLOGY = """\
name: own-disk
timing: {delay: 250ms, threshold: 5}
networks:
  management: {subnet: 10.0.1.0/24, gateway: true}
  storage: {subnet: 10.0.8.0/24, role: None}
nodes: {node1: {memory: 256MiB}, node2: {memory: 256MiB}, node3: {memory: 256MiB}}
coordinator: {networks: [management]}
san: {luns: [{name: data1, size: 64MiB, use: disk}]}
"""


async def disk(cluster: Cluster) -> dict[str, object]:
    (row,) = await cluster.api.get("/disks")
    return dict(row)


async def available(cluster: Cluster) -> None:
    async def look() -> bool | None:
        row = await disk(cluster)
        return True if (row["role"], row["state"]) == ("Available Storage", "Online") else None

    await until("the disk was not in Available Storage", look)


async def created(cluster: Cluster, seed: int) -> None:
    await available(cluster)
    await cluster.api.post(
        "/vms",
        {
            "name": "sql01",
            "memory": "16MiB",
            "node": "node1" if seed == LEDGER else None,
            "workload": f"ledger:rate=200KiB/s,entry={ENTRY_BYTES}",
            "seed": seed,
            "disk_resource": "Cluster Disk 1",
            "disks": ["32MiB"],
        },
    )


def sequences(cluster: Cluster) -> list[int]:
    """Of the entries on the LUN, whatever file they are in."""
    path = cluster.lab.san_dir / "luns" / "data1.img"
    return sorted({found.sequence for found in entries_on(path, 0, ENTRY_BYTES)})


async def test_it_migrates_fails_over_and_is_given_back_with_all_that_was_acknowledged(
    tmp_path: Path,
) -> None:
    async with running(parse_topology(TOPOLOGY), Home(tmp_path)) as cluster:
        await created(cluster, LEDGER)
        await cluster.online("sql01", 10)
        assert (await disk(cluster))["owner"] == "node1"

        for number in range(PING_PONGS):
            to = "node1" if number % 2 else "node2"
            record = await cluster.ended(await cluster.migrate("sql01", to))
            assert record["outcome"] == "completed", record["reason"]
            assert record["blackout"]["storage"] > 0
            row = await disk(cluster)
            assert (row["state"], row["owner"]) == ("Online", to)
        before = (await cluster.vm("sql01"))["steps"]
        await cluster.online("sql01", before)

        counted = (await cluster.vm("sql01"))["steps"]
        await deeds.kill(cluster.lab, "node1", agent_only=False)
        vm = await cluster.online("sql01", counted, off="node1")
        assert vm["node"] == (await disk(cluster))["owner"]

        await cluster.api.post("/vms/sql01/stop")

        async def off() -> bool | None:
            return True if (await cluster.vm("sql01"))["state"] == "Offline" else None

        await until("it did not stop", off)
        found = await asyncio.to_thread(sequences, cluster)
        assert found == list(range(1, found[-1] + 1)), "no entry is missing"
        assert found[-1] > counted
        await cluster.api.delete("/vms/sql01")
        await created(cluster, LEDGER + 1)
        await cluster.online("sql01", 10)


async def test_an_attempt_that_is_cancelled_at_s10_leaves_vm_and_disk_on_the_source(
    tmp_path: Path,
) -> None:
    async with running(parse_topology(TOPOLOGY), Home(tmp_path)) as cluster:
        await created(cluster, LEDGER)
        await cluster.online("sql01", 10)

        await san_admin.slow(cluster.lab, 0.2)
        attempt = await cluster.migrate("sql01", "node2")

        async def is_handed_over() -> bool | None:
            row = await disk(cluster)
            return True if (row["state"], row["owner"]) == ("OnlinePending", "node2") else None

        await until("the disk was not handed over", is_handed_over)
        await cluster.api.post(f"/attempts/{attempt}/cancel")
        await san_admin.slow(cluster.lab, 0.0)
        record = await cluster.ended(attempt)
        assert record["outcome"] == "cancelled"
        assert "Cluster Disk 1 goes back to node node1" in record["reason"]

        vm = await cluster.vm("sql01")
        vm = await cluster.online("sql01", vm["steps"])
        row = await disk(cluster)
        assert (vm["node"], row["owner"], row["state"]) == ("node1", "node1", "Online")
        record = await cluster.ended(await cluster.migrate("sql01", "node2"))
        assert record["outcome"] == "completed", record["reason"]
