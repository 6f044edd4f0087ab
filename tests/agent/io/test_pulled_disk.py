"""Post-copy of a guest with a disk: its queue comes before it runs, its memory afterwards."""

from pathlib import Path

import pytest

from agent.actions import OpenStorage, SendRound
from agent.events import GuestResumed, PeerSaid, RoundLanded, RoundSent, StorageDone
from agent.guests.ledger import recorded
from agent.io.tracker import KERNEL
from agent.pull_words import (
    MapDrawn,
    MapSent,
    MissingCounted,
    PullDone,
    PullServed,
    PunchPages,
    SendMap,
)
from protocol.messages import MissingPages
from protocol.names import AttemptId, Epoch, Hold
from tests.agent.io.disk_machines import (
    LEDGER,
    WORK,
    more,
    nodes,
    on_disk,
    pages,
    stood,
    with_guest,
)
from tests.agent.io.machine import TRACKER, VM, A, E, Machine, connected


async def pulled(here: Machine, there: Machine, epoch: Epoch, attempt: AttemptId) -> None:
    await connected(here, there, LEDGER, attempt, epoch)
    here.source.send_round(SendRound(attempt, 0))
    await here.heard(RoundSent)
    await there.heard(RoundLanded)
    await more(here, 20)
    here.source.open_pull(attempt)
    parts = (await here.heard(MapDrawn)).parts
    stands = await stood(here, epoch)
    here.source.send_map(SendMap(attempt, 1))
    sent = await here.heard(MapSent)
    for part in (*parts, *sent.parts):
        here.source.say(attempt, part)
        said = (await there.heard(PeerSaid)).message
        assert isinstance(said, MissingPages)
        there.target.punch(PunchPages(attempt, said.first, said.bitmap))
    await there.heard(RoundLanded)
    there.target.count_missing(attempt)
    assert (await there.heard(MissingCounted)).pages == sent.missing_pages
    there.target.open_storage(OpenStorage(attempt, VM, Epoch(epoch + 1)))
    await there.heard(StorageDone)

    here.vms.end_guest(VM)
    there.target.pull(attempt)
    there.vms.set_holds(VM, Epoch(epoch + 1), Hold.NONE)
    await there.heard(GuestResumed)
    if sent.missing_pages:
        await there.heard(PullDone)
        await here.heard(PullServed)
    for end in (here.source, there.target):
        closing = end.close(attempt)
        assert closing is not None
        await closing
    await here.vms.destroy(VM)
    await more(there, max(20, stands.steps + 20 - there.vms[VM].worker.steps))  # type: ignore[union-attr]


@pytest.mark.skipif(TRACKER != KERNEL, reason="the kernel cannot track here")
async def test_a_ledger_that_is_pulled_to_and_fro_has_no_gap_and_no_entry_twice(
    tmp_path: Path,
) -> None:
    async with nodes(tmp_path, KERNEL) as (here, there, volume):
        await with_guest(here, LEDGER)
        for number in range(4):
            await pulled(here, there, Epoch(E + number), AttemptId(A + number))
            here, there = there, here
        await stood(here, Epoch(E + 4), Hold.OPERATOR)

        told, stable = recorded(pages(here), WORK), on_disk(volume)
        written = [stable[sequence] for sequence in range(1, told[-1].sequence + 1)]
        assert written[-len(told) :] == told, "memory keeps the newest"
        epochs = [entry.epoch for entry in written]
        assert epochs == sorted(epochs)
        assert set(epochs) == set(range(E, E + 5))
