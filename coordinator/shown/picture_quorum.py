"""Whose votes are there, whose count, and how many more may fail: quorum as people see it."""

from typing import Any

from coordinator.leadership.leading import configured_heard
from coordinator.membership.agents import Agent
from coordinator.scene import Scene
from coordinator.votes import quorum
from coordinator.votes.arbitration import holders, vote_configs
from protocol.messages import WitnessStatus
from protocol.names import NodeName, VoteConfig, WitnessState

Data = dict[str, Any]

SAID_FIRST = (
    *(WitnessState.HELD, WitnessState.NEWER, WitnessState.CONTENDING, WitnessState.OTHER),
    *(WitnessState.FREE, WitnessState.UNREACHABLE, WitnessState.UNKNOWN),
)
"""Where nodes find the witness differently: who knows more is believed."""

NONE: Data = {
    **{"mode": None, "votes": 0, "present": 0, "needed": 0, "has_quorum": False},
    **{"forced": False, "witness": None, "may_fail": 0, "outlook": "No cluster has been formed."},
    **{"personality": None, "index": 0, "pending": False, "nodes": []},
}

GLANCE = ("mode", "votes", "present", "needed", "has_quorum", "forced", "may_fail")


def quorum_data(scene: Scene, leads: bool) -> Data:
    """Every voter, and the sum."""
    configs, cluster = vote_configs(scene), scene.book.cluster
    if not configs or cluster is None:
        return NONE
    config = configs[-1]  # the one that holds, while another is still to hold
    heard = {node for node in configured_heard(scene) if not leads or not scene.silent(node)}
    witness = _witness(scene, config, heard)
    carried = witness is not None and witness["counted"]
    present = quorum.votes_of(config, heard) + (config.witness_votes if carried else 0)
    spare = present - config.needed
    return {
        "mode": config.mode.value,
        "votes": config.total,
        "present": present,
        "needed": config.needed,
        "has_quorum": spare >= 0,
        "forced": config.forced,
        "witness": witness,
        "may_fail": max(0, spare),
        "outlook": outlook(config, spare, carried),
        "personality": cluster.personality.value,
        "index": config.index,
        "pending": len(configs) > 1,
        "nodes": [_voter(scene, node, config, heard) for node in sorted(scene.book.nodes)],
    }


def glance(data: Data) -> Data:
    """What of it stands in the status."""
    witness = data["witness"]
    short = witness and {key: witness[key] for key in ("name", "kind", "state", "holder")}
    return {**{key: data[key] for key in GLANCE}, "witness": short}


def outlook(config: VoteConfig, spare: int, carried: bool) -> str:
    """What may fail yet, in a sentence."""
    if spare < 0:
        missing = f"{-spare} more {_votes(-spare)}"
        if config.witness is not None and config.witness_votes and not carried:
            return f"There is no quorum: {missing} must come back, a node's or the witness's."
        return f"There is no quorum: {missing} must come back."
    if not any(votes for _, votes in config.votes):
        return "Any node may fail as long as one is left; losing the witness loses the quorum."
    if spare == 0:
        return "It can lose no more votes: the next one that is lost ends the quorum."
    return f"It can lose {spare} more {_votes(spare)}."


def _votes(number: int) -> str:
    return "vote" if number == 1 else "votes"


def _voter(scene: Scene, node: NodeName, config: VoteConfig, heard: set[NodeName]) -> Data:
    votes = dict(config.votes).get(node, 0)
    status = _status_of(scene.agents.at(node), config)
    return {
        "name": node,
        "votes": votes,
        "weight": scene.book.nodes[node].weight,
        "state": scene.node_state(node).value,
        "counted": node in heard and votes > 0,
        "witness": None if status is None else word_of(status.state),
    }


def word_of(state: WitnessState) -> str:
    return state.name.capitalize()


def _witness(scene: Scene, config: VoteConfig, heard: set[NodeName]) -> Data | None:
    """The witness as those who are heard find it; its vote counts while one of them carries it."""
    witness = config.witness
    if witness is None:
        return None
    found = {
        status.state
        for agent in scene.agents
        if agent.node in heard and (status := _status_of(agent, config)) is not None
    }
    holder = min(holders(scene, config) & heard, default=None)
    return {
        "name": witness.name,
        "kind": witness.kind.value,
        "path": witness.path,
        "votes": config.witness_votes,
        "state": word_of(next((s for s in SAID_FIRST if s in found), WitnessState.UNKNOWN)),
        "holder": holder,
        "counted": holder is not None and config.witness_votes > 0,
    }


def _status_of(agent: Agent | None, config: VoteConfig) -> WitnessStatus | None:
    """What a node last said of the witness of this configuration."""
    if agent is None or agent.witness is None or agent.witness.index != config.index:
        return None
    return agent.witness if config.witness is not None else None
