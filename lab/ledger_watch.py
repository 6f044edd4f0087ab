"""What is seen of ledger guests and of the lives of nodes from outside, while a lab is hurt."""

import asyncio
import contextlib
import time
from dataclasses import dataclass, field

from lab.cluster import Cluster
from lab.evidence import Witness, all_workers
from lab.procfs import stat
from shell.errors import ShellError

LOOK_EVERY_S = 0.1


@dataclass
class Watch:
    """What is seen of guests and lives from outside, all the time."""

    cluster: Cluster
    seeds: dict[str, int]
    counted: dict[int, int] = field(default_factory=dict)
    """By ledger: the most entries that a guest was seen to have counted."""

    lives: dict[str, list[tuple[float, str]]] = field(default_factory=dict)
    """Of each node, and when each was first seen on the wall clock."""

    _open: dict[tuple[str, int], Witness] = field(default_factory=dict)

    def look(self) -> None:
        """Shared memory stays readable when its worker is dead: what it last counted is seen."""
        for vm, copies in all_workers(self.cluster.lab).items():
            for one in copies:
                key = (vm, one.process.pid)
                if key in self._open:
                    one.control.close()
                else:
                    self._open[key] = one
        for (vm, pid), one in list(self._open.items()):
            runs = one.runs
            ledger = self.seeds[vm]
            self.counted[ledger] = max(self.counted.get(ledger, 0), one.steps)
            if not runs and stat(one.process.pid) is None:
                one.control.close()
                del self._open[vm, pid]

    async def look_at_lives(self) -> None:
        with contextlib.suppress(ShellError):
            for row in await self.cluster.api.get("/nodes"):
                life, known = row.get("incarnation"), self.lives.setdefault(row["name"], [])
                if life and all(life != one for _, one in known):
                    known.append((time.time(), life))

    async def forever(self) -> None:
        while True:
            self.look()
            await self.look_at_lives()
            await asyncio.sleep(LOOK_EVERY_S)

    def life_at(self, node: str, wall_s: float) -> str | None:
        """The one that was there; the first one also before anybody looked."""
        lives = self.lives.get(node, [])
        known = [life for at, life in lives if at <= wall_s + 1.0]
        return known[-1] if known else lives[0][1] if lives else None
