"""Guests with disks, in real workers: what they ask, what they are answered, and that they can be
moved at any moment without losing a page or an entry.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from agent.actions import OpenStorage, SendLastPages, SendRound
from agent.events import (
    DiskFlows,
    DiskGone,
    DiskStuck,
    GuestPaused,
    GuestResumed,
    GuestSettled,
    LastPagesSent,
    RoundLanded,
    RoundSent,
    StorageDone,
    VmFailed,
)
from agent.guests.disk_queue import BUFFERS_PAGE, OWN_PAGE
from agent.guests.ledger import recorded
from protocol.names import (
    AttemptId,
    Epoch,
    Hold,
    Verify,
    VmName,
)
from tests.agent.io.disk_machines import (
    DATABASE,
    LEDGER,
    NEXT,
    TRACKERS,
    WORK,
    let_flow,
    more,
    moved,
    nodes,
    on_disk,
    pages,
    stalled,
    stalled_in_reads,
    steps,
    stood,
    with_guest,
)
from tests.agent.io.machine import (
    VM,
    A,
    E,
    connected,
)


async def test_a_ledger_writes_disk_and_memory_in_lockstep(tmp_path: Path) -> None:
    async with nodes(tmp_path) as (here, _, volume):
        await with_guest(here, LEDGER)
        await more(here, 200)
        paused = await stood(here, E, Hold.OPERATOR)

        told, stable = recorded(pages(here), WORK), on_disk(volume)
        assert told[-1].sequence >= paused.steps >= 200
        assert all(stable[entry.sequence].sum == entry.sum for entry in told)
        assert len(stable) - len(told) <= 8, "no more than a window is ahead of memory"
        assert {entry.epoch for entry in told} == {E}


@pytest.mark.parametrize("tracker", TRACKERS)
async def test_a_ledger_that_is_moved_to_and_fro_has_no_gap_and_no_entry_twice(
    tmp_path: Path, tracker: str
) -> None:
    async with nodes(tmp_path, tracker) as (here, there, volume):
        await with_guest(here, LEDGER)
        for number in range(6):
            await moved(here, there, LEDGER, Epoch(E + number), AttemptId(A + number))
            here, there = there, here
        await stood(here, Epoch(E + 6), Hold.OPERATOR)

        told, stable = recorded(pages(here), WORK), on_disk(volume)
        written = [stable[sequence] for sequence in range(1, told[-1].sequence + 1)]
        assert written[-len(told) :] == told, "memory keeps the newest"
        epochs = [entry.epoch for entry in written]
        assert epochs == sorted(epochs)
        assert set(epochs) == set(range(E, E + 7))


@pytest.mark.parametrize("tracker", TRACKERS)
async def test_pages_that_a_disk_has_filled_are_found_like_those_that_the_guest_wrote(
    tmp_path: Path, tracker: str
) -> None:
    """The guest reads at random, and every read changes a buffer: `moved` compares all pages."""
    async with nodes(tmp_path, tracker) as (here, there, _):
        await with_guest(here, DATABASE)
        await more(here, 100)
        for number in range(3):
            began = steps(here)
            await moved(here, there, DATABASE, Epoch(E + number), AttemptId(A + number), 3)
            here, there = there, here
            assert steps(here) > began, "the guest read meanwhile"


@pytest.mark.parametrize("tracker", TRACKERS)
async def test_what_a_disk_fills_in_while_the_guest_stands_still_is_found_too(
    tmp_path: Path, tracker: str
) -> None:
    """The guest itself wrote these pages before the last look, if ever: only the reads changed them
    since.
    """
    async with nodes(tmp_path, tracker) as (here, there, volume):
        await with_guest(here, DATABASE)
        await more(here, 200)
        await connected(here, there, DATABASE)
        await stalled_in_reads(here, volume)
        for number in range(2):
            here.source.send_round(SendRound(A, number))
            await here.heard(RoundSent)
            await there.heard(RoundLanded)
        before = pages(here).copy()
        here.vms.set_holds(VM, E, Hold.ATTEMPT)
        await here.heard(GuestPaused)
        let_flow(here, volume)
        await here.heard(GuestSettled)
        filled = np.flatnonzero((pages(here) != before)[BUFFERS_PAGE:OWN_PAGE].any(axis=1))
        here.source.send_last_pages(SendLastPages(A, 2, Verify.FULL))
        await here.heard(LastPagesSent)
        await there.heard(RoundLanded)

        assert len(filled), "some of what was asked for were reads"
        assert np.array_equal(pages(here), pages(there))


async def test_at_the_pause_answers_are_awaited_and_brought_into_the_pages(tmp_path: Path) -> None:
    async with nodes(tmp_path) as (here, _, volume):
        await with_guest(here, LEDGER)
        await more(here, 20)
        await stalled(here, volume)

        here.vms.set_holds(VM, E, Hold.ATTEMPT)
        paused = await here.heard(GuestPaused)
        writes = volume.writes
        let_flow(here, volume)
        await here.heard(GuestSettled)

        assert paused.unanswered > 0
        assert volume.writes == writes + paused.unanswered
        worker = here.vms[VM].worker
        assert worker is not None
        assert worker.unanswered == 0
        assert steps(here) == paused.steps, "the guest itself does not run for it"
        here.vms.set_holds(VM, E, Hold.NONE)
        await more(here, 20)


async def test_a_disk_that_fails_is_a_delay_and_not_an_error(tmp_path: Path) -> None:
    async with nodes(tmp_path) as (here, _, volume):
        await with_guest(here, LEDGER)
        await more(here, 20)
        volume.broken = "The volume is gone."
        stuck = await here.heard(DiskStuck)
        here.vms.set_holds(VM, E, Hold.FAULT)
        await here.heard(GuestPaused)
        volume.broken = ""
        await here.heard(DiskFlows)
        here.vms.set_holds(VM, E, Hold.NONE)
        await more(here, 20)

        assert stuck == DiskStuck(VM, "The volume is gone.")


async def test_a_guest_that_a_fault_holds_says_all_the_same_that_it_stands_for_an_attempt(
    tmp_path: Path,
) -> None:
    async with nodes(tmp_path) as (here, _, volume):
        await with_guest(here, LEDGER)
        await stalled(here, volume)
        here.vms.set_holds(VM, E, Hold.FAULT)
        await here.heard(GuestPaused)
        here.vms.set_holds(VM, E, Hold.FAULT | Hold.ATTEMPT)

        assert (await here.heard(GuestPaused)).unanswered > 0
        let_flow(here, volume)
        await here.heard(GuestSettled)


async def test_after_an_aborted_attempt_the_source_goes_on_under_the_next_epoch(
    tmp_path: Path,
) -> None:
    async with nodes(tmp_path) as (here, there, volume):
        await with_guest(here, LEDGER)
        await connected(here, there, LEDGER)
        await more(here, 20)
        await stood(here, E)
        there.target.open_storage(OpenStorage(A, VM, NEXT))
        await there.heard(StorageDone)
        assert volume.open_count == 2, "the source keeps its own until the outcome"

        there.target.close(A)
        await there.vms.destroy(VM)
        here.source.close(A)
        here.vms.set_holds(VM, NEXT, Hold.NONE)
        await here.heard(GuestResumed)
        await more(here, 50)

        await stood(here, NEXT, Hold.OPERATOR)
        assert recorded(pages(here), WORK)[-1].epoch == NEXT
        assert volume.open_count == 1
        assert not [event for event in here.events if isinstance(event, DiskGone)]


async def test_a_guest_whose_disk_is_not_back_after_an_aborted_attempt_is_held_until_it_is(
    tmp_path: Path,
) -> None:
    """A disk of the VM's own went to the target at S10, and comes back."""
    async with nodes(tmp_path) as (here, _, volume):
        await with_guest(here, LEDGER)
        await more(here, 20)
        await stood(here, E)
        volume.serves.clear()
        here.vms.set_holds(VM, NEXT, Hold.NONE)
        await here.heard(DiskStuck)
        here.vms.set_holds(VM, NEXT, Hold.FAULT)
        await here.heard(GuestPaused)

        thread = here.storage.thread
        assert thread is not None
        thread.loop.call_soon_threadsafe(volume.serves.set)
        await here.heard(DiskFlows)
        here.vms.set_holds(VM, NEXT, Hold.NONE)
        await more(here, 20)
        assert not [event for event in here.events if isinstance(event, DiskGone)]


async def test_a_ledger_that_boots_elsewhere_has_every_acknowledged_entry(tmp_path: Path) -> None:
    async with nodes(tmp_path) as (here, there, volume):
        await with_guest(here, LEDGER)
        await more(here, 300)
        await here.vms.destroy(VM)
        acked = max(on_disk(volume)) - 8
        await with_guest(there, LEDGER, NEXT)
        await more(there, 1)
        booted = steps(there)
        await more(there, 50)
        await stood(there, NEXT, Hold.OPERATOR)

        stable = on_disk(volume)
        assert booted >= acked > 250
        assert sorted(stable)[: steps(there)] == list(range(1, steps(there) + 1))
        links = [stable[number].link for number in range(2, steps(there) + 1)]
        assert links == [stable[number].sum for number in range(1, steps(there))]


async def test_a_ledger_without_a_disk_is_no_vm(tmp_path: Path) -> None:
    async with nodes(tmp_path) as (here, _, _volume):
        here.vms.create(VmName("sql02"), E, replace(LEDGER, disks=()), Hold.NONE)
        failed = await here.heard(VmFailed)

        assert "the VM has none" in failed.reason


async def test_a_ledger_in_too_small_a_vm_is_told_so_by_its_worker(tmp_path: Path) -> None:
    async with nodes(tmp_path) as (here, _, _volume):
        here.vms.create(VM, E, replace(LEDGER, memory_bytes=64 << 10), Hold.NONE)
        failed = await here.heard(VmFailed)

        assert "needs a VM of at least 1048576 bytes" in failed.reason


async def test_a_vm_whose_disk_does_not_answer_can_be_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent.io.disk_server.END_WITHIN_S", 0.01)
    async with nodes(tmp_path) as (here, _, volume):
        await with_guest(here, LEDGER)
        await stalled(here, volume)
        await here.vms.destroy(VM)

        assert here.vms.get(VM) is None
