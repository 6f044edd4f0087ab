"""A whole cluster in one thread: real cores, simulated machines, network and store, and a checker
that watches.
"""

import collections
import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from coordinator.requests import FormCluster, Request, Response
from lab.simulation.agent import SimAgent
from lab.simulation.ballots import Violation
from lab.simulation.checker import CheckedStore, Checker
from lab.simulation.coordinator import SimCoordinator
from lab.simulation.guest import SimWorker
from lab.simulation.ledger import Ledger
from lab.simulation.net import End, Link, Network, Weather
from lab.simulation.node import SimMachine
from lab.simulation.san import SimSan
from lab.simulation.storage_checks import StorageChecks
from lab.simulation.store import HONEST, SimStore, Trouble
from lab.simulation.witness import SimWitness
from lab.simulation.world import Clock, World
from protocol.codec import decode, encode
from protocol.disks import DiskId
from protocol.messages import FromAgent, Message
from protocol.names import (
    PAGE_BYTES,
    AttemptId,
    NetworkName,
    NodeName,
    Personality,
    QuorumMode,
    Step,
    Timing,
    VmName,
    Witness,
    WitnessKind,
)

DIAL_TIMEOUT_S = 2.0
MEMORY_BYTES = 4096 * PAGE_BYTES
LUN_BLOCKS = 1 << 20
DISK = Witness("Cluster Disk 1", WitnessKind.DISK, "/disk")
SHARE = Witness("File Share Witness", WitnessKind.SHARE, "/share")
WITNESS_OF = {
    QuorumMode.NODE_MAJORITY: None,
    QuorumMode.NODE_AND_DISK: DISK,
    QuorumMode.NODE_AND_SHARE: SHARE,
    QuorumMode.DISK_ONLY: DISK,
}
"""The witness that each mode of quorum has in a simulated lab."""


@dataclass(frozen=True, slots=True)
class Setting:
    """What a simulated lab is made of; the defaults are a calm one."""

    nodes: tuple[str, ...] = ("node1", "node2", "node3")
    spares: tuple[str, ...] = ()
    """Nodes that run and belong to no cluster until somebody lets them join."""

    networks: tuple[str, ...] = ("lan",)
    timing: Timing = Timing(2.0, 3)
    rates: tuple[float, ...] = ()
    """How fast each node's clock runs, and after those the coordinators'; 1.0 where nothing is
    said.
    """

    weather: Weather = field(default_factory=Weather)
    trouble: Trouble = HONEST
    pages_per_s: float = 40.0
    """How many pages a migration sends."""

    is_coded: bool = False
    """Every message becomes bytes on its way, as in a real lab; that takes its time."""

    mode: QuorumMode = QuorumMode.NODE_MAJORITY
    personality: Personality = Personality.R2008
    homes: tuple[str, str] = ("c1", "c2")
    """On whose NICs the two coordinators live: a node's, or those of a host of its own."""

    luns: int = 0
    """How many disks all nodes share."""


class SimCluster:
    """Joins everything, and lets whoever hurts it or looks at it in."""

    def __init__(self, seed: int, setting: Setting | None = None) -> None:
        self.setting = setting or Setting()
        self.world = World(seed)
        self.net = Network(self.world, self.setting.weather)
        self.networks = tuple(NetworkName(name) for name in self.setting.networks)
        self.pages_per_s = self.setting.pages_per_s
        self.truth = CheckedStore()
        self.checker = Checker(self.world, self.truth)
        self.checker.on_open = self._opened
        self.world.after_event = self.checker.after_event
        self.san: SimSan | None = None
        if self.setting.luns:
            disks = tuple(DiskId(f"6{number:031x}") for number in range(1, self.setting.luns + 1))
            self.san = SimSan(self.world, disks, LUN_BLOCKS)
            self._checks = StorageChecks(self.san, self.truth, self.checker.vms)
            self._checks.has_key = self._has_key
        self.held_up: collections.Counter[str] = collections.Counter()
        """How much has waited for a frozen process, by its place."""

        self.steps: dict[AttemptId, Step] = {}
        """The newest step that each attempt has reached."""

        self.past_pause: set[AttemptId] = set()
        self.on_step: list[Callable[[Step, AttemptId], None]] = []
        self.is_verbose = False
        self._names = [NodeName(n) for n in (*self.setting.nodes, *self.setting.spares)]
        clocks = self._clocks()
        self.machines = {
            name: SimMachine(self, name, next(clocks), MEMORY_BYTES) for name in self._names
        }
        self.checker.machines = self.machines
        self.checker.expected = {NodeName(name) for name in self.setting.nodes}
        self.coordinators = {
            name: SimCoordinator(self, name, home, next(clocks), self._way_to_store(name))
            for name, home in zip(("c1", "c2"), self.setting.homes, strict=True)
        }
        self.witnesses = {
            witness.path: SimWitness(self.world, self.net, witness.path)
            for witness in (DISK, SHARE)
        }
        for witness in self.witnesses.values():
            self.checker.ballots.watch(witness)
        for machine in self.machines.values():
            self.net.listen(machine.node, self._receiver(machine))

    @property
    def storage_checks(self) -> StorageChecks:
        assert self.san is not None, "this lab has no shared disks"
        return self._checks

    def ledger_of(self, worker: SimWorker) -> Ledger | None:
        """Of a copy that lives."""
        for machine in self.machines.values():
            if machine.agent is not None and worker in machine.workers:
                return machine.agent.vms.ledger(worker.vm)
        return None

    def _has_key(self, disk: DiskId, life: str) -> bool:
        """Whether that life of a node could still write to the disk."""
        for machine in self.machines.values():
            agent = machine.agent
            if agent is not None and agent.incarnation == life and agent.disks is not None:
                assert self.san is not None
                keys = self.san.units.units[self.san.lun_of[disk]].reservations.keys
                return agent.disks.paths[disk].nexus in keys
        return False

    @property
    def hosts(self) -> list[str]:
        """Everything that has NICs: the machines, and the hosts of coordinators."""
        return list(dict.fromkeys([*self.machines, *self.setting.homes]))

    def address(self, node: NodeName, network: NetworkName) -> str:
        """Where `node` is on `network`: the host's part is its place among the nodes."""
        host = self._names.index(node) + 1
        return f"10.0.{self.networks.index(network)}.{host}"

    def node_at(self, address: str) -> NodeName:
        return self._names[int(address.rpartition(".")[2]) - 1]

    def _clocks(self) -> Iterator[Clock]:
        random = self.world.stream("clocks")
        rates = itertools.chain(self.setting.rates, itertools.repeat(1.0))
        return (Clock(self.world, rate, random.uniform(1000.0, 100_000.0)) for rate in rates)

    def _way_to_store(self, name: str) -> SimStore:
        random = self.world.stream(f"store {name}")
        return SimStore(self.truth, random, self.world.after, self.setting.trouble)

    def _receiver(self, machine: SimMachine) -> Callable[[str, object], None]:
        def receive(network: str, message: object) -> None:
            if machine.agent is not None:
                machine.agent.datagram(NetworkName(network), message)

        return receive

    # ---- its life

    def start(self, coordinator: str = "c1") -> None:
        """Machines and a coordinator, a cluster formed of all but the spares, its first view."""
        self.coordinators[coordinator].start()
        for machine in self.machines.values():
            machine.start()
        setting = self.setting
        form = FormCluster(
            "lab",
            tuple(map(NodeName, setting.nodes)),
            setting.timing,
            setting.mode,
            WITNESS_OF[setting.mode],
            setting.personality,
        )
        for _ in range(60):
            self.run(1.0)
            if self.checker.view is None:
                self.ask(form)
            elif not self.checker.complaints():
                return
        raise AssertionError(f"the cluster was not formed: {self.checker.complaints()}")

    def run(self, seconds: float) -> None:
        self.world.run(self.world.now + seconds)

    def settle(self, within_s: float) -> list[str]:
        """Run until all is well, but no longer than that; what is not well by then."""
        until_s = self.world.now + within_s
        self.world.run_while(lambda: bool(self.checker.complaints()), until_s)
        return self.checker.complaints()

    def ask(self, request: Request, answered: Callable[[Response], None] | None = None) -> bool:
        """An operator asks whoever leads; False if nobody is there to be asked."""
        for name in sorted(self.coordinators, key=lambda name: name != self.leader):
            process = self.coordinators[name].process
            if process is not None and not process.frozen:
                process.ask(request, answered or _ignore)
                return True
        return False

    def holder(self, witness: Witness | None) -> str:
        """The node that holds the witness; empty if nobody does."""
        if witness is None:
            return ""
        record = self.witnesses[witness.path].record
        return "" if record is None or not record.holder else str(record.node)

    def unjoined(self) -> list[NodeName]:
        """Nodes that the cluster does not know."""
        return [node for node in self.machines if self.truth.get(f"node/{node}").value is None]

    def start_a_coordinator(self, name: str) -> None:
        """Somebody looks after the coordinators: one runs, unless it was just killed; two only if
        asked for.
        """
        if all(place.process is None for place in self.coordinators.values()):
            self.coordinators[name].start()

    @property
    def leader(self) -> str:
        """Who took the newest term."""
        row = self.truth.get("term")
        return "c1" if row.value is None else str(row.value["leader"])

    # ---- what the parts tell each other

    def wire(self, message: Message) -> Message:
        """What the other end gets of `message`."""
        if not self.setting.is_coded:
            return message
        arrives = decode(encode(message))
        if arrives != message:
            raise Violation(f"what was sent is not what arrives: {message} and {arrives}")
        return arrives

    def dial(self, agent: SimAgent, nth: int) -> None:
        """Connect an agent to one coordinator after the other, on one network after the other."""
        names = sorted(self.coordinators)
        place = self.coordinators[names[nth % len(names)]]
        network = self.networks[nth // len(names) % len(self.networks)]
        ways = ((network, agent.node, place.home), (network, place.home, agent.node))
        if any([self.net.blocks(way) for way in ways]):
            agent.later(DIAL_TIMEOUT_S, agent.not_linked)
        else:
            self.world.after(0.002, self._connected, agent, place, network)

    def _connected(self, agent: SimAgent, place: SimCoordinator, network: NetworkName) -> None:
        process = place.process
        if not agent.alive:
            return
        if process is None:
            agent.soon(agent.not_linked)
            return
        mine = agent.control_end()
        theirs = End(place.home, _ignore, _ignore)
        link = Link(self.net, network, mine, theirs)
        mine.holder.append(link)
        theirs.holder.append(link)
        process.accept(theirs)
        agent.soon(agent.linked, link, mine)

    def agent_says(self, agent: SimAgent, message: FromAgent) -> None:
        self.checker.agent_says(agent.node, agent.incarnation, message)

    def _opened(self, attempt: AttemptId) -> None:
        self.reached(Step.ADMISSION, attempt)

    def attempt_of(self, vm: VmName) -> AttemptId | None:
        return self.checker.attempt_of(vm)

    def reached(self, step: Step, attempt: AttemptId | None) -> None:
        """An attempt has come to a step: the moment for whoever waits for it."""
        if attempt is None or self.steps.get(attempt) is step:
            return
        self.steps[attempt] = step
        if step is Step.PAUSE:
            self.past_pause.add(attempt)
        self.detail(f"attempt {attempt} reaches {step.value}")
        for call in list(self.on_step):
            call(step, attempt)

    def tell(self, words: str) -> None:
        self.world.say(words)

    def detail(self, words: str) -> None:
        if self.is_verbose:
            self.world.say(f"  {words}")


def _ignore(_: object) -> None:
    pass
