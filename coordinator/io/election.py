"""Carries out what the candidacy wants: a lease of etcd, and a key that lives as long as it."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import structlog

from coordinator.io.etcd import EtcdStore
from coordinator.io.etcd_gateway import coded, decoded
from coordinator.leadership import candidacy
from coordinator.leadership.candidacy import Candidacy, Rival, Standing
from coordinator.store.interface import pack, unpack
from protocol.errors import StoreError, StoreIndefinite

LEASE_S = 3
"""The election's lease; etcd takes whole seconds, and not less than its own elections take."""

ANSWER_S = 1.0
"""A member that is slower than this is passed over: several are asked within one lease."""

LEADER_KEY = "leader"


class Election:
    """One coordinator's part in the election below a store's prefix.

    `begin` and `end` are called when it is to lead, and when it is to let go; `seen` when another
    holds the election, or nobody does.
    """

    def __init__(
        self,
        store: EtcdStore,
        me: Rival,
        clock: Callable[[], float],
        *,
        begin: Callable[[], None],
        end: Callable[[str], None],
        seen: Callable[[Rival | None], None],
    ) -> None:
        self._store, self._me, self._clock = store, me, clock
        self._begin, self._end, self._seen = begin, end, seen
        self._candidacy = Candidacy(LEASE_S, clock())
        self._log = structlog.get_logger(part="election", coordinator=me.name)
        self._lease: str | None = None
        self._group = asyncio.TaskGroup()
        self._wake = asyncio.Event()
        self._asking: set[str] = set()

    @property
    def elected(self) -> bool:
        return self._candidacy.standing is Standing.ELECTED

    async def run(self) -> None:
        """Take part until cancelled, and then give back what is held."""
        try:
            async with self._group:
                while True:
                    self.feed(candidacy.Tick())
                    self._wake.clear()
                    left_s = self._candidacy.wake_at() - self._clock()
                    try:
                        async with asyncio.timeout(min(max(left_s, 0.01), 1.0)):
                            await self._wake.wait()
                    except TimeoutError:
                        continue
        finally:
            await asyncio.shield(self._give_back())

    def feed(self, event: candidacy.Event) -> None:
        for action in self._candidacy.handle(event, self._clock()):
            match action:
                case candidacy.Look():
                    self._ask("look", self._look)
                case candidacy.Campaign():
                    self._ask("campaign", self._campaign)
                case candidacy.Keep():
                    self._ask("keep", self._keep)
                case candidacy.GiveBack():
                    self._ask("give-back", self._give_back)
                case candidacy.Lead():
                    self._log.info("elected")
                    self._begin()
                case candidacy.LetGo(reason):
                    self._log.warning("let-go", reason=reason)
                    self._end(reason)
        self._wake.set()

    def _ask(self, what: str, work: Callable[[], Awaitable[None]]) -> None:
        """At most one of each kind: an etcd that is slow is not asked ever more."""
        if what not in self._asking:
            self._asking.add(what)
            self._group.create_task(self._answered(what, work))

    async def _answered(self, what: str, work: Callable[[], Awaitable[None]]) -> None:
        try:
            await work()
        except (StoreError, StoreIndefinite) as exc:
            self._log.info("etcd-failed", asked=what, reason=str(exc))
            if what == "look":
                self._seen(None)  # who led a moment ago may not lead any more
            elif what == "campaign":
                await self._give_back()
                self.feed(candidacy.NotWon())
        finally:
            self._asking.discard(what)

    # ---- etcd

    async def _look(self) -> None:
        key = {"key": self._store.key(LEADER_KEY)}
        holder = _rival(await self._store.gateway.read("kv/range", key))
        self._seen(holder)
        self.feed(candidacy.Looked(holder))

    async def _campaign(self) -> None:
        """The key exists as long as its lease; whoever makes it is elected."""
        gateway, asked_at = self._store.gateway, self._clock()
        granted = await gateway.change("lease/grant", {"TTL": str(LEASE_S)}, ANSWER_S)
        self._lease = str(granted["ID"])
        key = self._store.key(LEADER_KEY)
        value = pack({"name": self._me.name, "api": self._me.api})
        put = {"key": key, "value": coded(value), "lease": self._lease}
        body = {
            "compare": [{"key": key, "target": "CREATE", "create_revision": "0"}],
            "success": [{"request_put": put}],
        }
        said = await gateway.change("kv/txn", body, ANSWER_S)
        if said.get("succeeded"):
            self.feed(candidacy.Won(asked_at))
            return
        await self._give_back()
        self.feed(candidacy.NotWon())

    async def _keep(self) -> None:
        asked_at, lease = self._clock(), self._lease
        if lease is None:
            return
        said = await self._store.gateway.change("lease/keepalive", {"ID": lease}, ANSWER_S)
        if lease != self._lease:
            return
        if int(said.get("TTL", 0)) > 0:
            self.feed(candidacy.Kept(asked_at))
        else:
            self.feed(candidacy.LeaseEnded())

    async def _give_back(self) -> None:
        lease, self._lease = self._lease, None
        if lease is None:
            return
        try:
            await self._store.gateway.change("lease/revoke", {"ID": lease}, ANSWER_S)
        except (StoreError, StoreIndefinite) as exc:
            self._log.debug("lease-not-revoked", reason=str(exc))  # it ends by itself


def _rival(said: dict[str, Any]) -> Rival | None:
    kvs = said.get("kvs", ())
    if not kvs:
        return None
    value = unpack(decoded(kvs[0]["value"]))
    return Rival(str(value["name"]), str(value["api"]))
