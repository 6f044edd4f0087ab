from dataclasses import replace

import pytest

from agent.actions import Announce, CloseAttempt, DestroyVm, SayToPeer, SetHolds, Tell
from agent.config import Limits
from agent.events import GuestResumed, PeerLost, PeerSaid, RoundLanded, StorageDone
from agent.moves import DeadlinePassed, VmLost
from agent.pull_words import (
    CountMissing,
    LoseVm,
    MissingCounted,
    PeerLeft,
    PullBroke,
    PullDone,
    PullJoined,
    PullPages,
    PunchPages,
)
from agent.target import step
from agent.target_states import (
    Done,
    GivenUp,
    Opening,
    Prepared,
    Pull,
    Pulling,
    Punching,
    Received,
    Receiving,
    Resuming,
    State,
    deadline_s,
)
from protocol.messages import (
    Ended,
    MissingNamed,
    MissingPages,
    MissingTaken,
    OpenStorage,
    StateReceived,
)
from protocol.names import Epoch, Hold
from tests.agent.ground import VM, here
from tests.agent.test_target import CAME, COMMITTED, LACKING, ORDER, A, E

PULLING = Pulling(CAME, Epoch(5), Pull(60))
BROKEN = replace(PULLING, pull=Pull(7, broken_s=1.0))
LEFT = replace(PULLING, pull=Pull(60, has_left=True))


def test_a_post_copy_that_meets_no_trouble() -> None:
    state, actions = step(
        Receiving(0), PeerSaid(A, MissingPages(A, 8, b"\x0f")), ORDER, here(), 1.0
    )
    assert actions == (PunchPages(A, 8, b"\x0f"),)
    state, actions = step(state, PeerSaid(A, MissingNamed(A)), ORDER, here(), 1.0)
    assert actions == (CountMissing(A),)
    state, actions = step(state, MissingCounted(A, 4), ORDER, here(), 1.0)
    assert actions == (SayToPeer(A, MissingTaken(A, 4)),)
    state, _ = step(state, RoundLanded(A, 1, 1), ORDER, here(), 1.0)
    state, actions = step(state, PeerSaid(A, LACKING), ORDER, here(), 1.0)
    assert (state, actions) == (Punching(LACKING), (CountMissing(A),))
    state, actions = step(state, MissingCounted(A, 60), ORDER, here(), 1.0)
    assert actions == (SayToPeer(A, StateReceived(A, b"", 0.0)),)
    assert state == Received(60)
    state, _ = step(state, PeerSaid(A, OpenStorage(A, E)), ORDER, here(), 1.0)
    assert state == Opening(60)
    state, _ = step(state, StorageDone(A), ORDER, here(), 1.0)
    assert state == Prepared(missing_pages=60)

    state, actions = step(state, COMMITTED, ORDER, here(holds=Hold.ATTEMPT), 1.0)
    assert actions == (PullPages(A), SetHolds(VM, Epoch(5), Hold.NONE)), (
        "missing pages are served before the guest makes its first step"
    )
    state, _ = step(state, PullJoined(A), ORDER, here(), 1.0)
    state, actions = step(state, GuestResumed(VM, 0.002), ORDER, here(), 1.002)
    assert isinstance(state, Pulling)
    assert actions == (Announce(VM, Epoch(5)),), "the attempt goes on: nothing is ended yet"
    state, actions = step(state, PullDone(A), ORDER, here(), 2.0)
    assert isinstance(state, Done)
    assert actions == (CloseAttempt(A), Tell(state.ended))
    assert [part.name for part in state.ended.parts] == ["resume"]


def test_a_place_whose_kernel_cannot_do_without_pages_is_given_back_before_the_pause() -> None:
    state, actions = step(
        Receiving(0), MissingCounted(A, 0, "this kernel cannot"), ORDER, here(), 1.0
    )

    assert isinstance(state, GivenUp)
    assert DestroyVm(VM) in actions


@pytest.mark.parametrize("state", [Prepared(), Received(), PULLING])
def test_a_count_that_nobody_waits_for_changes_nothing(state: State) -> None:
    assert step(state, MissingCounted(A, 4), ORDER, here(), 1.0) == (state, ())


@pytest.mark.parametrize(
    ("counted", "why"),
    [
        (MissingCounted(A, 59), "counted 60 missing pages, and it named 59"),
        (MissingCounted(A, 60, "this kernel cannot"), "cannot be served here: this kernel cannot"),
    ],
)
def test_a_place_that_cannot_do_without_its_pages_is_given_back(
    counted: MissingCounted, why: str
) -> None:
    state, actions = step(Punching(LACKING), counted, ORDER, here(), 1.0)

    assert isinstance(state, GivenUp)
    assert why in state.told.reason
    assert DestroyVm(VM) in actions


def test_pages_that_all_came_before_the_first_step_need_no_more_waiting() -> None:
    state: State = Resuming(CAME, Epoch(5), 1.0, Pull(60))
    state, actions = step(state, PullDone(A), ORDER, here(), 1.5)
    assert actions == ()

    state, actions = step(state, GuestResumed(VM, 0.002), ORDER, here(), 2.0)

    assert isinstance(state, Done)
    assert [type(action) for action in actions] == [Announce, CloseAttempt, Tell]


def test_a_source_that_cannot_be_reached_has_its_time_from_the_first_break_on() -> None:
    limits = Limits(pull_grace_s=30.0)
    state, actions = step(PULLING, PullBroke(A, "it broke.", left_pages=7), ORDER, here(), 3.0)
    assert actions == ()
    assert deadline_s(state, limits) == 33.0
    again, _ = step(state, PullBroke(A, "it broke.", left_pages=7), ORDER, here(), 9.0)
    assert deadline_s(again, limits) == 33.0

    state, _ = step(again, PullJoined(A), ORDER, here(), 9.0)
    assert deadline_s(state, limits) == float("inf")
    assert step(state, DeadlinePassed(), ORDER, here(), 99.0) == (state, ())


@pytest.mark.parametrize(
    ("state", "event"),
    [
        (BROKEN, DeadlinePassed()),
        (BROKEN, PeerLeft("node a was removed.")),
        (LEFT, PullBroke(A, "it broke.", left_pages=7)),
        (PULLING, PullBroke(A, "it is gone.", is_over=True, left_pages=7)),
        (Resuming(CAME, Epoch(5), 1.0, Pull(7, broken_s=1.0)), DeadlinePassed()),
    ],
)
def test_a_lost_source_costs_the_vm_and_it_is_said_how_much_was_missing(
    state: State, event: object
) -> None:
    after, actions = step(state, event, ORDER, here(), 40.0)  # type: ignore[arg-type]

    assert isinstance(after, Done)
    close, lose, told = actions
    assert close == CloseAttempt(A)
    assert isinstance(lose, LoseVm)
    assert (lose.vm, lose.epoch) == (VM, Epoch(5))
    assert lose.reason.startswith("The source was lost with 7 pages that had not come (")
    assert lose.reason.endswith(f"The memory of {VM} is gone.")
    assert isinstance(told, Tell)
    assert isinstance(told.message, Ended)


def test_a_source_that_left_the_view_may_go_on_serving() -> None:
    state, actions = step(PULLING, PeerLeft("node a was removed."), ORDER, here(), 2.0)

    assert isinstance(state, Pulling)
    assert actions == ()
    state, _ = step(state, PullDone(A), ORDER, here(), 2.0)
    assert isinstance(state, Done)


def test_a_lost_conversation_does_not_end_the_pull() -> None:
    assert step(PULLING, PeerLost(A, "reset"), ORDER, here(), 2.0) == (PULLING, ())


def test_a_vm_that_is_stopped_while_pages_are_missing_ends_the_attempt() -> None:
    state, actions = step(PULLING, VmLost("it is being stopped"), ORDER, here(), 2.0)

    assert isinstance(state, Done)
    assert [type(action) for action in actions] == [CloseAttempt, Tell]
