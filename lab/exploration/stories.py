"""Where an exploration begins, and for how long deviations may come."""

from collections.abc import Callable
from dataclasses import dataclass

from coordinator.requests import CreateVm, FormCluster, MigrateVm
from lab.exploration.acting import ask, start_leader, step
from lab.exploration.guests import Guest
from lab.exploration.lives import kill, start
from lab.exploration.world import BEGINS_S, NODES, TIMING, World
from protocol.names import PAGE_BYTES, Fill, Hold, NodeName, Verify, VmName, VmSpec, Workload

VM = VmName("vm")
OPEN_MAX_S = 6 * TIMING.support_s
"""Somebody who dies for good may keep a story from ever being told."""


@dataclass(frozen=True, slots=True)
class Story:
    """`first` makes the first state; deviations may come until `is_told`, or for `OPEN_MAX_S`."""

    name: str
    says: str
    first: Callable[[], World]
    is_told: Callable[[World], bool]

    def begin(self) -> World:
        world = self.first()
        world.began_s = world.now
        return world

    def is_open(self, world: World) -> bool:
        return world.now - world.began_s < OPEN_MAX_S and not self.is_told(world)


def _until(world: World, reached: Callable[[], bool]) -> None:
    for _ in range(5000):
        if reached() and not world.queue:
            return
        step(world)
    raise AssertionError("the story did not come so far")


def formed() -> World:
    """Three nodes, a coordinator, a view that holds, and a VM that runs on the first node."""
    world = World()
    start_leader(world, world.seats["c1"])
    for machine in world.machines.values():
        start(world, machine)
    seat = world.seats["c1"]
    _until(world, lambda: world.now > BEGINS_S and seat.core is not None and seat.core.leads)
    ask(world, FormCluster("explored", NODES, TIMING))
    _until(world, lambda: bool((world.store.get("view").value or {}).get("held")))
    spec = VmSpec(4 * PAGE_BYTES, Workload("wave"), Fill.RANDOM, 1)
    until_s = world.now + 4 * TIMING.support_s  # votes that have just changed keep the views still
    _until(world, lambda: world.now >= until_s)
    ask(world, CreateVm(VM, spec, NODES[0], start=True))
    _until(world, lambda: bool(world.running()))
    until_s = world.now + 2 * TIMING.support_s
    _until(world, lambda: world.now >= until_s)
    return world


def handing_over() -> World:
    world = formed()
    ask(world, MigrateVm(VM, NODES[1], "2008r2", Verify.FULL))
    return world


def switching() -> World:
    """The guest stands still: the last pages, the storage, the consent and the commit follow."""
    world = handing_over()
    while not any(guest.holds & Hold.ATTEMPT for guest in _guests(world, NODES[0])):
        step(world)
    return world


def _guests(world: World, node: NodeName) -> list[Guest]:
    return list(world.machines[node].guests.there.values())


def _is_closed(world: World) -> bool:
    attempt = world.store.get("attempt/000000001").value
    return attempt is not None and attempt["ended_at"] is not None


def losing_the_owner() -> World:
    world = formed()
    kill(world, world.machines[NODES[0]], None)
    return world


def _runs_again(world: World) -> bool:
    return bool(world.running())


STORIES = (
    Story("hand-over", "a live migration from its request to its end", handing_over, _is_closed),
    Story("switch", "a live migration from the pause of its guest", switching, _is_closed),
    Story("view-change", "the owner of a VM dies for good", losing_the_owner, _runs_again),
)
