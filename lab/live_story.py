"""Plays the scripts of scenarios on real processes, and goes by what the simulation saw.

Clocks differ, so nothing is done at a time. Before each line the lab has to come to stand as the
simulated one stood at that line, and after the last one as it ended: who owns which VM and where
its guests are, who is in the view, what became of attempts, whose the witness is.
"""

import asyncio
import contextlib
import itertools
import math
import signal
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from agent.io.control import WorkerState
from agent.io.witness import WitnessFolder
from coordinator.requests import MigrateVm, Request
from lab import deeds, evidence
from lab.cluster import Cluster, topology_of
from lab.errors import LabError
from lab.home import read_record
from lab.live_orders import put
from lab.procfs import send, stat
from lab.script import END, Line, Rows, Script, Stage, Standing, order_of, places
from lab.topology import Topology
from lab.topology_parts import WITNESS_OF
from protocol.errors import ClusterError
from protocol.names import AttemptId, QuorumMode, Step, VmSpec, Witness, WitnessKind
from shell.errors import Declined, NoApi
from shell.io.client import Client

WITHIN_S = 60.0
LOOK_EVERY_S = 0.05
TOGETHER_S = 1.0
"""Lines that follow each other so closely are done one after the other, without a look between."""

AT_END = "its end"
WITNESS = "witness"
NOT_YET = (404, 409, 503)
"""Answers to orders that the simulated cluster took: it may be a moment too early."""

KINDS = {"disk": WitnessKind.DISK, "share": WitnessKind.SHARE}

Look = Callable[[Cluster], Awaitable[None]]


def topology_for(script: Script, delay_s: float, threshold: int) -> Topology:
    """A lab as the script wants it, with its times shrunk as the clocks are."""
    if script.spares:
        raise ValueError("real labs have no spare nodes: a node can only come back")
    made_of = script.made_of
    grace_s = float(made_of.get("grace", "30")) * delay_s
    more = [
        f"personality: {made_of.get('personality', '2008r2')}",
        f"properties: {{QuorumGraceTime: {math.ceil(grace_s)}}}",
    ]
    mode = QuorumMode(made_of.get("mode", QuorumMode.NODE_MAJORITY.value))
    kind = WITNESS_OF.get(mode.value)
    witness = f", witness: {{{kind}: {WITNESS}}}" if kind else ""
    more.append(f"quorum: {{mode: {mode.value}{witness}}}")
    delay = f"{round(delay_s * 1000)}ms"
    return topology_of(
        len(script.nodes), delay=delay, threshold=threshold, more="\n".join(more) + "\n"
    )


class Missed(LabError):
    """A migration was over before it was seen at a step: the story was not told."""


@dataclass
class LiveStory:
    """One script on one lab. `spec` is what every VM is; LabError says what did not come to be."""

    script: Script
    standings: Mapping[int, Standing]
    """How the simulated lab stood before the lines, by their number, and at the end."""

    cluster: Cluster
    spec: VmSpec
    anywhere: frozenset[str] = frozenset()
    """VMs whose node is a matter of who was quicker."""

    newest: int = 0
    """The newest attempt of a migration."""

    async def play(self, looks: Mapping[str, Look] | None = None) -> Standing:
        """How it stands at the end. `looks` are taken before the lines of these words, or AT_END,
        once all stands as it should.
        """
        last_s = -math.inf
        for number, lines in moments(self.script.lines):
            when = lines[0].when
            if isinstance(when, Step):
                await self._reach(when)
            elif when - last_s > TOGETHER_S:
                await self.stand(self.standings[number], lines[0].words)
                last_s = when
            for line in lines:
                if looks and line.words in looks:
                    await looks[line.words](self.cluster)
            await asyncio.gather(*[self._do(line) for line in lines])
        seen = await self.stand(self.standings[END], AT_END)
        if looks and AT_END in looks:
            await looks[AT_END](self.cluster)
        return seen

    async def stand(self, wanted: Standing, before: str) -> Standing:
        """Wait until the lab stands as is wanted."""
        loop = asyncio.get_running_loop()
        give_up_at = loop.time() + WITHIN_S
        blurred = wanted.without_places(self.anywhere)
        while True:
            now = self._guests()
            blurred_now = now.without_places(self.anywhere)
            if (blurred_now.runs, blurred_now.copies) == (blurred.runs, blurred.copies):
                rows = await self._rows()
                now = replace(now, rows=rows, holder=self._holder(rows))
                if now.without_places(self.anywhere).is_like(blurred):
                    return now
            if loop.time() >= give_up_at:
                raise LabError(
                    f"before {before!r} it does not stand as simulated within {WITHIN_S:g} s:\n"
                    f"  live      {now}\n  simulated {wanted}"
                )
            await asyncio.sleep(LOOK_EVERY_S)

    def _guests(self) -> Standing:
        """Found in the processes; nobody is asked for them."""
        found = evidence.all_workers(self.cluster.lab)
        try:
            for vm, copies in found.items():
                check_one_runs(vm, copies)
            alive = [(vm, one) for vm, copies in found.items() for one in copies]
            return Standing(
                places((vm, one.node) for vm, one in alive if makes_steps(one)),
                places((vm, one.node) for vm, one in alive),
            )
        finally:
            for copies in found.values():
                for one in copies:
                    one.control.close()

    async def _rows(self) -> Rows | None:
        try:
            async with Client(self.cluster.api.url, patience_s=0.0) as api:
                status, vms = await api.get("/status"), await api.get("/vms")
                attempts, nodes = await api.get("/attempts"), await api.get("/nodes")
                quorum = await api.get("/quorum")
        except NoApi:
            return None
        view = status["view"]
        if view is None:
            return None  # it has not yet read its store
        return Rows(
            {row["name"]: row["node"] for row in vms},
            tuple(sorted(view["members"])) if view["holds"] else (),
            tuple(sorted(row["name"] for row in nodes)),
            quorum["mode"],
            {row["attempt"]: row["decision"] for row in attempts},
        )

    def _holder(self, rows: Rows | None) -> str:
        if rows is None or rows.mode not in WITNESS_OF:
            return ""
        with contextlib.suppress(ClusterError):
            _, record = WitnessFolder(self.cluster.lab.witness_path(WITNESS)).read()
            return str(record.node) if record is not None and record.holder else ""
        return ""

    async def _reach(self, step: Step) -> None:
        """The newest attempt comes to this step; it must still be open then."""
        loop = asyncio.get_running_loop()
        give_up_at = loop.time() + WITHIN_S
        while True:
            row = await self.cluster.attempt(self.newest)
            if row["live"] is None or loop.time() >= give_up_at:
                raise Missed(f"attempt {self.newest} was not seen at {step.value}: {row}")
            if row["live"]["step"] == step.value:
                return
            await asyncio.sleep(0)

    # ---- what scripts do

    async def _do(self, line: Line) -> None:
        words = line.words.split()
        stage = Stage(self.spec, self._witness_of, lambda: AttemptId(self.newest))
        order = order_of(words, stage)
        if order is not None:
            await self._ask(order)
            return
        await self._deed(words)

    async def _deed(self, words: Sequence[str]) -> None:
        lab = self.cluster.lab
        match words:
            case ["kill", target]:
                await deeds.kill(lab, target, agent_only=False)
            case ["revive", target]:
                await deeds.restart(lab, target, agent_only=False)
                self.cluster.lab = read_record(lab.state_dir) or lab
            case ["freeze" | "freeze-node" as how, target]:
                await deeds.freeze(lab, target, agent_only=how == "freeze")
            case ["thaw", target]:
                await deeds.thaw(lab, target, agent_only=False)
            case ["kill-guest", vm]:
                await self._kill_guest(vm)
            case _:
                raise ValueError(f"no such command on real processes: {' '.join(words)}")

    async def _kill_guest(self, vm: str) -> None:
        killed = []
        for one in evidence.workers(self.cluster.lab, vm):
            with one:
                if send(one.process, signal.SIGKILL):
                    killed.append(one.process)
        await deeds.until_states(killed, "ZX")

    def _witness_of(self, mode: QuorumMode) -> Witness | None:
        kind = WITNESS_OF.get(mode.value)
        if kind is None:
            return None
        path = self.cluster.lab.witness_path(WITNESS)
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        return Witness(WITNESS, KINDS[kind], str(path))

    async def _ask(self, order: Request) -> None:
        """As an operator who was told that it will be taken."""
        loop = asyncio.get_running_loop()
        give_up_at = loop.time() + WITHIN_S
        while True:
            try:
                answer = await put(self.cluster.api, order)
                break
            except Declined as exc:
                if exc.status not in NOT_YET or loop.time() >= give_up_at:
                    raise
            await asyncio.sleep(LOOK_EVERY_S)
        if isinstance(order, MigrateVm):
            self.newest = int(answer["attempt"])


def moments(lines: Sequence[Line]) -> Iterator[tuple[int, list[Line]]]:
    """What is done at once, with the number of its first line: nodes that die or return together
    do so in any order.
    """

    def moment(numbered: tuple[int, Line]) -> tuple[object, object]:
        number, line = numbered
        how = line.words.split()[0]
        return line.when, how if how in ("kill", "revive") else number

    for _, group in itertools.groupby(enumerate(lines), moment):
        together = list(group)
        yield together[0][0], [line for _, line in together]


def makes_steps(one: evidence.Witness) -> bool:
    """It runs, and its process was not stopped while it did."""
    now = stat(one.process.pid)
    return one.runs and now is not None and now.state not in "Tt"


def check_one_runs(vm: str, copies: Sequence[evidence.Witness]) -> None:
    """No two made steps at one time: LabError if each has, since the other began, and goes on."""
    running = []
    for one in copies:
        reply = one.control.reply
        beat_s, began_s = one.beat_s, one.changed_s
        # Else it began, or stopped, between these looks.
        if reply.state is WorkerState.RUNNING and one.control.reply == reply:
            running.append((beat_s, began_s, one.node))
    if len(running) > 1 and min(run[0] for run in running) > max(run[1] for run in running):
        nodes = " and ".join(run[2] for run in running)
        raise LabError(f"{vm} runs more than once: on {nodes}")
