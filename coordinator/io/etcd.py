"""The store in etcd, for several coordinators: etcd orders their changes, the term row guards them.

Every key lies below `PREFIX/`, so that clusters may share an etcd. A row's revision is etcd's own
(its mod_revision), which grows with everything that is written in that etcd.
"""

import asyncio
import contextlib
import secrets
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Any, Self

from coordinator.io.etcd_gateway import Data, Gateway, coded, decoded
from coordinator.store import interface as store
from coordinator.store.interface import (
    KEY_BYTES_MAX,
    SECRET_BYTES,
    SECRET_KEY,
    TERM_KEY,
    Applied,
    Compacted,
    Indefinite,
    Result,
    Row,
    StaleTerm,
    Txn,
)
from protocol.errors import Refused, StoreError, StoreIndefinite

WATCH_SILENCE_S = 5.0
"""A member that is frozen or cut off says nothing; after so long another one is listened to."""

WATCH_AGAIN_S = 0.1
OWNER_KEY = "owner"
PREFIX_BYTES_MAX = 128


def check_prefix(prefix: str) -> str:
    """`prefix` without slashes at its ends; ValueError says what may be one."""
    prefix = prefix.strip("/")
    if not prefix.isprintable() or not 0 < len(prefix.encode()) <= PREFIX_BYTES_MAX:
        raise ValueError(
            f"{prefix!r} is no prefix: 1 to {PREFIX_BYTES_MAX} bytes of printable text are"
        )
    return prefix


class EtcdStore:
    """The store below one prefix of an etcd; `open` says whether it is there."""

    def __init__(self, gateway: Gateway, prefix: str) -> None:
        self._gateway = gateway
        self._root = f"{check_prefix(prefix)}/"
        self._terms: dict[int, bytes] = {}
        self._closed = asyncio.Event()

    @classmethod
    async def open(cls, endpoints: Sequence[str], prefix: str) -> Self:
        """Reach the etcd, or say in one sentence why not."""
        opened = cls(Gateway(endpoints), prefix)
        try:
            await opened.get(TERM_KEY)
        except BaseException:
            await opened.close()
            raise
        return opened

    @property
    def gateway(self) -> Gateway:
        return self._gateway

    async def transact(self, txn: Txn) -> Result:
        self._check_open()
        writes = store.encoded(txn)
        term = await self.term_content(txn.term)
        if isinstance(term, StaleTerm):
            return term
        keys = (TERM_KEY, *(compare.key for compare in txn.compares))
        body = {
            "compare": [
                {"key": self.key(TERM_KEY), "target": "VALUE", "value": coded(term)},
                *(self._unchanged(compare.key, compare.revision) for compare in txn.compares),
            ],
            # In the order of keys, which is the order in which a watch tells them.
            "success": [self._write(key, content) for key, content in sorted(writes)],
            "failure": [{"request_range": {"key": self.key(key)}} for key in keys],
        }
        try:
            said = await self._gateway.change("kv/txn", body)
        except StoreIndefinite as exc:
            return Indefinite(str(exc))
        if said.get("succeeded"):
            return Applied(_revision(said))
        now = [self._found(key, part) for key, part in zip(keys, _parts(said), strict=True)]
        refused = store.refusal(txn, store.term_of(now[0]), now[1:])
        if refused is None:
            # The same term in other words: another etcd's data were put in place of these.
            self._terms.clear()
            raise StoreError("the store's rows were replaced meanwhile: ask again")
        return refused

    async def take_term(self, at_least: int, leader: str) -> int:
        self._check_open()
        row = await self.get(TERM_KEY)
        while True:
            term = store.next_term(store.term_of(row), at_least)
            content = store.pack({"term": term, "leader": leader})
            body = {
                "compare": [self._unchanged(TERM_KEY, row.revision)],
                "success": [self._write(TERM_KEY, content)],
                "failure": [{"request_range": {"key": self.key(TERM_KEY)}}],
            }
            said = await self._gateway.change("kv/txn", body)
            if said.get("succeeded"):
                self.remember(term, content)
                return term
            row = self._found(TERM_KEY, _parts(said)[0])

    async def secret(self) -> bytes:
        """What all coordinators of this cluster share; made by the first that asks."""
        row = await self._first(SECRET_KEY, {"bytes": secrets.token_bytes(SECRET_BYTES)})
        return bytes(row["bytes"])

    async def claim(self, lab: str, name: str, life: str) -> None:
        """Refuse a prefix, or a name below it, that is another's, before anything is touched.

        `life` tells this coordinator from others of its name: two clusters that are called the same
        would find each other here.
        """
        owner = await self._first(OWNER_KEY, {"lab": lab})
        if owner["lab"] != lab:
            raise Refused(
                f"the prefix {self._root[:-1]!r} of this etcd belongs to {owner['lab']!r} and"
                f" not to {lab!r}: give this cluster a prefix of its own with --cluster-prefix"
            )
        known = await self._first(f"coordinator/{name}", {"life": life})
        if known["life"] != life:
            raise Refused(
                f"another coordinator is called {name!r} below the prefix {self._root[:-1]!r}: give"
                " this one another --leader-name, or its cluster another --cluster-prefix"
            )

    async def _first(self, key: str, value: store.Value) -> store.Value:
        """What `key` holds; `value`, if nothing was there before."""
        row = await self.get(key)
        if row.value is None:
            body = {
                "compare": [self._unchanged(key, 0)],
                "success": [self._write(key, store.pack(value))],
            }
            with contextlib.suppress(StoreIndefinite):  # the row itself says whose it is
                await self._gateway.change("kv/txn", body)
            row = await self.get(key)
        if row.value is None:
            raise StoreError(f"etcd did not confirm the row {key!r}: start again")
        return row.value

    async def get(self, key: str) -> Row:
        self._check_open()
        return self._found(key, await self._gateway.read("kv/range", {"key": self.key(key)}))

    async def range(self, prefix: str, after_key: str = "", limit: int = 1000) -> tuple[Row, ...]:
        self._check_open()
        # The first key behind `after_key` is that key with the smallest of bytes added.
        begin = max(prefix, f"{after_key}\0") if after_key else prefix
        end = store.prefix_end(prefix)
        if begin >= end:
            return ()
        body = {"key": self.key(begin), "range_end": self.key(end), "limit": str(limit)}
        said = await self._gateway.read("kv/range", body)
        return tuple(self._row(kv) for kv in said.get("kvs", ()))

    async def watch(self, prefix: str, from_revision: int) -> AsyncGenerator[Row, None]:
        next_revision = max(1, from_revision)
        while not self._closed.is_set():
            # Events of one revision come in one piece, so what follows it is a clean start.
            async with aclosing(self._streamed(prefix, next_revision)) as pieces:
                async for piece in pieces:
                    for row in piece:
                        yield row
                        if self._closed.is_set():
                            return
                    next_revision = max(next_revision, piece[-1].revision + 1)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(WATCH_AGAIN_S):
                    await self._closed.wait()

    async def _streamed(self, prefix: str, revision: int) -> AsyncGenerator[list[Row], None]:
        request = {
            "key": self.key(prefix),
            "range_end": self.key(store.prefix_end(prefix)),
            "start_revision": str(revision),
        }
        stream = self._gateway.stream("watch", {"create_request": request}, WATCH_SILENCE_S)
        async with aclosing(stream):
            async for said in stream:
                if "compact_revision" in said:
                    forgotten = int(said["compact_revision"])
                    raise Compacted(
                        f"deletions up to revision {forgotten} are forgotten: "
                        f"read the range anew instead of watching from {revision}"
                    )
                if rows := [self._changed(event) for event in said.get("events", ())]:
                    yield rows

    async def revision(self) -> int:
        """The newest revision of this etcd."""
        self._check_open()
        return _revision(await self._gateway.read("kv/range", {"key": self.key(TERM_KEY)}))

    async def close(self) -> None:
        self._closed.set()
        await self._gateway.close()

    def _check_open(self) -> None:
        if self._closed.is_set():
            raise StoreError("the store is closed")

    async def term_content(self, term: int) -> bytes | StaleTerm:
        """The very bytes of the term row under `term`: it is written once, so they never change."""
        known = self._terms.get(term)
        if known is not None:
            return known
        row = await self.get(TERM_KEY)
        if row.value is None or store.term_of(row) != term:
            return StaleTerm(store.term_of(row))
        return self.remember(term, store.pack(row.value))

    def remember(self, term: int, content: bytes) -> bytes:
        self._terms = {term: content}
        return content

    # ---- etcd's words

    def key(self, key: str) -> str:
        if len(key.encode()) > KEY_BYTES_MAX + 8:
            raise ValueError(f"{key[:40]!r}... is no key: it has at most {KEY_BYTES_MAX} bytes")
        return coded(self._root + key)

    def _unchanged(self, key: str, revision: int) -> Data:
        return {"key": self.key(key), "target": "MOD", "mod_revision": str(revision)}

    def _write(self, key: str, content: bytes | None) -> Data:
        if content is None:
            return {"request_delete_range": {"key": self.key(key)}}
        return {"request_put": {"key": self.key(key), "value": coded(content)}}

    def _found(self, key: str, said: Data) -> Row:
        kvs = said.get("kvs", ())
        return self._row(kvs[0]) if kvs else Row(key, None, 0)

    def _row(self, kv: Data) -> Row:
        key = decoded(kv["key"]).decode().removeprefix(self._root)
        try:
            value = store.unpack(decoded(kv.get("value", "")))
        except ValueError as exc:
            raise StoreError(f"etcd's row {key!r} is not one of ours: {exc}") from exc
        return Row(key, value, int(kv["mod_revision"]))

    def _changed(self, event: Data) -> Row:
        if event.get("type") != "DELETE":
            return self._row(event["kv"])
        key = decoded(event["kv"]["key"]).decode().removeprefix(self._root)
        return Row(key, None, int(event["kv"]["mod_revision"]))


def _parts(said: Data) -> list[Any]:
    return [part["response_range"] for part in said["responses"]]


def _revision(said: Data) -> int:
    return int(said["header"]["revision"])
