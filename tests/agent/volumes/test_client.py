"""How a node uses a volume: every state with every event."""

import dataclasses

import pytest

from agent.volumes import ways
from agent.volumes.client import Phase, VolumeClient
from agent.volumes.extents import BLOCK_BYTES, Extent
from agent.volumes.ways import ClientAction, ClientEvent
from protocol.disks import VolumeAccess, VolumeMode
from protocol.names import Epoch
from tests.agent.volumes.client_story import (
    BLOCKS,
    CUT,
    FILE,
    ME,
    THIRD,
    found,
    place,
    usable,
)


def client(*events: ClientEvent) -> tuple[VolumeClient, list[ClientAction]]:
    made, actions = VolumeClient(ME), list[ClientAction]()
    for event in events:
        actions = made.handle(event)
    return made, actions


OPEN = (ways.Placed(place(1)), FILE, usable(), ways.OwnerReached(Epoch(1)), found(1))


def direct() -> VolumeClient:
    made, _ = client(*OPEN)
    made.handle(ways.Drained(made.turn))
    made.handle(ways.DirectAgreed(made.turn))
    assert made.phase is Phase.DIRECT
    return made


def redirected() -> VolumeClient:
    made = direct()
    made.handle(CUT)
    made.handle(ways.RedirectAgreed(made.turn))
    assert made.phase is Phase.REDIRECTED
    return made


def test_it_is_direct_once_the_owner_agreed() -> None:
    made, actions = client(*OPEN)
    assert isinstance(made.way(1, 0, 512, writes=True), ways.Wait)

    actions = made.handle(ways.Drained(made.turn))
    assert actions == [ways.AskDirect(made.turn)]
    actions = made.handle(ways.DirectAgreed(made.turn))

    assert ways.Wake() in actions
    assert ways.Show(VolumeAccess.DIRECT, "") in actions
    way = made.way(1, 0, 512, writes=True)
    assert isinstance(way, ways.Straight)
    assert way.runs[0].disk_offset == 100 * BLOCK_BYTES


def test_a_lost_path_gives_the_key_up_before_the_owner_is_asked() -> None:
    made = direct()

    actions = made.handle(CUT)

    assert actions[:2] == [ways.GiveUpKey(1), ways.AskRedirect(made.turn, 1)]
    assert isinstance(made.way(1, 0, 512, writes=True), ways.Wait)
    made.handle(ways.RedirectAgreed(made.turn))
    assert made.way(1, 0, 512, writes=True) == ways.ThroughOwner(made.turn, 7)


def test_the_key_that_was_given_up_never_makes_it_direct_again() -> None:
    made = redirected()

    assert made.handle(usable(1)) == []
    assert made.phase is Phase.REDIRECTED
    assert made.handle(usable(2)) == [ways.Drain(made.turn)]
    made.handle(ways.Drained(made.turn))
    made.handle(ways.DirectAgreed(made.turn))
    assert made.phase is Phase.DIRECT


def test_a_failure_of_an_older_turn_changes_nothing() -> None:
    made = direct()
    old = made.turn
    made.handle(CUT)
    made.handle(ways.RedirectAgreed(made.turn))
    made.handle(usable(2))
    made.handle(ways.Drained(made.turn))
    made.handle(ways.DirectAgreed(made.turn))

    assert made.handle(ways.IoFailed(old, "late")) == []
    assert made.phase is Phase.DIRECT


def test_a_failure_that_comes_after_the_owner_was_lost_still_costs_the_key() -> None:
    """The write may be on its way yet: it must be aborted before it is done again."""
    made = direct()
    old = made.turn
    made.handle(ways.OwnerLost(Epoch(1), "gone"))
    made.handle(ways.IoFailed(old, "no answer"))
    made.handle(usable(1))

    actions = made.handle(ways.OwnerReached(Epoch(1)))

    assert actions[:2] == [ways.GiveUpKey(1), ways.AskRedirect(made.turn, 1)]


def test_a_failure_while_it_drains_costs_the_key_too() -> None:
    made = direct()
    old = made.turn
    made.handle(ways.OwnerLost(Epoch(1), "gone"))
    assert made.handle(ways.OwnerReached(Epoch(1))) == [ways.Drain(made.turn)]
    made.handle(ways.IoFailed(old, "no answer"))

    actions = made.handle(ways.Drained(made.turn))

    assert actions[:2] == [ways.GiveUpKey(1), ways.AskRedirect(made.turn, 1)]


def test_an_owner_whose_write_got_no_answer_gives_its_key_up() -> None:
    """Its disk may look well: still nobody knows what became of the write."""
    made, _ = client(
        ways.Placed(place(1, ME)), FILE, usable(), ways.OwnerReached(Epoch(1)), found(1)
    )
    made.handle(ways.Drained(made.turn))
    made.handle(ways.DirectAgreed(made.turn))

    actions = made.handle(ways.IoFailed(made.turn, "no answer"))

    assert ways.GiveUpKey(1) in actions
    assert made.access is VolumeAccess.QUEUED


def test_after_redirection_the_owner_is_asked_where_the_file_lies_by_now() -> None:
    """It was written through the owner; the extents known here say that it never was."""
    unwritten = Extent(100, 4)
    made = redirected()
    made.handle(found(1, (unwritten,)))
    made.handle(usable(2))
    made.handle(ways.Drained(made.turn))

    actions = made.handle(ways.DirectAgreed(made.turn))

    assert ways.LookAgain(1, 7) in actions
    assert isinstance(made.way(1, 0, 512, writes=False), ways.Wait)
    assert ways.Wake() in made.handle(found(1))
    way = made.way(1, 0, 512, writes=False)
    assert isinstance(way, ways.Straight)
    assert way.runs[0].written


def test_the_question_where_a_file_lies_is_asked_again_over_the_next_connection() -> None:
    made = redirected()
    made.handle(usable(2))
    made.handle(ways.Drained(made.turn))
    made.handle(ways.DirectAgreed(made.turn))
    made.handle(ways.OwnerLost(Epoch(1), "gone"))
    made.handle(ways.OwnerReached(Epoch(1)))
    made.handle(ways.Drained(made.turn))

    assert ways.LookAgain(1, 7) in made.handle(ways.DirectAgreed(made.turn))


def test_a_lost_owner_queues_until_a_higher_epoch() -> None:
    made = direct()
    actions = made.handle(ways.OwnerLost(Epoch(1), "it is gone"))
    assert ways.Show(VolumeAccess.QUEUED, "it is gone") in actions
    assert isinstance(made.way(1, 0, 512, writes=False), ways.Wait)

    assert made.handle(ways.Placed(place(2, THIRD)))[0] == ways.Reach(place(2, THIRD))
    assert made.handle(ways.Placed(place(1))) == []
    actions = made.handle(ways.OwnerReached(Epoch(2)))

    asked = [action for action in actions if isinstance(action, ways.AskFile)]
    assert [one.handle for one in asked] == [1]
    assert isinstance(made.way(1, 0, 512, writes=False), ways.Wait)
    made.handle(found(2))
    made.handle(ways.Drained(made.turn))
    made.handle(ways.DirectAgreed(made.turn))
    assert isinstance(made.way(1, 0, 512, writes=False), ways.Straight)


def test_what_was_never_written_is_converted_before_a_write() -> None:
    made = direct()
    extents = (Extent(100, 2, written=True), Extent(300, 2))
    made.handle(ways.FileFound(1, Epoch(1), 8, 4 * BLOCK_BYTES, extents))

    assert isinstance(made.way(1, 0, 2 * BLOCK_BYTES, writes=True), ways.Straight)
    assert made.way(1, 0, 3 * BLOCK_BYTES, writes=True) == ways.ConvertFirst(made.turn, 8)
    assert isinstance(made.way(1, 0, 3 * BLOCK_BYTES, writes=False), ways.Straight)


def test_an_answer_that_was_overtaken_does_not_turn_written_blocks_into_zeros() -> None:
    made = direct()
    before = made.way(1, 0, BLOCK_BYTES, writes=False)

    made.handle(found(1, (Extent(100, BLOCKS),)))

    assert made.way(1, 0, BLOCK_BYTES, writes=False) == before
    assert isinstance(made.way(1, 0, BLOCK_BYTES, writes=True), ways.Straight)


def test_a_disk_that_is_lost_stays_lost() -> None:
    made = direct()
    made.handle(ways.DiskSeen(1, is_usable=False, is_lost=True, reason="preempted"))

    made.handle(usable(2))

    way = made.way(1, 0, 512, writes=True)
    assert isinstance(way, ways.Ended)
    assert way.why is ways.Never.DISK_LOST


def test_an_owner_without_a_path_waits_to_be_relieved() -> None:
    made, _ = client(
        ways.Placed(place(1, ME)), FILE, usable(), ways.OwnerReached(Epoch(1)), found(1)
    )
    made.handle(ways.Drained(made.turn))
    made.handle(ways.DirectAgreed(made.turn))

    actions = made.handle(CUT)

    assert not any(isinstance(action, ways.AskRedirect) for action in actions)
    assert made.access is VolumeAccess.QUEUED


def test_the_owner_itself_is_not_redirected_by_an_operator() -> None:
    made, _ = client(
        ways.Placed(place(1, ME, VolumeMode.REDIRECTED)),
        FILE,
        usable(),
        ways.OwnerReached(Epoch(1)),
        found(1),
    )
    made.handle(ways.Drained(made.turn))
    made.handle(ways.DirectAgreed(made.turn))
    assert made.access is VolumeAccess.DIRECT


def states() -> dict[str, VolumeClient]:
    queued = direct()
    queued.handle(ways.OwnerLost(Epoch(1), "gone"))
    switching = direct()
    switching.handle(CUT)
    maintenance = direct()
    maintenance.handle(ways.Placed(place(1, mode=VolumeMode.MAINTENANCE)))
    lost = direct()
    lost.handle(ways.KeyRefused(lost.turn, "preempted"))
    draining, _ = client(*OPEN)
    return {
        "new": VolumeClient(ME),
        "queued": queued,
        "draining": draining,
        "switching": switching,
        "direct": direct(),
        "redirected": redirected(),
        "maintenance": maintenance,
        "lost": lost,
    }


EVENTS: list[ClientEvent] = [
    ways.Placed(place(1)),
    ways.Placed(place(2, THIRD)),
    ways.Placed(place(2, None)),
    ways.Placed(place(1, mode=VolumeMode.REDIRECTED)),
    ways.Placed(place(1, mode=VolumeMode.MAINTENANCE)),
    ways.Placed(place(1, mode=VolumeMode.OFFLINE)),
    ways.OwnerReached(Epoch(1)),
    ways.OwnerReached(Epoch(9)),
    ways.OwnerLost(Epoch(1), "gone"),
    ways.OwnerLost(Epoch(9), "gone"),
    usable(1),
    usable(2),
    CUT,
    ways.DiskSeen(1, False, True, "lost"),
    ways.IoFailed(0, "old"),
    ways.KeyRefused(0, "old"),
    ways.Drained(0),
    ways.RedirectAgreed(0),
    ways.DirectAgreed(0),
    dataclasses.replace(FILE, handle=2),
    found(1),
    found(9),
    ways.FileRefused(1, Epoch(1), "StaleEpoch", "older"),
    ways.FileLeft(1),
]


@pytest.mark.parametrize("state", states())
@pytest.mark.parametrize("event", EVENTS, ids=lambda event: type(event).__name__)
def test_every_state_takes_every_event(state: str, event: ClientEvent) -> None:
    made = states()[state]

    made.handle(event)

    way = made.way(1, 0, 512, writes=True)
    if made.phase is Phase.REDIRECTED:
        assert not isinstance(way, ways.Straight | ways.ConvertFirst)
    elif made.phase is not Phase.DIRECT:
        assert isinstance(way, ways.Wait | ways.Ended)
    else:
        assert made.disk.is_usable
        assert made.place is not None
        assert made.place.owner is not None
