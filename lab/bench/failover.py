"""How long VMs are gone when their node dies, for each quorum mode, held against the design's sum.

An agent is killed with SIGKILL. What then happened is read from what no agent says: the event log,
and the shared memory of the VMs' workers, old and new, all on this machine's CLOCK_BOOTTIME.
"""

import asyncio
import contextlib
import itertools
import math
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any, Protocol

from lab.bench.failover_sums import (
    MODES,
    Case,
    Dies,
    cases,
    parts,
    until_running_s,
    until_view_s,
)
from lab.cluster import LOOK_EVERY_S, Cluster, running, topology_of, until
from lab.errors import LabError
from lab.evidence import Witness, all_workers, boottime
from lab.home import Home
from lab.processes import kill_node, restart_node
from protocol.names import QuorumMode, Timing
from shell.errors import ShellError

TIMING = Timing(delay_s=0.25, threshold=3)
"""The shortest SameSubnetDelay of the field, and its smallest threshold."""

COUNTS = (1, 10, 100)
VM_BYTES = 1 << 20
GUEST = "uniform:rate=64KiB/s"
"""Little work, so that the machine is not what is measured; but a guest that shows that it runs."""

NODE_REMOVED = 1135
WITHIN_S = 120.0
NAN = float("nan")


@dataclass(frozen=True, slots=True)
class Failover:
    """One death, in seconds from the kill on."""

    case: Case
    vms: int
    decided_s: float
    """A view without the node was written: it is taken for dead."""

    held_s: float
    """That view holds: event 1135."""

    first_s: float
    last_s: float
    """The first and the last guest ran elsewhere."""

    wrong: tuple[str, ...]
    """VMs that did not run exactly once, each with what was found."""

    @property
    def trouble(self) -> str | None:
        """Why this is not as the design wants it; None if it is."""
        view_s = until_view_s(self.case, TIMING)
        running_s = until_running_s(self.case, TIMING, self.vms)
        if self.wrong:
            return self.wrong[0]
        if self.held_s > view_s:
            return f"the view held after {self.held_s:.2f} s; {view_s:.2f} s may be"
        if self.last_s > running_s:
            return f"all VMs ran after {self.last_s:.2f} s; {running_s:.2f} s may be"
        return None


def topology_lines(case: Case) -> str:
    kind = "share" if case.mode is QuorumMode.NODE_AND_SHARE else "disk"
    witness = f", witness: {{{kind}: witness}}" if case.has_witness else ""
    return f"quorum: {{mode: {case.mode.value}{witness}}}\n"


async def failovers(
    rounds: int,
    folder: Path,
    note: Callable[[str], None],
    counts: Sequence[int] = COUNTS,
    modes: Sequence[tuple[QuorumMode, int]] = MODES,
) -> list[Failover]:
    """Every case in turns, `rounds` times each, in one lab for each mode."""
    found = []
    for mode, nodes in modes:
        both = cases(mode, nodes)
        topology = topology_of(
            nodes,
            name="failover",
            memory="1GiB",
            delay=f"{TIMING.delay_s * 1000:.0f}ms",
            threshold=TIMING.threshold,
            more=topology_lines(both[0]),
        )
        async with running(topology, Home(folder / mode.value)) as cluster:
            for nth, vms, case in itertools.product(range(rounds), counts, both):
                note(f"{case}, with {vms} VMs, round {nth + 1} of {rounds}")
                try:
                    one = await _once(cluster, case, vms)
                    found.append(one)
                    verdict = one.trouble or "within the sum"
                    note(f"  view {one.held_s:.2f} s, all run {one.last_s:.2f} s: {verdict}")
                except LabError as exc:
                    # What was waited for did not come; the rest of this lab would tell nothing.
                    found.append(Failover(case, vms, NAN, NAN, NAN, NAN, (str(exc),)))
                    break
    return found


async def _once(cluster: Cluster, case: Case, vms: int) -> Failover:
    names = [f"vm{number:03}" for number in range(1, vms + 1)]
    node = await _victim(cluster, case)
    await _all_work(cluster, names, node)
    known = (await cluster.api.get("/log", limit=1))[-1]["index"]
    view = (await cluster.api.get("/status"))["view"]["number"]
    with seen(cluster) as before:
        killed_s = boottime()
        await kill_node(cluster.lab, node)
        decided_s = await _decided(cluster, view)
        held_s = await _held(cluster, known, node)
        await _all_run(cluster, names, node)
        with seen(cluster) as after:
            began = [_began_s(after.get(name, ())) for name in names]
            wrong = [f for n in names if (f := why_wrong(n, node, before[n], after.get(n, ())))]
    await _tidy(cluster, names, node)
    return Failover(
        case,
        vms,
        min(decided_s, held_s) - killed_s,
        held_s - killed_s,
        min(began) - killed_s,
        max(began) - killed_s,
        tuple(wrong),
    )


async def _victim(cluster: Cluster, case: Case) -> str:
    """The node that is to die, once somebody holds the witness."""
    nodes = [node.name for node in cluster.lab.nodes]
    if not case.has_witness:
        return nodes[0]

    async def look() -> str | None:
        witness = (await cluster.api.get("/status"))["quorum"]["witness"]
        holder = witness and witness["holder"]
        return None if holder is None else str(holder)

    holder = await until("nobody took the witness", look, WITHIN_S)
    return holder if case.dies is Dies.HOLDER else next(n for n in nodes if n != holder)


# ---- what is seen from outside


@contextlib.contextmanager
def seen(cluster: Cluster) -> Iterator[dict[str, list[Witness]]]:
    """The workers of all VMs, whose memory stays readable for as long as the context lasts."""
    found = all_workers(cluster.lab)
    try:
        yield found
    finally:
        for witness in itertools.chain.from_iterable(found.values()):
            witness.control.close()


class Worker(Protocol):
    """What of a worker says whether its guest ran twice; times on CLOCK_BOOTTIME."""

    node: str

    @property
    def runs(self) -> bool: ...

    @property
    def beat_s(self) -> float: ...

    @property
    def changed_s(self) -> float: ...


def why_wrong(vm: str, node: str, before: Sequence[Worker], after: Sequence[Worker]) -> str:
    """Why this VM does not run elsewhere exactly once; empty if it does."""
    now = [witness for witness in after if witness.runs]
    if [witness for witness in before if witness.runs]:
        return f"{vm} still runs on {node}, which was killed"
    if len(now) != 1 or now[0].node == node:
        where = ", ".join(witness.node for witness in now)
        return f"{vm} runs {len(now)} times after {node} was killed ({where or 'nowhere'})"
    if max(witness.beat_s for witness in before) > now[0].changed_s:
        return f"{vm} ran on {now[0].node} before it had ended on {node}"
    return ""


def _began_s(witnesses: Sequence[Witness]) -> float:
    return min((w.changed_s for w in witnesses if w.runs), default=NAN)


async def _decided(cluster: Cluster, view: int) -> float:
    """When a newer view was written, as closely as one may look without being in the way."""

    async def look() -> float | None:
        now = (await cluster.api.get("/status"))["view"]
        return boottime() if now is not None and now["number"] > view else None

    return await until("no view without the dead node was proposed", look, WITHIN_S)


async def _held(cluster: Cluster, known: int, node: str) -> float:
    """When a view without the node held, as the event log says; both clocks are of one machine."""

    async def look() -> float | None:
        for event in await cluster.api.get("/log", after=known, limit=1000):
            if event["id"] == NODE_REMOVED and event["node"] == node:
                return float(event["at"]) - time.time() + boottime()
        return None

    return await until(f"{node} was not removed", look, WITHIN_S)


async def _all_run(cluster: Cluster, names: Sequence[str], node: str) -> None:
    async def look() -> bool | None:
        rows = {row["name"]: row for row in await cluster.api.get("/vms")}
        back = [row for row in map(rows.__getitem__, names) if _is_back(row, node)]
        return True if len(back) == len(names) else None

    await until(f"not all VMs of {node} came back", _patient(look), WITHIN_S)


def _is_back(row: dict[str, Any], node: str) -> bool:
    return bool(row["state"] == "Online" and row["node"] != node and row["steps"] > 0)


# ---- for the next round


async def _all_work(cluster: Cluster, names: Sequence[str], node: str) -> None:
    """The VMs, at work on `node`. With so short a lease a leader may resign while the machine is
    busy; whoever has asked then looks, and asks again.
    """

    async def look() -> bool | None:
        steps = {row["name"]: row["steps"] for row in await cluster.api.get("/vms")}
        asked = {"memory": VM_BYTES, "node": node, "workload": GUEST, "fill": "zero"}
        for name in names:
            if name not in steps:
                await cluster.api.post("/vms", {"name": name, **asked})
        return True if all(steps.get(name, 0) > 0 for name in names) else None

    await until(f"not all VMs got to work on {node}", _patient(look), WITHIN_S)


async def _all_gone(cluster: Cluster, names: Sequence[str]) -> None:
    async def look() -> bool | None:
        states = {row["name"]: row["state"] for row in await cluster.api.get("/vms")}
        for name in names:
            if states.get(name) == "Offline":
                await cluster.api.delete(f"/vms/{name}")
            elif name in states:
                await cluster.api.post(f"/vms/{name}/stop")
        return None if states.keys() & set(names) else True

    await until("the VMs did not go", _patient(look), WITHIN_S)


def _patient(look: Callable[[], Awaitable[bool | None]]) -> Callable[[], Awaitable[bool | None]]:
    """Looks not too often, since a picture of many VMs has its price; a refusal is no answer."""

    async def patient() -> bool | None:
        with contextlib.suppress(ShellError):
            if await look():
                return True
        await asyncio.sleep(5 * LOOK_EVERY_S)
        return None

    return patient


async def _tidy(cluster: Cluster, names: Sequence[str], node: str) -> None:
    """No VM is left, and the node is back."""
    await _all_gone(cluster, names)
    cluster.lab = await restart_node(cluster.lab, node)
    await cluster.until_node(node, "Up", WITHIN_S)


# ---- told


def rows(found: Sequence[Failover]) -> Iterator[tuple[str, ...]]:
    """For each case and number of VMs: the medians with their spread, and the design's sums."""
    order = sorted(found, key=lambda one: (str(one.case), one.vms))
    for (case, vms), group in itertools.groupby(order, key=lambda one: (one.case, one.vms)):
        same = list(group)
        trouble = next((one.trouble for one in same if one.trouble), None)
        yield (
            str(case),
            str(vms),
            spread([one.decided_s for one in same]),
            spread([one.held_s for one in same]),
            f"{until_view_s(case, TIMING):.2f}",
            spread([one.first_s for one in same]),
            spread([one.last_s for one in same]),
            f"{until_running_s(case, TIMING, vms):.2f}",
            trouble or "within",
        )


def spread(figures: Sequence[float]) -> str:
    """The median with the least and the most; of a round that failed there are none."""
    figures = [figure for figure in figures if not math.isnan(figure)]
    if not figures:
        return "-"
    return f"{median(figures):.2f} ({min(figures):.2f} - {max(figures):.2f})"


def as_data(found: Sequence[Failover]) -> list[dict[str, Any]]:
    """One entry for each round; what could not be measured is null."""
    return [
        {
            **{key: _known(value) for key, value in asdict(one).items()},
            "case": str(one.case),
            "sum": parts(one.case, TIMING),
            "until_view_s": until_view_s(one.case, TIMING),
            "until_running_s": until_running_s(one.case, TIMING, one.vms),
            "trouble": one.trouble,
        }
        for one in found
    ]


def _known(value: object) -> object:
    return None if isinstance(value, float) and math.isnan(value) else value
