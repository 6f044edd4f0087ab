"""Keeps the witness in somebody's hands, and tells of it when it is not."""

from collections.abc import Iterable

from coordinator.desk import Desk, Tell
from coordinator.membership.agents import Agent
from coordinator.shown import chronicle
from coordinator.votes.arbitration import Arbitration, holders, vote_configs
from coordinator.votes.dealing import present
from protocol.messages import Arbitrate
from protocol.names import NodeName, VoteConfig, Witness, WitnessKind, WitnessState


class WitnessWatch:
    """One for each coordinator: whom it has asked, and who held the witness when it last looked."""

    def __init__(self) -> None:
        self._arbitration = Arbitration()
        self._held: tuple[Witness, NodeName] | None = None
        self._told: set[NodeName] = set()

    def keep(self, desk: Desk) -> None:
        """While leading: a witness that no member holds is to be taken, needed or not."""
        scene = desk.scene
        config = wanting(vote_configs(scene))
        if config is None:
            self._arbitration.settle()
            self._held = None
            return
        here = present(scene)
        members = [agent for agent in scene.agents if agent.node in here]
        held = sorted(holders(scene, config) & here)
        self._tell(desk, config, held[0] if held else None, members)
        if held:
            self._arbitration.settle()
        else:
            self.ask(desk, members)

    def ask(self, desk: Desk, agents: Iterable[Agent]) -> None:
        """Ask one of `agents` to take it, if it is time to."""
        scene, timing = desk.scene, desk.scene.book.timing
        config = wanting(vote_configs(scene))
        if config is None:
            return
        agent = self._arbitration.next(scene.now, agents, timing.delay_s, timing.arbitration_max_s)
        if agent is not None:
            order = Arbitrate(desk.cluster, scene.term, agent.incarnation, config)
            desk.send(agent, order)

    def settle(self) -> None:
        self._arbitration.settle()

    def _tell(
        self, desk: Desk, config: VoteConfig, holder: NodeName | None, members: list[Agent]
    ) -> None:
        witness = config.witness
        assert witness is not None
        notes = []
        now = None if holder is None else (witness, holder)
        if now != self._held and holder is not None:
            notes.append(chronicle.witness_taken(witness.name, holder))
        elif now is None and self._held is not None and self._held[0] == witness:
            why = f"node {self._held[1]} does not hold it any more"
            notes.append(chronicle.witness_failed(witness.name, why))
        self._held = now
        lost = {
            agent.node
            for agent in members
            if agent.witness is not None and agent.witness.state is WitnessState.UNREACHABLE
        }
        is_share = witness.kind is WitnessKind.SHARE
        for node in sorted(lost - self._told):
            notes.append(chronicle.witness_unreachable(witness.name, node, is_share))
        self._told = lost
        if notes:
            desk.pen.put(Tell(tuple(notes)))


def wanting(configs: Iterable[VoteConfig]) -> VoteConfig | None:
    """The newest configuration whose witness has a vote."""
    return next((config for config in configs if config.witness and config.witness_votes), None)
