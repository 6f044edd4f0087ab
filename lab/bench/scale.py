"""What a large cluster costs at rest: 64 control links, half of them of real agents, 1000 idle VMs.

Nothing happens, and that is measured: the coordinator's share of a core, that of an agent, and that
nobody is taken for dead meanwhile.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

from lab.bench.synthetic import Place, linked
from lab.cluster import ANY_PORT, Cluster, until
from lab.evidence import boottime, cpu_s, pss_bytes
from lab.home import Home, LabRecord
from lab.launching import Programs
from lab.processes import start_lab, stop_lab
from lab.procfs import family
from lab.topology import Topology, parse_topology
from protocol.names import NetworkName, NodeName
from shell.io.client import Client

DELAY_S, THRESHOLD = 1.0, 5
"""SameSubnetDelay and SameSubnetThreshold as the field has them by default."""

CPU_MAX = 0.25
NODE_REMOVED, QUORUM_LOST = 1135, 1177
SYNTHETIC_HOST = 101
"""The last octet of the first synthetic node; the real ones have those from 1 on."""

VM_BYTES = 1 << 20
NODE_BYTES = 256 << 20
CREATES_AT_ONCE = 16
HEARD_WITHIN_S = 60.0
UP_WITHIN_S = 120.0
ONLINE_WITHIN_S = 300.0
SETTLE_S = 10.0
LOOK_EVERY_S = 0.5
"""A picture of so many VMs takes the coordinator its time."""


@dataclass(frozen=True, slots=True)
class Size:
    """How large the cluster is, and for how long it is watched; `slices` give the spread."""

    real: int = 32
    synthetic: int = 32
    vms: int = 1000
    networks: int = 1
    seconds: float = 60.0
    slices: int = 6


FULL = Size()


@dataclass(frozen=True, slots=True)
class Rest:
    """Shares of one core: of the coordinator in each slice of the time, and of each real agent."""

    size: Size
    coordinator: tuple[float, ...]
    agents: tuple[float, ...]
    online: int
    downs: tuple[str, ...]
    quorum_losses: int
    coordinator_bytes: int

    @property
    def share(self) -> float:
        return sum(self.coordinator) / len(self.coordinator)

    @property
    def trouble(self) -> str | None:
        """Why this cluster is too much, as a sentence; None if it is not."""
        if self.downs:
            return f"While nothing happened: {'; '.join(self.downs)}"
        if self.quorum_losses:
            return f"The coordinator lost its quorum {self.quorum_losses} times."
        if self.online < self.size.vms:
            return f"Only {self.online} of {self.size.vms} VMs are Online."
        if self.share >= CPU_MAX:
            return f"The coordinator took {self.share:.0%} of a core; {CPU_MAX:.0%} may be."
        return None

    def as_data(self) -> dict[str, Any]:
        return {**asdict(self), "share": self.share, "trouble": self.trouble}


def topology(size: Size) -> Topology:
    """The real nodes of it; the synthetic ones are not started by the lab."""
    networks = ", ".join(
        f"net{number}: {{subnet: 10.0.{number}.0/24}}" for number in range(1, size.networks + 1)
    )
    nodes = ", ".join(f"node{number}: {{memory: 256MiB}}" for number in range(1, size.real + 1))
    return parse_topology(
        f"name: scale\n"
        f"timing: {{delay: {DELAY_S * 1000:.0f}ms, threshold: {THRESHOLD}}}\n"
        f"networks: {{{networks}}}\n"
        f"nodes: {{{nodes}}}\n"
    )


def places(record: LabRecord, count: int) -> tuple[Place, ...]:
    """Addresses beside those of the lab's own first node, on the same networks."""
    near = record.nodes[0].addresses

    def addresses(nth: int) -> Iterator[tuple[NetworkName, str]]:
        for network, address in near.items():
            subnet = address.rpartition(".")[0]
            yield NetworkName(network), f"{subnet}.{SYNTHETIC_HOST + nth}"

    return tuple(
        Place(NodeName(f"synthetic{nth + 1:02}"), dict(addresses(nth))) for nth in range(count)
    )


@contextlib.asynccontextmanager
async def crowded(size: Size, folder: Path, note: Callable[[str], None]) -> AsyncIterator[Cluster]:
    """The cluster of all nodes, the real and the others, formed and Up."""
    home, chosen = Home(folder / "home"), topology(size)
    note(f"starting {size.real} agents")
    record = await start_lab(chosen, home, ANY_PORT, Programs())
    try:
        control = {}
        hosts = {address: NetworkName(name) for name, address in _coordinator(record).items()}
        for words in record.coordinators[0].control:
            host, _, port = words.rpartition(":")
            control[hosts[host]] = (host, int(port))
        others = places(record, size.synthetic)
        async with (
            Client(record.api, patience_s=30.0) as api,
            linked(others, control, NODE_BYTES),
        ):
            names = [node.name for node in record.nodes] + [str(place.node) for place in others]
            await _form(api, names, note)
            yield Cluster(record, api)
    finally:
        await stop_lab(home.lab(chosen.name))


def _coordinator(record: LabRecord) -> dict[str, str]:
    return record.coordinators[0].addresses


async def _form(api: Client, names: Sequence[str], note: Callable[[str], None]) -> None:
    async def all_heard() -> bool | None:
        available = (await api.get("/status"))["available"] or ()
        return True if set(names) <= set(available) else None

    async def all_up() -> bool | None:
        states = {row["name"]: row["state"] for row in await api.get("/nodes")}
        return True if all(states.get(name) == "Up" for name in names) else None

    await until("not all nodes were heard", all_heard, HEARD_WITHIN_S)
    note(f"forming a cluster of {len(names)} nodes")
    asked = {"name": "scale", "nodes": names, "delay_s": DELAY_S, "threshold": THRESHOLD}
    await api.post("/cluster", asked)
    await until("not all nodes came up", all_up, UP_WITHIN_S)


async def _create(cluster: Cluster, count: int, note: Callable[[str], None]) -> None:
    """Idle guests on the real agents in turns: each has its memory, and needs no process."""
    note(f"creating {count} VMs")
    nodes, room = cluster.lab.nodes, asyncio.Semaphore(CREATES_AT_ONCE)

    async def create(number: int) -> None:
        node = nodes[number % len(nodes)].name
        asked = {"name": f"vm{number:04}", "memory": VM_BYTES, "node": node}
        async with room:
            await cluster.api.post("/vms", {**asked, "workload": "idle", "fill": "zero"})

    async def all_online() -> bool | None:
        await asyncio.sleep(LOOK_EVERY_S)
        return True if await _online(cluster) == count else None

    await asyncio.gather(*(create(number) for number in range(count)))
    await until("not all VMs came online", all_online, ONLINE_WITHIN_S)


async def _online(cluster: Cluster) -> int:
    return sum(row["state"] == "Online" for row in await cluster.api.get("/vms"))


async def at_rest(size: Size, folder: Path, note: Callable[[str], None]) -> Rest:
    """Build the cluster, leave it alone, and read what the kernel has counted meanwhile."""
    async with crowded(size, folder, note) as cluster:
        await _create(cluster, size.vms, note)
        await asyncio.sleep(SETTLE_S)
        coordinator = cluster.lab.coordinators[0].process
        agents = [(node.process, *family(node.process)) for node in cluster.lab.nodes]
        known = (await cluster.api.get("/log", limit=1))[-1]["index"]
        note(f"leaving it alone for {size.seconds:g} s")
        shares = []
        began_s, before = boottime(), [sum(map(cpu_s, each)) for each in agents]
        for _ in range(size.slices):
            from_s, used_s = boottime(), cpu_s(coordinator)
            await asyncio.sleep(size.seconds / size.slices)
            shares.append((cpu_s(coordinator) - used_s) / (boottime() - from_s))
        took_s = boottime() - began_s
        used = [sum(map(cpu_s, each)) - was for each, was in zip(agents, before, strict=True)]
        events = await cluster.api.get("/log", after=known, limit=1000)
        return Rest(
            size,
            tuple(shares),
            tuple(seconds / took_s for seconds in used),
            await _online(cluster),
            tuple(event["text"] for event in events if event["id"] == NODE_REMOVED),
            sum(event["id"] == QUORUM_LOST for event in events),
            pss_bytes(coordinator),
        )


def in_words(rest: Rest) -> list[tuple[str, str]]:
    """The rows of the table."""
    own, agents, size = rest.coordinator, rest.agents, rest.size
    return [
        ("nodes", f"{size.real} real, {size.synthetic} synthetic; networks: {size.networks}"),
        ("idle VMs Online", f"{rest.online} of {size.vms}"),
        ("coordinator, % of a core", _percent(own)),
        ("one agent, % of a core", _percent(agents)),
        ("all real agents, % of a core", f"{sum(agents) * 100:.0f}"),
        ("coordinator, MiB", f"{rest.coordinator_bytes / (1 << 20):.0f}"),
        ("nodes taken for dead", str(len(rest.downs))),
        ("verdict", rest.trouble or "it holds"),
    ]


def _percent(shares: Sequence[float]) -> str:
    low, high = min(shares), max(shares)
    return f"{median(shares) * 100:.1f} ({low * 100:.1f} - {high * 100:.1f})"
