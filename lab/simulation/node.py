"""A simulated machine: a clock, a disk, workers, and an agent that may die or freeze."""

from random import Random
from typing import TYPE_CHECKING

from agent import actions
from agent.actions import NodeRecord
from agent.config import AgentConfig, Limits
from lab.simulation.agent import SimAgent
from lab.simulation.guest import SimWorker
from lab.simulation.world import Clock
from protocol.names import Endpoint, Hold, Incarnation, NodeName

if TYPE_CHECKING:
    from lab.simulation.cluster import SimCluster

HEARTBEAT_PORT, MIGRATION_PORT = 3343, 6600

BOUND_ROUNDS = 30
"""Simulated wires are slow: a policy that finds no end finds one here, within a seed's patience."""


class SimMachine:
    """What stays when an agent is killed: the node's name, its clock, its disk."""

    def __init__(
        self, cluster: "SimCluster", node: NodeName, clock: Clock, memory_bytes: int
    ) -> None:
        self.cluster = cluster
        self.node = node
        self.clock = clock
        self.random: Random = cluster.world.stream(f"machine {node}")
        self.disk = NodeRecord()
        self.lives = 0
        self.agent: SimAgent | None = None
        self.workers: list[SimWorker] = []
        """Every worker process of this machine, orphans too."""

        self.workers_frozen = False
        self.fails_storage = 0
        """How many of the next S10 on this machine fail."""

        self.storage_failed = 0
        self.config = AgentConfig(
            node=node,
            endpoint=Endpoint(
                tuple((network, cluster.address(node, network)) for network in cluster.networks),
                HEARTBEAT_PORT,
                MIGRATION_PORT,
            ),
            memory_bytes=memory_bytes,
            tracker="simulated",
            limits=Limits(bound_rounds=BOUND_ROUNDS),
        )

    def start(self) -> None:
        """Begin a new life, unless one goes on."""
        if self.agent is None:
            self.lives += 1
            self.agent = SimAgent(self, Incarnation(f"{self.node}-{self.lives}"))
            self.cluster.tell(f"{self.node} starts as {self.agent.incarnation}")
            self.agent.begin()

    def kill(self) -> None:
        """SIGKILL: nothing of the agent is left but what its disk holds; its workers end with it,
        very soon.
        """
        agent, self.agent = self.agent, None
        if agent is None:
            return
        self.cluster.tell(f"{agent.incarnation} is killed")
        agent.die()
        for worker in self.workers:
            self.orphan(worker)

    def orphan(self, worker: SimWorker) -> None:
        """A worker whose agent is gone ends, very soon."""
        delay_s = self.random.uniform(0.0001, 0.005)
        self.cluster.world.after(delay_s, self._end_orphan, worker)

    def _end_orphan(self, worker: SimWorker) -> None:
        if worker.frozen:
            self.cluster.world.after(0.05, self._end_orphan, worker)
        else:
            self.end(worker)

    def end(self, worker: SimWorker) -> None:
        if worker.alive:
            worker.end()
            self.cluster.checker.guest_ended(worker)
            self.workers.remove(worker)

    def freeze(self, with_workers: bool) -> None:
        if self.agent is not None:
            self.agent.frozen = True
        if with_workers:
            self.workers_frozen = True
            for worker in self.workers:
                worker.freeze()

    def thaw(self) -> None:
        """Workers first: they look at the lease before anything else happens on this machine."""
        if self.workers_frozen:
            self.workers_frozen = False
            for worker in list(self.workers):
                worker.thaw()
        if self.agent is not None and self.agent.frozen:
            self.agent.thaw()

    def new_worker(self, agent: "SimAgent", order: actions.CreateVm | actions.Reserve) -> SimWorker:
        holds = order.holds if isinstance(order, actions.CreateVm) else Hold.ATTEMPT
        worker = SimWorker(
            self.cluster.world,
            self.clock,
            agent.lease,
            agent.incarnation,
            order.vm,
            order.epoch,
            order.spec,
            holds,
        )
        worker.begins = self.cluster.checker.guest_begins
        self.workers.append(worker)
        self.cluster.checker.guest_made(worker)
        return worker
