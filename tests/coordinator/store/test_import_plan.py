"""A database is put back in a few transactions, and nobody leads between the first and the last."""

from collections.abc import Callable

import pytest

from coordinator.actions import Transact
from coordinator.requests import Declined, FormCluster
from coordinator.store import database
from coordinator.store.database import Snapshot, rows_of
from coordinator.store.import_plan import imports
from coordinator.store.import_row import IMPORT
from coordinator.store.interface import Applied, Indefinite, Result
from protocol.names import Term
from tests.coordinator.driver import World, with_vm
from tests.coordinator.ground import TIMING, A
from tests.coordinator.lost_stores import again, disk, lost, many, on, rows

# ---- in the middle


def broken_off(second: World, after: int) -> None:
    """The coordinator dies when it has written so many transactions of the import."""
    seen = [0]

    def spoil(action: Transact, honest: Callable[[], Result]) -> Result:
        touches = {put.key for put in action.txn.puts} | {gone.key for gone in action.txn.deletes}
        if second.store.get(IMPORT).value is not None or IMPORT in touches:
            seen[0] += 1
            if seen[0] > after:
                return Indefinite("it has died")
        return honest()

    second.spoil = spoil


@pytest.mark.parametrize("after", range(5))
def test_an_import_that_broke_off_is_done_again_and_nobody_leads_in_between(after: int) -> None:
    world = many()
    before = rows(world)
    second = lost(world)
    broken_off(second, after)
    second.connect("a", "b")
    second.after(1.5)
    assert rows(second) != before
    third = on(second, second.store)
    form = third.ask(FormCluster("new", (A,), TIMING))
    if after:
        assert isinstance(form, Declined)
    third.connect("a", "b")
    third.after(1.5)
    again(third)
    third.after(10)

    assert third.core.leads
    assert rows(third) == before


def test_an_import_that_was_begun_waits_for_the_disk() -> None:
    world = many()
    before = rows(world)
    second = lost(world)
    broken_off(second, 2)
    second.connect("a", "b")
    second.after(1.5)
    third = on(second, second.store)
    register = third["a"].witness
    assert register is not None
    kept, register.copy = register.copy, ()
    third.connect("a", "b")
    third.after(30)
    assert not third.core.leads
    refused = third.ask(FormCluster("new", (A,), TIMING))
    assert isinstance(refused, Declined)
    assert "in part" in refused.sentence

    register.copy = kept
    third.after(5)
    again(third)
    third.after(10)

    assert third.core.leads
    assert rows(third) == before


def test_answers_that_are_lost_change_nothing() -> None:
    world = many()
    before = rows(world)
    second = lost(world)
    odd = [False]

    def spoil(action: Transact, honest: Callable[[], Result]) -> Result:
        odd[0] = not odd[0]
        answer = honest()
        return Indefinite("lost") if odd[0] and isinstance(answer, Applied) else answer

    second.spoil = spoil
    second.connect("a", "b")
    second.after(5)
    again(second)
    second.after(5)

    assert second.core.leads
    assert rows(second) == before


# ---- the transactions


def snapshot(world: World) -> Snapshot:
    book = world.core._desk.scene.book
    return database.unpacked(database.packed(book), Term(3), 7)


def test_what_the_copy_has_not_goes() -> None:
    old = disk()
    found = snapshot(old)
    with_vm(old, "later")
    store = old.core._desk.scene.book

    gone = {key for plan in imports(store, found) for key, value in plan.writes if value is None}

    assert gone == {"vm/later"}


def test_the_rows_that_make_a_cluster_come_last() -> None:
    found = snapshot(many())
    store = lost(World("")).core._desk.scene.book
    plans = list(imports(store, found))

    assert plans[0].is_first
    assert [key for key, _ in plans[-1].writes] == ["cluster", "view"]
    assert all(len(plan.writes) <= 100 for plan in plans)
    assert {key for plan in plans for key, _ in plan.writes} | {"counter"} == set(
        rows_of(found.book)
    )
