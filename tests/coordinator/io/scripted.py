"""A coordinator on real sockets in this process, and agents that follow a script."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any, Self

import aiohttp

from coordinator.config import CoordinatorConfig, Network
from coordinator.core import CoordinatorCore
from coordinator.io.api import application
from coordinator.io.driver import Driver, boottime
from coordinator.io.feed import Feed
from coordinator.io.operations import Operations
from coordinator.io.program import serve_http
from coordinator.io.table import routes
from coordinator.store.interface import Store
from lab import cluster
from lab.simulation.store import InstantStore
from protocol.errors import PeerUnreachable
from protocol.io.link import Link, open_link, serve_links
from protocol.messages import (
    Consented,
    Decided,
    Ended,
    FromAgent,
    GaveUp,
    Hello,
    Migrate,
    Part,
    Ping,
    Pong,
    Progress,
    ProposeView,
    Reserve,
    Reserved,
    RoundRecord,
    StartVm,
    StopVm,
    ViewAcked,
    VmReport,
    VmStarted,
    VmStopped,
    Welcome,
)
from protocol.names import (
    ClusterId,
    Decision,
    Endpoint,
    Epoch,
    Hold,
    Incarnation,
    NetworkName,
    NodeName,
    Step,
    Term,
    Timing,
    ViewNumber,
    VmName,
)

PATIENCE_S = 10.0
MANAGEMENT = NetworkName("management")


@dataclass
class ScriptedAgent:
    """Says and does what a healthy agent would; migrations stand still unless `consents`."""

    name: str
    consents: bool = True
    cluster: ClusterId | None = None
    term: Term = Term(0)
    view: ViewNumber = ViewNumber(0)
    memory_bytes: int = 2**32
    vms: dict[VmName, Epoch] = field(default_factory=dict)
    heard: list[Any] = field(default_factory=list)
    link: Link | None = None
    closed: asyncio.Event = field(default_factory=asyncio.Event)
    storage: Callable[[Any], list[FromAgent]] | None = None
    """What it answers to orders about disks, in tests that are about them."""

    @property
    def incarnation(self) -> Incarnation:
        return Incarnation(f"{self.name}-1")

    def hello(self) -> Hello:
        return Hello(
            node=NodeName(self.name),
            incarnation=self.incarnation,
            cluster=self.cluster,
            highest_term=self.term,
            view=self.view,
            votes=None,
            endpoint=Endpoint(((MANAGEMENT, "127.0.0.1"),), 1, 1),
            memory_bytes=self.memory_bytes,
            tracker="map",
            vms=self.reports(),
        )

    def reports(self) -> tuple[VmReport, ...]:
        return tuple(VmReport(vm, epoch, True, Hold.NONE, 7, 1e6) for vm, epoch in self.vms.items())

    async def live(self, host: str, port: int) -> None:
        """Connect, say Hello and follow the script until the link ends."""
        self.link = await open_link(host, port, peer="coordinator")
        with contextlib.suppress(PeerUnreachable):
            async with self.link as link:
                await link.send(self.hello())
                async for message in link:
                    self.heard.append(message)
                    for answer in self.answers(message):
                        await link.send(answer)
        self.closed.set()

    def answers(self, message: Any) -> list[FromAgent]:
        said = self._answers(message)
        return said if self.storage is None else [*said, *self.storage(message)]

    def _answers(self, message: Any) -> list[FromAgent]:
        me = self.incarnation
        match message:
            case Welcome(cluster, term):
                self.cluster, self.term = cluster, term
                return []
            case ProposeView(cluster, term, view):
                self.view = view.number
                return [ViewAcked(cluster, term, me, view.number)]
            case Ping(cluster, term, seq):
                return [Pong(cluster, term, me, seq, self.view, 1.0, (), self.reports())]
            case StartVm(cluster, term, _, vm, epoch):
                self.vms[vm] = epoch
                return [VmStarted(cluster, term, me, vm, epoch)]
            case StopVm(cluster, term, _, vm, epoch):
                self.vms.pop(vm, None)
                return [VmStopped(cluster, term, me, vm, epoch)]
            case Reserve(cluster, term, _, attempt, vm, epoch):
                return [Reserved(cluster, term, me, attempt, vm, epoch)]
            case Migrate():
                return self._migrates(message)
            case Decided():
                return self._ends(message)
            case _:
                return []

    def _migrates(self, order: Migrate) -> list[FromAgent]:
        first = RoundRecord(0, 100, 10, 90 * 4096, 0.01, 5)
        said = (order.cluster, order.term, self.incarnation, order.attempt)
        going = Progress(*said, Step.FIRST_ROUND, MANAGEMENT, 100, 100, first)
        if not self.consents:
            return [going]
        parts = (Part("pause", 0.001), Part("last pages", 0.002))
        return [
            going,
            Consented(*said, order.vm, order.epoch, True, 0.0, parts, (first,), "little is left"),
        ]

    def _ends(self, decided: Decided) -> list[FromAgent]:
        is_source = any(isinstance(m, Migrate) and m.attempt == decided.attempt for m in self.heard)
        committed = decided.decision is Decision.COMMITTED
        if is_source is committed:
            self.vms.pop(decided.vm, None)
        else:
            self.vms[decided.vm] = decided.epoch
        said = (decided.cluster, decided.term, self.incarnation, decided.attempt)
        parts = (Part("commit", 0.003),) if is_source else (Part("resume", 0.004),)
        return [Ended(*said, is_source, decided.decision, parts)]

    async def report(self, order: Migrate, pages_sent: int) -> None:
        assert self.link is not None
        said = (order.cluster, order.term, self.incarnation, order.attempt)
        await self.link.send(Progress(*said, Step.ROUND, MANAGEMENT, 1000, pages_sent, None))

    async def give_up(self, order: Migrate, reason: str) -> None:
        assert self.link is not None
        said = (order.cluster, order.term, self.incarnation, order.attempt, order.vm, order.epoch)
        await self.link.send(GaveUp(*said, True, Step.ROUND, reason))


@dataclass
class Operator:
    """Somebody at the HTTP API of a coordinator, who can have agents connect to it."""

    url: str
    control: tuple[str, int]
    http: aiohttp.ClientSession
    group: asyncio.TaskGroup

    async def get(self, path: str) -> Any:
        return (await self.call("GET", path))[1]

    async def post(self, path: str, **body: Any) -> tuple[int, Any]:
        return await self.call("POST", path, json=body)

    async def call(self, method: str, path: str, **more: Any) -> tuple[int, Any]:
        async with self.http.request(method, f"{self.url}{path}", **more) as answer:
            return answer.status, await answer.json()

    async def until(self, path: str, **fields: Any) -> Any:
        """What `path` says once its fields are these."""

        async def look() -> Any:
            data = await self.get(path)
            return data if isinstance(data, dict) and fields.items() <= data.items() else None

        return await cluster.until(f"{path} did not say {fields}", look, PATIENCE_S)

    async def join(self, *agents: ScriptedAgent) -> None:
        """Connect agents, and wait until the coordinator has heard them."""
        for agent in agents:
            self.group.create_task(agent.live(*self.control))
        names = {agent.name for agent in agents}

        async def look() -> bool | None:
            status = await self.get("/status")
            connected = {n["name"] for n in await self.get("/nodes") if n["connected"]}
            return names <= {*status["available"], *connected} or None

        await cluster.until(f"{names} were not heard", look, PATIENCE_S)

    async def form(self, *agents: ScriptedAgent) -> None:
        await self.join(*agents)

        async def look() -> Any:
            return (await self.get("/status"))["leader"]

        # Agents may be heard before the coordinator has its term.
        await cluster.until("nobody led", look, PATIENCE_S)
        status, body = await self.post(
            "/cluster", name="lab", nodes=[a.name for a in agents], delay_s=0.05, threshold=20
        )
        assert status == 201, body

    @contextlib.asynccontextmanager
    async def events(self, query: str = "", **headers: str) -> AsyncIterator["Stream"]:
        async with self.http.get(f"{self.url}/events{query}", headers=headers) as answer:
            assert answer.status == 200, await answer.text()
            yield Stream(answer)


@dataclass
class Bench(Operator):
    """The same, in one process with the coordinator."""

    driver: Driver
    feed: Feed


class Stream:
    """Server-sent events, read one by one."""

    def __init__(self, answer: aiohttp.ClientResponse) -> None:
        self._answer = answer

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> tuple[str, Any]:
        kind = ""
        async with asyncio.timeout(PATIENCE_S):
            while line := (await self._answer.content.readline()).decode():
                word, _, rest = line.strip().partition(": ")
                if word == "event":
                    kind = rest
                if word == "data":
                    return kind, json.loads(rest)
        raise StopAsyncIteration

    async def next(self, wanted: str) -> Any:
        async for kind, data in self:
            if kind == wanted:
                return data
        raise EOFError(f"the stream ended before {wanted}")


@contextlib.asynccontextmanager
async def coordinator(
    store: Store | None = None, ask_s: float = PATIENCE_S
) -> AsyncIterator[Bench]:
    """Everything of the program but its command line and its file."""
    store = InstantStore() if store is None else store
    config = CoordinatorConfig(
        lab="lab", leader="here", networks=(Network(MANAGEMENT, "127.0.0.0/8", 3, 1000),)
    )
    core = CoordinatorCore(config, boottime())
    driver = Driver(core, store, "here")
    feed = Feed(store, driver.picture)
    driver.watched_by(feed)
    operations = Operations(driver, feed, Timing(), ask_s)
    close, api = await serve_http(application(routes(operations), feed), "127.0.0.1", 0)
    try:
        async with (
            await serve_links("127.0.0.1", 0, driver.serve) as server,
            aiohttp.ClientSession() as http,
            asyncio.TaskGroup() as group,
        ):
            telling = group.create_task(feed.run())
            leading = group.create_task(driver.run())
            control = (server.host, server.port)
            yield Bench(f"{api}/api/v1", control, http, group, driver, feed)
            driver.stop()
            await leading
            telling.cancel()
            await server.close()
    finally:
        await close()
