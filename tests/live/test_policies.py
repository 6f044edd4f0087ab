"""Policies on real nodes: a guest that writes faster than its wire carries, slowed until it comes
across, and never a moment longer.
"""

from pathlib import Path

from lab.cluster import Cluster, Data, until
from tests.live.cluster import live_cluster

GUEST = "uniform:rate=30MB/s,set=8MiB"
WIRE = "15MB/s"
FULL_BYTES_PER_S = 24e6
"""What the guest shows when nothing slows it, on a machine that does other things, too."""

ENDLESS = """
from agent.policies import Another, Policy

class Endless(Policy):
    name = "lab.endless"

    def first(self, seen):
        return Another("Hardly any time for the guest.", throttle=0.9)

    def decide(self, seen):
        return Another("And so on.", throttle=0.9)
"""


async def ordered(cluster: Cluster, to: str, policy: str) -> int:
    words = {"to": to, "policy": policy, "rate": WIRE, "verify": "full"}
    return int((await cluster.api.post("/vms/sql01/migrate", words))["attempt"])


async def works(cluster: Cluster, node: str) -> Data:
    """The guest writes on `node` as fast as it was told to."""

    async def look() -> Data | None:
        row = await cluster.vm("sql01")
        busy = row["node"] == node and row["dirty_bytes_per_s"] >= FULL_BYTES_PER_S
        return row if busy else None

    return await until(f"the guest did not write as it should on {node}", look)


async def slowed(cluster: Cluster, number: int) -> Data:
    """The attempt, once a round of it has taken time from the guest."""

    async def look() -> Data | None:
        record = await cluster.attempt(number)
        return record if any(one["throttle"] for one in record["rounds"]) else None

    return await until("no round slowed the guest", look)


async def test_auto_converge_brings_a_guest_across_and_gives_it_its_time_back(
    tmp_path: Path, story: list[Path]
) -> None:
    async with live_cluster(2, tmp_path, story) as cluster:
        before = await cluster.create("sql01", "32MiB", "node1", GUEST)
        await works(cluster, "node1")

        record = await cluster.ended(await ordered(cluster, "node2", "auto-converge:step=0.2"))

        assert (record["outcome"], record["verified"]) == ("completed", True), record
        assert max(one["throttle"] for one in record["rounds"]) >= 0.2
        assert record["rounds"][0]["throttle"] == 0.0
        await cluster.online("sql01", before["steps"])
        await works(cluster, "node2")


async def test_a_policy_of_ones_own_is_cancelled_in_the_middle_and_the_guest_has_its_time_back(
    tmp_path: Path, story: list[Path]
) -> None:
    path = tmp_path / "endless.py"
    path.write_text(ENDLESS)
    async with live_cluster(2, tmp_path, story, more=f"policies: [{path}]") as cluster:
        await cluster.create("sql01", "32MiB", "node1", GUEST)
        await works(cluster, "node1")
        number = await ordered(cluster, "node2", "lab.endless")
        await slowed(cluster, number)
        row = await cluster.vm("sql01")
        assert row["dirty_bytes_per_s"] < FULL_BYTES_PER_S / 2

        await cluster.api.post(f"/attempts/{number}/cancel", {})

        record = await cluster.ended(number)
        assert record["outcome"] == "cancelled"
        await works(cluster, "node1")

        refused = await cluster.ended(await ordered(cluster, "node2", "lab.missing"))
        assert refused["outcome"] == "failed"
        assert "There is no migration policy 'lab.missing' on this node" in refused["reason"]
        assert "lab.endless" in refused["reason"]
