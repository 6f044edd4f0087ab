"""Who carries the witness's vote, and who is asked to take it when nobody does.

A node contends for the witness by itself when its vote would keep a lease. That is not enough for a
coordinator: after a restart of everything nobody has a view to contend in, and a cluster that has
its majority without the witness is better off with a vote to spare. So whoever leads, or would if
it had the witness's vote, asks one node after the other. Asking gives no right: a witness that
somebody holds is taken only when its holder's promises have run out, which the nodes see to.
"""

from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass, field

from coordinator.membership.agents import Agent
from coordinator.scene import Scene
from coordinator.votes import quorum
from protocol.names import NodeName, VoteConfig, WitnessState

HOLDING = (WitnessState.HELD, WitnessState.NEWER)
"""The states of a node that holds the witness; in the second one it may not carry its vote yet."""


def vote_configs(scene: Scene) -> list[VoteConfig]:
    """The configuration that is to hold, and the one that holds if it is another; none without a
    cluster. A forced one stands alone: that the others do not count is what was sworn.
    """
    row = scene.book.view
    if row is None:
        return []
    configs = [row.view.votes]
    if row.held is not None and row.held.votes != row.view.votes and not row.view.votes.forced:
        configs.append(row.held.votes)
    return configs


def holders(scene: Scene, config: VoteConfig) -> set[NodeName]:
    """Connected nodes that say that they hold the witness of `config`.

    Who holds it may have said so under the configuration before, and have acknowledged the newest
    view with it since then.
    """
    row = scene.book.view
    if config.witness is None or row is None:
        return set()
    newest = row.view.number if row.view.votes.witness == config.witness else None
    same = {known.index for known in vote_configs(scene) if known.witness == config.witness}
    same.add(config.index)
    return {
        agent.node
        for agent in scene.agents
        if agent.witness is not None
        and agent.witness.state in HOLDING
        and (agent.witness.index in same or agent.acked_with_witness == newest)
    }


def with_witness(scene: Scene, config: VoteConfig, nodes: Set[NodeName]) -> bool:
    """Whether one of `nodes` holds the witness of `config`."""
    return not holders(scene, config).isdisjoint(nodes)


def have_quorum(
    scene: Scene, nodes: Set[NodeName], letting_go: Set[NodeName] = frozenset()
) -> bool:
    """Whether `nodes` could make a view hold: quorums of all configurations that have a say.

    The witness counts only if one of them holds it now. One that they might still take does not:
    its holder may be alive on the other side, with a lease that rests on it, and a view without
    that holder would end a life for which no other can be started. Members that need the witness
    contend for it, and once they hold it the view can be written.

    A holder among those who are `letting_go` has nothing left to lose, and keeps the witness until
    that very view ends its life: then one of `nodes` takes it.
    """
    return all(
        quorum.has_quorum(config, nodes, with_witness(scene, config, nodes | letting_go))
        for config in vote_configs(scene)
    )


def could_decide(scene: Scene, nodes: Set[NodeName]) -> bool:
    """Whether `nodes` would have quorums if they held the witness, which may be gone."""
    return all(
        quorum.has_quorum(config, nodes, config.witness is not None)
        for config in vote_configs(scene)
    )


@dataclass(slots=True)
class Arbitration:
    """One node is asked at a time; the next one when it cannot, or its time is over."""

    asked: NodeName | None = None
    asked_at: float = float("-inf")
    tried: set[NodeName] = field(default_factory=set)

    def next(
        self, now: float, agents: Iterable[Agent], delay_s: float, arbitration_max_s: float
    ) -> Agent | None:
        """Whom to ask now, of those who are heard and may be asked; None while one is at it."""
        candidates = {agent.node: agent for agent in agents}
        since = now - self.asked_at
        patience_s = delay_s if self._failed(candidates) else arbitration_max_s
        if self.asked in candidates and since < patience_s:
            return None
        untried = [agent for node, agent in candidates.items() if node not in self.tried]
        if not untried:
            self.tried.clear()
            untried = list(candidates.values())
        if not untried:
            return None
        best = min(untried, key=lambda agent: (_unreachable(agent), agent.node))
        self.asked, self.asked_at = best.node, now
        self.tried.add(best.node)
        return best

    def _failed(self, candidates: Mapping[NodeName, Agent]) -> bool:
        """Whoever is asked says soon that it cannot reach the witness, if that is so."""
        agent = None if self.asked is None else candidates.get(self.asked)
        return agent is not None and _unreachable(agent)

    def settle(self) -> None:
        """The witness is held: nobody need be asked, and the next time all may be."""
        self.asked, self.asked_at = None, float("-inf")
        self.tried.clear()


def _unreachable(agent: Agent) -> bool:
    return agent.witness is not None and agent.witness.state is WitnessState.UNREACHABLE
