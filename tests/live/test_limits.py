"""Rates that are kept by real bytes, and several migrations of one node at once."""

from pathlib import Path

import pytest

from lab.cluster import Data, until
from shell.errors import Declined
from tests.live.cluster import live_cluster

MB = 10**6
MEMORY_BYTES = 48 << 20
TWO_AT_ONCE = "personality: 2012r2\nproperties: {MigrationsPerNode: 2}\n"


def round_0_bytes_per_s(record: Data) -> float:
    first = record["rounds"][0]
    return float(first["wire_bytes"] / first["seconds"])


async def test_a_migration_is_as_fast_as_the_least_of_its_limits(
    tmp_path: Path, story: list[Path]
) -> None:
    async with live_cluster(3, tmp_path, story) as cluster:
        await cluster.create("sql01", "48MiB", "node1")

        async def moved(to: str, **fields: object) -> Data:
            begun = await cluster.api.post("/vms/sql01/migrate", {"to": to, **fields})
            record = await cluster.ended(begun["attempt"])
            assert record["outcome"] == "completed", record
            await cluster.online("sql01")
            return record

        own = await moved("node2", rate="60MB/s", streams=2)
        assert own["travel"]["rate_bytes_per_s"] == 60 * MB
        assert round_0_bytes_per_s(own) == pytest.approx(60 * MB, rel=0.1)

        await cluster.api.put("/nodes/node3/migration-rate", {"rate": "40MB/s"})
        node = await moved("node3", rate="60MB/s")
        assert round_0_bytes_per_s(node) == pytest.approx(40 * MB, rel=0.1)

        await cluster.api.patch("/networks/migration", {"migration_rate": "30MB/s"})
        network = await moved("node1")
        assert network["network"] == "migration"
        assert network["travel"]["rate_bytes_per_s"] == 30 * MB
        assert round_0_bytes_per_s(network) == pytest.approx(30 * MB, rel=0.1)


async def test_two_migrations_of_one_node_go_side_by_side_and_a_third_waits_for_its_turn(
    tmp_path: Path, story: list[Path]
) -> None:
    async with live_cluster(3, tmp_path, story, more=TWO_AT_ONCE) as cluster:
        for name in ("vm1", "vm2", "vm3"):
            await cluster.create(name, "48MiB", "node1")
        await cluster.api.put("/nodes/node1/migration-rate", {"rate": "50MB/s"})

        async def asked(name: str, **fields: object) -> int:
            begun = await cluster.api.post(f"/vms/{name}/migrate", {"to": "node2", **fields})
            return int(begun["attempt"])

        first, second = await asked("vm1"), await asked("vm2")
        with pytest.raises(Declined, match="takes part in 2 at a time"):
            await asked("vm3")
        third = await asked("vm3", priority="high")

        async def both_copy() -> bool | None:
            rows = [await cluster.attempt(number) for number in (first, second)]
            steps = [(row["live"] or {}).get("step") for row in rows]
            return True if steps == ["S5", "S5"] else None

        assert await until("they did not go side by side", both_copy)
        assert (await cluster.attempt(third))["state"] == "Queued"
        records = [await cluster.ended(number) for number in (first, second, third)]

        assert [record["outcome"] for record in records] == ["completed"] * 3, records
        assert records[2]["queued_s"] > 0.5
        for record in records:  # each has its half of the node's limit
            assert round_0_bytes_per_s(record) == pytest.approx(25 * MB, rel=0.1)
        assert {(await cluster.vm(name))["node"] for name in ("vm1", "vm2", "vm3")} == {"node2"}
