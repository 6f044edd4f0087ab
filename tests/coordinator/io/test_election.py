"""The election on a real etcd: one begins, and another as soon as that one ends or is deposed."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest

from coordinator.io.driver import boottime
from coordinator.io.election import Election
from coordinator.io.etcd import EtcdStore
from coordinator.leadership.candidacy import Decides, Deposed, Rival
from tests.etcd_server import Etcd, running_etcd

PATIENCE_S = 20.0


@pytest.fixture(scope="module")
def etcd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Etcd]:
    with running_etcd(tmp_path_factory.mktemp("etcd")) as running:
        yield running


@dataclass
class Candidate:
    """What one coordinator is told by its election, in order."""

    election: Election
    task: asyncio.Task[None]
    told: asyncio.Queue[str]
    seen: asyncio.Queue[Rival | None]

    async def next(self) -> str:
        return await asyncio.wait_for(self.told.get(), PATIENCE_S)

    async def leave(self) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)


@asynccontextmanager
async def candidate(etcd: Etcd, prefix: str, name: str) -> AsyncIterator[Candidate]:
    store = await EtcdStore.open(etcd.urls, prefix)
    told: asyncio.Queue[str] = asyncio.Queue()
    seen: asyncio.Queue[Rival | None] = asyncio.Queue()
    election = Election(
        store,
        Rival(name, f"http://{name}"),
        boottime,
        begin=lambda: told.put_nowait("begin"),
        end=lambda reason: told.put_nowait(f"end: {reason}"),
        seen=seen.put_nowait,
    )
    one = Candidate(election, asyncio.create_task(election.run()), told, seen)
    try:
        yield one
    finally:
        await one.leave()
        await store.close()


async def test_one_leads_and_the_other_sees_it_until_it_leaves(etcd: Etcd) -> None:
    async with candidate(etcd, "leaving", "c1") as first:
        assert await first.next() == "begin"
        first.election.feed(Decides(True))
        async with candidate(etcd, "leaving", "c2") as second:
            async with asyncio.timeout(PATIENCE_S):
                while await second.seen.get() != Rival("c1", "http://c1"):
                    pass  # it looked before the other had won
            assert second.told.empty()
            await first.leave()
            assert await second.next() == "begin"
            assert first.told.empty()


async def test_one_that_was_deposed_makes_room_for_the_other(etcd: Etcd) -> None:
    async with candidate(etcd, "deposed", "c1") as first:
        assert await first.next() == "begin"
        async with candidate(etcd, "deposed", "c2") as second:
            first.election.feed(Deposed())
            assert "higher term" in await first.next()
            assert await second.next() == "begin"
            assert not first.election.elected
            assert second.election.elected


async def test_one_whose_lease_was_taken_away_lets_go(etcd: Etcd) -> None:
    async with candidate(etcd, "revoked", "c1") as first:
        assert await first.next() == "begin"
        first.election.feed(Decides(True))
        store = await EtcdStore.open(etcd.urls, "revoked")
        try:
            for lease in (await store.gateway.change("lease/leases", {}))["leases"]:
                await store.gateway.change("lease/revoke", {"ID": lease["ID"]})
        finally:
            await store.close()
        assert "lease" in await first.next()
