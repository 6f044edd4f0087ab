"""What is killed or frozen, and what must be true all the same. Guests are watched in their own
shared memory, so that nobody who was hurt is asked.
"""

import signal
import sqlite3
from contextlib import closing
from pathlib import Path

from lab.cluster import Cluster, again_and_again, until
from lab.evidence import Witness, boottime, running_on, workers
from lab.home import LabRecord
from lab.processes import (
    kill_coordinator,
    kill_node,
    restart_coordinator,
    restart_node,
    signal_node,
)
from tests.live.cluster import FAILOVER_S, LEASE_S, live_cluster

COORDINATOR_GONE_S = 2.0
STAND_MAX_S = 1.0
"""A guest that runs makes a step in this time, whatever else the machine does."""

BUSY = "sweep:rate=4GB/s"


async def test_guests_run_on_without_a_coordinator_and_the_migration_ends_one_way(
    tmp_path: Path, story: list[Path]
) -> None:
    async with live_cluster(3, tmp_path, story) as cluster:
        await cluster.create("sql01", "1GiB", "node1", "wave:rate=60MB/s")
        await cluster.create("web01", "64MiB", "node3", "hotspot:rate=20MB/s")
        number = await cluster.migrate("sql01", "node2", "full")
        await cluster.copying(number)
        store = cluster.lab.state_dir / "coordinator" / "coordinator.sqlite"
        with only(cluster.lab, "sql01") as moving, only(cluster.lab, "web01") as other:
            await kill_coordinator(cluster.lab)
            watched = [Watched(moving), Watched(other)]
            await again_and_again(lambda: look_at(watched), COORDINATOR_GONE_S)
            assert [one.stood_s < STAND_MAX_S for one in watched] == [True, True]
            steps = moving.steps

        cluster.lab = await restart_coordinator(cluster.lab)
        record = await cluster.ended(number)

        after = await cluster.online("sql01", steps)
        ends = {"completed": ("committed", "node2"), "failed": ("aborted", "node1")}
        assert (record["decision"], after["node"]) == ends[record["outcome"]]
        assert running_on(cluster.lab, "sql01") == [after["node"]]
        assert (await cluster.api.get("/status"))["term"] > 1
        await kill_coordinator(cluster.lab)
        assert is_whole(store)


async def test_guests_of_a_frozen_agent_stop_by_themselves_before_they_start_elsewhere(
    tmp_path: Path, story: list[Path]
) -> None:
    async with live_cluster(3, tmp_path, story) as cluster:
        before = await cluster.create("sql01", "64MiB", "node1", "wave:rate=60MB/s")
        was = (await cluster.node("node1"))["incarnation"]
        with only(cluster.lab, "sql01") as frozen:
            at_s = boottime()
            signal_node(cluster.lab, "node1", signal.SIGSTOP, whole=False)
            await cluster.online("sql01", off="node1", within_s=FAILOVER_S)
            stood, steps, paused_s = not frozen.runs, frozen.steps, frozen.changed_s
            with only(cluster.lab, "sql01", "node2", "node3") as started:
                began_s = started.began_s
            assert stood
            assert at_s < paused_s < at_s + LEASE_S + STAND_MAX_S
            assert paused_s < began_s

            signal_node(cluster.lab, "node1", signal.SIGCONT, whole=False)

            await cluster.until_node("node1", "Up")
            assert frozen.steps == steps
        after = await cluster.node("node1")
        assert after["incarnation"] != was
        assert [row.node for row in closed(workers(cluster.lab, "sql01"))] != ["node1"]
        row = await cluster.vm("sql01")
        assert row["epoch"] == before["epoch"] + 1
        assert running_on(cluster.lab, "sql01") == [row["node"]]


async def test_a_vm_runs_in_exactly_one_place_whoever_is_killed_during_its_migration(
    tmp_path: Path, story: list[Path]
) -> None:
    async with live_cluster(4, tmp_path, story) as cluster:
        await cluster.create("sql01", "512MiB", "node1", BUSY)
        with only(cluster.lab, "sql01") as guest:
            number = await cluster.migrate("sql01", "node2")
            await cluster.copying(number)
            watched = Watched(guest)
            await kill_node(cluster.lab, "node2")

            record = await cluster.ended(number, FAILOVER_S)
            watched.look()

            assert (record["outcome"], record["decision"]) == ("failed", "aborted")
            assert watched.stood_s < STAND_MAX_S
            assert guest.runs
            assert running_on(cluster.lab, "sql01") == ["node1"]

        cluster.lab = await restart_node(cluster.lab, "node2")
        await cluster.until_node("node2", "Up")
        number = await cluster.migrate("sql01", "node3")
        await until("no second round", lambda: second_round(cluster, number))
        await kill_node(cluster.lab, "node1")

        row = await cluster.online("sql01", off="node1", within_s=FAILOVER_S)
        assert running_on(cluster.lab, "sql01") == [row["node"]]
        record = await cluster.ended(number, FAILOVER_S)
        assert record["decision"] == "aborted"
        reserved = [row.node for row in closed(workers(cluster.lab, "sql01"))]
        assert reserved == [row["node"]], "what was copied is given back"


async def second_round(cluster: Cluster, number: int) -> bool | None:
    row = await cluster.copying(number)
    return True if row["live"]["step"] == "S6" else None


def only(lab: LabRecord, vm: str, *nodes: str) -> Witness:
    """The VM's worker; on one of `nodes`, if some are named."""
    found = workers(lab, vm)
    wanted = [one for one in found if not nodes or one.node in nodes]
    chosen = max(wanted, key=lambda one: one.runs)
    for one in found:
        if one is not chosen:
            one.control.close()
    return chosen


def closed(found: list[Witness]) -> list[Witness]:
    for one in found:
        one.control.close()
    return found


class Watched:
    """How long a guest stood still at most, from look to look."""

    def __init__(self, guest: Witness) -> None:
        self._guest = guest
        self._steps, self._since_s = guest.steps, boottime()
        self.stood_s = 0.0

    def look(self) -> None:
        steps, now_s = self._guest.steps, boottime()
        if steps > self._steps:
            self._steps, self._since_s = steps, now_s
        self.stood_s = max(self.stood_s, now_s - self._since_s)


def look_at(watched: list[Watched]) -> None:
    for one in watched:
        one.look()


def is_whole(store: Path) -> bool:
    with closing(sqlite3.connect(store)) as database:
        found: list[tuple[str]] = database.execute("PRAGMA integrity_check").fetchall()
    return found == [("ok",)]
