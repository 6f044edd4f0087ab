import sys
from pathlib import Path

from lab.cluster import Cluster, Data, until
from lab.evidence import open_files, running_on
from lab.home import LabRecord
from lab.launching import Programs
from tests.live.cluster import live_cluster

DROPPING = Programs(agent=(sys.executable, "-m", "tests.live.dropping_agent"))
WAVE = "wave:rate=60MB/s"
TRIES = 4


async def test_a_busy_guest_moves_without_losing_a_byte_and_goes_on_where_it_was(
    tmp_path: Path, story: list[Path]
) -> None:
    async with live_cluster(3, tmp_path, story) as cluster:
        before = await cluster.create("sql01", "256MiB", "node1", WAVE)

        record = await cluster.ended(await cluster.migrate("sql01", "node2", "full"))

        after = await cluster.online("sql01", before["steps"])
        assert (record["outcome"], record["verified"]) == ("completed", True), record
        assert (after["node"], after["epoch"]) == ("node2", before["epoch"] + 1)
        assert record["network"] == "migration"
        first = record["rounds"][0]
        assert first["pages"] + first["left_pages"] == 256 * 256
        assert len(record["rounds"]) >= 2
        assert sum(one["wire_bytes"] for one in record["rounds"]) == record["wire_bytes"]
        assert set(record["blackout"]) >= {
            *("pause", "last pages", "verify", "storage", "commit", "resume")
        }

        busy = await until("the guest did not write 50 MB/s", lambda: writing(cluster, 50e6))
        assert busy["node"] == "node2"

        await cluster.create("web01", "16MiB", "node1", WAVE)
        opened = descriptors(cluster.lab)
        for turn in range(20):
            await cluster.ended(await cluster.migrate("web01", ("node3", "node1")[turn % 2]))
            await cluster.online("web01")

        async def closed() -> bool | None:
            return True if descriptors(cluster.lab) == opened else None

        assert await until("migrations left descriptors open", closed)
        record = await cluster.attempt(21)
        assert "verify" not in record["blackout"]
        assert record["verified"] is None


async def test_a_target_whose_disks_cannot_be_opened_costs_the_attempt_and_no_step(
    tmp_path: Path, story: list[Path]
) -> None:
    async with live_cluster(3, tmp_path, story) as cluster:
        before = await cluster.create("sql01", "16MiB", "node1", WAVE)
        (cluster.lab.state_dir / "nodes" / "node2" / "vms").write_text("not a folder")

        record = await cluster.ended(await cluster.migrate("sql01", "node2"))

        assert record["outcome"] == "failed"
        assert "disks of sql01 could not be opened" in record["reason"]
        after = await cluster.online("sql01", before["steps"])
        assert after["node"] == "node1"
        assert running_on(cluster.lab, "sql01") == ["node1"]
        record = await cluster.ended(await cluster.migrate("sql01", "node3"))
        assert record["outcome"] == "completed", "the next attempt is a new one"


async def writing(cluster: Cluster, rate_bytes_per_s: float) -> Data | None:
    row = await cluster.vm("sql01")
    return row if row["dirty_bytes_per_s"] >= rate_bytes_per_s else None


def descriptors(lab: LabRecord) -> list[int]:
    return [open_files(lab.node(node).process) for node in ("node1", "node3")]


async def test_a_tracker_that_drops_a_dirty_page_is_caught_and_the_guest_stays(
    tmp_path: Path, story: list[Path]
) -> None:
    async with live_cluster(3, tmp_path, story, DROPPING) as cluster:
        await cluster.create("sql01", "64MiB", "node1", WAVE)

        here, there = "node1", "node2"
        for _ in range(TRIES):
            record = await cluster.ended(await cluster.migrate("sql01", there, "full"))
            if record["outcome"] == "failed" or record["rounds"][-1]["pages"]:
                break
            here, there = there, here  # kept from the processor, the guest left nothing to drop

        assert record["outcome"] == "failed"
        assert "memory differs" in record["reason"]
        after = await cluster.vm("sql01")
        assert after["node"] == here
        await cluster.online("sql01", after["steps"])
