from coordinator.placement import (
    accepts_groups,
    best_node,
    free_bytes,
    groups_owned,
    node_memory_bytes,
    owned_bytes,
)
from coordinator.requests import MigrateVm, PauseNode
from coordinator.scene import Scene
from protocol.names import NodeName, Verify, VmName
from tests.coordinator.driver import World, formed, with_vm
from tests.coordinator.ground import MIB

A, B, C = map(NodeName, "abc")


def scene_of(world: World) -> Scene:
    return world.core._desk.scene


def test_the_node_with_the_fewest_groups_is_chosen_and_ties_go_by_name() -> None:
    world = formed()
    assert best_node(scene_of(world), MIB) == A

    with_vm(world, "vm1", "a")
    assert best_node(scene_of(world), MIB) == B
    with_vm(world, "vm2", "b", start=False)
    assert best_node(scene_of(world), MIB) == C
    assert groups_owned(scene_of(world)) == {A: 1, B: 1, C: 0}


def test_a_node_without_room_is_not_chosen() -> None:
    world = formed(a={"memory_bytes": 32 * MIB})

    assert best_node(scene_of(world), 64 * MIB) == B
    assert best_node(scene_of(world), 64 * MIB, avoid={B}) == C
    assert best_node(scene_of(world), 4096 * MIB) is None


def test_a_vm_fits_on_its_own_node_though_its_memory_is_counted_there() -> None:
    world = with_vm(formed(a={"memory_bytes": 64 * MIB}))
    scene = scene_of(world)

    assert free_bytes(scene, A) == 0
    assert best_node(scene, 64 * MIB, avoid={B, C}) is None
    assert best_node(scene, 64 * MIB, avoid={B, C}, already_on=A) == A


def test_a_migration_under_way_takes_memory_on_both_nodes() -> None:
    world = with_vm(formed(a={"copies": False}))
    world.ask(MigrateVm(VmName("sql01"), B, "2008r2", Verify.OFF))

    assert owned_bytes(scene_of(world)) == {A: 64 * MIB, B: 64 * MIB}


def test_paused_nodes_and_nodes_that_cannot_be_told_accept_no_groups() -> None:
    world = formed()
    world.ask(PauseNode(A, False))
    world.disconnect("b")
    scene = scene_of(world)

    assert [accepts_groups(scene, node) for node in (A, B, C)] == [False, False, True]
    assert node_memory_bytes(scene, B) == 1024 * MIB, "its row still knows"
    assert node_memory_bytes(scene, NodeName("x")) == 0
