"""A store that was put back from a backup gives no number out again that somebody still knows."""

import copy

from coordinator.requests import Accepted, MigrateVm
from protocol.names import Verify
from tests.coordinator.driver import World, another, formed, with_vm
from tests.coordinator.ground import MOVE, SQL, C


def restored_in_mid_migration() -> World:
    """The backup is from before the attempt that b still has memory reserved for."""
    world = with_vm(formed(b={"reserves": False}))
    backup = copy.deepcopy(world.store)
    assert world.ask(MOVE) == Accepted({"attempt": 1})
    world.store = backup
    second = another(world)
    second.begin()
    second.connect()
    second.after(1.0)
    assert second.core.leads
    return second


def test_a_new_attempt_has_an_id_above_those_that_nodes_still_take_part_in() -> None:
    world = restored_in_mid_migration()

    assert world.ask(MigrateVm(SQL, C, "2008r2", Verify.OFF)) == Accepted({"attempt": 2})


def test_a_refusal_has_such_an_id_too() -> None:
    world = restored_in_mid_migration()

    world.ask(MigrateVm(SQL, C, "no such policy", Verify.OFF))

    assert world.attempt(2)["outcome"] == "refused"
