"""Faults of one node: its agent is killed or sleeps, its workers die, its disk is empty."""

from dataclasses import dataclass

from agent.actions import NodeRecord
from coordinator.requests import StartVm, StopVm
from lab.simulation.cluster import SimCluster
from protocol.names import NodeName, VmName

KILLED_WITHIN_S = 8.0
"""How long a process sleeps before somebody loses patience and kills it."""

ORPHANS_SLEEP_S = 1.5
"""How long workers sleep on after their agent was killed and began anew."""


@dataclass(slots=True)
class KillAgent:
    """SIGKILL, and a restart with the node's own disk."""

    cluster: SimCluster
    node: NodeName
    killed: bool = False

    def begin(self) -> bool:
        agent = self.cluster.machines[self.node].agent
        if agent is None or agent.frozen:
            return False
        self.killed = True
        self.cluster.machines[self.node].kill()
        return True

    def end(self) -> None:
        self.cluster.machines[self.node].start()

    def took_effect(self) -> bool:
        return self.killed


@dataclass(slots=True)
class Freeze:
    """SIGSTOP of the agent alone, or of the whole machine, workers too."""

    cluster: SimCluster
    node: NodeName
    with_workers: bool
    before: int = 0

    def begin(self) -> bool:
        machine = self.cluster.machines[self.node]
        if machine.agent is None or machine.agent.frozen:
            return False
        self.before = self.cluster.held_up[self.node]
        machine.freeze(self.with_workers)
        return True

    def end(self) -> None:
        self.cluster.machines[self.node].thaw()

    def took_effect(self) -> bool:
        return self.cluster.held_up[self.node] > self.before


@dataclass(slots=True)
class StorageFails:
    """The disks cannot be opened at the next S10 of this node."""

    cluster: SimCluster
    node: NodeName
    before: int = 0

    def begin(self) -> bool:
        machine = self.cluster.machines[self.node]
        self.before = machine.storage_failed
        machine.fails_storage = 1
        return True

    def end(self) -> None:
        self.cluster.machines[self.node].fails_storage = 0

    def took_effect(self) -> bool:
        return self.cluster.machines[self.node].storage_failed > self.before


@dataclass(slots=True)
class KillFrozen:
    """SIGKILL of an agent that is stopped; with `with_workers` its workers sleep on, and a new life
    begins before they end.
    """

    cluster: SimCluster
    node: NodeName
    with_workers: bool
    was_asleep: bool = False
    is_over: bool = False

    def begin(self) -> bool:
        machine = self.cluster.machines[self.node]
        if machine.agent is None or machine.agent.frozen:
            return False
        machine.freeze(self.with_workers)
        after_s = machine.random.choice([0.0, machine.random.uniform(0.0, KILLED_WITHIN_S)])
        self.cluster.world.after(after_s, self._kill, machine.agent.incarnation)
        return True

    def _kill(self, life: str) -> None:
        machine = self.cluster.machines[self.node]
        agent = machine.agent
        if not self.is_over and agent is not None and agent.incarnation == life and agent.frozen:
            self.was_asleep = True
            machine.kill()

    def end(self) -> None:
        self.is_over = True
        machine = self.cluster.machines[self.node]
        if not self.was_asleep:
            machine.thaw()
        machine.start()
        if machine.workers_frozen:
            after_s = machine.random.uniform(0.0, ORPHANS_SLEEP_S)
            self.cluster.world.after(after_s, machine.thaw)

    def took_effect(self) -> bool:
        return self.was_asleep


@dataclass(slots=True)
class LoseState:
    """The agent is killed and its state folder is lost: the node joins anew, if it is let in."""

    cluster: SimCluster
    node: NodeName
    lost: NodeRecord | None = None

    def begin(self) -> bool:
        machine = self.cluster.machines[self.node]
        if machine.agent is None or machine.agent.frozen or machine.disk.cluster is None:
            return False
        machine.kill()
        self.lost, machine.disk = machine.disk, NodeRecord()
        return True

    def end(self) -> None:
        self.cluster.machines[self.node].start()

    def took_effect(self) -> bool:
        return self.lost is not None


@dataclass(slots=True)
class LoseWorker:
    """A worker dies by itself; half of the time somebody stops and starts the VM at once."""

    cluster: SimCluster
    node: NodeName
    vm: VmName | None = None

    def begin(self) -> bool:
        machine = self.cluster.machines[self.node]
        if machine.agent is None or not machine.workers:
            return False
        self.vm = machine.random.choice(machine.workers).vm
        # Not between two actions of its own agent: that hears of a death like of all else.
        self.cluster.world.after(0.0, self._strike, machine.agent.incarnation)
        return True

    def _strike(self, life: str) -> None:
        machine, vm = self.cluster.machines[self.node], self.vm
        agent = machine.agent
        if agent is None or vm is None or agent.incarnation != life or not agent.vms.lose(vm):
            self.vm = None
        elif machine.random.random() < 0.5:
            self.cluster.ask(StopVm(vm))
            after_s = machine.random.uniform(0.0, 0.1)
            self.cluster.world.after(after_s, self.cluster.ask, StartVm(vm))

    def end(self) -> None:
        """The coordinator has it started anew."""

    def took_effect(self) -> bool:
        return self.vm is not None
