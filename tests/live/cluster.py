"""A small real cluster for live tests: short clocks, ports of the kernel's choice."""

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

from lab.cluster import Cluster, running, topology_of
from lab.home import Home
from lab.launching import Programs

DELAY_S = 0.25
THRESHOLD = 5
LEASE_S = DELAY_S * THRESHOLD
FAILOVER_S = 20.0
"""Silence, a view without the node, a cold start; generous, since the machine does other things."""


@contextlib.asynccontextmanager
async def live_cluster(
    nodes: int,
    tmp_path: Path,
    story: list[Path],
    programs: Programs | None = None,
    more: str = "",
) -> AsyncIterator[Cluster]:
    """`more` are further lines of the topology."""
    home = Home(tmp_path / "home")
    story.append(home.folder("test") / "logs")
    topology = topology_of(nodes, delay="250ms", threshold=THRESHOLD, more=more)
    async with running(topology, home, programs) as cluster:
        try:
            yield cluster
        except BaseException:
            # The lab's folder goes with the lab; its logs are what a failure has to tell.
            kept = tmp_path / "logs"
            (cluster.lab.state_dir / "logs").rename(kept)
            story[-1] = kept
            raise
