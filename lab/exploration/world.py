"""One state of a small cluster: the shipped cores, what is under way between them, and the time.

Nothing takes time but waiting: what is under way arrives in the order in which it was sent, and
the clock moves on only when nothing is. That is the one execution without deviations; what else
could happen is a deviation from it (`deviations.py`). A state can be pickled, so it can be kept and
gone on from in another way.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from agent.actions import NodeRecord
from agent.config import AgentConfig
from agent.core import AgentCore
from coordinator.config import CoordinatorConfig, Network
from coordinator.core import CoordinatorCore
from coordinator.events import LinkId
from lab.exploration.guests import Guests
from lab.simulation.store import MemoryStore
from protocol.names import (
    PAGE_BYTES,
    Endpoint,
    Incarnation,
    NetworkName,
    NodeName,
    Timing,
)

NODES = (NodeName("n1"), NodeName("n2"), NodeName("n3"))
NETWORK = NetworkName("lan")
TIMING = Timing(delay_s=2.0, threshold=2, drift_rate=0.0, grace_s=30.0)
BEGINS_S = 1000.0
"""All clocks say so at first and run alike: drift is what proofs and the simulation are for."""

REDIAL_S = 0.5
RESTART_S = 0.5


@dataclass(slots=True)
class Wire:
    """One control link: which life of which node, and which coordinator, it joins."""

    node: NodeName
    life: Incarnation
    leader: str
    number: LinkId


@dataclass(slots=True)
class Machine:
    """What of a node stays when its agent dies, and the agent while it lives."""

    node: NodeName
    disk: NodeRecord = field(default_factory=NodeRecord)
    lives: int = 0
    core: AgentCore | None = None
    wire: Wire | None = None
    guests: Guests = field(default_factory=Guests)
    frozen_until_s: float = 0.0
    dials: int = 0
    starts_at_s: float = float("inf")
    dials_at_s: float = float("inf")


@dataclass(slots=True)
class Seat:
    """A place for a coordinator."""

    name: str
    core: CoordinatorCore | None = None
    frozen_until_s: float = 0.0
    starts_at_s: float = float("inf")


@dataclass(frozen=True, slots=True)
class Item:
    """Something under way to `to`; `on` is the link that it travels on, if it does."""

    to: str
    life: str
    kind: str
    what: Any
    on: int = 0
    origin: str = ""


@dataclass(slots=True)
class Late:
    """What was held up arrives at `at_s`, behind all that is under way then."""

    at_s: float
    items: tuple[Item, ...]


class World:
    """A state. Changed by `Acting` only, one event at a time."""

    def __init__(self) -> None:
        self.now = BEGINS_S
        self.store = MemoryStore()
        self.machines = {node: Machine(node) for node in NODES}
        self.seats = {name: Seat(name) for name in ("c1", "c2")}
        self.queue: list[Item] = []
        self.late: list[Late] = []
        self.links = 0
        self.requests = 0
        self.began_s = BEGINS_S
        """When the story began."""

        self.none_since_s = BEGINS_S
        """Since when no copy of the VM runs."""

        self.held_seen = 0
        """The newest view that was seen to hold."""

        self.trail: list[str] = []
        """The deviations so far: how to get here again."""

    def alive(self) -> Iterator[Machine]:
        return (machine for machine in self.machines.values() if machine.core is not None)

    def running(self) -> list[str]:
        """The lives on which a copy of the VM runs at this moment."""
        return [
            machine.core.incarnation
            for machine in self.alive()
            if machine.core is not None and machine.guests.is_running(self.now)
        ]


def endpoint(node: NodeName) -> Endpoint:
    return Endpoint(((NETWORK, f"10.0.0.{NODES.index(node) + 1}"),), 3343, 6600)


def agent_config(node: NodeName) -> AgentConfig:
    return AgentConfig(node=node, endpoint=endpoint(node), memory_bytes=1024 * PAGE_BYTES)


def coordinator_config(name: str) -> CoordinatorConfig:
    networks = (Network(NETWORK, "10.0.0.0/24", 3, 1000),)
    return CoordinatorConfig(lab="explored", leader=name, networks=networks)
