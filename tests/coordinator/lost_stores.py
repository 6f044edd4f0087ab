"""Clusters whose database is on a disk witness, and coordinators that have lost their store."""

import copy
from typing import Any

from coordinator.requests import CreateVm, SetWeight
from coordinator.shown import chronicle
from lab.simulation.store import MemoryStore
from protocol.names import VmName
from tests.coordinator.driver import World, another, with_vm
from tests.coordinator.ground import MIB, C, spec
from tests.coordinator.votes.test_dealing import DISK, NODES_DISK, lab

PUT_BACK = 9017
STALE = chronicle.store_is_stale(()).id


def disk(names: str = "ab") -> World:
    """A cluster with a VM, whose database is on the disk witness."""
    world = with_vm(lab(names, NODES_DISK, DISK))
    world.after(5)
    return world


def on(world: World, store: MemoryStore, *names: str) -> World:
    """A coordinator on another store, and the agents as they are."""
    world.store = store
    second = another(world)
    second.all_hear_all()
    second.begin()
    if names:
        second.connect(*names)
    return second


def lost(world: World, *names: str) -> World:
    return on(world, MemoryStore(), *names)


def again(second: World) -> None:
    """Whoever was hung up on connects anew."""
    second.connect(*(name for name in second.agents if name not in second.links))


def rows(world: World, *without: str) -> dict[str, Any]:
    """All rows but the log, without their stamps."""
    found = {}
    for row in world.store.range("", limit=100_000):
        if row.key.startswith(("event/", "term", "secret", "counter", *without)):
            continue
        found[row.key] = {k: v for k, v in (row.value or {}).items() if k != "by"}
    return found


def many() -> World:
    """A database of several transactions."""
    world = disk()
    for number in range(250):
        world.ask_later(CreateVm(VmName(f"off{number}"), spec(2 * MIB), None, False))
    world.drain()
    world.after(10)
    return world


def aged() -> tuple[World, MemoryStore]:
    """Three nodes and a disk that votes; the backup is from before a VM and a change of votes."""
    world = lab("abc", NODES_DISK, DISK)
    backup = copy.deepcopy(world.store)
    with_vm(world)
    world.ask(SetWeight(C, 0))
    world.after(15)
    return world, backup
