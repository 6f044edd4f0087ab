"""Every state of a machine meets every event: what moves, what is refused."""

from collections.abc import Callable, Iterable
from typing import Any

from agent.actions import Action
from agent.events import PeerSaid
from agent.moves import Here, IllegalEvent, Move
from protocol.messages import Decided

Step = Callable[[Any, Any, Here], tuple[Any, tuple[Action, ...]]]


def label(event: object) -> str:
    match event:
        case PeerSaid(_, message):
            return type(message).__name__
        case Decided(decision=decision):
            return f"Decided {decision.value}"
    return type(event).__name__


def meet_all(
    states: Iterable[object], events: Iterable[object], heres: Iterable[Here], step: Step
) -> tuple[set[tuple[str, str, str]], set[tuple[str, str]]]:
    """All moves from one state to another, and all refusals."""
    moves, refused = set(), set()
    for state in states:
        for event in events:
            for here in heres:
                try:
                    after, _ = step(state, event, here)
                except IllegalEvent:
                    refused.add((type(state).__name__, label(event)))
                else:
                    if type(after) is not type(state):
                        moves.add((type(state).__name__, label(event), type(after).__name__))
    return moves, refused


def declared(moves: Iterable[Move], peer_says: Iterable[str]) -> set[tuple[str, str, str]]:
    """The moves of a picture, without their conditions; 'out of turn' stands for all that the peer
    may say.
    """
    plain = {(move.was, move.on.partition(":")[0], move.now) for move in moves}
    forward = {(was, on) for was, on, now in plain if now != "GivenUp"}
    for was, on, now in sorted(plain):
        if on == "out of turn":
            plain.remove((was, on, now))
            plain |= {(was, said, now) for said in peer_says if (was, said) not in forward}
    return plain
