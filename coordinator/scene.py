"""All that a plan may look at: the rows, the agents, the time, and the term."""

from dataclasses import dataclass, field

from coordinator.config import CoordinatorConfig
from coordinator.membership.agents import Agents
from coordinator.membership.regroup import Regroup
from coordinator.membership.returns import Returns
from coordinator.store.book import Book
from protocol.names import Incarnation, NodeName, NodeState, Term, View, ViewNumber, VmName


@dataclass(slots=True)
class Scene:
    """What is known at this moment."""

    config: CoordinatorConfig
    now: float
    book: Book = field(default_factory=Book)
    agents: Agents = field(default_factory=Agents)
    term: Term = Term(0)
    led_at: float = 0.0
    calm_until: float = 0.0
    """Before this no view is proposed: a changed vote configuration has just come to hold."""

    highest_view: ViewNumber = ViewNumber(0)
    """The newest view that anybody has told of; the next one has a higher number."""

    highest_index: int = 0
    """The newest vote configuration that anybody has told of."""

    given_up: set[Incarnation] = field(default_factory=set)
    """Agents of a cluster that had no copy of its database for a store that is empty."""

    copied: dict[VmName, tuple[int, int, int]] = field(default_factory=dict)
    """Of storage moves: their number, the bytes that are copied, and all of them."""

    regroup: Regroup = field(default_factory=Regroup)
    returns: Returns = field(default_factory=Returns)

    def lead(self) -> None:
        """A leader begins. What went before it did not see, so it waits for what may be under way:
        votes that have just changed, or a force.
        """
        self.led_at, self.regroup, row = self.now, Regroup(), self.book.view
        is_new = row is not None and row.changed and (row.holds or row.view.votes.forced)
        self.calm_until = self.now + self.book.calm_s if is_new else 0.0

    @property
    def wall(self) -> float:
        """The wall-clock time, for records and events."""
        return self.now + self.config.wall_offset_s

    @property
    def held(self) -> View | None:
        """The newest view that is known to hold."""
        return None if self.book.view is None else self.book.view.held

    def in_held_view(self, node: NodeName | None, incarnation: Incarnation | None) -> bool:
        held = self.held
        return (
            held is not None
            and node is not None
            and incarnation is not None
            and held.incarnation_of(node) == incarnation
        )

    def may_own(self, node: NodeName, incarnation: Incarnation) -> bool:
        """This life of `node` may be given VMs: it is in the held view and not on its way out."""
        row = self.book.view
        return (
            row is not None
            and self.in_held_view(node, incarnation)
            and row.view.incarnation_of(node) == incarnation
        )

    def silent(self, node: NodeName) -> bool:
        """Nothing has come over the node's control link for a lease, or there is no link."""
        agent = self.agents.at(node)
        if agent is None or not agent.welcomed:
            return True
        return self.now - max(agent.heard_at, self.led_at) > self.book.timing.support_s

    def heard_by_others(self, node: NodeName) -> bool:
        """Some connected member hears the node on some network."""
        held = self.held
        members = () if held is None else held.members
        for member in members:
            agent = self.agents.living(member.node, member.incarnation)
            if agent is not None and member.node != node and node in agent.hears:
                return True
        return False

    def node_state(self, node: NodeName) -> NodeState:
        """What the cluster makes of a configured node. One that is being stopped accepts no groups
        until it is out, like one that is paused; one that was just taken in accepts none until all
        others were seen to hear it.
        """
        row = self.book.nodes.get(node)
        agent = self.agents.at(node)
        incarnation = None if self.held is None else self.held.incarnation_of(node)
        if incarnation is not None and (
            self.agents.living(node, incarnation) is not None or self.heard_by_others(node)
        ):
            if row is not None and (row.paused or row.stopped):
                return NodeState.PAUSED
            return NodeState.UP if self.regroup.is_proven(incarnation) else NodeState.JOINING
        if agent is not None and agent.welcomed and not (row is not None and row.stopped):
            return NodeState.JOINING
        return NodeState.DOWN
