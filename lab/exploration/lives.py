"""Lives that begin and end in an exploration, and the links between agents and coordinators."""

from typing import Any

from agent import events as agent_events
from agent.core import AgentCore
from coordinator import events as lead_events
from coordinator.events import LinkId
from lab.exploration.world import (
    REDIAL_S,
    RESTART_S,
    Item,
    Machine,
    Seat,
    Wire,
    World,
    agent_config,
)
from protocol.names import Incarnation


def own_item(machine: Machine, kind: str, what: Any) -> Item:
    assert machine.core is not None
    return Item(machine.node, machine.core.incarnation, kind, what)


def start(world: World, machine: Machine) -> None:
    machine.starts_at_s = float("inf")
    machine.lives += 1
    machine.frozen_until_s = 0.0
    life = Incarnation(f"{machine.node}-{machine.lives}")
    machine.core = AgentCore(agent_config(machine.node), machine.disk, life, world.now)
    machine.dials_at_s = world.now


def kill(world: World, machine: Machine, restart_s: float | None = RESTART_S) -> None:
    """Nothing of the agent is left but its disk; None: it stays dead."""
    hang_up(world, machine, told=False)
    core, machine.core = machine.core, None
    assert core is not None
    machine.guests.there.clear()
    machine.guests.lease_end_s = 0.0
    machine.dials_at_s = float("inf")
    machine.starts_at_s = float("inf") if restart_s is None else world.now + restart_s
    _lose_peers(world, core.incarnation)


def _lose_peers(world: World, life: Incarnation) -> None:
    """The other ends of its migrations hear that the connection broke."""
    for machine in world.alive():
        assert machine.core is not None
        for attempt in list(machine.core.attempts.sides):
            lost = agent_events.PeerLost(attempt, f"{life} is gone")
            world.queue.append(own_item(machine, "fed", lost))


def kill_leader(world: World, seat: Seat, restart_s: float | None = RESTART_S) -> None:
    seat.core = None
    seat.starts_at_s = float("inf") if restart_s is None else world.now + restart_s
    for machine in world.alive():
        if machine.wire is not None and machine.wire.leader == seat.name:
            drop_wire(world, machine)


# ---- links


def dial(world: World, machine: Machine) -> None:
    """Coordinators are tried in turn; one that is frozen still takes the connection."""
    assert machine.core is not None
    names = sorted(world.seats)
    name = names[machine.dials % len(names)]
    machine.dials += 1
    machine.dials_at_s = world.now + REDIAL_S
    if machine.wire is None and world.seats[name].core is not None:
        world.links += 1
        number = LinkId(world.links)
        machine.wire = Wire(machine.node, machine.core.incarnation, name, number)
        machine.dials_at_s = float("inf")
        world.queue.append(own_item(machine, "fed", agent_events.LinkUp()))


def hang_up(world: World, machine: Machine, told: bool = True) -> None:
    """The agent's end closes; the coordinator hears of it behind what was sent before."""
    wire, machine.wire = machine.wire, None
    if wire is None:
        return
    closed = lead_events.LinkClosed(wire.number, "the agent hung up")
    world.queue.append(Item(wire.leader, "", "fed", closed, on=wire.number, origin=machine.node))
    if told and machine.core is not None:
        world.queue.append(own_item(machine, "fed", agent_events.LinkDown("hung up")))
        machine.dials_at_s = world.now + REDIAL_S


def drop_wire(world: World, machine: Machine) -> None:
    """The coordinator's end is gone; what was under way on the link is lost."""
    assert machine.wire is not None
    number = machine.wire.number
    machine.wire = None
    world.queue[:] = [item for item in world.queue if item.on != number]
    if machine.core is not None:
        world.queue.append(own_item(machine, "fed", agent_events.LinkDown("the link broke")))
        machine.dials_at_s = world.now + REDIAL_S


def break_link(world: World, number: int) -> None:
    """Both ends hear of it; what was under way is lost."""
    for machine in world.machines.values():
        wire = machine.wire
        if wire is not None and wire.number == number:
            drop_wire(world, machine)
            closed = lead_events.LinkClosed(wire.number, "the link broke")
            world.queue.append(Item(wire.leader, "", "fed", closed, origin=machine.node))
