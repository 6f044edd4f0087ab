"""A disk that will never answer again in this life, and a guest that asks while it must not."""

import os
from pathlib import Path

from agent.events import DiskGone, DiskRefused, DiskStuck
from agent.guests.disk_queue import Deed
from protocol.names import Epoch, Hold
from tests.agent.io.disk_machines import LEDGER, NEXT, more, nodes, stood, with_guest
from tests.agent.io.machine import VM, E


async def test_a_disk_that_is_lost_for_this_life_of_the_node_is_told_as_gone(
    tmp_path: Path,
) -> None:
    async with nodes(tmp_path) as (here, _, volume):
        await with_guest(here, LEDGER)
        await more(here, 20)
        volume.lost = "The registration was preempted."

        gone = await here.heard(DiskGone)

        assert gone == DiskGone(VM, "The registration was preempted.")
        assert not [event for event in here.events if isinstance(event, DiskStuck)]
        await here.vms.destroy(VM)


async def test_a_disk_that_a_newer_epoch_has_opened_elsewhere_is_told_as_gone(
    tmp_path: Path,
) -> None:
    async with nodes(tmp_path) as (here, _, volume):
        await with_guest(here, LEDGER)
        await more(here, 20)
        volume.epochs[VM] = Epoch(E + 9)

        gone = await here.heard(DiskGone)

        assert "is over" in gone.reason
        await here.vms.destroy(VM)


async def test_an_older_openings_refusal_is_no_end_while_it_is_opened_anew(tmp_path: Path) -> None:
    """After an aborted attempt the source lives by the next epoch, which the target had opened."""
    async with nodes(tmp_path) as (here, _, volume):
        await with_guest(here, LEDGER)
        await more(here, 20)
        here.vms.set_holds(VM, E, Hold.OPERATOR)
        volume.epochs[VM] = NEXT
        here.vms.set_holds(VM, NEXT, Hold.NONE)
        await more(here, 20)

        assert not [event for event in here.events if isinstance(event, DiskGone)]


async def test_what_is_asked_while_the_guest_stands_for_an_attempt_is_refused_and_told(
    tmp_path: Path,
) -> None:
    """Here the worker asks all the same, as one would that does not keep to its holds."""
    async with nodes(tmp_path) as (here, _, volume):
        await with_guest(here, LEDGER)
        await more(here, 20)
        await stood(here, E)
        worker = here.vms[VM].worker
        assert worker is not None
        ring = worker.ring
        assert ring is not None
        writes = volume.writes
        for slot in (0, 1):
            ring.hand_over(slot, Deed.WRITE_THROUGH, 0, 4096, E)
        os.eventfd_write(worker.asked_fd, 1)

        refused = await here.heard(DiskRefused)
        os.eventfd_write(worker.asked_fd, 1)
        await here.vms.destroy(VM)

        assert refused == DiskRefused(VM, E, "write_through")
        assert volume.writes == writes
        assert not [event for event in here.events if isinstance(event, DiskRefused)], "once"
