"""What the two machines of a migration share: where they stand, what else can happen to them, what
both say of their end, and their pictures.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from agent.config import Limits
from agent.policies import BUILT_IN, Shelf
from protocol.messages import Decided, Ended, GaveUp, Migrate, Part, Reserve
from protocol.names import ClusterId, Hold, Incarnation, Step, Term


class IllegalEvent(AssertionError):
    """A machine was fed an event that its state rules out: our bug, not the world's."""

    def __init__(self, state: object, event: object) -> None:
        super().__init__(f"{event!r} cannot happen in {state!r}")


@dataclass(frozen=True, slots=True)
class Here:
    """What a machine may know of its node when something happens.

    `linked`: a coordinator that leads stands at the other end of the control link. `holds`: the
    VM's, now.
    """

    cluster: ClusterId
    term: Term
    incarnation: Incarnation
    linked: bool
    holds: Hold
    pages_total: int
    limits: Limits
    policies: Shelf = BUILT_IN


# ---- What happens to a machine besides the agent's events


@dataclass(frozen=True, slots=True)
class LeaderHeard:
    """A leader has welcomed this agent; what was said to an earlier one may be lost."""


@dataclass(frozen=True, slots=True)
class DeadlinePassed:
    """The time that the state allows is over."""


@dataclass(frozen=True, slots=True)
class VmLost:
    """The VM's worker has ended, or is being ended, for another reason than this attempt."""

    reason: str


# ---- What both say to the coordinator


def gave_up(order: Migrate | Reserve, here: Here, at: Step, reason: str) -> GaveUp:
    """This end has ended alone, at that step."""
    return GaveUp(
        here.cluster,
        here.term,
        here.incarnation,
        order.attempt,
        order.vm,
        order.epoch,
        isinstance(order, Migrate),
        at,
        reason,
    )


def carried_out(
    decided: Decided, here: Here, is_source: bool, parts: tuple[Part, ...] = ()
) -> Ended:
    """This end has carried out what was decided."""
    return Ended(
        here.cluster,
        here.term,
        here.incarnation,
        decided.attempt,
        is_source,
        decided.decision,
        parts,
    )


# ---- The pictures


@dataclass(frozen=True, slots=True)
class Move:
    """One arrow of a machine's picture."""

    was: str
    on: str
    now: str


def mermaid(moves: Iterable[Move], first: str, last: str) -> str:
    """A state diagram of `moves`; arrows between the same two states share one line."""
    arrows: dict[tuple[str, str], list[str]] = {}
    for move in moves:
        arrows.setdefault((move.was, move.now), []).append(move.on)
    lines = ["stateDiagram-v2", f"    [*] --> {first}"]
    lines += [f"    {was} --> {now} : {', '.join(on)}" for (was, now), on in arrows.items()]
    return "\n".join([*lines, f"    {last} --> [*]"]) + "\n"
