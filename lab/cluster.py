"""A cluster of real processes for tests and measurements: started, formed, asked, and ended."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from lab.disk_forming import add_disks
from lab.errors import LabError
from lab.forming import form
from lab.home import Home, LabRecord
from lab.launching import Programs
from lab.leaders import leading_api
from lab.loopback import Loopback, Ports
from lab.processes import start_lab, stop_lab
from lab.topology import Topology, parse_topology
from shell.io.client import Client

Data = dict[str, Any]
Found = TypeVar("Found")

ANY_PORT = Loopback(Ports.any())
LOOK_EVERY_S = 0.02
PATIENCE_S = 30.0


def topology_of(
    nodes: int,
    *,
    name: str = "test",
    memory: str = "4GiB",
    delay: str = "250ms",
    threshold: int = 5,
    kept: str = "",
    more: str = "",
) -> Topology:
    """So many nodes on the three networks of the guide, with clocks as fast as asked.

    `more` are further lines of the file, such as `coordinators: 2`.
    """
    node = f"{{memory: {memory}, kept: {kept}}}" if kept else f"{{memory: {memory}}}"
    names = ", ".join(f"node{number}: {node}" for number in range(1, nodes + 1))
    return parse_topology(
        f"name: {name}\n"
        f"timing: {{delay: {delay}, threshold: {threshold}}}\n"
        "networks:\n"
        "  management: {subnet: 10.0.1.0/24, gateway: true}\n"
        "  migration: {subnet: 10.0.2.0/24}\n"
        "  csv: {subnet: 10.0.3.0/24, metric: 900}\n"
        f"nodes: {{{names}}}\n"
        f"{more}"
    )


@dataclass
class Cluster:
    """A formed cluster, driven over its HTTP API. What waits raises LabError when it waits long."""

    lab: LabRecord
    api: Client

    async def vm(self, name: str) -> Data:
        row: Data = await self.api.get(f"/vms/{name}")
        return row

    async def node(self, name: str) -> Data:
        rows: list[Data] = await self.api.get("/nodes")
        return next(row for row in rows if row["name"] == name)

    async def create(
        self,
        name: str,
        memory: str,
        node: str,
        workload: str = "idle",
        fill: str = "random",
        *,
        within_s: float = PATIENCE_S,
    ) -> Data:
        """The VM, Online; with a guest that has begun to work, if it is one that works."""
        asked = {"name": name, "memory": memory, "node": node, "workload": workload, "fill": fill}
        await self.api.post("/vms", {**asked, "seed": 7})
        steps = 0 if workload != "idle" else -1
        return await self.online(name, steps, within_s=within_s)

    async def online(
        self, name: str, steps: int = -1, *, off: str = "", within_s: float = PATIENCE_S
    ) -> Data:
        """The VM once it is Online on another node than `off` and has done more than `steps`."""

        async def look() -> Data | None:
            row = await self.vm(name)
            good = row["state"] == "Online" and row["node"] != off and row["steps"] > steps
            return row if good else None

        return await until(f"{name} did not get to work", look, within_s)

    async def migrate(self, vm: str, to: str, verify: str = "off") -> int:
        begun = await self.api.post(f"/vms/{vm}/migrate", {"to": to, "verify": verify})
        return int(begun["attempt"])

    async def attempt(self, number: int) -> Data:
        row: Data = await self.api.get(f"/attempts/{number}")
        return row

    async def ended(self, number: int, within_s: float = PATIENCE_S) -> Data:
        """The record of an attempt, once both ends of it are closed."""

        async def look() -> Data | None:
            row = await self.attempt(number)
            return row if row["ended_at"] is not None else None

        return await until(f"attempt {number} did not end", look, within_s)

    async def copying(self, number: int, pages: int = 0) -> Data:
        """The attempt once its pages travel, `pages` of them or more are sent, and none decided."""

        async def look() -> Data | None:
            row = await self.attempt(number)
            if row["outcome"] is not None:
                raise LabError(f"attempt {number} ended before it was to be hurt: {row['reason']}")
            live = row["live"] or {}
            going = live.get("step") in ("S5", "S6") and live["pages_sent"] >= pages
            return row if going else None

        return await until(f"attempt {number} did not copy", look)

    async def until_node(self, name: str, state: str, within_s: float = PATIENCE_S) -> Data:
        async def look() -> Data | None:
            row = await self.node(name)
            return row if row["state"] == state else None

        return await until(f"{name} was not {state}", look, within_s)

    async def events(self) -> list[Data]:
        rows: list[Data] = await self.api.get("/log", after=0, limit=1000)
        return rows


async def until(
    trouble: str, look: Callable[[], Awaitable[Found | None]], within_s: float = PATIENCE_S
) -> Found:
    """What `look` finds, looking again and again; LabError names the trouble if it takes long."""
    give_up_at = asyncio.get_running_loop().time() + within_s
    while (found := await look()) is None:
        if asyncio.get_running_loop().time() >= give_up_at:
            raise LabError(f"{trouble} within {within_s:g} s")
        await asyncio.sleep(LOOK_EVERY_S)
    return found


async def again_and_again(look: Callable[[], None], seconds: float) -> None:
    """Look for so long, some fifty times a second."""
    give_up_at = asyncio.get_running_loop().time() + seconds
    while asyncio.get_running_loop().time() < give_up_at:
        look()
        await asyncio.sleep(LOOK_EVERY_S)


@contextlib.asynccontextmanager
async def running(
    topology: Topology, home: Home, programs: Programs | None = None
) -> AsyncIterator[Cluster]:
    """A lab of `topology` on ports of the kernel's choice, formed; it ends with the context."""
    record = await start_lab(topology, home, ANY_PORT, programs or Programs())
    try:
        async with Client(await leading_api(record), patience_s=10.0) as api:
            named = record.san.ready["luns"] if record.sans else {}
            await form(api, topology, lambda _words: None, record.state_dir, named)
            cluster = Cluster(record, api)
            for node in topology.nodes:
                await cluster.until_node(node, "Up")
            await add_disks(api, topology, named, lambda _words: None)
            yield cluster
    finally:
        await stop_lab(home.lab(topology.name))
