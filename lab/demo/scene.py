"""The stage of the demonstration: one lab, its API, and looks at it."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from lab.demo.checks import Sample
from lab.demo.report import Report
from lab.errors import LabError
from lab.forming import state_of_node
from lab.home import LabRecord
from shell.errors import Declined
from shell.io.client import Client
from shell.progress import Bars, ended

Data = dict[str, Any]
Look = Callable[[Sequence[Data]], Awaitable[None]]

LOOK_EVERY_S = 0.05
SAMPLE_EVERY_S = 0.25
PAGE_EVENTS = 500


async def nothing(rows: Sequence[Data]) -> None:
    """Look at nothing in particular."""


@dataclass
class Scene:
    """A running lab. What waits here waits for `patience_s` and then raises LabError."""

    lab: LabRecord
    api: Client
    report: Report
    patience_s: float = 25.0
    samples: list[Sample] = field(default_factory=list)

    async def vm(self, name: str) -> Data:
        row: Data = await self.api.get(f"/vms/{name}")
        return row

    async def node(self, name: str) -> Data:
        rows: list[Data] = await self.api.get("/nodes")
        return next(row for row in rows if row["name"] == name)

    async def create(
        self, name: str, memory: str, node: str, workload: str, fill: str = "random"
    ) -> Data:
        """The VM, Online and with a guest that has begun to work."""
        self.report.note(f"{name}: {memory} on {node}, filled with {fill}, guest {workload}")
        body = {
            "name": name,
            "memory": memory,
            "node": node,
            "workload": workload,
            "fill": fill,
            "start": True,
        }
        await self.api.post("/vms", body)
        return await self.working(name)

    async def working(self, name: str, steps: int = 0, *, off: str = "") -> Data:
        """The VM once it is Online, not on node `off`, and its guest has done more than `steps`."""

        async def look() -> Data | None:
            row = await self.vm(name)
            if row["state"] == "Failed":
                raise LabError(f"{name} is Failed: {row.get('reason') or 'see its events'}")
            good = row["state"] == "Online" and row["steps"] > steps and row["node"] != off
            return row if good else None

        return await self.until(f"{name} did not get to work", look)

    async def until(self, trouble: str, look: Callable[[], Awaitable[Data | None]]) -> Data:
        give_up_at = time.monotonic() + self.patience_s
        while (found := await look()) is None:
            if time.monotonic() >= give_up_at:
                raise LabError(f"{trouble} within {self.patience_s:g} s")
            await asyncio.sleep(LOOK_EVERY_S)
        return found

    async def until_node(self, node: str, state: str) -> Data:
        async def look() -> Data | None:
            return await self.node(node) if await state_of_node(self.api, node) == state else None

        return await self.until(f"{node} was not {state}", look)

    async def migrate(self, vm: str, to: str, verify: str = "off") -> int:
        begun = await self.api.post(f"/vms/{vm}/migrate", {"to": to, "verify": verify})
        return int(begun["attempt"])

    async def refusal(self, vm: str, to: str) -> Data | None:
        """How a migration of `vm` is refused; None if it is not."""
        try:
            await self.migrate(vm, to)
        except Declined as exc:
            answer = {"status": exc.status, "code": exc.code, "message": str(exc)}
            return {**answer, "record": exc.body.get("record")}
        return None

    async def watched(self, *attempts: int, look: Look = nothing) -> list[Data]:
        """The records of these attempts once all are complete; `look` sees how they go."""
        with Bars(self.report.console, silent=self.report.silent) as bars:
            while True:
                rows = [await self.api.get(f"/attempts/{attempt}") for attempt in attempts]
                bars.update(rows)
                await look(rows)
                if all(ended(row) for row in rows):
                    return rows
                await asyncio.sleep(LOOK_EVERY_S)

    async def sample(self, vm: str) -> None:
        """Note what the guest has done, a few times a second."""
        now = time.monotonic()
        if not self.samples or now >= self.samples[-1].at + SAMPLE_EVERY_S:
            self.samples.append(Sample(now, (await self.vm(vm))["steps"]))

    async def newest_event(self) -> int:
        rows = await self.api.get("/log", limit=1)
        return int(rows[-1]["index"]) if rows else 0

    async def events(self, after: int) -> list[Data]:
        found: list[Data] = []
        while rows := await self.api.get("/log", after=after, limit=PAGE_EVENTS):
            found += rows
            after = rows[-1]["index"]
        return found
