import itertools

from coordinator.groups import group_state, resources
from coordinator.requests import MigrateVm, StopVm
from protocol.names import GroupState, NodeName, ResourceState, Verify, VmName
from tests.coordinator.driver import formed, with_vm

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
