"""What may go otherwise at one point of an execution: each deviation once, by name."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from lab.exploration.acting import next_actor
from lab.exploration.lives import break_link, kill, kill_leader
from lab.exploration.world import NODES, TIMING, Item, Late, Machine, Seat, World
from protocol.names import NodeName

LATE_S = (0.0, TIMING.delay_s, TIMING.support_s + TIMING.delay_s)
"""A late message comes behind what is under way, a heartbeat later, or when promises are over."""

FROZEN_S = TIMING.support_s + TIMING.delay_s
"""Longer than a lease: when the process goes on it has none any more."""

MESSAGES = ("told", "beat", "peer", "greet")


@dataclass(frozen=True, slots=True)
class Budget:
    """How many deviations of each kind an execution may still have, and how many in all."""

    crashes: int = 2
    messages: int = 2
    expiries: int = 1
    leaders: int = 1
    total: int = 6

    def less(self, kind: str) -> "Budget":
        return replace(self, **{kind: getattr(self, kind) - 1, "total": self.total - 1})


@dataclass(frozen=True, slots=True)
class Deviation:
    """`kind` is the budget that it takes from."""

    kind: str
    how: str
    whom: str = ""
    by_s: float = 0.0

    def __str__(self) -> str:
        late = f" by {self.by_s:g} s" if self.how.endswith("late") else ""
        return f"{self.how} {self.whom}{late}".strip()


def deviations(world: World, budget: Budget) -> Iterator[Deviation]:
    """All that is possible at this point, within the budget.

    Who is not about to do anything may as well die a moment later: processes are hurt right before
    something happens to them.
    """
    if budget.total <= 0:
        return
    actor = next_actor(world)
    if actor in world.seats:
        yield from _of_leader(world, world.seats[actor], budget)
    elif actor:
        yield from _of_node(world, world.machines[NodeName(actor)], budget)
    if budget.messages:
        yield from _of_messages(world)


def _of_node(world: World, machine: Machine, budget: Budget) -> Iterator[Deviation]:
    if machine.core is None:
        return
    if budget.crashes:
        yield Deviation("crashes", "crash and restart", machine.node)
        yield Deviation("crashes", "crash for good", machine.node)
    if budget.expiries and machine.frozen_until_s <= world.now:
        yield Deviation("expiries", "freeze beyond the lease", machine.node)


def _of_leader(world: World, seat: Seat, budget: Budget) -> Iterator[Deviation]:
    if seat.core is None or not seat.core.leads or seat.frozen_until_s > world.now:
        return
    if budget.leaders:
        yield Deviation("leaders", "another leads after the death of", seat.name)
        yield Deviation("leaders", "another leads while there sleeps", seat.name)
    if budget.crashes:
        yield Deviation("crashes", "restart", seat.name)


def _of_messages(world: World) -> Iterator[Deviation]:
    item = next_message(world)
    if item is None:
        return
    words = f"{type(_message(item)).__name__} from {item.origin} to {item.to}"
    yield Deviation("messages", "lose", words)
    for late_s in LATE_S:
        yield Deviation("messages", "late", words, late_s)
    yield Deviation("messages", "double", words)


def next_message(world: World) -> Item | None:
    """What is about to arrive, if it came over a wire."""
    if not world.queue:
        return None
    item = world.queue[0]
    said = item.kind == "fed" and item.on != 0
    return item if said or item.kind in MESSAGES else None


def _message(item: Item) -> object:
    if item.kind == "peer":
        return item.what[1]
    return getattr(item.what, "message", item.what)


def apply(world: World, deviation: Deviation) -> None:
    world.trail.append(f"{world.now:.2f} {deviation}")
    match deviation.how:
        case "crash and restart":
            kill(world, world.machines[NodeName(deviation.whom)])
        case "crash for good":
            kill(world, world.machines[NodeName(deviation.whom)], None)
        case "freeze beyond the lease":
            machine = world.machines[NodeName(deviation.whom)]
            machine.frozen_until_s = world.now + FROZEN_S
        case "restart":
            kill_leader(world, world.seats[deviation.whom])
        case "another leads after the death of" | "another leads while there sleeps":
            _change_leader(world, deviation)
        case _:
            _hurt_message(world, deviation)


def _change_leader(world: World, deviation: Deviation) -> None:
    seat = world.seats[deviation.whom]
    other = next(s for s in world.seats.values() if s is not seat)
    if other.core is None:
        other.starts_at_s = world.now
    if deviation.how.startswith("another leads after"):
        kill_leader(world, seat, None)
        return
    seat.frozen_until_s = world.now + FROZEN_S
    for node in NODES:
        wire = world.machines[node].wire
        if wire is not None and wire.leader == seat.name:
            break_link(world, wire.number)


def _hurt_message(world: World, deviation: Deviation) -> None:
    item = world.queue[0]
    if deviation.how == "double":
        world.queue.insert(1, item)
        return
    if deviation.how == "lose":
        if item.on:
            break_link(world, item.on)
            world.queue[:] = [other for other in world.queue if other is not item]
        else:
            del world.queue[0]
        return
    # A link keeps its order: all that is under way on it comes late together.
    held = tuple(other for other in world.queue if other is item or _same_way(other, item))
    world.queue[:] = [other for other in world.queue if not any(other is one for one in held)]
    if deviation.by_s:
        world.late.append(Late(world.now + deviation.by_s, held))
    else:
        world.queue.extend(held)


def _same_way(other: Item, item: Item) -> bool:
    if item.kind == "peer":
        return other.kind == "peer" and (other.origin, other.to) == (item.origin, item.to)
    return bool(item.on) and other.on == item.on and other.to == item.to
