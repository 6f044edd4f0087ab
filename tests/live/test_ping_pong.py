"""A guest that keeps books on a shared volume moves to and fro a hundred times."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest

from lab.cluster import Cluster, running, until
from lab.home import Home
from lab.ledger_disks import entries_on
from lab.storage_evidence import EntryFound
from lab.topology import parse_topology

pytestmark = [pytest.mark.live, pytest.mark.slow]

PING_PONGS = 100
ENTRY_BYTES = 4096
TOPOLOGY = """\
name: ping-pong
timing: {delay: 250ms, threshold: 5}
networks:
  management: {subnet: 10.0.1.0/24, gateway: true}
  storage: {subnet: 10.0.8.0/24, role: None}
nodes: {node1: {memory: 256MiB}, node2: {memory: 256MiB}}
coordinator: {networks: [management]}
san: {luns: [{name: data1, size: 64MiB, use: volume}]}
"""


async def stopped(cluster: Cluster) -> int:
    """How many entries the guest had counted when it was turned off."""

    async def told() -> int | None:
        """None of a node that has not looked since the guest came."""
        return int((await cluster.vm("led1"))["steps"]) or None

    counted = await until("its node does not tell its steps", told)
    await cluster.api.post("/vms/led1/stop")

    async def off() -> bool | None:
        return True if (await cluster.vm("led1"))["state"] == "Offline" else None

    await until("it did not stop", off)
    return counted


def found_on(cluster: Cluster) -> Sequence[EntryFound]:
    path = cluster.lab.san_dir / "luns" / "data1.img"
    return sorted(entries_on(path, 0, ENTRY_BYTES), key=lambda found: found.sequence)


async def test_a_ledger_has_no_gap_and_no_repeat_after_a_hundred_migrations(
    tmp_path: Path, story: list[Path]
) -> None:
    async with running(parse_topology(TOPOLOGY), Home(tmp_path)) as cluster:
        story.append(cluster.lab.state_dir / "logs")
        await cluster.api.post(
            "/vms",
            {
                "name": "led1",
                "memory": "16MiB",
                "node": "node1",
                "workload": f"ledger:rate=200KiB/s,entry={ENTRY_BYTES}",
                "volume": "Volume1",
                "disks": ["32MiB"],
            },
        )
        await cluster.online("led1", 10)
        for number in range(PING_PONGS):
            to = "node1" if number % 2 else "node2"
            record = await cluster.ended(await cluster.migrate("led1", to))
            assert record["outcome"] == "completed", record["reason"]
        counted = await stopped(cluster)
        found = await asyncio.to_thread(found_on, cluster)

        assert [entry.sequence for entry in found] == list(range(1, len(found) + 1))
        assert len(found) >= counted > PING_PONGS
        assert [entry.link for entry in found[1:]] == [entry.sum for entry in found[:-1]]
        assert len({entry.epoch for entry in found}) > PING_PONGS / 2, "it wrote between moves"
