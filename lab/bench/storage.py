"""What a guest that writes its disk gets and feels: directly and through the owner, and when the
owner of its volume changes.

Guests write as fast as they may, eight entries of 64 KiB at a time, each on stable storage before
it is counted. What they have counted is read from their shared memory; nobody is asked for it.
"""

import asyncio
import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import rich.table

from lab.bench.failover_sums import Case, Dies, until_view_s
from lab.cluster import Cluster, running, until
from lab.errors import LabError
from lab.evidence import Witness, boottime, workers
from lab.home import Home
from lab.processes import kill_node, restart_node
from lab.topology import Topology, parse_topology
from protocol.names import QuorumMode, Timing
from shell.errors import ShellError

NODES = ("node1", "node2", "node3")
TIMING = Timing(delay_s=1.0, threshold=5)
"""The field's own: what a death costs is told for these."""

FAST, SLOW = "fast", "slow"
ENTRY_BYTES = 64 * 1024
GUESTS = {FAST: f"ledger:rate=4GB/s,entry={ENTRY_BYTES}", SLOW: "ledger:rate=400KiB/s,entry=4096"}
"""One that writes as much as it can, one whose pauses show."""

MEASURED_S = 3.0
PAUSE_LOOK_S = 0.002
WITHIN_S = 60.0
REDIRECTED_MIN = 0.4
MOVE_MAX_S = 2.0
DEATHS_MAX = 3
"""A death takes half a minute with these clocks."""


@dataclass(frozen=True, slots=True)
class Storage:
    """Everything that was measured, in bytes per second and in seconds."""

    direct: list[float]
    redirected: list[float]
    moves: list[float]
    deaths: list[float]

    @property
    def ratios(self) -> list[float]:
        """Redirected beside the direct run of the same round."""
        both = zip(self.direct, self.redirected, strict=True)
        return [through / straight for straight, through in both]

    def as_data(self) -> dict[str, Any]:
        return {
            "direct_bytes_per_s": self.direct,
            "redirected_bytes_per_s": self.redirected,
            "redirected_to_direct": self.ratios,
            "redirected_to_direct_min": REDIRECTED_MIN,
            "move_pause_s": self.moves,
            "move_pause_max_s": MOVE_MAX_S,
            "death_pause_s": self.deaths,
            "death_pause_max_s": death_max_s(),
        }


def death_max_s() -> float:
    """Detection, promises that run out, arbitration, and two seconds."""
    return until_view_s(Case(QuorumMode.NODE_MAJORITY, len(NODES), Dies.ANY), TIMING) + 2.0


def topology() -> Topology:
    nodes = ", ".join(f"{node}: {{memory: 512MiB}}" for node in NODES)
    return parse_topology(
        "name: bench-storage\n"
        f"timing: {{delay: {TIMING.delay_s * 1000:.0f}ms, threshold: {TIMING.threshold}}}\n"
        "networks:\n"
        "  management: {subnet: 10.0.1.0/24, gateway: true}\n"
        "  csv: {subnet: 10.0.2.0/24, metric: 900}\n"
        "  storage: {subnet: 10.0.8.0/24, role: None}\n"
        f"nodes: {{{nodes}}}\n"
        "coordinator: {networks: [management, csv]}\n"
        "san: {luns: [{name: data1, size: 2GiB, use: volume}]}\n"
    )


async def storage(rounds: int, folder: Path, note: Callable[[str], None]) -> Storage:
    """`rounds` of direct and redirected in turns, as many moves, and a few deaths of the owner."""
    direct, redirected, moves, deaths = list[float](), list[float](), list[float](), list[float]()
    async with running(topology(), Home(folder / "home")) as cluster:
        owner = await _owner(cluster)
        guest_node = next(node for node in NODES if node != owner)
        await _create(cluster, FAST, guest_node)
        for number in range(1, rounds + 1):
            direct.append(await _speed(cluster, on=False))
            redirected.append(await _speed(cluster, on=True))
            note(f"round {number} of {rounds}: redirected {redirected[-1] / direct[-1]:.2f}")
        await _redirect(cluster, on=False)
        await cluster.api.post(f"/vms/{FAST}/stop", {})
        await _create(cluster, SLOW, guest_node)
        for number in range(1, rounds + 1):
            moves.append(await _pause(cluster, partial(_move, cluster, guest_node)))
            note(f"move {number} of {rounds}: {moves[-1]:.3f} s")
        for number in range(1, min(rounds, DEATHS_MAX) + 1):
            if await _owner(cluster) == guest_node:
                await _move(cluster, guest_node)
            victim = await _owner(cluster)
            deaths.append(await _pause(cluster, partial(kill_node, cluster.lab, victim)))
            note(f"death {number}: {deaths[-1]:.3f} s")
            cluster.lab = await restart_node(cluster.lab, victim)
            await cluster.until_node(victim, "Up", WITHIN_S)
            await _until_direct(cluster)
    return Storage(direct, redirected, moves, deaths)


async def _create(cluster: Cluster, name: str, node: str) -> None:
    await cluster.api.post(
        "/vms",
        {
            "name": name,
            "memory": 8 << 20,
            "workload": GUESTS[name],
            "fill": "zero",
            "seed": 7,
            "node": node,
            "volume": "Volume1",
            "disks": [512 << 20],
        },
    )
    await cluster.online(name, 0, within_s=WITHIN_S)


async def _owner(cluster: Cluster) -> str:
    (volume,) = await cluster.api.get("/volumes")
    return str(volume["owner"])


async def _redirect(cluster: Cluster, on: bool) -> None:
    wanted = {"redirected"} if on else {"direct"}
    (now,) = await cluster.api.get("/volumes")
    if now["redirected"] is not on:
        await cluster.api.post("/volumes/Volume1/redirect", {"on": on})

    async def look() -> bool | None:
        (volume,) = await cluster.api.get("/volumes")
        owner = volume["owner"]
        ways = {way["access"] for way in volume["nodes"] if way["node"] != owner}
        return True if ways == wanted else None

    await until(f"not all nodes are {wanted}", look, WITHIN_S)


async def _until_direct(cluster: Cluster) -> None:
    async def look() -> bool | None:
        with contextlib.suppress(ShellError):
            (volume,) = await cluster.api.get("/volumes")
            ways = [way["access"] for way in volume["nodes"]]
            return True if ways and set(ways) == {"direct"} and volume["owner"] else None
        return None

    await until("not all nodes reach the volume directly", look, WITHIN_S)


async def _speed(cluster: Cluster, on: bool) -> float:
    """Bytes per second that the guest counted as safe."""
    await _redirect(cluster, on)
    with _guest(cluster, FAST) as guest:
        began_s, began = boottime(), guest.steps
        await asyncio.sleep(MEASURED_S)
        return (guest.steps - began) * ENTRY_BYTES / (boottime() - began_s)


async def _move(cluster: Cluster, guest_node: str) -> None:
    """To a node that is neither the owner nor the guest's."""
    before = await _owner(cluster)
    to = next(node for node in NODES if node not in (before, guest_node))
    await cluster.api.post("/volumes/Volume1/move", {"to": to})

    async def look() -> bool | None:
        return True if await _owner(cluster) == to else None

    await until("the volume did not move", look, WITHIN_S)
    await _until_direct(cluster)


async def _pause(cluster: Cluster, deed: Callable[[], Any]) -> float:
    """The longest time in which the guest counted nothing, from the deed until it is well again."""
    with _guest(cluster, SLOW) as guest:
        task = asyncio.ensure_future(deed())
        longest_s, since_s, steps, began_s = 0.0, boottime(), guest.steps, boottime()
        least_s = began_s + 1.0
        while True:
            await asyncio.sleep(PAUSE_LOOK_S)
            now_s = boottime()
            if guest.steps != steps:
                longest_s, since_s = max(longest_s, now_s - since_s), now_s
                steps = guest.steps
            quiet = now_s - since_s < 0.1 and now_s > least_s
            if task.done() and quiet and longest_s > 0.0 and await _is_served(cluster):
                await task
                return longest_s
            if now_s - began_s > WITHIN_S:
                raise LabError(f"the guest counts nothing for {now_s - since_s:.1f} s")


async def _is_served(cluster: Cluster) -> bool:
    """The dead owner was noticed, and another one is online."""
    with contextlib.suppress(ShellError):
        (volume,) = await cluster.api.get("/volumes")
        nodes = {row["name"]: row["state"] for row in await cluster.api.get("/nodes")}
        return bool(volume["state"] == "direct" and nodes.get(volume["owner"]) == "Up")
    return False


@contextlib.contextmanager
def _guest(cluster: Cluster, vm: str) -> Iterator[Witness]:
    """The one copy of a VM that runs; its memory is read for as long as the context lasts."""
    found: list[Witness] = workers(cluster.lab, vm)
    try:
        if len(found) != 1:
            raise LabError(f"{vm} has {len(found)} workers where one is measured")
        yield found[0]
    finally:
        for one in found:
            one.control.close()


def spread(figures: Sequence[float], unit: float = 1.0) -> str:
    if not figures:
        return "-"
    scaled = [figure * unit for figure in figures]
    return f"{median(scaled):.3f} ({min(scaled):.3f} - {max(scaled):.3f})"


def as_table(found: Storage) -> rich.table.Table:
    table = rich.table.Table(title="A guest on a shared volume", caption="median (min - max)")
    for heading, side in (("what", "left"), ("figure", "right"), ("limit", "right")):
        table.add_column(heading, justify=side)  # type: ignore[arg-type]
    table.add_row("direct writes, MB/s", spread(found.direct, 1e-6), "")
    table.add_row("redirected writes, MB/s", spread(found.redirected, 1e-6), "")
    table.add_row("redirected beside direct", spread(found.ratios), f">= {REDIRECTED_MIN}")
    table.add_row("pause, owner moved, s", spread(found.moves), f"< {MOVE_MAX_S:g}")
    table.add_row("pause, owner dead, s", spread(found.deaths), f"< {death_max_s():.1f}")
    return table
