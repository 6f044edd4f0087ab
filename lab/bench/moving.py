"""Migrations of one VM between two nodes of a real lab, each measured from outside."""

import contextlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from lab.bench.comparisons import Case, Load
from lab.bench.probe import Probe
from lab.cluster import Cluster, running, topology_of, until
from lab.errors import LabError
from lab.home import Home
from lab.launching import Programs
from protocol.names import PAGE_BYTES
from protocol.workload import format_size
from shell.errors import Declined, ShellError

NODES = ("node1", "node2")
VM = "bench"
ROOM = 256 << 20
COMMITTED = 20418
"""The event."""

CREATED_WITHIN_S, ENDED_WITHIN_S, CANCELLED_WITHIN_S = 120.0, 60.0, 10.0


class NotAvailable(LabError):
    """It cannot be measured here; the sentence says why."""


class Stuck(NotAvailable):
    """Nor could it be cancelled: its lab is good for nothing more."""


@dataclass(frozen=True, slots=True)
class Measured:
    """One migration, ours or a yardstick's; what it does not have is None or empty.

    `total_s`: from the moment the target's memory is there to that in which the guest has all of it
    there and runs; `prepare_s` comes before, `clean_s` behind. `gap_s`: as the guest's beats tell.
    """

    total_s: float
    blackout_s: float
    cpu_s: float
    wire_bytes: int
    memory_bytes: int
    prepare_s: float | None = None
    clean_s: float = 0.0
    gap_s: float | None = None
    parts: dict[str, float] = field(default_factory=dict)
    rounds: list[dict[str, Any]] = field(default_factory=list)
    predicted: dict[str, Any] | None = None
    over_bytes: dict[str, int] = field(default_factory=dict)
    verified: bool | None = None
    reason: str = ""

    @property
    def cpu_s_per_gib(self) -> float:
        return self.cpu_s * (1 << 30) / self.memory_bytes

    @property
    def goodput_bytes_per_s(self) -> float:
        """Of round 0."""
        if not self.rounds or not self.rounds[0]["seconds"]:
            return self.memory_bytes / self.total_s
        return float(self.rounds[0]["pages"] * PAGE_BYTES / self.rounds[0]["seconds"])

    @property
    def later_bytes(self) -> int:
        """What rounds after the first had on the wire."""
        return sum(row["wire_bytes"] for row in self.rounds[1:])

    @property
    def later_page_bytes(self) -> int:
        """What the same rounds would have had if every page travelled as it is."""
        return sum(row["pages"] * PAGE_BYTES for row in self.rounds[1:])


@dataclass
class Field:
    """A lab of two nodes and at most one VM, which has the load of the case that is measured."""

    cluster: Cluster
    memory_bytes: int
    load: Load | None = None
    slow: dict[str, float] = field(default_factory=dict)

    async def clear(self) -> None:
        """No VM, so that what is measured next has the machine for itself."""
        if self.load is not None:
            await self._stopped()
            await self.cluster.api.delete(f"/vms/{VM}")
            self.load = None

    async def migrated(self, case: Case) -> Measured:
        """NotAvailable if the cluster refuses what the case asks for."""
        if self.load != case.load:
            await self.clear()
            self.load = case.load
            workload = case.load.workload(self.memory_bytes)
            await self.cluster.create(
                *(VM, str(self.memory_bytes), NODES[0], workload, case.load.fill),
                within_s=CREATED_WITHIN_S,
            )
        here = (await self.cluster.vm(VM))["node"]
        there = next(node for node in NODES if node != here)
        probe = Probe(self.cluster.lab, self.memory_bytes, here, there, case.load.writes)
        with probe:
            attempt = await self._begun(case, there)
            record = await self._ended(attempt)
            probe.end_clock()
            if case.load.writes and record["outcome"] == "completed":
                await self.cluster.online(VM, off=here)
        if record["outcome"] != "completed":
            raise NotAvailable(f"It ended {record['outcome']}: {record['reason']}")
        done_s = await self._done_s(record)
        return _measured(record, probe, self.memory_bytes, done_s)

    async def _done_s(self, record: dict[str, Any]) -> float:
        """From the request to the guest running with all its memory: at the commit it is all there,
        but for post-copy, which ends when the attempt does.
        """
        if not record["policy"].startswith("post-copy"):
            for event in await self.cluster.api.get("/log", id=str(COMMITTED), limit=10):
                if event["attempt"] == record["attempt"]:
                    resume_s = record["blackout"].get("resume", 0.0)
                    return float(event["at"] - record["asked_at"] + resume_s)
        return float(record["total_s"])

    async def _begun(self, case: Case, there: str) -> int:
        body = {"to": there, "policy": case.policy, "verify": case.verify, **case.travel}
        try:
            return int((await self.cluster.api.post(f"/vms/{VM}/migrate", body))["attempt"])
        except Declined as declined:
            raise NotAvailable(str(declined)) from None

    async def _ended(self, attempt: int) -> dict[str, Any]:
        try:
            return await self.cluster.ended(attempt, ENDED_WITHIN_S)
        except LabError:
            with contextlib.suppress(ShellError):
                await self.cluster.api.post(f"/attempts/{attempt}/cancel", {})
            words = f"It did not end within {ENDED_WITHIN_S:g} s"
            try:
                await self.cluster.ended(attempt, CANCELLED_WITHIN_S)
            except LabError:
                raise Stuck(f"{words}, and cancelling it did not help.") from None
            raise NotAvailable(f"{words}, and was cancelled.") from None

    async def _stopped(self) -> None:
        await self.cluster.api.post(f"/vms/{VM}/stop", {})

        async def look() -> bool | None:
            return True if (await self.cluster.vm(VM))["state"] == "Offline" else None

        await until(f"{VM} was not switched off", look)


class Ground:
    """Where fields are: a lab that is started when it is wanted, and again after it was left."""

    def __init__(
        self,
        memory_bytes: int,
        folder: Path,
        programs: Programs | None = None,
        *,
        kept: bool = False,
    ) -> None:
        """A VM of that size has room on each of its nodes; with `kept` its image has, too."""
        self.memory_bytes = memory_bytes
        self._folder = folder
        self._programs = programs
        self._kept = kept
        self._open = contextlib.AsyncExitStack()
        self._field: Field | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.leave()

    async def field(self) -> Field:
        if self._field is None:
            memory = format_size(self.memory_bytes + ROOM)
            kept = format_size(self.memory_bytes) if self._kept else ""
            topology = topology_of(len(NODES), memory=memory, delay="1s", kept=kept)
            lab = running(topology, Home(self._folder / "home"), self._programs)
            self._field = Field(await self._open.enter_async_context(lab), self.memory_bytes)
        return self._field

    async def leave(self) -> None:
        """End the lab, whatever state it is in."""
        self._field = None
        await self._open.aclose()

    async def clear(self) -> None:
        if self._field is not None:
            await self._field.clear()

    async def migrated(self, case: Case) -> Measured:
        try:
            return await (await self.field()).migrated(case)
        except (LabError, ShellError) as error:
            await self.leave()  # what is left of the case would be in the next one's way
            if isinstance(error, NotAvailable):
                raise
            raise NotAvailable(str(error)) from error


def _measured(record: dict[str, Any], probe: Probe, memory_bytes: int, done_s: float) -> Measured:
    return Measured(
        total_s=done_s - probe.prepare_s,
        blackout_s=record["blackout_s"] or 0.0,
        cpu_s=probe.cpu_used_s,
        wire_bytes=record["wire_bytes"],
        memory_bytes=memory_bytes,
        prepare_s=probe.prepare_s,
        clean_s=record["total_s"] - done_s,
        gap_s=probe.gap_s,
        parts=record["blackout"],
        rounds=record["rounds"],
        predicted=record["predicted"],
        over_bytes=dict(probe.over_bytes),
        verified=record["verified"],
        reason=record["reason"],
    )
