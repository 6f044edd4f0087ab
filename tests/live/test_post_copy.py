"""Post-copy between processes: the guest proves its own memory, and whoever is lost is missed."""

from pathlib import Path

import pytest

from lab.cluster import Cluster, Data, until
from lab.evidence import running_on
from lab.processes import kill_node
from shell.errors import Declined
from tests.live.cluster import FAILOVER_S, live_cluster

AFTER_ONE_ROUND = "post-copy:rounds=1"
WAVE = "wave:rate=60MB/s"


async def asked(cluster: Cluster, vm: str, to: str, **travel: object) -> int:
    body = {"to": to, "policy": AFTER_ONE_ROUND, "verify": "full", "downtime": "1ms", **travel}
    return int((await cluster.api.post(f"/vms/{vm}/migrate", body))["attempt"])


async def pulling(cluster: Cluster, number: int) -> Data:
    """The attempt once its guest runs on the target and pages are still missing there."""

    async def look() -> Data | None:
        row = await cluster.attempt(number)
        return row if (row["live"] or {}).get("step") == "S14" else None

    return await until(f"attempt {number} did not come to S14", look)


async def test_a_guest_that_runs_before_its_pages_came_finds_all_of_them(
    tmp_path: Path, story: list[Path]
) -> None:
    async with live_cluster(3, tmp_path, story) as cluster:
        before = await cluster.create("sql01", "128MiB", "node1", WAVE)

        record = await cluster.ended(await asked(cluster, "sql01", "node2"))

        after = await cluster.online("sql01", before["steps"])
        assert (record["outcome"], record["verified"]) == ("completed", True), record
        assert (after["node"], after["epoch"]) == ("node2", before["epoch"] + 1)
        first, listed, pulled = record["rounds"]
        assert first["pages"] + first["left_pages"] == 128 * 256
        assert listed["pages"] <= 1, "nothing but the registers travels while the guest stands"
        assert pulled["pages"] == listed["dirty_pages_at_end"] > 0
        assert set(record["blackout"]) == {"pause", "last pages", "storage", "commit", "resume"}

        # Its memory is whole: it goes on, by itself, and it can be moved again.
        record = await cluster.ended(await cluster.migrate("sql01", "node3", "full"))
        assert (record["outcome"], record["verified"]) == ("completed", True), record
        assert running_on(cluster.lab, "sql01") == ["node3"]


async def test_a_vm_whose_pages_have_not_come_is_left_alone_and_starts_anew_without_its_source(
    tmp_path: Path, story: list[Path]
) -> None:
    async with live_cluster(3, tmp_path, story) as cluster:
        before = await cluster.create("sql01", "32MiB", "node1", WAVE)
        number = await asked(cluster, "sql01", "node2", rate="1MB/s")
        record = await pulling(cluster, number)
        assert record["decision"] == "committed"
        for deed, body in (("migrate", {"to": "node3"}), ("stop", {})):
            with pytest.raises(Declined, match="wait for its end"):
                await cluster.api.post(f"/vms/sql01/{deed}", body)

        await kill_node(cluster.lab, "node1")

        async def again() -> Data | None:
            row = await cluster.vm("sql01")
            return row if row["epoch"] > before["epoch"] + 1 and row["state"] == "Online" else None

        row = await until("the VM did not start anew", again, FAILOVER_S)
        assert running_on(cluster.lab, "sql01") == [row["node"]]
        told = [event["text"] for event in await cluster.events()]
        assert [text for text in told if "pages that had not come" in text], told
        assert (await cluster.ended(number))["outcome"] == "completed"


async def test_a_target_that_is_lost_in_the_middle_costs_the_memory_and_nothing_stays_behind(
    tmp_path: Path, story: list[Path]
) -> None:
    async with live_cluster(3, tmp_path, story) as cluster:
        before = await cluster.create("sql01", "32MiB", "node1", WAVE)
        number = await asked(cluster, "sql01", "node2", rate="1MB/s")
        await pulling(cluster, number)

        await kill_node(cluster.lab, "node2")

        # Its guest stood before a page that nobody brings any more; it ended all the same.
        row = await cluster.online("sql01", 0, off="node2", within_s=FAILOVER_S)
        assert row["epoch"] > before["epoch"] + 1
        assert running_on(cluster.lab, "sql01") == [row["node"]]
        assert (await cluster.ended(number))["outcome"] == "completed"
        other = "node3" if row["node"] == "node1" else "node1"
        record = await cluster.ended(await cluster.migrate("sql01", other, "full"))
        assert record["verified"] is True, "both nodes are free again"
