"""A scenario: what happens to a simulated lab and when, and the log that must come of it.

Each line of a script is `WHEN COMMAND`. WHEN is seconds since the lab was formed, or a step of a
migration: the first time that one reaches it. `#` begins a comment; the first one says what the
scenario promises.

    vm NAME on NODE             create a VM and start it
    start|stop NAME
    migrate NAME to NODE
    cancel                      the newest attempt
    add NODE                    a spare node joins the cluster (who is added is none of the first)
    drain|resume NODE
    kill|revive NODE
    freeze|freeze-node|thaw NODE
    kill|revive coordinator
    cut|heal NAME NAME          all networks between two of them, both ways
    cut-off|join NODE           everything between it and all others
    storage-fails NODE          once
"""

from collections.abc import Callable
from functools import partial
from typing import Any

from agent.convergence import DEFAULT_POLICY
from coordinator.requests import (
    CancelAttempt,
    CreateVm,
    JoinNode,
    MigrateVm,
    PauseNode,
    ResumeNode,
    StartVm,
    StopVm,
)
from lab.simulation.cluster import Setting, SimCluster
from lab.simulation.faults import Cut, cut_between, cut_off
from lab.simulation.operators import wave_vm
from protocol.names import AttemptId, NodeName, Step, Verify, VmName

TAIL_S = 60.0
"""How long after the last line all must be well again."""

STEPS = {step.value: step for step in Step}


class Story:
    """Plays one script. Its log has the commands and the moves that came of them, nothing else."""

    def __init__(self, script: str, nodes: int = 3, seed: int = 0) -> None:
        names = tuple(f"node{number}" for number in range(1, nodes + 1))
        self.log: list[str] = []
        self._began = 0.0
        self._lines: list[tuple[float, str]] = []
        self._at_steps: dict[Step, list[str]] = {}
        self._cuts: dict[tuple[str, ...], Cut] = {}
        for line in script.splitlines():
            words = line.partition("#")[0].split(maxsplit=1)
            if len(words) == 2 and words[0] in STEPS:
                self._at_steps.setdefault(STEPS[words[0]], []).append(words[1].strip())
            elif len(words) == 2:
                self._lines.append((float(words[0]), words[1].strip()))
        added = [words.removeprefix("add ") for _, words in self._lines if words.startswith("add ")]
        setting = Setting(nodes=names, spares=tuple(added), is_coded=True)
        self.cluster = SimCluster(seed, setting)

    def play(self) -> str:
        cluster = self.cluster
        cluster.start()
        self._began = cluster.world.now
        cluster.checker.on_move = self._say
        cluster.on_step.append(self._step_reached)
        for at_s, words in self._lines:
            cluster.world.after(at_s, self._do, words)
        cluster.run(max(at_s for at_s, _ in self._lines) + 1.0)
        complaints = cluster.settle(TAIL_S)
        self._say("all is well" if not complaints else "; ".join(complaints))
        return "\n".join(self.log) + "\n"

    def _say(self, words: str) -> None:
        self.log.append(f"{self.cluster.world.now - self._began:8.3f} {words}")

    def _step_reached(self, step: Step, _: AttemptId) -> None:
        for words in self._at_steps.pop(step, []):
            self._say(f"# {step.value} is reached")
            self.cluster.world.after(0.0, self._do, words)

    def _do(self, words: str) -> None:
        self._say(f"# {words}")
        self._deed(words.split())()

    def _deed(self, words: list[str]) -> Callable[[], Any]:
        cluster, machines = self.cluster, self.cluster.machines
        match words:
            case ["vm", vm, "on", node]:
                order = CreateVm(VmName(vm), wave_vm(5), NodeName(node), start=True)
                return partial(cluster.ask, order)
            case ["start", vm]:
                return partial(cluster.ask, StartVm(VmName(vm)))
            case ["stop", vm]:
                return partial(cluster.ask, StopVm(VmName(vm)))
            case ["migrate", vm, "to", node]:
                move = MigrateVm(VmName(vm), NodeName(node), DEFAULT_POLICY, Verify.FULL)
                return partial(cluster.ask, move)
            case ["cancel"]:
                return partial(cluster.ask, CancelAttempt(max(cluster.steps)))
            case ["add", node]:
                cluster.checker.expected.add(NodeName(node))
                return partial(cluster.ask, JoinNode(NodeName(node)))
            case ["drain", node]:
                return partial(cluster.ask, PauseNode(NodeName(node), drain=True))
            case ["resume", node]:
                return partial(cluster.ask, ResumeNode(NodeName(node)))
            case ["kill", "coordinator"]:
                return cluster.coordinators[cluster.leader].kill
            case ["revive", "coordinator"]:
                return cluster.coordinators[cluster.leader].start
            case ["kill", node]:
                return machines[NodeName(node)].kill
            case ["revive", node]:
                return machines[NodeName(node)].start
            case ["freeze" | "freeze-node" as how, node]:
                return partial(machines[NodeName(node)].freeze, how == "freeze-node")
            case ["thaw", node]:
                return machines[NodeName(node)].thaw
            case ["storage-fails", node]:
                return partial(setattr, machines[NodeName(node)], "fails_storage", 1)
        return self._network_deed(words)

    def _network_deed(self, words: list[str]) -> Callable[[], Any]:
        match words:
            case ["cut", one, other]:
                return self._new_cut((one, other), cut_between(self.cluster, one, other)).begin
            case ["cut-off", node]:
                return self._new_cut((node,), cut_off(self.cluster, NodeName(node))).begin
            case ["heal" | "join", *names]:
                return self._cuts[tuple(names)].end
        raise ValueError(f"no such command: {' '.join(words)}")

    def _new_cut(self, names: tuple[str, ...], cut: Cut) -> Cut:
        self._cuts[names] = cut
        return cut
