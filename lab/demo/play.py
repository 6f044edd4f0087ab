"""The demonstration: a cluster that lives, migrates, refuses, survives and recovers, in a minute.

```text
            node1    node2    node3    node4
create      sql01
migrate       ------> sql01
two at once sql01 <----        app01 ----> app01   web01 on node4 is refused
target      sql01 ----> X killed in mid-copy
node        sql01    (back)                 X killed: app01 and web01 start elsewhere
```
"""

import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Sequence

import rich.console
import typer

from lab.commands import ending_in_order, home, print_data
from lab.demo import checks
from lab.demo.checks import MID_COPY, Check
from lab.demo.report import Report, Result, as_data, exit_code
from lab.demo.scene import Data, Scene
from lab.errors import LabError
from lab.forming import bring_up, keep_logs, uninterrupted
from lab.home import Home, LabRecord
from lab.processes import kill_node, restart_node, stop_lab
from lab.procfs import runs
from lab.topology import Topology, builtin
from shell.errors import ShellError
from shell.io.client import Client
from shell.io.desk import run
from shell.progress import step_of

PLAY_WITHIN_S = 80.0
"""The rest of the 90 s is for ending what was started."""

MID_COPY_S = 0.05
"""So long after the first sight of the copying the first pages are certainly on their way."""

SETTLE_S = 1.0

Step = Callable[["Demo"], Awaitable[tuple[Check, Data]]]


class Demo:
    """One run. Each step leaves the cluster as the next one needs it."""

    def __init__(self, scene: Scene, topology: Topology, results: list[Result]) -> None:
        self.scene, self.topology, self.results = scene, topology, results
        self.refusal: tuple[Check, Data] | None = None

    async def create(self) -> tuple[Check, Data]:
        scene = self.scene
        load = "hotspot:rate=64MB/s,set=128MiB"
        vm = await scene.create("sql01", "1GiB", "node1", load, fill="files")
        later = await scene.working("sql01", vm["steps"])
        return checks.created(vm, later), {"vm": later}

    async def migrate(self) -> tuple[Check, Data]:
        scene = self.scene
        mark = await scene.newest_event()
        before = await scene.vm("sql01")
        (record,) = await scene.watched(await scene.migrate("sql01", "node2", "full"))
        scene.report.record(record)
        after = await scene.vm("sql01")
        if record["outcome"] == "completed":
            after = await scene.working("sql01", before["steps"], off="node1")
        later = await scene.working("sql01", after["steps"])
        vms = [before, after, later]
        events = await scene.events(mark)
        steps = [vm["steps"] for vm in vms]
        return checks.migrated(record, vms, events), {"record": record, "steps": steps}

    async def two_at_once(self) -> tuple[Check, Data]:
        scene = self.scene
        _, web = await asyncio.gather(
            scene.create("app01", "512MiB", "node3", "hotspot:rate=32MB/s,set=64MiB"),
            scene.create("web01", "128MiB", "node4", "hotspot:rate=8MB/s,set=16MiB"),
        )
        attempts = [await scene.migrate("sql01", "node1"), await scene.migrate("app01", "node4")]
        answer = await scene.refusal("web01", "node2")
        records = await scene.watched(*attempts)
        check = checks.refused(answer, "web01", web, await scene.vm("web01"))
        self.refusal = check, {"refusal": answer}
        return checks.two_at_once(records), {"records": records}

    async def busy(self) -> tuple[Check, Data]:
        assert self.refusal is not None, "it was asked for while the two were on their way"
        return self.refusal

    async def target_killed(self) -> tuple[Check, Data]:
        scene = self.scene
        mark = await scene.newest_event()
        killed_in = ""
        scene.samples.clear()
        await scene.sample("sql01")

        async def look(rows: Sequence[Data]) -> None:
            nonlocal killed_in
            if not killed_in and step_of(rows[0]) in MID_COPY:
                await asyncio.sleep(MID_COPY_S)
                await kill_node(scene.lab, "node2")
                killed_in = step_of(rows[0])
                scene.report.note(f"node2 was killed in {killed_in}")
            await scene.sample("sql01")

        attempt = await scene.migrate("sql01", "node2")
        (record,) = await scene.watched(attempt, look=look)
        steps = max(sample.steps for sample in scene.samples)
        vm = await scene.working("sql01", steps)
        scene.samples.append(checks.Sample(time.monotonic(), vm["steps"]))
        events = await scene.events(mark)
        check = checks.target_killed(record, killed_in, scene.samples, vm, events)
        facts = {"record": record, "killed_in": killed_in}
        return check, {**facts, "longest_stall_s": checks.longest_stall_s(scene.samples)}

    async def rejoin(self) -> tuple[Check, Data]:
        """A node that comes back promises nothing before its earlier promises have run out."""
        scene = self.scene
        scene.lab = await restart_node(scene.lab, "node2")
        promises_from = time.monotonic() + self.topology.clocks.outlast_s + SETTLE_S
        node = await scene.until_node("node2", "Up")
        await asyncio.sleep(max(0.0, promises_from - time.monotonic()))
        status = await scene.api.get("/status")
        return checks.rejoined(node, status["quorum"]["has_quorum"]), {"node": node["name"]}

    async def node_killed(self) -> tuple[Check, Data]:
        scene = self.scene
        mark = await scene.newest_event()
        lost = [await scene.vm(name) for name in ("app01", "web01")]
        lost = [vm for vm in lost if vm["node"] == "node4"]
        bystander = await scene.vm("sql01")
        began = time.monotonic()
        await kill_node(scene.lab, "node4")
        scene.report.note("node4 was killed; its VMs wait until its lease has certainly ended")
        now = [await scene.working(vm["name"], off="node4") for vm in lost]
        failover_s = time.monotonic() - began
        victim = await scene.until_node("node4", "Down")
        await asyncio.sleep(SETTLE_S)
        later = [await scene.working(vm["name"], vm["steps"]) for vm in now]
        beside = [bystander, await scene.working("sql01", bystander["steps"])]
        events = await scene.events(mark)
        check = checks.failed_over(victim, lost, now, later, events, beside)
        return check, {"failover_s": failover_s, "vms": later}


STEPS: tuple[tuple[str, str, Step], ...] = (
    ("create", "A VM with real data and a guest that writes", Demo.create),
    ("migrate", "Live migration from node1 to node2", Demo.migrate),
    ("two-at-once", "Two migrations at once, on disjoint pairs of nodes", Demo.two_at_once),
    ("refused", "A third that would have touched a busy node", Demo.busy),
    ("target-killed", "A migration whose target is killed in mid-copy", Demo.target_killed),
    ("rejoined", "The killed node comes back", Demo.rejoin),
    ("node-killed", "A node with two VMs is killed", Demo.node_killed),
)


async def play_steps(demo: Demo) -> None:
    """One step after the other, up to the first that does not show what it should."""
    loop = asyncio.get_running_loop()
    give_up_at = loop.time() + PLAY_WITHIN_S
    for number, (name, title, step) in enumerate(STEPS, start=1):
        demo.scene.report.title(number, title)
        began = time.monotonic()
        facts: Data = {}
        try:
            async with asyncio.timeout_at(give_up_at):
                check, facts = await step(demo)
        except TimeoutError:
            check = Check(False, f"the demonstration took more than {PLAY_WITHIN_S:g} s")
        except (ShellError, LabError) as exc:
            check = Check(False, str(exc))
        demo.results.append(Result(name, check, time.monotonic() - began, facts))
        demo.scene.report.verdict(demo.results[-1])
        if not check.ok:
            return


async def live(topology: Topology, place: Home, report: Report, *, keep: bool) -> tuple[int, Data]:
    """Bring the lab up, play, and bring it down whatever comes."""
    began = time.monotonic()
    lab = await bring_up(topology, place, "loopback", report.note)
    results: list[Result] = []
    played = False
    try:
        async with Client(lab.api) as api:
            await play_steps(Demo(Scene(lab, api, report), topology, results))
        played = True
    finally:
        if not (keep and played):
            with uninterrupted():
                if exit_code(results, len(STEPS)):
                    keep_logs(lab, place)
                await end(lab, report, results)
    seconds = time.monotonic() - began
    code = exit_code(results, len(STEPS) + (0 if keep else 1))
    if keep:
        report.note(f"{lab.name} runs on at {lab.api}: hvlab down --name {lab.name} ends it")
    report.end(code, seconds, str(place.failed_logs(lab.name)) if code and not keep else "")
    return code, as_data(lab.name, results, code, seconds)


async def end(lab: LabRecord, report: Report, results: list[Result]) -> None:
    """End every process of the lab, and see that it has gone."""
    began = time.monotonic()
    report.title(len(STEPS) + 1, "The lab is brought down")
    lab = Home.of(lab).lab(lab.name)  # with the lives that began since
    processes = lab.processes
    await stop_lab(lab)
    left = [process.pid for process in processes if runs(process)]
    result = Result("ended", checks.ended(left, lab.state_dir.exists()), time.monotonic() - began)
    results.append(result)
    report.verdict(result)


def play(*, keep: bool, as_json: bool) -> int:
    """Play the demonstration in a lab of its own; the exit code."""
    report = Report(rich.console.Console(), silent=as_json)
    topology = builtin("demo").called(f"demo-{os.getpid()}")
    code, data = run(ending_in_order(live(topology, home(), report, keep=keep)))
    if as_json:
        print_data(data)
    elif code:
        typer.echo("hvlab demo --json tells what was measured.", err=True)
    return int(code)
