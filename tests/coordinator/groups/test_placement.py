from dataclasses import replace
from typing import Any

import hypothesis.strategies as st
from hypothesis import given

from coordinator.groups.placement import (
    accepts_groups,
    best_node,
    fitting,
    free_bytes,
    groups_owned,
    next_node,
    node_list,
    node_memory_bytes,
    owned_bytes,
)
from coordinator.requests import MigrateVm, PauseNode
from coordinator.scene import Scene
from coordinator.store.group_rows import GroupRow, ResourceRow, Settings, group_key
from coordinator.store.rows import vm_key
from protocol.names import NodeName, Verify, VmName
from tests.coordinator.driver import World, formed, with_vm
from tests.coordinator.ground import MIB
from tests.coordinator.stage import Stage

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


# ---- owners


def group(name: str = "sql01", possible: tuple[str, ...] = (), **settings: Any) -> GroupRow:
    machine: Settings = (("PossibleOwners", possible),) if possible else ()
    row = GroupRow(VmName(name), tuple(sorted(settings.items())))
    return replace(row, machine=ResourceRow(machine))


def with_group(stage: Stage, row: GroupRow, owner: str) -> None:
    stage.put(group_key(row.name), row.data())
    stage.vm(row.name, owner=owner)


def test_the_node_list_is_preferred_owners_in_order_and_then_the_others_by_id() -> None:
    stage = Stage("abcd")
    for number, name in enumerate("dcba"):
        stage.node(name, id=number)

    assert node_list(stage.scene, group()) == ["d", "c", "b", "a"]
    assert node_list(stage.scene, group(PreferredOwners=("b", "gone", "d"))) == ["b", "d", "c", "a"]


def test_a_preferred_owner_comes_before_one_with_fewer_groups() -> None:
    stage = Stage()
    stage.vm(VmName("web01"), owner="b")
    row = group(PreferredOwners=("b", "c"))

    assert best_node(stage.scene, MIB, group=row) == B
    assert best_node(stage.scene, MIB, {B}, group=row) == C
    assert best_node(stage.scene, MIB, {B, C}, group=row) == A


def test_only_possible_owners_get_a_group() -> None:
    stage = Stage()
    assert best_node(stage.scene, MIB, group=group(possible=("c",))) == C
    assert best_node(stage.scene, MIB, {C}, group=group(possible=("c",))) is None


def test_groups_of_one_class_keep_apart_as_long_as_they_can() -> None:
    stage = Stage()
    classes = {"AntiAffinityClassNames": ("dc",)}
    with_group(stage, group("dc1", **classes), "a")
    stage.vm(VmName("web01"), owner="b")
    stage.vm(VmName("web02"), owner="b")

    second = group("dc2", PreferredOwners=("a",), **classes)
    assert best_node(stage.scene, MIB, {C}, group=second) == B, "before preference and counts"
    assert best_node(stage.scene, MIB, {B, C}, group=second) == A, "better together than nowhere"
    assert best_node(stage.scene, MIB, {B, C}, group=group("dc1", **classes)) == A, "its own"


def test_a_node_that_is_being_stopped_accepts_no_groups() -> None:
    stage = Stage()
    stage.node("a", stopped=True)

    assert not accepts_groups(stage.scene, A)


def test_after_a_failure_the_next_down_the_list_is_taken_round_its_end() -> None:
    stage = Stage()
    chosen = [next_node(stage.scene, MIB, group(), node, set()) for node in (A, B, C)]
    assert chosen == [B, C, A]
    assert next_node(stage.scene, MIB, group(), A, {B, C}) is None


# ---- against the obvious slow way


def slow_best(stage: Stage, row: GroupRow, size: int) -> NodeName | None:
    """Every rule by itself, over all rows."""
    scene = stage.scene
    vms = list(scene.book.vms.values())
    found = []
    for node in scene.book.nodes.values():
        used = sum(vm.spec.memory_bytes for vm in vms if vm.owner == node.name)
        possible = row.machine.names("PossibleOwners")
        if node.paused or used + size > node.memory_bytes:
            continue
        if possible and node.name not in possible:
            continue
        found.append(node.name)
    mine = set(row.names("AntiAffinityClassNames"))
    lonely = [
        node
        for node in found
        if not any(
            mine & set(scene.book.group(vm.name).names("AntiAffinityClassNames"))
            for vm in vms
            if vm.owner == node and vm.name != row.name
        )
    ]
    found = lonely or found
    for preferred in row.preferred:
        if preferred in found:
            return preferred
    counts = {node: sum(vm.owner == node for vm in vms) for node in found}
    return min(found, key=lambda node: (counts[node], node), default=None)


node_sets = st.lists(st.sampled_from("abcd"), unique=True, max_size=4).map(tuple)
vms = st.tuples(st.sampled_from("abcd"), st.integers(1, 8), st.sampled_from(["", "x", "y"]))


@given(
    st.lists(vms, max_size=12),
    node_sets,
    node_sets,
    st.sampled_from(["", "x", "y"]),
    st.integers(1, 16),
    st.sets(st.sampled_from("abcd")),
)
def test_placement_is_what_the_obvious_slow_way_finds(
    owned: list[tuple[str, int, str]],
    preferred: tuple[str, ...],
    possible: tuple[str, ...],
    kind: str,
    size: int,
    paused: set[str],
) -> None:
    stage = Stage("abcd", memory_bytes=16 * MIB)
    for name in paused:
        stage.node(name, memory_bytes=16 * MIB, paused=True)
    for number, (owner, mib, of_class) in enumerate(owned):
        one = group(f"vm{number}", AntiAffinityClassNames=(of_class,) if of_class else ())
        stage.put(group_key(one.name), one.data())
        stage.vm(one.name, owner=owner, memory_bytes=mib * MIB)
    classes = (kind,) if kind else ()
    row = group("new", possible, PreferredOwners=preferred, AntiAffinityClassNames=classes)

    assert best_node(stage.scene, size * MIB, group=row) == slow_best(stage, row, size * MIB)
    assert set(fitting(stage.scene, size * MIB, row)) <= set(stage.scene.book.nodes)


@given(st.lists(st.tuples(st.integers(0, 5), st.sampled_from("abcd"), st.booleans()), max_size=30))
def test_the_tally_is_what_counting_all_rows_finds(changes: list[tuple[int, str, bool]]) -> None:
    stage = Stage("abcd")
    for number, owner, gone in changes:
        name = VmName(f"vm{number}")
        if gone:
            stage.put(vm_key(name), None)
        else:
            stage.vm(name, owner=owner, memory_bytes=(number + 1) * MIB)

    rows = stage.scene.book.vms.values()
    for node in stage.scene.book.nodes:
        owned = stage.scene.book.tally.of(node)
        assert owned.groups == {vm.name for vm in rows if vm.owner == node}
        assert owned.memory_bytes == sum(v.spec.memory_bytes for v in rows if v.owner == node)
