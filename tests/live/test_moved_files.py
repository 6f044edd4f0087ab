"""A running VM's files go to another volume, in a lab of processes with a real SAN."""

from pathlib import Path
from typing import Any

import pytest

from lab import deeds
from lab.cluster import Cluster, running, until
from lab.home import Home
from lab.topology import parse_topology

pytestmark = pytest.mark.live

TOPOLOGY = """\
name: moving
timing: {delay: 250ms, threshold: 5}
networks:
  management: {subnet: 10.0.1.0/24, gateway: true}
  storage: {subnet: 10.0.8.0/24, role: None}
nodes: {node1: {memory: 256MiB}, node2: {memory: 256MiB}, node3: {memory: 256MiB}}
coordinator: {networks: [management]}
san:
  luns: [{name: data1, size: 64MiB, use: volume}, {name: data2, size: 64MiB, use: volume}]
"""


async def vm_when(cluster: Cluster, what: str, **fields: Any) -> dict[str, Any]:
    async def look() -> dict[str, Any] | None:
        row: dict[str, Any] = await cluster.api.get("/vms/books")
        move = row["storage_move"] or {}
        shown = {**row, **{f"move_{key}": value for key, value in move.items()}}
        return row if all(shown.get(key) == value for key, value in fields.items()) else None

    found: dict[str, Any] = await until(what, look)
    return found


async def test_a_ledger_whose_files_moved_restarts_elsewhere_with_every_entry(
    tmp_path: Path,
) -> None:
    async with running(parse_topology(TOPOLOGY), Home(tmp_path)) as cluster:
        await cluster.api.post(
            "/vms",
            {
                "name": "books",
                "memory": "16MiB",
                "node": "node1",
                "workload": "ledger",
                "volume": "Volume1",
                "disks": ["16MiB"],
            },
        )
        await vm_when(cluster, "books is not Online", state="Online")
        await cluster.api.post("/vms/books/move-storage", {"to": "Volume2"})
        moved = await vm_when(cluster, "its files did not move", move_state="Closed")
        assert moved["storage_move"]["outcome"] == "completed"
        assert (moved["home"], moved["node"], moved["epoch"]) == ("Volume2", "node1", 1)

        before = (await cluster.api.get("/vms/books"))["steps"]
        await deeds.kill(cluster.lab, "node1", agent_only=False)

        async def look() -> bool | None:
            row = await cluster.api.get("/vms/books")
            elsewhere = row["node"] != "node1" and row["state"] == "Online"
            return True if elsewhere and row["steps"] > before else None

        await until("books did not go on elsewhere", look)
