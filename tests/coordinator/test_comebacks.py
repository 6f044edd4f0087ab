"""What comes back, in which order and where: after a cold start, and to a node that has many."""

from typing import Any

import pytest

from coordinator.groups.ownership import FailOver, Give, began_cold
from coordinator.groups.starts import IN_FLIGHT_MAX
from coordinator.requests import CreateVm, Request, SetGroup
from coordinator.store.rows import VIEW
from protocol.messages import StartVm
from protocol.names import VmName
from tests.coordinator.driver import World, formed, with_vm
from tests.coordinator.ground import MIB, spec
from tests.coordinator.stage import SQL, A, B, C, Stage, ids_of, life


def cold(world: World, *first: str) -> None:
    """All nodes die at once; those of `first` come back."""
    names = sorted(world.agents)
    world.die(*names)
    for name in names:
        world[name].reborn()
        world[name].hears = set()
    world.after(20)
    back(world, *first)


def back(world: World, *names: str) -> None:
    there = {name for name in world.agents if name in names or name in world.links}
    for name in there:
        world[name].hears = there - {name}
    world.connect(*names)
    world.after(15)


def configured(world: World, **settings: Any) -> None:
    body: Request = SetGroup(SQL, tuple(settings.items()))
    world.ask(body)


def test_after_a_cold_start_each_group_is_where_it_was_if_that_node_is_there() -> None:
    world = formed()
    for name, node in (("v1", "c"), ("v2", "c"), ("v3", "a")):
        with_vm(world, name, node)
    cold(world, "a", "b", "c")

    assert world.running() == {"a": ["v3"], "b": [], "c": ["v1", "v2"]}
    assert world.core._desk.scene.book.view is not None
    assert world.core._desk.scene.book.view.cold_at is not None


def test_a_node_that_dies_makes_no_cold_start() -> None:
    world = with_vm(formed())
    world.die("a")
    world.after(20)

    assert world.row(VIEW)["cold_at"] is None
    assert world.running()["b"] == ["sql01"]


def test_what_was_off_stays_off_and_so_does_what_shall_not_start_by_itself() -> None:
    world = formed()
    with_vm(world)
    with_vm(world, "off", "b", start=False)
    configured(world, PersistentState=0)
    cold(world, "a", "b", "c")

    assert world.running() == {"a": [], "b": [], "c": []}
    assert world.vm("sql01")["state"] == "Offline"


def test_a_group_waits_for_its_preferred_owner_and_goes_there_when_it_comes() -> None:
    world = with_vm(formed())
    configured(world, PreferredOwners=["c"])
    cold(world, "a", "b")
    assert "waits for a preferred owner, c" in world.vm("sql01")["reason"]

    back(world, "c")
    assert world.running()["c"] == ["sql01"]


def test_a_group_waits_no_longer_than_its_delay() -> None:
    world = with_vm(formed())
    configured(world, PreferredOwners=["c"])
    cold(world, "a", "b")
    assert world.running() == {"a": [], "b": [], "c": []}

    world.after(31)
    assert [name for name, vms in world.running().items() if vms] == ["a"]


def test_groups_come_back_in_the_order_of_their_names() -> None:
    world = formed("a")
    for name in ("zeta", "beta", "alpha", "mid"):
        with_vm(world, name, "a")
    world.actions.clear()
    cold(world, "a")

    assert [s.message.vm for s in world.sent(StartVm) if isinstance(s.message, StartVm)] == [
        "alpha",
        "beta",
        "mid",
        "zeta",
    ]


def test_no_more_than_32_start_at_once_on_a_node() -> None:
    world = formed("a")
    hear = world["a"].hear
    kept: list[StartVm] = []
    world["a"].hear = lambda message: (  # type: ignore[method-assign]
        kept.append(message) if isinstance(message, StartVm) else hear(message)
    )
    for number in range(40):
        world.ask(CreateVm(VmName(f"vm{number:02d}"), spec(MIB), A, True))
    world.after(1)
    assert len({order.vm for order in kept}) == IN_FLIGHT_MAX
    assert world.vm("vm39")["state"] == "OnlinePending"

    hear(kept[0])
    world.drain()
    assert kept[-1].vm == "vm32", "the first that waits"
    world["a"].hear = hear  # type: ignore[method-assign]
    world.after(5)
    assert len(world.running()["a"]) == 40


def test_a_cold_start_is_over_after_its_delay() -> None:
    stage = Stage()
    stage.vm(number=9)
    view = stage.scene.book.view
    assert view is not None
    stage.put(VIEW, {**view.data(), "cold_at": stage.scene.wall})

    assert began_cold(stage.scene)
    stage.scene.now += 31
    assert not began_cold(stage.scene)


@pytest.mark.parametrize("name", "abc")
def test_after_a_cold_start_the_last_owner_comes_before_emptier_nodes(name: str) -> None:
    stage = Stage()
    stage.vm(owner=name, number=9)
    stage.vm(VmName("other"), owner=name)
    view = stage.scene.book.view
    assert view is not None
    assert stage.draft(FailOver(SQL, life(name, 9))).puts

    stage.put(VIEW, {**view.data(), "cold_at": stage.scene.wall})
    assert ids_of(stage.write(FailOver(SQL, life(name, 9)))) == [1069, 1200]
    assert stage.row().owner == name
    assert Give(SQL).draft(stage.scene) is None
    assert {A, B, C} == set(stage.scene.book.nodes)
