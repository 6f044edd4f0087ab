"""The agents that are connected, and what each has last said of itself."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from coordinator.events import LinkId
from protocol.messages import (
    AttemptReport,
    DiskReport,
    Hello,
    Pong,
    RouteReport,
    VmReport,
    WitnessStatus,
)
from protocol.names import (
    AttemptId,
    Epoch,
    Incarnation,
    Member,
    NetworkName,
    NodeName,
    ViewNumber,
    VmName,
)


@dataclass(slots=True)
class Agent:
    """One connected agent, from its Hello until its link closes."""

    link: LinkId
    hello: Hello
    heard_at: float
    vms: dict[VmName, VmReport]
    attempts: dict[AttemptId, AttemptReport]
    welcomed: bool = False
    ponged: bool = False
    acked: ViewNumber = ViewNumber(0)
    """The newest view that it acknowledged in this term."""

    acked_with_witness: ViewNumber = ViewNumber(0)
    """The newest view that the witness remembers through this node, which holds it."""

    witness: WitnessStatus | None = None
    """How it finds the witness, as it last said."""

    view: ViewNumber = ViewNumber(0)
    """The view that it lived by when it last reported."""

    lease_s: float = 0.0
    no_lease_since: float | None = None
    routes: tuple[RouteReport, ...] = ()
    carried: dict[NodeName, set[NetworkName]] = field(default_factory=dict)
    """Which networks carry its link to each node, both ways, as it has it."""

    hears: frozenset[NodeName] = frozenset()
    asked: dict[VmName, tuple[Epoch, float]] = field(default_factory=dict)
    """What it was last told to start, and when."""

    orphans: dict[AttemptId, AttemptReport] = field(default_factory=dict)
    """Attempts that it said Hello with, that no row keeps open: it has to clean up after them."""

    online: dict[VmName, Epoch] = field(default_factory=dict)
    """What it said that it has started."""

    storage: DiskReport | None = None
    """What it sees of disks and volumes, as it last said."""

    @property
    def node(self) -> NodeName:
        return self.hello.node

    @property
    def incarnation(self) -> Incarnation:
        return self.hello.incarnation

    def as_member(self) -> Member:
        return Member(self.hello.node, self.hello.incarnation, self.hello.endpoint)

    def has(self, vm: VmName, epoch: Epoch) -> bool:
        report = self.vms.get(vm)
        return report is not None and report.epoch == epoch

    def online_at(self, vm: VmName, epoch: Epoch) -> bool:
        """It is there with its guest begun; one whose memory is still being made is not."""
        if self.online.get(vm) == epoch:
            return True
        report = self.vms.get(vm)
        if report is None or report.epoch != epoch:
            return False
        return report.running or report.steps > 0

    def pong(self, pong: Pong, now: float) -> bool:
        """Take the report in; True if it says something new about who is heard or has a lease."""
        first = not self.ponged
        self.ponged = True
        self.heard_at = now
        self.vms = {report.vm: report for report in pong.vms}
        had_lease = self.no_lease_since is None
        self.lease_s = pong.lease_s
        self.view = pong.view
        told, self.witness = self.witness != pong.witness, pong.witness
        if pong.lease_s > 0:
            self.no_lease_since = None
        elif self.no_lease_since is None:
            self.no_lease_since = now
        if pong.routes == self.routes:
            return told or first or had_lease is not (self.no_lease_since is None)
        self.routes = pong.routes
        self.carried = {}
        for route in pong.routes:
            if route.up:
                self.carried.setdefault(route.node, set()).add(route.network)
        self.hears = frozenset(self.carried)
        return True


class Agents:
    """All connected agents, by link and by node. A node's newest Hello is the one that counts."""

    def __init__(self) -> None:
        self._by_link: dict[LinkId, Agent] = {}
        self._by_node: dict[NodeName, Agent] = {}

    def __iter__(self) -> Iterator[Agent]:
        """By name, so that nothing depends on the order in which they came."""
        return iter([self._by_node[node] for node in sorted(self._by_node)])

    def greet(self, link: LinkId, hello: Hello, now: float) -> LinkId | None:
        """Enter who said Hello on `link`; the link of the same node that this one replaces."""
        vms = {report.vm: report for report in hello.vms}
        attempts = {report.attempt: report for report in hello.attempts}
        earlier = self._by_node.get(hello.node)
        self._by_link.pop(link, None)
        agent = Agent(link, hello, now, vms, attempts, witness=hello.witness)
        self._by_link[link] = self._by_node[hello.node] = agent
        if earlier is None or earlier.link == link:
            return None
        self._by_link.pop(earlier.link, None)
        return earlier.link

    def forget(self, link: LinkId) -> Agent | None:
        agent = self._by_link.pop(link, None)
        if agent is not None and self._by_node.get(agent.node) is agent:
            del self._by_node[agent.node]
        return agent

    def forget_all(self) -> tuple[LinkId, ...]:
        links = tuple(sorted(self._by_link))
        self._by_link.clear()
        self._by_node.clear()
        return links

    def on(self, link: LinkId) -> Agent | None:
        return self._by_link.get(link)

    def at(self, node: NodeName | None) -> Agent | None:
        return None if node is None else self._by_node.get(node)

    def living(self, node: NodeName | None, incarnation: Incarnation | None) -> Agent | None:
        """The agent of `node`, if it is connected in this very life and welcomed."""
        agent = self.at(node)
        if agent is None or not agent.welcomed or agent.incarnation != incarnation:
            return None
        return agent

    def heard_at(self) -> dict[NodeName, float]:
        return {agent.node: agent.heard_at for agent in self if agent.welcomed}
