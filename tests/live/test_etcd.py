"""Three members of etcd, two coordinators, three agents: leaders die, freeze and wake."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import aiohttp

from coordinator.io.etcd import EtcdStore
from coordinator.store.interface import Put, StaleTerm, Txn
from lab.cluster import Cluster, Data, until
from lab.deeds import freeze, thaw
from lab.evidence import running_on
from lab.home import CoordinatorRecord
from lab.leaders import leader, led_by
from lab.processes import kill_coordinator, kill_store
from lab.procfs import runs
from shell.io.client import Client
from tests.live.cluster import live_cluster

SEVERAL = "coordinators: 2\nstore: etcd\n"


def moments() -> float:
    return asyncio.get_running_loop().time()


async def status_at(one: CoordinatorRecord) -> Data:
    async with Client(one.ready["api"]) as api:
        status: Data = await api.get("/status")
        return status


async def led_by_another(cluster: Cluster, than: str) -> CoordinatorRecord:
    async def look() -> CoordinatorRecord | None:
        found = await leader(cluster.lab)
        return found if found is not None and found.name != than else None

    return await until(f"nobody leads in place of {than}", look)


async def follows(one: CoordinatorRecord, other: str) -> Data:
    """What its API says once it names `other` as the leader."""

    async def look() -> Data | None:
        status = await status_at(one)
        return status if status["leader"] == other else None

    return await until(f"{one.name} does not follow {other}", look)


async def refused_everywhere(cluster: Cluster, old_term: int) -> None:
    """Nothing under the old term is written, whichever member of etcd is asked."""
    for member in cluster.lab.stores:
        if not runs(member.process):
            continue
        store = await EtcdStore.open((member.url,), f"hvlab/{cluster.lab.name}")
        try:
            result = await store.transact(Txn(old_term, puts=(Put("vm/late", {}),)))
        finally:
            await store.close()
        assert isinstance(result, StaleTerm)


async def test_a_leader_that_dies_or_freezes_is_followed_by_another_and_never_obeyed_again(
    tmp_path: Path, story: list[Path], record_property: Callable[[str, object], None]
) -> None:
    async with live_cluster(3, tmp_path, story, more=SEVERAL) as cluster:
        first = await led_by(cluster.lab)
        begun = await status_at(first)
        await cluster.create("web01", "16MiB", "node3")

        await freeze(cluster.lab, first.name, True)
        froze_at = moments()
        second = await led_by_another(cluster, first.name)
        record_property("led_again_after_freeze_s", round(moments() - froze_at, 2))
        await thaw(cluster.lab, first.name, True)

        woken = await follows(first, second.name)
        assert woken["term"] > begun["term"]
        await refused_everywhere(cluster, begun["term"])
        await only_reads(first, second)

        async with Client(second.ready["api"]) as cluster.api:
            await kill_store(cluster.lab, "e1")
            await cluster.create("sql01", "256MiB", "node1", "wave:rate=30MB/s")
            assert (await cluster.api.get("/status"))["term"] == woken["term"]
            number = await cluster.migrate("sql01", "node2")
            await cluster.copying(number)
            await kill_coordinator(cluster.lab, second.name)
            died_at = moments()
        third = await led_by_another(cluster, second.name)
        record_property("led_again_after_kill_s", round(moments() - died_at, 2))

        assert third.name == first.name
        assert (await status_at(third))["term"] > woken["term"]
        async with Client(third.ready["api"]) as cluster.api:
            await ended_one_way(cluster, number)
            for node in ("node1", "node2", "node3"):
                await cluster.until_node(node, "Up")


async def ended_one_way(cluster: Cluster, number: int) -> None:
    """The migration that ran when its coordinator died has one outcome, and the VM runs once."""
    record = await cluster.ended(number)
    node = {"completed": "node2", "failed": "node1"}[record["outcome"]]
    assert (await cluster.online("sql01"))["node"] == node
    assert running_on(cluster.lab, "sql01") == [node]


async def only_reads(follower: CoordinatorRecord, leading: CoordinatorRecord) -> None:
    """A follower shows what the leader wrote, and sends whoever wants a change to it."""
    async with Client(follower.ready["api"]) as api:
        assert {vm["name"]: vm["state"] for vm in await api.get("/vms")} == {"web01": "Online"}
        assert {node["name"]: node["state"] for node in await api.get("/nodes")} == dict.fromkeys(
            ("node1", "node2", "node3"), "Up"
        )
        assert [row["id"] for row in await api.get("/log", after=0, limit=1)]
    url = f"{follower.ready['api']}/api/v1/vms/web01/stop"
    async with aiohttp.ClientSession() as http, http.post(url, json={}) as response:
        refusal = (await response.json())["error"]
    assert (response.status, refusal["code"]) == (421, "not-leader")
    assert leading.name in refusal["message"]
    assert leading.ready["api"] in refusal["message"]
