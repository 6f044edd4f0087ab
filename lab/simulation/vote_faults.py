"""Faults of the witness, and what operators do to votes when it is least expected."""

from dataclasses import dataclass, field, replace
from random import Random

from coordinator.requests import (
    Accepted,
    EvictNode,
    Request,
    Response,
    SetQuorum,
    SetWeight,
    StartNode,
    StopNode,
)
from lab.simulation.cluster import WITNESS_OF, SimCluster
from lab.simulation.store import Fate
from lab.simulation.witness import SimWitness
from protocol.names import NodeName, QuorumMode

ASK_AGAIN_S = 2.0


def witness_of(cluster: SimCluster) -> SimWitness | None:
    """The witness whose vote counts now."""
    view = cluster.checker.view
    witness = None if view is None else view["votes"]["witness"]
    return None if witness is None else cluster.witnesses[witness[2]]


@dataclass(slots=True)
class WitnessDown:
    """Nobody can read or write it."""

    cluster: SimCluster
    witness: SimWitness | None = None
    before: int = 0

    def begin(self) -> bool:
        witness = witness_of(self.cluster)
        if witness is None or witness.is_down:
            return False
        self.witness, self.before = witness, witness.fates[Fate.CUT_OFF]
        witness.is_down = True
        return True

    def end(self) -> None:
        if self.witness is not None:
            self.witness.is_down = False

    def took_effect(self) -> bool:
        return self.witness is not None and self.witness.fates[Fate.CUT_OFF] > self.before


@dataclass(slots=True)
class SlyWitness:
    """Its answers get lost, and writes are done long after their writer gave up."""

    cluster: SimCluster
    witness: SimWitness | None = None
    before: int = 0

    def begin(self) -> bool:
        self.witness = witness_of(self.cluster)
        if self.witness is None:
            return False
        self.before = self._said_nothing()
        self.witness.trouble = replace(
            self.witness.trouble,
            answer_lost=0.3,
            request_lost=0.1,
            request_late=0.2,
            delay_s=(0.01, 0.5),
        )
        return True

    def end(self) -> None:
        if self.witness is not None:
            self.witness.trouble = SimWitness.CALM

    def took_effect(self) -> bool:
        return self._said_nothing() > self.before

    def _said_nothing(self) -> int:
        if self.witness is None:
            return 0
        return sum(n for fate, n in self.witness.fates.items() if fate is not Fate.ANSWERED)


@dataclass(slots=True)
class Change:
    """No fault, but a change that operators want at a bad moment: one request after the other,
    again and again until it is accepted or they give up.
    """

    cluster: SimCluster
    todo: list[Request]
    undo: list[Request] = field(default_factory=list)
    accepted: int = 0
    is_over: bool = False

    def begin(self) -> bool:
        if not self.todo:
            return False
        self._ask()
        return True

    def _ask(self) -> None:
        if self.todo and not self.is_over:
            self.cluster.ask(self.todo[0], self._answered)
            self.cluster.world.after(ASK_AGAIN_S, self._ask)

    def _answered(self, response: Response) -> None:
        if isinstance(response, Accepted) and self.todo:
            self.accepted += 1
            self.todo.pop(0)

    def end(self) -> None:
        """What was done stays, but for what would keep a node out."""
        self.is_over = True
        for request in self.undo:
            self.cluster.ask(request)

    def took_effect(self) -> bool:
        return self.accepted > 0


def new_quorum(cluster: SimCluster) -> Change:
    """Another mode, with the witness that it needs."""
    view, random = cluster.checker.view, _random(cluster)
    mode = None if view is None else view["votes"]["mode"]
    modes = [other for other in QuorumMode if other.value != mode]
    chosen = random.choice(modes)
    return Change(cluster, [SetQuorum(chosen, WITNESS_OF[chosen])])


def new_weight(cluster: SimCluster) -> Change:
    """A node loses its vote, or gets it back."""
    view, random = cluster.checker.view, _random(cluster)
    if view is None:
        return Change(cluster, [])
    node, votes = random.choice(sorted(map(tuple, view["votes"]["votes"])))
    return Change(cluster, [SetWeight(NodeName(node), 0 if votes else 1)])


def evict(cluster: SimCluster, node: NodeName) -> Change:
    """Remove a node for good; operators let it join again some time later."""
    return Change(cluster, [EvictNode(node)])


def stop_node(cluster: SimCluster, node: NodeName) -> Change:
    """Stop a node's cluster service, and start it again."""
    return Change(cluster, [StopNode(node)], [StartNode(node)])


def _random(cluster: SimCluster) -> Random:
    """Chance that depends on nothing but the moment."""
    return Random(f"{cluster.world.seed}/{cluster.world.now:.6f}")
