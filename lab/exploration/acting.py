"""Takes a state one event further, and carries out what the cores want done."""

import functools
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from agent import actions as agent_actions
from agent import events as agent_events
from coordinator import actions as lead_actions
from coordinator import events as lead_events
from coordinator.core import CoordinatorCore
from coordinator.events import LinkId, RequestId
from coordinator.requests import Request
from lab.exploration.guests import Guest
from lab.exploration.lives import dial, drop_wire, hang_up, kill, kill_leader, own_item, start
from lab.exploration.world import (
    NETWORK,
    NODES,
    Item,
    Machine,
    Seat,
    World,
    coordinator_config,
)
from protocol.messages import RoundEnded, RoundRecord
from protocol.names import Hold, NodeName

DIGEST = b"same"
ROWS_MAX = 10_000


def step(world: World) -> None:
    """The oldest thing under way arrives; without any, time passes to what comes next."""
    for index, item in enumerate(world.queue):
        if not _waits(world, item):
            del world.queue[index]
            _arrive(world, item)
            break
    else:
        _let_time_pass(world)
    if world.running():
        world.none_since_s = world.now


def next_actor(world: World) -> str:
    """Whom the next event happens to: a node or a coordinator."""
    for item in world.queue:
        if not _waits(world, item):
            return item.to
    return min(_timers(world), key=lambda timer: timer[:3])[2]


def _waits(world: World, item: Item) -> bool:
    """Its receiver is frozen; what is under way to nobody does not wait."""
    place = world.seats.get(item.to) or world.machines[NodeName(item.to)]
    return place.core is not None and place.frozen_until_s > world.now


# ---- time


def _let_time_pass(world: World) -> None:
    """One thing that is due; of several the first by kind and name."""
    due = min(_timers(world), key=lambda timer: timer[:3])
    world.now = max(world.now, due[0])
    due[3]()


def _timers(world: World) -> list[tuple[float, int, str, Callable[[], None]]]:
    found: list[tuple[float, int, str, Callable[[], None]]] = []
    for late in world.late:
        found.append((late.at_s, 0, "", functools.partial(_come_late, world, late)))
    for name, seat in world.seats.items():
        found.append((seat.starts_at_s, 2, name, functools.partial(start_leader, world, seat)))
        if seat.core is not None:
            at = max(seat.core.wake_at(), seat.frozen_until_s)
            found.append((at, 3, name, functools.partial(_tick_leader, world, seat)))
    for node, machine in world.machines.items():
        found.append((machine.starts_at_s, 2, node, functools.partial(start, world, machine)))
        if machine.core is not None:
            at = max(machine.core.wake_at(), machine.frozen_until_s)
            found.append((at, 3, node, functools.partial(_tick, world, machine)))
            dials = max(machine.dials_at_s, machine.frozen_until_s)
            found.append((dials, 4, node, functools.partial(dial, world, machine)))
    return found


def _come_late(world: World, late: Any) -> None:
    world.late.remove(late)
    world.queue.extend(late.items)


def _tick(world: World, machine: Machine) -> None:
    feed(world, machine, agent_events.Tick())


def _tick_leader(world: World, seat: Seat) -> None:
    feed_leader(world, seat, lead_events.Tick())


# ---- lives


def start_leader(world: World, seat: Seat) -> None:
    seat.starts_at_s = float("inf")
    seat.frozen_until_s = 0.0
    seat.core = CoordinatorCore(coordinator_config(seat.name), world.now)
    _lead(world, seat, seat.core.begin(world.now))


# ---- arrivals


def _arrive(world: World, item: Item) -> None:
    if item.to in world.seats:
        seat = world.seats[item.to]
        if seat.core is not None and (not item.life or item.life == str(seat.core.term)):
            feed_leader(world, seat, item.what)
        return
    machine = world.machines[NodeName(item.to)]
    core = machine.core
    if core is None or (item.life and item.life != core.incarnation):
        return
    if item.on and item.kind == "told" and (machine.wire is None or machine.wire.number != item.on):
        return
    match item.kind:
        case "fed" | "told" | "beat":
            feed(world, machine, item.what)
        case "made" | "holds" | "gone":
            _guest_changes(world, machine, item)
        case "greet":
            _greeted(world, machine, item)
        case "peer":
            _peer_said(world, machine, item)


def _guest_changes(world: World, machine: Machine, item: Item) -> None:
    there = machine.guests.there
    order = item.what
    guest = there.get(order.vm)
    if item.kind == "gone":
        there.pop(order.vm, None)
        feed(world, machine, agent_events.VmDestroyed(order.vm))
        return
    if guest is None:
        return
    if item.kind == "made":
        guest.is_made = True
        made = isinstance(order, agent_actions.CreateVm)
        done = agent_events.VmCreated if made else agent_events.ReserveDone
        feed(world, machine, done(order.vm if made else order.attempt))
        return
    was, guest.holds, guest.epoch = guest.holds, order.holds, order.epoch
    if order.holds and not was:
        feed(world, machine, agent_events.GuestPaused(order.vm, 1, 0.0))
    elif was and not order.holds:
        feed(world, machine, agent_events.GuestResumed(order.vm, 0.0))


def _greeted(world: World, machine: Machine, item: Item) -> None:
    order = item.what
    assert machine.core is not None
    guest = machine.guests.there.get(order.vm)
    source = world.machines[NodeName(item.origin)]
    fits = (
        order.target.incarnation == machine.core.incarnation
        and guest is not None
        and guest.is_made
        and not guest.is_taken
        and guest.attempt == order.attempt
        and guest.epoch == order.epoch
        and bool(guest.holds & Hold.ATTEMPT)
    )
    if source.core is None:
        return
    if not fits:
        refused = agent_events.PeerLost(order.attempt, "the target refused the greeting")
        world.queue.append(own_item(source, "fed", refused))
        return
    assert guest is not None
    guest.is_taken = True
    feed(world, machine, agent_events.SourceConnected(order.attempt))
    world.queue.append(own_item(source, "fed", agent_events.Connected(order.attempt, NETWORK)))


def _peer_said(world: World, machine: Machine, item: Item) -> None:
    attempt, message, memory = item.what
    if isinstance(message, RoundEnded):
        for guest in machine.guests.there.values():
            if guest.attempt == attempt:
                guest.memory = memory
        landed = agent_events.RoundLanded(attempt, message.round, message.pages)
        feed(world, machine, landed)
    else:
        feed(world, machine, agent_events.PeerSaid(attempt, message))


# ---- what cores want done


def feed(world: World, machine: Machine, event: agent_events.Event) -> None:
    core = machine.core
    assert core is not None
    for action in core.handle(event, world.now):
        if machine.core is not core:
            return
        _act(world, machine, action)


def feed_leader(world: World, seat: Seat, event: lead_events.Event) -> None:
    assert seat.core is not None
    _lead(world, seat, seat.core.handle(event, world.now))
    if seat.core.deposed:
        kill_leader(world, seat, None)


def _act(world: World, machine: Machine, action: Any) -> None:
    own = functools.partial(own_item, machine)
    core, guests, put = machine.core, machine.guests, world.queue.append
    assert core is not None
    match action:
        case agent_actions.Persist(record):
            machine.disk = record
        case agent_actions.Tell(message):
            if (wire := machine.wire) is not None:
                said = lead_events.Said(wire.number, message)
                put(Item(wire.leader, "", "fed", said, on=wire.number, origin=machine.node))
        case agent_actions.CloseLink():
            hang_up(world, machine)
        case agent_actions.SendBeat(_, address, _, message):
            receiver = NODES[int(address.rpartition(".")[2]) - 1]
            heard = agent_events.BeatReceived(NETWORK, message)
            put(Item(receiver, "", "beat", heard, origin=machine.node))
        case agent_actions.SetLease(end_s):
            guests.lease_end_s = end_s
        case agent_actions.CreateVm(vm, epoch, _, holds):
            guests.there[vm] = Guest(vm, epoch, holds, f"{core.incarnation}/{epoch}")
            put(own("made", action))
        case agent_actions.Reserve():
            guest = Guest(action.vm, action.epoch, Hold.ATTEMPT, "empty", action.attempt)
            guests.there[action.vm] = guest
            put(own("made", action))
        case agent_actions.SetHolds():
            put(own("holds", action))
        case agent_actions.DestroyVm():
            put(own("gone", action))
        case agent_actions.ObserveGuests():
            for guest in guests.there.values():
                runs = guests.runs(guest, world.now)
                if guest.is_made:
                    steps = int(world.now)
                    core.handle(agent_events.GuestObserved(guest.vm, runs, steps, 0.0), world.now)
        case agent_actions.Rejoin():
            kill(world, machine)
        case _:
            _move(world, machine, action)


def _move(world: World, machine: Machine, action: Any) -> None:
    """What a migration wants done: all of it takes one arrival."""
    own = functools.partial(own_item, machine)
    put = world.queue.append
    record = RoundRecord(0, 1, 0, 4096, 0.0, 0)
    match action:
        case agent_actions.Connect():
            target = world.machines[action.target.node]
            if target.core is None:
                put(own("fed", agent_events.PeerLost(action.attempt, "nobody answers")))
            else:
                put(Item(target.node, "", "greet", action, origin=machine.node))
        case agent_actions.SendRound(attempt, number):
            put(own("fed", agent_events.RoundSent(attempt, replace(record, round=number))))
        case agent_actions.SendLastPages(attempt, number, _):
            last = replace(record, round=number)
            put(own("fed", agent_events.LastPagesSent(attempt, last, DIGEST, 0.0)))
        case agent_actions.SayToPeer(attempt, message):
            _say_to_peer(world, machine, attempt, message)
        case agent_actions.DigestMemory(attempt):
            put(own("fed", agent_events.MemoryDigested(attempt, DIGEST, 0.0)))
        case agent_actions.OpenStorage(attempt):
            put(own("fed", agent_events.StorageDone(attempt)))
        case agent_actions.CloseAttempt(attempt):
            for other in world.alive():
                assert other.core is not None
                if other is not machine and attempt in other.core.attempts.sides:
                    lost = agent_events.PeerLost(attempt, "the other end closed it")
                    put(own_item(other, "fed", lost))


def _say_to_peer(world: World, machine: Machine, attempt: Any, message: Any) -> None:
    memory = next(
        (g.memory for g in machine.guests.there.values() if g.attempt in (None, attempt)), ""
    )
    for other in world.alive():
        assert other.core is not None
        if other is not machine and attempt in other.core.attempts.sides:
            what = (attempt, message, memory)
            item = Item(other.node, other.core.incarnation, "peer", what, origin=machine.node)
            world.queue.append(item)


def _lead(world: World, seat: Seat, orders: tuple[lead_actions.Action, ...]) -> None:
    put = world.queue.append
    for action in orders:
        match action:
            case lead_actions.TakeTerm(work, at_least):
                term = world.store.take_term(at_least, seat.name)
                put(Item(seat.name, "", "fed", lead_events.TermTaken(work, term)))
            case lead_actions.Transact(work, txn):
                result = world.store.apply(txn)
                put(Item(seat.name, "", "fed", lead_events.Answered(work, result)))
            case lead_actions.ReadRows(work, prefix):
                rows = world.store.range(prefix, limit=ROWS_MAX)
                put(Item(seat.name, "", "fed", lead_events.RowsRead(work, rows)))
            case lead_actions.Send(link, message):
                _order(world, seat, link, message)
            case lead_actions.CloseLink(link):
                for machine in world.machines.values():
                    if machine.wire is not None and machine.wire.number == link:
                        drop_wire(world, machine)
            case _:
                pass


def _order(world: World, seat: Seat, link: LinkId, message: Any) -> None:
    for machine in world.machines.values():
        wire = machine.wire
        if wire is not None and wire.number == link and wire.leader == seat.name:
            told = agent_events.Told(message)
            item = Item(machine.node, wire.life, "told", told, on=link, origin=seat.name)
            world.queue.append(item)


def ask(world: World, request: Request) -> None:
    """An operator asks whoever leads."""
    for seat in world.seats.values():
        if seat.core is not None and seat.core.leads:
            world.requests += 1
            asked = lead_events.Asked(RequestId(world.requests), request)
            feed_leader(world, seat, asked)
            return
    raise AssertionError("nobody leads")
