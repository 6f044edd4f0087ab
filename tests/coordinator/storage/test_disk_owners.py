"""Every state of a disk meets every event: what is not in the table changes nothing."""

from dataclasses import replace
from typing import Any

import pytest

from coordinator.pen import Draft, Plan
from coordinator.storage.disk_owners import LoseOwner, Own, TakeFormatted, TakeOwned, TakeReleased
from coordinator.storage.disk_plans import MoveDisk, Release
from coordinator.storage.disk_states import MOVES, moved
from coordinator.store.disk_rows import DiskRow, DiskState, Registrant, disk_key
from protocol.disks import DiskContent, DiskId, DiskRole, DiskStatus, registration_key
from protocol.messages import DiskReport
from protocol.names import Epoch, NodeName, Term, VolumeName
from tests.coordinator.stage import LAB, Stage, ids_of, life

DISK = DiskId("6001")
EVENTS = sorted({event for _, event in MOVES})
E3 = Epoch(3)


def staged(state: DiskState, owner: str = "a", number: int = 1, **fields: Any) -> Stage:
    stage = Stage()
    lives = tuple(Registrant(life(name), 1) for name in "abc")
    row = DiskRow(DISK, 1, 1 << 30, state=state, registrants=lives)
    row = replace(row, owner=NodeName(owner), owner_incarnation=life(owner, number), epoch=E3)
    stage.put(disk_key(DISK), replace(row, **fields).data())
    for name in "abc":
        key = registration_key(LAB, life(name), 1)
        seen = DiskStatus(
            DISK, 1 << 30, 512, "", 2, 2, DiskContent.BLANK, key=key, registrations=1, granted=1
        )
        stage.agent(name).storage = DiskReport(LAB, Term(3), life(name), (seen,), ())
    return stage


def row_of(stage: Stage) -> DiskRow:
    return stage.scene.book.disks[DISK]


@pytest.mark.parametrize("state", list(DiskState))
@pytest.mark.parametrize("event", EVENTS)
def test_each_event_moves_each_state_as_the_table_says(state: DiskState, event: str) -> None:
    after = moved(DiskRow(DISK, 1, 1, state=state), event)

    assert (None if after is None else after.state) == MOVES.get((state, event))


PLANS: dict[str, Plan] = {
    "give": Own(DISK),
    "owned": TakeOwned(DISK, life("a"), E3),
    "released": TakeReleased(DISK, life("a"), E3, is_clean=False, generation=1),
    "move": MoveDisk(None, DISK, NodeName("b")),
}


@pytest.mark.parametrize("state", list(DiskState))
@pytest.mark.parametrize("event", sorted(PLANS))
def test_plans_write_what_the_table_says_and_nothing_else(state: DiskState, event: str) -> None:
    stage = staged(state)
    draft = PLANS[event].draft(stage.scene)

    assert isinstance(draft, Draft) is ((state, event) in MOVES)
    if isinstance(draft, Draft):
        stage.write(PLANS[event])
        assert row_of(stage).state is MOVES[state, event]


@pytest.mark.parametrize("state", [DiskState.PENDING, DiskState.ONLINE, DiskState.RELEASING])
@pytest.mark.parametrize("life_and_epoch", [("b", 3), ("a", 2), ("a", 4)])
def test_only_the_owner_under_its_very_epoch_is_believed(
    state: DiskState, life_and_epoch: tuple[str, int]
) -> None:
    stage, (name, epoch) = staged(state), life_and_epoch
    for plan in (
        TakeOwned(DISK, life(name), Epoch(epoch)),
        TakeOwned(DISK, life(name), Epoch(epoch), "no"),
        TakeReleased(DISK, life(name), Epoch(epoch), is_clean=True),
        TakeFormatted(DISK, life(name), Epoch(epoch), "label"),
    ):
        assert plan.draft(stage.scene) is None


def test_an_owner_in_the_held_view_is_not_lost() -> None:
    stage = staged(DiskState.ONLINE)
    assert LoseOwner(DISK, life("a")).draft(stage.scene) is None

    stage = staged(DiskState.ONLINE, number=7)
    assert ids_of(stage.write(LoseOwner(DISK, life("a", 7)))) == [9066]
    assert row_of(stage).state is DiskState.OFFLINE


def test_a_clean_release_gives_the_disk_on_in_the_same_transaction() -> None:
    stage = staged(DiskState.RELEASING, move_to=NodeName("c"))
    stage.write(TakeReleased(DISK, life("a"), E3, is_clean=True))

    row = row_of(stage)
    assert (row.state, row.owner, row.epoch, row.move_to) == (DiskState.PENDING, "c", 4, None)


def test_after_an_unclean_release_nobody_is_given_it_before_the_fence() -> None:
    stage = staged(DiskState.ONLINE)
    stage.write(TakeReleased(DISK, life("a"), E3, is_clean=False, generation=2))

    assert row_of(stage).registrant(life("a")) == Registrant(life("a"), 1, fenced_to=2)
    assert Own(DISK).draft(stage.scene) is None


def test_an_epoch_on_the_disk_is_gone_above() -> None:
    stage = staged(DiskState.OFFLINE)
    report = stage.agent("b").storage
    assert report is not None
    seen = replace(report.disks[0], epoch=Epoch(41))
    stage.agent("b").storage = replace(report, disks=(seen,))
    stage.write(Own(DISK))

    assert row_of(stage).epoch == 42


def test_a_disk_that_leaves_is_online_first_and_then_released() -> None:
    stage = staged(DiskState.ONLINE, leaving=True)
    stage.write(Release(DISK))
    stage.write(TakeReleased(DISK, life("a"), E3, is_clean=False, generation=1))

    assert DISK not in stage.scene.book.disks
    assert [r.incarnation for r in stage.scene.book.gone_disks[DISK].registrants]


def test_a_disk_is_mounted_only_after_it_was_formatted() -> None:
    stage = staged(DiskState.PENDING, format_as="label")
    assert TakeOwned(DISK, life("a"), E3).draft(stage.scene) is None
    assert TakeFormatted(DISK, life("a"), E3, "another").draft(stage.scene) is None
    stage.write(TakeFormatted(DISK, life("a"), E3, "label"))
    stage.write(TakeOwned(DISK, life("a"), E3))

    assert row_of(stage).state is DiskState.ONLINE


def test_a_disk_that_was_not_formatted_is_in_available_storage_again_and_says_why() -> None:
    stage = staged(
        DiskState.PENDING, role=DiskRole.CSV, volume=VolumeName("Volume1"), format_as="label"
    )
    assert ids_of(stage.write(TakeFormatted(DISK, life("a"), E3, "label", "It holds more."))) == [
        5150
    ]
    row = row_of(stage)
    assert (row.role, row.volume, row.format_as) == (DiskRole.AVAILABLE, "", "")

    stage.write(TakeOwned(DISK, life("a"), E3))
    assert (row_of(stage).state, row_of(stage).reason) == (DiskState.ONLINE, "It holds more.")
