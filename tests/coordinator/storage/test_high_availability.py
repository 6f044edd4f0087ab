"""Where there are shared volumes, a VM that is not on shared storage belongs to its node alone."""

import pytest

from coordinator.requests import (
    Accepted,
    CreateVm,
    Declined,
    MigrateVm,
    MoveGroup,
    PauseNode,
    Request,
    StopVm,
)
from protocol.names import Verify, VmName
from tests.coordinator.driver import World, formed, with_vm
from tests.coordinator.ground import spec
from tests.coordinator.storage.san import San
from tests.coordinator.storage.stories import DETECTED_S, SQL, A, B, on_volume, shared


def with_local() -> tuple[World, San]:
    world, san, _ = shared()
    assert isinstance(world.ask(CreateVm(SQL, spec(), A, True, local=True)), Accepted)
    world.after(3)
    return world, san


@pytest.mark.parametrize(
    "request_",
    [
        MoveGroup(SQL, B),
        MoveGroup(SQL, None),
        MigrateVm(SQL, B, "", Verify.OFF),
        MigrateVm(SQL, None, "", Verify.OFF),
    ],
)
def test_to_move_it_is_refused_with_one_sentence(request_: Request) -> None:
    world, _ = with_local()

    refusal = world.ask(request_)

    assert isinstance(refusal, Declined)
    assert (refusal.status, refusal.code) == (409, "not-highly-available")
    assert refusal.sentence == (
        "VM sql01 is not on shared storage, so it is not highly available and stays on node a:"
        " create it on a shared volume to have it moved."
    )
    assert world.vm("sql01")["node"] == "a"


def test_at_rest_it_is_not_moved_either() -> None:
    world, _ = with_local()
    world.ask(StopVm(SQL))
    world.after(3)

    refusal = world.ask(MoveGroup(SQL, B))

    assert isinstance(refusal, Declined)
    assert refusal.code == "not-highly-available"


def test_its_nodes_death_is_its_end_until_the_node_is_back() -> None:
    world, _ = with_local()
    world.die("a")
    world.after(2 * DETECTED_S)

    row = world.row("vm/sql01")
    assert (row["owner"], row["live"]) == ("a", False)
    assert row["waiting"] == (
        "it is not on shared storage, so only node a can run it, and cannot now"
    )
    world["a"].reborn()
    world.all_hear_all()
    world.connect("a")
    world.after(2 * DETECTED_S)
    row = world.row("vm/sql01")
    assert (row["owner"], row["live"], row["waiting"]) == ("a", True, "")
    assert row["owner_incarnation"] == world["a"].incarnation


def test_a_vm_on_the_volume_fails_over_beside_it() -> None:
    world, _ = with_local()
    other = VmName("sql02")
    world.ask(CreateVm(other, on_volume(), A, True))
    world.after(3)
    world.die("a")
    world.after(3 * DETECTED_S)

    assert world.row("vm/sql02")["owner"] != "a"
    assert world.row("vm/sql01")["owner"] == "a"


def test_without_any_shared_volume_a_vm_fails_over_as_ever() -> None:
    world = with_vm(formed())
    world.die("a")
    world.after(2 * DETECTED_S)

    row = world.row("vm/sql01")
    assert (row["owner"] != "a", row["live"]) == (True, True)


def test_a_drain_ends_although_it_stays() -> None:
    world, _ = with_local()

    world.ask(PauseNode(A, True))
    world.after(10)

    row = world.row("node/a")
    assert (row["paused"], row["draining"]) == (True, False)
    assert world.vm("sql01")["node"] == "a"
    assert 1137 in world.events(), "and that it stayed is told"
