"""Whether the store is older than what nodes and the witness remember (event 1561).

Every view and vote configuration is written before anybody is shown it. So a number above the
store's own means that the store was put back from a backup. Then a quorum of nodes is not enough to
start above everything: who is missing may live by what the store has lost.
"""

from coordinator.leadership import doorstep
from coordinator.membership.agents import Agent
from coordinator.scene import Scene
from coordinator.votes.arbitration import vote_configs
from protocol.names import NodeName, ViewNumber


def learn_numbers(scene: Scene) -> None:
    """Remember the newest numbers that configured nodes tell of; what follows starts above them."""
    for agent in scene.agents:
        if doorstep.belongs(scene, agent.hello) and not doorstep.why_turned_away(
            scene, agent.hello
        ):
            view, index = told_by(agent)
            scene.highest_view = max(scene.highest_view, view)
            scene.highest_index = max(scene.highest_index, index)


def told_by(agent: Agent) -> tuple[ViewNumber, int]:
    """The newest view and vote configuration that a node knows of, or has read in the witness."""
    votes, witness = agent.hello.votes, agent.witness
    view, index = agent.hello.view, 0 if votes is None else votes.index
    if witness is None:
        return view, index
    return max(view, witness.newest_view), max(index, witness.newest_index)


def knows_more(scene: Scene, agent: Agent) -> bool:
    """It tells of a view or a vote configuration that the store has never heard of."""
    row = scene.book.view
    if row is None:
        return False
    view, index = told_by(agent)
    newest = max(config.index for config in vote_configs(scene))
    if view <= row.view.number and index <= newest:
        return False
    hello = agent.hello
    return doorstep.belongs(scene, hello) and not doorstep.why_turned_away(scene, hello)


def unheard(scene: Scene) -> tuple[NodeName, ...]:
    """Configured nodes that have not said what they know."""
    told = {agent.node for agent in scene.agents}
    return tuple(sorted(node for node in scene.book.nodes if node not in told))


def missing(scene: Scene) -> tuple[NodeName, ...]:
    """Who must be heard before anybody leads on a store that is stale; nobody if it is not."""
    if any(knows_more(scene, agent) for agent in scene.agents):
        return unheard(scene)
    return ()
