import itertools

import pytest

from coordinator.groups.group_properties import GROUP, RESOURCE
from coordinator.groups.groups import (
    PROVIDERS,
    group_data,
    group_state,
    online_order,
    resource_data,
    resources,
)
from coordinator.requests import MigrateVm, StopVm
from protocol.names import GroupState, NodeName, ResourceState, Verify, VmName
from tests.coordinator.driver import formed, with_vm
from tests.coordinator.stage import Stage

R, G = ResourceState, GroupState


def test_the_virtual_machine_depends_on_its_configuration() -> None:
    configuration, machine = resources(VmName("sql01"), R.ONLINE)

    assert configuration.name == "Virtual Machine Configuration sql01"
    assert machine.name == "Virtual Machine sql01"
    assert machine.depends_on == (configuration.name,)


def test_a_group_follows_from_its_resources_for_every_pair_of_states() -> None:
    for one, other in itertools.product(R, R):
        states = {one, other}
        if R.FAILED in states:
            expected = G.FAILED
        elif states & {R.ONLINE_PENDING, R.OFFLINE_PENDING}:
            expected = G.PENDING
        elif states == {R.ONLINE}:
            expected = G.ONLINE
        elif states == {R.OFFLINE}:
            expected = G.OFFLINE
        else:
            expected = G.PARTIAL_ONLINE
        assert group_state([one, other]) is expected
    assert group_state([]) is G.OFFLINE


def test_every_number_of_resources_makes_a_group_by_the_same_rule() -> None:
    for states in itertools.product(R, repeat=3):
        failed, online = R.FAILED in states, states.count(R.ONLINE)
        pending = not failed and any("Pending" in state.value for state in states)
        assert (group_state(states) is G.FAILED) is failed
        assert (group_state(states) is G.PENDING) is pending
        if not failed and not pending:
            assert (group_state(states) is G.OFFLINE) is (online == 0)
            assert (group_state(states) is G.ONLINE) is (online == 3)


def test_what_others_need_comes_online_before_them_and_goes_offline_after() -> None:
    assert online_order() == ["configuration", "machine"]
    disks = {**PROVIDERS, "configuration": ("disk",), "machine": ("configuration", "disk")}
    assert online_order({**disks, "disk": ()}) == ["disk", "configuration", "machine"]

    for order in itertools.permutations("abcd"):
        needs = {name: tuple(order[:at]) for at, name in enumerate(order)}
        assert online_order(needs) == list(order)
    with pytest.raises(ValueError, match="in a circle: a, b"):
        online_order({"a": ("b",), "b": ("a",), "c": ()})


def test_what_is_shown_of_a_group_names_every_setting() -> None:
    stage = Stage()
    row = stage.vm()
    group = group_data(stage.scene, row)

    assert (group["state"], group["owner"], group["settings"]["PersistentState"]) == (
        "Online",
        "a",
        1,
    )
    assert set(group["settings"]) == set(GROUP)
    assert group["failover_limit"] == 2
    assert group["resources"] == list(resource_data(stage.scene, row))
    configuration, machine = group["resources"]
    assert machine["depends_on"] == [configuration["name"]]
    assert set(machine["settings"]) == set(RESOURCE)
    assert machine["possible_owners"] == ["a", "b", "c"]
    assert (
        group_data(stage.scene, stage.vm(on=False, live=False))["settings"]["PersistentState"] == 0
    )


def test_a_group_is_what_its_vm_is() -> None:
    expected = {
        R.ONLINE: G.ONLINE,
        R.OFFLINE: G.OFFLINE,
        R.FAILED: G.FAILED,
        R.ONLINE_PENDING: G.PENDING,
        R.OFFLINE_PENDING: G.PENDING,
    }
    for state, group in expected.items():
        states = [resource.state for resource in resources(VmName("x"), state)]
        assert group_state(states) is group


def test_a_vm_is_pending_until_its_node_says_that_it_started() -> None:
    world = formed()
    world["a"].hear = lambda message: None  # type: ignore[method-assign]
    with_vm(world)
    assert world.vm("sql01")["state"] == "OnlinePending"


def test_a_vm_that_is_being_stopped_is_pending_and_one_that_just_moved_is_online() -> None:
    world = with_vm(formed(a={"ends": False}, b={"ends": False}))
    world.ask(MigrateVm(VmName("sql01"), NodeName("b"), "2008r2", Verify.OFF))
    assert (world.vm("sql01")["node"], world.vm("sql01")["state"]) == ("b", "Online")

    other = with_vm(formed())
    other["a"].hear = lambda message: None  # type: ignore[method-assign]
    other.ask(StopVm(VmName("sql01")))
    assert other.vm("sql01")["state"] == "OfflinePending"


def test_a_vm_whose_node_cannot_be_asked_counts_as_online_until_it_is_moved() -> None:
    world = with_vm(formed())
    world.disconnect("a")

    assert world.vm("sql01")["state"] == "Online"
