"""A scenario: what happens to a simulated lab and when, and the log that must come of it.

`lab.script` has the language. The log of a script with a line `with` tells of views, of the
witness's holder and of guests that are turned off, too.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

from coordinator.requests import Accepted, EvictNode, JoinNode, Request, Response
from coordinator.store.interface import Row
from lab.script import END, Rows, Script, Stage, Standing, order_of, parse, places
from lab.simulation.cluster import WITNESS_OF, Setting, SimCluster
from lab.simulation.faults import Cut, cut_between, cut_off, other_than
from lab.simulation.guest import SimWorker
from lab.simulation.operators import wave_vm
from lab.simulation.partitions import apart
from lab.simulation.vote_faults import witness_of
from lab.simulation.witness import way_to
from protocol.names import AttemptId, NodeName, Personality, QuorumMode, Step, Timing, VmName

TAIL_S = 60.0
"""How long after the last line all must be well again."""


class Story:
    """Plays one script. Its log has the commands and the moves that came of them, nothing else."""

    def __init__(self, script: str, seed: int = 0) -> None:
        told = parse(script)
        self.log: list[str] = []
        self.standings: dict[int, Standing] = {}
        """How things stood before each line of the script that has a time, by its number; under
        -1 how they stood at the end.
        """

        self._began = 0.0
        self._frozen = ""
        self._lines = told.lines
        self._at_steps: dict[Step, list[str]] = {}
        self._cuts: dict[tuple[str, ...], Cut] = {}
        self.cluster = SimCluster(seed, _setting(told))
        newest = partial(_newest, self.cluster)
        self._stage = Stage(wave_vm(5), WITNESS_OF.__getitem__, newest)
        if told.tells_more:
            self._tell_more()

    def play(self) -> str:
        cluster = self.cluster
        cluster.start()
        self._began = cluster.world.now
        cluster.checker.on_move = self._say
        cluster.on_step.append(self._step_reached)
        last_s = 0.0
        for number, line in enumerate(self._lines):
            if isinstance(line.when, Step):
                self._at_steps.setdefault(line.when, []).append(line.words)
            else:
                cluster.world.after(line.when, self._line, number, line.words)
                last_s = max(last_s, line.when)
        cluster.run(last_s + 1.0)
        complaints = cluster.settle(TAIL_S)
        self.standings[END] = self.standing()
        for words in cluster.checker.ballots.exempt:
            self._say(f"exempt: {words}")
        self._say("all is well" if not complaints else "; ".join(complaints))
        return "\n".join(self.log) + "\n"

    def _tell_more(self) -> None:
        """Views that hold, the witness's holder, guests that end."""
        cluster, told = self.cluster, {"view": "", "witness": ""}

        def changed(what: str, words: str) -> None:
            if self._began and words != told[what]:
                told[what] = words
                self._say(words)

        def view(row: Row) -> None:
            if row.value is not None and row.value["held"]:
                members = ", ".join(member["node"] for member in row.value["members"])
                changed("view", f"view {row.value['number']} holds: {members}")

        def written(before: Any, after: Any) -> None:
            if after is not None:
                changed("witness", f"the witness is {after.node or 'nobody'}'s")

        def ended(worker: SimWorker) -> None:
            self._say(f"{worker.vm} is gone from {worker.incarnation}")

        cluster.truth.on_change("view", view)
        for witness in cluster.witnesses.values():
            witness.on_write.append(written)
        cluster.checker.on_end = ended

    def _say(self, words: str) -> None:
        self.log.append(f"{self.cluster.world.now - self._began:8.3f} {words}")

    def _step_reached(self, step: Step, _: AttemptId) -> None:
        for words in self._at_steps.pop(step, []):
            self._say(f"# {step.value} is reached")
            self.cluster.world.after(0.0, self._do, words)

    def _line(self, number: int, words: str) -> None:
        self.standings[number] = self.standing()
        self._do(words)

    def standing(self) -> Standing:
        """How things stand at this moment."""
        cluster = self.cluster
        copies = [(w.vm, m.node, w) for m in cluster.machines.values() for w in m.workers]
        view = cluster.truth.get("view").value or {"held": False}
        votes = view["votes"]
        mode = QuorumMode(votes["mode"])
        attempts = [row.value for row in cluster.truth.range("attempt/") if row.value]
        rows = Rows(
            {name: row["owner"] for name, row in cluster.checker.vms.items()},
            tuple(member["node"] for member in view["members"]) if view["held"] else (),
            tuple(row.value["name"] for row in cluster.truth.range("node/") if row.value),
            mode.value,
            {row["id"]: row["decision"] for row in attempts},
        )
        return Standing(
            places((vm, node) for vm, node, worker in copies if worker.is_running()),
            places((vm, node) for vm, node, worker in copies if worker.alive),
            cluster.holder(WITNESS_OF[mode]),
            rows,
        )

    def _do(self, words: str) -> None:
        self._say(f"# {words}")
        self._deed(words.split())()

    def _deed(self, words: list[str]) -> Callable[[], Any]:
        order, machines = order_of(words, self._stage), self.cluster.machines
        if order is not None:
            return partial(self._ask, order)
        match words:
            case [how, "coordinator"]:
                return self._coordinator_deed(how)
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
            case ["kill-guest", vm]:
                return partial(self._kill_guest, VmName(vm))
            case ["witness", "down" | "up" as how]:
                return partial(setattr, witness_of(self.cluster), "is_down", how == "down")
        return self._network_deed(words)

    def _ask(self, order: Request) -> None:
        match order:
            case JoinNode(node):
                self.cluster.checker.expected.add(node)
            case EvictNode(node):
                self.cluster.checker.expected.discard(node)
        self.cluster.ask(order, self._heard)

    def _heard(self, response: Response) -> None:
        """Operators say aloud what was refused."""
        if not isinstance(response, Accepted):
            self._say(f"refused: {response.sentence}")

    def _kill_guest(self, vm: VmName) -> None:
        for machine in self.cluster.machines.values():
            if machine.agent is not None:
                machine.agent.vms.lose(vm)

    def _coordinator_deed(self, how: str) -> Callable[[], Any]:
        place = self.cluster.coordinators[self.cluster.leader]
        match how:
            case "kill":
                return place.kill
            case "revive":
                return place.start
            case "freeze":
                self._frozen = place.name
                return place.freeze
            case "thaw":
                return self.cluster.coordinators[self._frozen].thaw
            case "rival":
                return self.cluster.coordinators[other_than(place.name)].start
        raise ValueError(f"no such command: {how} coordinator")

    def _network_deed(self, words: list[str]) -> Callable[[], Any]:
        match words:
            case ["split", *groups]:
                pairs = sorted(apart(*(group.split(",") for group in groups)))
                ways = tuple((net, *pair) for net in self.cluster.networks for pair in pairs)
                return self._new_cut(tuple(groups), Cut(self.cluster, ways)).begin
            case ["blind", node]:
                return self._new_cut(("blind", node), Cut(self.cluster, (way_to(node),))).begin
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


def _newest(cluster: SimCluster) -> AttemptId:
    return max(cluster.steps)


def _setting(told: Script) -> Setting:
    calm, made_of = Setting(), told.made_of
    return Setting(
        nodes=told.nodes,
        spares=told.spares,
        is_coded=True,
        mode=QuorumMode(made_of.get("mode", calm.mode.value)),
        personality=Personality(made_of.get("personality", calm.personality.value)),
        homes=(made_of.get("home", calm.homes[0]), calm.homes[1]),
        timing=replace(calm.timing, grace_s=float(made_of.get("grace", Timing().grace_s))),
    )
