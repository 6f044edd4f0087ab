"""The store's contract on a real etcd, and what only etcd can get wrong."""

import asyncio
import itertools
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace

import pytest

from coordinator.io.etcd import EtcdStore
from coordinator.io.etcd_gateway import Gateway, check_endpoint
from coordinator.store.interface import (
    Applied,
    Compacted,
    Compare,
    Conflict,
    Delete,
    Indefinite,
    Put,
    Result,
    Row,
    StaleTerm,
    Store,
    Txn,
)
from protocol.errors import Refused, StoreError
from tests.coordinator.store import test_interface as contract
from tests.etcd_server import Etcd, running_etcd

_prefixes = itertools.count(1)


@pytest.fixture(scope="module")
def etcd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Etcd]:
    with running_etcd(tmp_path_factory.mktemp("etcd")) as running:
        yield running


def a_prefix() -> str:
    """Tests share an etcd as clusters do: each has a prefix of its own."""
    return f"cluster{next(_prefixes)}"


@asynccontextmanager
async def opened(etcd: Etcd, prefix: str) -> AsyncIterator[EtcdStore]:
    store = await EtcdStore.open(etcd.urls, prefix)
    try:
        yield store
    finally:
        await store.close()


class Counted:
    """Tells revisions as if the store were new: etcd counts for all that live in it."""

    def __init__(self, store: EtcdStore, before: int) -> None:
        self._store = store
        self._before = before

    def _told(self, row: Row) -> Row:
        return replace(row, revision=row.revision - self._before) if row.revision else row

    async def transact(self, txn: Txn) -> Result:
        compares = tuple(
            Compare(c.key, c.revision + self._before if c.revision else 0) for c in txn.compares
        )
        match await self._store.transact(replace(txn, compares=compares)):
            case Applied(revision):
                return Applied(revision - self._before)
            case Conflict(rows):
                return Conflict(tuple(self._told(row) for row in rows))
            case result:
                return result

    async def take_term(self, at_least: int, leader: str) -> int:
        return await self._store.take_term(at_least, leader)

    async def get(self, key: str) -> Row:
        return self._told(await self._store.get(key))

    async def range(self, prefix: str, after_key: str = "", limit: int = 1000) -> tuple[Row, ...]:
        rows = await self._store.range(prefix, after_key, limit)
        return tuple(self._told(row) for row in rows)

    async def watch(self, prefix: str, from_revision: int) -> AsyncGenerator[Row, None]:
        since = max(1, from_revision) + self._before
        async with aclosing(self._store.watch(prefix, since)) as rows:
            async for row in rows:
                yield self._told(row)

    async def close(self) -> None:
        await self._store.close()


@pytest.fixture
async def store(etcd: Etcd) -> AsyncIterator[Store]:
    prefix = a_prefix()
    async with opened(etcd, prefix) as real:
        yield Counted(real, await real.revision())


@pytest.mark.parametrize("seed", range(2))
async def test_random_transactions_end_as_in_the_obvious_model(store: Store, seed: int) -> None:
    assert await contract.play(store, seed) == contract.ALL_KINDS


WITHOUT_A_STORE = "test_transactions_that_no_backend_could_keep_are_refused_at_birth"
globals().update(
    (name, test)
    for name, test in vars(contract).items()
    if name.startswith("test_") and name not in (WITHOUT_A_STORE, *globals())
)


async def test_clusters_that_share_an_etcd_see_nothing_of_each_other(etcd: Etcd) -> None:
    first, second = a_prefix(), a_prefix()
    async with opened(etcd, first) as one, opened(etcd, second) as other:
        assert await one.take_term(7, "c1") == 7
        assert await other.take_term(0, "c1") == 1
        await one.transact(Txn(7, puts=(Put("vm/a", {}),)))
        assert [row.key for row in await one.range("")] == ["term", "vm/a"]
        assert [row.key for row in await other.range("")] == ["term"]


async def test_a_prefix_belongs_to_the_lab_that_came_first(etcd: Etcd) -> None:
    prefix = a_prefix()
    async with opened(etcd, prefix) as one, opened(etcd, prefix) as other:
        await one.claim("demo", "c1", "a")
        await one.claim("demo", "c1", "a")
        await other.claim("demo", "c2", "b")
        with pytest.raises(Refused, match=rf"{prefix}.*belongs to 'demo' and not to 'other'"):
            await other.claim("other", "c3", "c")


async def test_two_clusters_of_one_name_meet_at_their_coordinators(etcd: Etcd) -> None:
    prefix = a_prefix()
    async with opened(etcd, prefix) as one, opened(etcd, prefix) as other:
        await one.claim("demo", "coordinator", "the first's state folder")
        with pytest.raises(Refused, match=r"called 'coordinator'.*--leader-name.*--cluster-prefix"):
            await other.claim("demo", "coordinator", "the second's")


async def test_all_coordinators_of_a_cluster_have_one_secret(etcd: Etcd) -> None:
    prefix = a_prefix()
    async with opened(etcd, prefix) as one, opened(etcd, prefix) as other:
        drawn = await asyncio.gather(one.secret(), other.secret(), one.secret())
    assert len(set(drawn)) == 1
    assert len(drawn[0]) == 32
    async with opened(etcd, a_prefix()) as elsewhere:
        assert await elsewhere.secret() != drawn[0]


async def test_a_leader_writes_under_a_term_that_another_connection_took(etcd: Etcd) -> None:
    prefix = a_prefix()
    async with opened(etcd, prefix) as one, opened(etcd, prefix) as other:
        term = await one.take_term(0, "c1")
        assert isinstance(await other.transact(Txn(term, puts=(Put("vm/a", {}),))), Applied)
        newer = await other.take_term(0, "c2")
        # It still remembers how the row of its own term was written, and that is what is compared.
        assert await one.transact(Txn(term, puts=(Put("vm/a", {}),))) == StaleTerm(newer)


async def test_of_terms_taken_at_once_each_is_another(etcd: Etcd) -> None:
    prefix = a_prefix()
    async with opened(etcd, prefix) as one, opened(etcd, prefix) as other:
        taken = await asyncio.gather(
            *(store.take_term(0, "c") for store in (one, other) for _ in range(5))
        )
    assert sorted(taken) == list(range(1, 11))


async def test_a_watch_from_before_what_was_compacted_is_refused(etcd: Etcd) -> None:
    async with opened(etcd, a_prefix()) as store:
        term = await store.take_term(0, "c1")
        for _ in range(3):
            await store.transact(Txn(term, puts=(Put("vm/a", {}),)))
            await store.transact(Txn(term, deletes=(Delete("vm/a"),)))
        now = await store.revision()
        await store.gateway.change("kv/compaction", {"revision": str(now)})
        with pytest.raises(Compacted, match="read the range anew"):
            await anext(store.watch("", 1))
        await store.transact(Txn(term, puts=(Put("vm/b", {}),)))
        async with aclosing(store.watch("", now + 1)) as watch:
            assert await anext(watch) == Row("vm/b", {}, now + 1)


async def test_the_next_member_is_asked_when_one_is_not_there(etcd: Etcd) -> None:
    nobody = "http://127.93.4.9:9"
    store = await EtcdStore.open((nobody, *etcd.urls), a_prefix())
    try:
        term = await store.take_term(0, "c1")
        assert isinstance(await store.transact(Txn(term, puts=(Put("vm/a", {}),))), Applied)
        async with aclosing(store.watch("vm/", await store.revision())) as watch:
            assert (await anext(watch)).key == "vm/a"
    finally:
        await store.close()


async def test_an_etcd_that_is_not_there_is_one_sentence() -> None:
    with pytest.raises(StoreError, match=r"etcd does not answer: http://127\.93\.4\.9:9"):
        await EtcdStore.open(("http://127.93.4.9:9",), "x")


@asynccontextmanager
async def answering(said: bytes) -> AsyncIterator[str]:
    """A server that takes whatever it is sent and says `said`; then the connection breaks."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(
            int(line.split(b":")[1])
            for line in head.split(b"\r\n")
            if line.lower().startswith(b"content-length")
        )
        await reader.readexactly(length)
        writer.write(said)
        writer.close()

    server = await asyncio.start_server(serve, "127.93.4.1", 0)
    async with server:
        yield f"http://127.93.4.1:{server.sockets[0].getsockname()[1]}"


def http(status: str, body: str) -> bytes:
    return (
        f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n{body}"
    ).encode()


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (b"", "did not answer"),
        (http("503 Busy", '{"error": "etcdserver: request timed out"}'), "did not confirm"),
        (http("503 Busy", '{"error": "etcdserver: leader changed"}'), "did not confirm"),
        (http("200 OK", "<html>"), "not etcd's"),
        (http("200 OK", "[1]"), "not etcd's"),
    ],
)
async def test_an_answer_that_leaves_it_open_is_indefinite(
    etcd: Etcd, said: bytes, words: str
) -> None:
    async with opened(etcd, a_prefix()) as real, answering(said) as url:
        term = await real.take_term(0, "c1")
        content = await real.term_content(term)
        assert isinstance(content, bytes)
        broken = EtcdStore(Gateway([url, *etcd.urls]), "x")
        broken.remember(term, content)
        try:
            result = await broken.transact(Txn(term, puts=(Put("vm/a", {}),)))
        finally:
            await broken.close()
    assert isinstance(result, Indefinite)
    assert words in result.reason


async def test_what_etcd_refuses_was_certainly_not_done(etcd: Etcd) -> None:
    said = http("429 Later", '{"error": "etcdserver: mvcc: database space exceeded"}')
    async with answering(said) as url:
        store = EtcdStore(Gateway([url]), "x")
        store.remember(1, b"anything")
        try:
            with pytest.raises(StoreError, match="space exceeded") as failure:
                await store.transact(Txn(1, puts=(Put("vm/a", {}),)))
        finally:
            await store.close()
    assert failure.value.definite


@pytest.mark.parametrize("url", ["127.0.0.1:2379", "ftp://a", "http://", "http://a/v3"])
def test_what_is_no_endpoint_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="no endpoint of etcd"):
        check_endpoint(url)
