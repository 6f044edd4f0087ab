"""`make chaos-storage`: a lab with a SAN and guests that keep ledgers, hurt again and again.

Real processes: three agents, a coordinator, a san. Each round hurts one thing and waits until every
guest counts entries again. At the end the san's log is joined with what lies on its disks and with
what the guests had counted, as their shared memory showed it (`lab/storage_evidence.py`).
"""

import asyncio
import contextlib
import json
import random
import shutil
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import rich.console
import typer
import uvloop

from agent.guests.ledger_log import WINDOW
from agent.volumes.extents import BLOCK_BYTES
from agent.volumes.layout import HEAD_BLOCKS
from lab import deeds, san_admin
from lab.cluster import Cluster, running, until
from lab.errors import LabError
from lab.home import Home, read_record
from lab.ledger_disks import LUN_BLOCK_BYTES, entries_on
from lab.ledger_watch import Watch
from lab.processes import kill_node, kill_san, restart_node, restart_san
from lab.storage_evidence import EntryFound, Findings, Owned, Verdict, judged
from lab.topology import Topology, parse_topology
from protocol.disks import key_of_life
from protocol.names import ClusterId, Incarnation
from san.io.evidence import read_evidence
from shell.errors import DONE, FAILED, INCONCLUSIVE, ShellError

NODES = ("node1", "node2", "node3")
VOLUMES = 2
GUESTS = 4
ENTRY_BYTES = 4096
WORKLOAD = f"ledger:rate=48KiB/s,entry={ENTRY_BYTES}"
WELL_WITHIN_S = 90.0
ONLINE_EVENT, PENDING_EVENT = 9063, 9062


def topology() -> Topology:
    nodes = ", ".join(f"{node}: {{memory: 512MiB}}" for node in NODES)
    luns = ", ".join(
        f"{{name: data{number}, size: 1GiB, use: volume}}" for number in range(1, VOLUMES + 1)
    )
    return parse_topology(
        "name: chaos-storage\n"
        "timing: {delay: 250ms, threshold: 5}\n"
        "networks:\n"
        "  management: {subnet: 10.0.1.0/24, gateway: true}\n"
        "  csv: {subnet: 10.0.2.0/24, metric: 900}\n"
        "  storage: {subnet: 10.0.8.0/24, role: None}\n"
        f"nodes: {{{nodes}}}\n"
        "coordinator: {networks: [management, csv]}\n"
        f"san: {{luns: [{luns}]}}\n"
    )


class Refused(Exception):
    """What was to be done did not come to be, and hurt nothing."""


class Chaos:
    """One lab, from its volumes to the verdict."""

    def __init__(self, cluster: Cluster, seed: int, note: Callable[[str], None]) -> None:
        self.cluster, self.note = cluster, note
        self.random = random.Random(seed)
        self.vms = {f"ledger{number}": seed * 1000 + number for number in range(1, GUESTS + 1)}
        self.watch = Watch(cluster, self.vms)
        self.done: dict[str, int] = {}
        self.refused = 0

    async def prepare(self) -> None:
        """Volumes, and a guest with a ledger on each in turn."""
        for number, (name, seed) in enumerate(self.vms.items()):
            await self.cluster.api.post(
                "/vms",
                {
                    "name": name,
                    "memory": 8 << 20,
                    "workload": WORKLOAD,
                    "fill": "zero",
                    "seed": seed,
                    "volume": f"Volume{number % VOLUMES + 1}",
                    "disks": [128 << 20],
                },
            )
        await self.until_well()

    async def rounds(self, count: int) -> None:
        for number in range(1, count + 1):
            name = self.random.choice(list(DEEDS))
            began = time.monotonic()
            try:
                await DEEDS[name](self)
                self.done[name] = self.done.get(name, 0) + 1
            except (ShellError, Refused) as refused:
                self.refused += 1
                self.note(f"round {number} of {count}: {name} was refused: {refused}")
            await self.until_well()
            self.note(f"round {number} of {count}: {name}, {time.monotonic() - began:.1f} s")

    async def until_well(self) -> None:
        """Every guest counts entries again; LabError with what was seen if one does not."""
        before = dict(self.watch.counted)

        async def look() -> bool | None:
            self.watch.look()
            grown = [self.watch.counted.get(s, 0) > before.get(s, 0) for s in self.vms.values()]
            return True if all(grown) and await self._all_up() else None

        try:
            await until("not every ledger grows again", look, WELL_WITHIN_S)
        except LabError as exc:
            raise LabError(f"{exc}: {await self._how_it_stands()}") from exc

    async def _how_it_stands(self) -> str:
        with contextlib.suppress(ShellError):
            vms = [
                f"{row['name']} {row['state']} on {row['node']} {row.get('reason') or ''}".strip()
                for row in await self.cluster.api.get("/vms")
            ]
            nodes = [
                f"{row['name']} {row['state']}" for row in await self.cluster.api.get("/nodes")
            ]
            volumes = [
                f"{row['name']} {row['state']} {[way['access'] for way in row['nodes']]}"
                for row in await self.cluster.api.get("/volumes")
            ]
            return "; ".join([*vms, *nodes, *volumes, f"counted {self.watch.counted}"])
        return "the coordinator does not answer"

    async def _all_up(self) -> bool:
        with contextlib.suppress(ShellError):
            nodes = await self.cluster.api.get("/nodes")
            volumes = await self.cluster.api.get("/volumes")
            ways = [way["access"] for volume in volumes for way in volume["nodes"]]
            return all(row["state"] == "Up" for row in nodes) and set(ways) == {"direct"}
        return False

    # ---- what hurts

    def _node(self) -> str:
        return self.random.choice(NODES)

    async def _owner(self) -> str:
        volumes = await self.cluster.api.get("/volumes")
        return str(self.random.choice(volumes)["owner"] or NODES[0])

    async def _kill(self, node: str) -> None:
        await kill_node(self.cluster.lab, node)
        await asyncio.sleep(self.random.choice([0.0, 1.0, 4.0]))
        self.cluster.lab = await restart_node(self.cluster.lab, node)

    async def fail_over(self) -> None:
        await self._kill(self._node())

    async def kill_owner(self) -> None:
        await self._kill(await self._owner())

    async def freeze_owner(self) -> None:
        """For longer than its lease: it wakes as one who was deposed."""
        node = await self._owner()
        await deeds.freeze(self.cluster.lab, node, False)
        await asyncio.sleep(self.random.uniform(0.5, 6.0))
        await deeds.thaw(self.cluster.lab, node, False)

    async def move_volume(self) -> None:
        volume = f"Volume{self.random.randint(1, VOLUMES)}"
        await self.cluster.api.post(f"/volumes/{volume}/move", {"to": self._node()})

    async def redirect(self) -> None:
        volume = f"Volume{self.random.randint(1, VOLUMES)}"
        await self.cluster.api.post(f"/volumes/{volume}/redirect", {"on": True})
        await asyncio.sleep(self.random.uniform(0.2, 1.5))
        await self.cluster.api.post(f"/volumes/{volume}/redirect", {"on": False})

    async def lose_path(self) -> None:
        node = self.random.choice([self._node(), await self._owner()])
        await san_admin.cut(self.cluster.lab, node)
        await asyncio.sleep(self.random.uniform(0.2, 3.0))
        await san_admin.heal(self.cluster.lab, node)

    async def migrate(self) -> None:
        vm = self.random.choice(sorted(self.vms))
        row = await self.cluster.vm(vm)
        to = self.random.choice([node for node in NODES if node != row["node"]])
        record = await self.cluster.ended(await self.cluster.migrate(vm, to, "full"))
        if record["outcome"] != "completed":
            raise Refused(f"it {record['outcome']}: {record['reason']}")

    async def kill_san(self) -> None:
        await kill_san(self.cluster.lab)
        await asyncio.sleep(self.random.uniform(0.0, 1.0))
        self.cluster.lab = await restart_san(self.cluster.lab)

    async def pause_san(self) -> None:
        await deeds.freeze(self.cluster.lab, "san", False)
        await asyncio.sleep(self.random.uniform(0.2, 2.0))
        await deeds.thaw(self.cluster.lab, "san", False)

    # ---- the end

    async def findings(self) -> Findings:
        """Guests are stopped, so that nothing changes any more while it is looked at."""
        for vm in self.vms:
            with contextlib.suppress(ShellError):
                await self.cluster.api.post(f"/vms/{vm}/stop", {})
        await until("not every guest stopped", self._all_stopped, WELL_WITHIN_S)
        owners = await self._owners()
        lab = self.cluster.lab
        assert lab.sans
        found: list[EntryFound] = []
        for lun in range(VOLUMES):
            path = lab.san_dir / "luns" / f"data{lun + 1}.img"
            found += entries_on(path, lun, ENTRY_BYTES)
        log = list(read_evidence(lab.san_dir / "evidence"))
        head = HEAD_BLOCKS * BLOCK_BYTES // LUN_BLOCK_BYTES
        return judged(log, found, self.watch.counted, owners, WINDOW, head)

    async def _all_stopped(self) -> bool | None:
        self.watch.look()
        rows = await self.cluster.api.get("/vms")
        return True if all(row["state"] in ("Offline", "Failed") for row in rows) else None

    async def _owners(self) -> list[Owned]:
        """From the event log: whom each disk was given to, under which epoch, in which life."""
        ids = {row["name"]: row["id"] for row in await self.cluster.api.get("/disks")}
        luns = self.cluster.lab.san.ready["luns"]
        numbers = {disk: number for number, disk in enumerate(luns.values())}
        cluster = ClusterId((await self.cluster.api.get("/status"))["cluster_id"])
        owners, after = [], 0
        while events := await self.cluster.api.get("/log", after=after, limit=1000):
            after = events[-1]["index"]
            for event in events:
                if event["id"] not in (ONLINE_EVENT, PENDING_EVENT) or event["epoch"] is None:
                    continue
                disk = next((ids[name] for name in ids if name and name in event["text"]), None)
                life = self.watch.life_at(event["node"], event["at"])
                if disk in numbers and life is not None:
                    key = key_of_life(cluster, Incarnation(life))
                    owners.append(Owned(numbers[disk], event["epoch"], key))
        return owners


DEEDS: dict[str, Callable[[Chaos], Awaitable[None]]] = {
    "failover": Chaos.fail_over,
    "owner killed": Chaos.kill_owner,
    "owner frozen": Chaos.freeze_owner,
    "owner moved": Chaos.move_volume,
    "redirected": Chaos.redirect,
    "path lost": Chaos.lose_path,
    "migration": Chaos.migrate,
    "san killed": Chaos.kill_san,
    "san paused": Chaos.pause_san,
}


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of it, for people and for scripts."""

    verdict: Verdict
    data: dict[str, Any]


async def play(seed: int, count: int, folder: Path, note: Callable[[str], None]) -> Outcome:
    began = time.monotonic()
    async with running(topology(), Home(folder / "home")) as cluster:
        chaos = Chaos(cluster, seed, note)
        trouble = ""
        async with watching(chaos.watch):
            try:
                await chaos.prepare()
                await chaos.rounds(count)
            except LabError as exc:
                trouble = str(exc)
            found = await chaos.findings()
        cluster.lab = read_record(cluster.lab.state_dir) or cluster.lab
        if trouble or found.verdict is not Verdict.PASS:
            shutil.copytree(cluster.lab.state_dir / "logs", folder / "logs", dirs_exist_ok=True)
    verdict = Verdict.FAIL if trouble else found.verdict
    data = {
        "verdict": verdict.value,
        "seed": seed,
        "rounds": sum(chaos.done.values()),
        "refused": chaos.refused,
        "deeds": chaos.done,
        "counted": sum(chaos.watch.counted.values()),
        "stuck": trouble,
        "wrong": list(found.wrong),
        "unknown": list(found.unknown),
        "seconds": round(time.monotonic() - began, 1),
    }
    return Outcome(verdict, data)


@contextlib.asynccontextmanager
async def watching(watch: Watch) -> AsyncIterator[None]:
    task = asyncio.create_task(watch.forever())
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def tell(data: dict[str, Any], console: rich.console.Console) -> None:
    deeds_done = ", ".join(f"{name} {count}" for name, count in sorted(data["deeds"].items()))
    console.print(f"{data['rounds']} rounds in {data['seconds']} s: {deeds_done}", highlight=False)
    console.print(f"{data['counted']} entries were counted by their guests", highlight=False)
    for kind in ("wrong", "unknown"):
        for sentence in data[kind][:20]:
            console.print(f"{kind}: {sentence}", markup=False, highlight=False, soft_wrap=True)
    if data["stuck"]:
        console.print(f"stuck: {data['stuck']}", markup=False, highlight=False, soft_wrap=True)
    console.print(f"verdict: {data['verdict']} (seed {data['seed']})", highlight=False)


def run(
    rounds: Annotated[int, typer.Option(min=1, help="How often something is hurt.")] = 200,
    seed: Annotated[int, typer.Option(min=0, help="What is hurt, and in which order.")] = 1,
    as_json: Annotated[bool, typer.Option("--json", help="Print data, not sentences.")] = False,
) -> None:
    """Failovers, owner moves, path losses and migrations under ledger guests, then the verdict."""
    aloud = rich.console.Console(stderr=True)

    def note(line: str) -> None:
        aloud.print(line, markup=False, highlight=False, soft_wrap=True)

    folder = Path(tempfile.mkdtemp(prefix="hvlab-chaos-"))
    outcome = uvloop.run(play(seed, rounds, folder, note))
    if outcome.verdict is Verdict.PASS:
        shutil.rmtree(folder, ignore_errors=True)
    else:
        note(f"logs: {folder}")
    if as_json:
        print(json.dumps(outcome.data))
    else:
        tell(outcome.data, rich.console.Console())
    codes = {Verdict.PASS: DONE, Verdict.FAIL: FAILED, Verdict.INCONCLUSIVE: INCONCLUSIVE}
    sys.exit(codes[outcome.verdict])


if __name__ == "__main__":
    typer.run(run)
