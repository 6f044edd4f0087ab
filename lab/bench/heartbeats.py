"""Whether heartbeats suffer from migrations: the gaps between them, while VMs move back to back.

Every agent writes down each heartbeat that arrives (`--beat-log`); a gap lies between two arrivals
on one route, which is a receiver, a network and a sender.
"""

import asyncio
import contextlib
import itertools
import math
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from agent.io.memory import available_bytes
from lab.cluster import Cluster, running, topology_of
from lab.errors import LabError
from lab.evidence import boottime
from lab.home import Home
from lab.launching import Programs
from protocol.workload import format_size
from shell.errors import ShellError

GIB = 1024**3
DELAY_S = 0.25
THRESHOLD = 3
GAP_MAX_DELAYS = 1.5
NODES = ("node1", "node2", "node3")
NODE_REMOVED, QUORUM_LOST = 1135, 1177
FILLED_WITHIN_S = ENDED_WITHIN_S = 300.0

PRODUCT = (sys.executable, "-m", "agent")
CONTROL = (sys.executable, "-m", "lab.bench.control_agent")


@dataclass(frozen=True, slots=True)
class Load:
    """What moves meanwhile: one VM of each size, in turns, for so long.

    `share` of the gaps must be short. In a short measurement of few gaps it is less than 99.9 %, or
    it would be all of them.
    """

    seconds: float
    memory_bytes: tuple[int, ...]
    share: float = 0.999


@dataclass(frozen=True, slots=True)
class Beats:
    """What was measured. `long_s`: the load's share of the gaps is not longer than this. `downs`:
    nodes that were removed, and routes silent for the whole threshold.
    `quorum_losses` are of the coordinator, which hears nodes on the control link.
    """

    load: Load
    seconds: float
    migrations: int
    moved_bytes: int
    gaps: int
    median_s: float
    long_s: float
    longest_s: float
    downs: tuple[str, ...]
    quorum_losses: int

    @property
    def suffer(self) -> str | None:
        """Why migrations hurt heartbeats, as a sentence; None if they do not."""
        limit_s = GAP_MAX_DELAYS * DELAY_S
        if self.downs:
            return f"While VMs moved: {'; '.join(self.downs)}"
        if self.quorum_losses:
            return f"The coordinator lost its quorum {self.quorum_losses} times."
        if self.long_s >= limit_s:
            share = f"{self.load.share * 100:g} %"
            return f"{share} of the gaps are up to {self.long_s:.3f} s; {limit_s:.3f} s may be."
        return None

    def as_data(self) -> dict[str, Any]:
        return {**asdict(self), "delay_s": DELAY_S, "threshold": THRESHOLD, "suffer": self.suffer}


def full_load() -> Load:
    """60 s of 1 and 8 GiB; of less than 8 where the machine has no room for two of them."""
    room = (available_bytes() - 4 * GIB) // 2
    large = min(8 * GIB, room // GIB * GIB)
    if large < 2 * GIB:
        raise LabError(f"heartbeats under load need {8 * GIB} bytes of free memory")
    return Load(60.0, (GIB, large))


async def beats_under(
    load: Load,
    folder: Path,
    note: Callable[[str], None],
    agent: Sequence[str] = PRODUCT,
) -> Beats:
    """Move VMs back to back on three nodes and see what that does to heartbeats."""
    logs = folder / "beats"
    logs.mkdir(mode=0o700, parents=True)
    memory = format_size(sum(load.memory_bytes) + GIB)
    topology = topology_of(
        len(NODES), memory=memory, delay=f"{DELAY_S * 1000:.0f}ms", threshold=THRESHOLD
    )
    programs = Programs(agent=(*agent, "--beat-log", str(logs)))
    async with running(topology, Home(folder / "home"), programs) as cluster:
        vms = [f"vm{number}" for number in range(1, len(load.memory_bytes) + 1)]
        for vm, size in zip(vms, load.memory_bytes, strict=True):
            note(f"{vm}: filling {format_size(size)}")
            await cluster.create(vm, str(size), NODES[0], within_s=FILLED_WITHIN_S)
        began_s, known = boottime(), len(await cluster.events())
        note(f"moving them for {load.seconds:g} s")
        moved = await _move(cluster, vms, load)
        ended_s = boottime()
        events = (await cluster.events())[known:]
    downs = [event["text"] for event in events if event["id"] == NODE_REMOVED]
    gaps = sorted(gaps_of(logs, began_s, ended_s))
    silent = sum(gap > DELAY_S * THRESHOLD for gap in gaps)
    if silent:
        downs.append(f"{silent} times a route was silent for the whole threshold.")
    return Beats(
        load,
        ended_s - began_s,
        len(moved),
        sum(moved),
        len(gaps),
        rank(gaps, 0.5),
        rank(gaps, load.share),
        gaps[-1],
        tuple(downs),
        sum(event["id"] == QUORUM_LOST for event in events),
    )


async def _move(cluster: Cluster, vms: Sequence[str], load: Load) -> list[int]:
    """Bytes on the wire of each migration that was completed. One that fails is not a verdict."""
    moved: list[int] = []
    until_s = time.monotonic() + load.seconds
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(load.seconds + 30.0):
            for vm in itertools.cycle(vms):
                if time.monotonic() >= until_s:
                    break
                here = (await cluster.vm(vm))["node"]
                there = NODES[(NODES.index(here) + 1) % len(NODES)]
                try:
                    record = await cluster.ended(await cluster.migrate(vm, there), ENDED_WITHIN_S)
                except (LabError, ShellError):  # a control may lose nodes, which is what it shows
                    await asyncio.sleep(DELAY_S)
                else:
                    moved.append(record["wire_bytes"])
    return moved


def gaps_of(logs: Path, from_s: float, to_s: float) -> list[float]:
    """Seconds between two arrivals on each route, within that time."""
    found: list[float] = []
    for log in sorted(logs.iterdir()):
        arrivals: dict[tuple[str, str], list[float]] = {}
        for line in log.read_text().splitlines():
            at, network, sender = line.split()
            if from_s <= float(at) <= to_s:
                arrivals.setdefault((network, sender), []).append(float(at))
        for times in arrivals.values():
            edges = (*times, to_s)  # a route that fell silent has a gap up to the end
            found += [later - earlier for earlier, later in itertools.pairwise(edges)]
    if not found:
        raise LabError("no heartbeat was written down")
    return found


def rank(ordered: Sequence[float], share: float) -> float:
    return ordered[min(len(ordered) - 1, math.ceil(share * len(ordered)) - 1)]
