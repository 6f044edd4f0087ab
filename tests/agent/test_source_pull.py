from dataclasses import replace
from typing import get_args

import pytest

from agent.actions import Action, CloseAttempt, DestroyVm, SayToPeer, SendLastPages, SetHolds, Tell
from agent.config import Limits
from agent.events import GuestPaused, PeerLost, PeerSaid, RoundSent, VmDestroyed
from agent.moves import DeadlinePassed, LeaderHeard, VmLost
from agent.pull_words import (
    EndGuest,
    MapDrawn,
    MapSent,
    OpenPull,
    PeerLeft,
    PullBroke,
    PullJoined,
    PullServed,
    SendMap,
    ServePages,
    Superseded,
)
from agent.source import step
from agent.source_states import (
    AwaitingState,
    Copying,
    Deciding,
    Done,
    Leaving,
    Listing,
    OpeningStorage,
    Pausing,
    SendingLast,
    Serving,
    State,
    deadline_s,
)
from protocol.messages import (
    Consented,
    DeviceState,
    Ended,
    MissingNamed,
    MissingPages,
    MissingTaken,
    Progress,
    RoundEnded,
    RoundReceived,
    StateReceived,
    StorageOpened,
)
from protocol.names import Hold, Step, Verify
from tests.agent.ground import VM, here
from tests.agent.test_source import (
    COMMITTED,
    ENDED_WELL,
    EVENTS,
    LAST,
    MUCH,
    ORDER,
    PARTS,
    PULLED,
    STATES,
    TRIP,
    A,
)

AFTER_ONE = replace(ORDER, policy="post-copy:rounds=1")
EARLY = (MissingPages(A, 0, b"\x03"),)
SERVING = Serving(ENDED_WELL, TRIP)
TARGET_GONE: list[tuple[State, object]] = [
    (SERVING, PullBroke(A, "the target gave up", is_over=True)),
    (SERVING, Superseded()),
    (replace(SERVING, broken_s=1.0), DeadlinePassed()),
    (replace(SERVING, broken_s=1.0), PeerLeft("node b was removed")),
    (replace(SERVING, has_left=True), PullBroke(A, "it broke.")),
]


def test_a_post_copy_that_meets_no_trouble() -> None:
    first = Copying(replace(TRIP, rounds=()), landed=True)
    state, actions = step(first, RoundSent(A, MUCH), AFTER_ONE, here(), 1.0)
    assert isinstance(state, Listing)
    assert actions[-1] == OpenPull(A)

    state, actions = step(state, MapDrawn(A, EARLY), AFTER_ONE, here(), 1.0)
    assert actions == (SayToPeer(A, EARLY[0]), SayToPeer(A, MissingNamed(A)))
    assert not any(isinstance(action, SetHolds) for action in actions)
    state, actions = step(state, PeerSaid(A, MissingTaken(A, 2)), AFTER_ONE, here(), 1.0)
    assert isinstance(state, Pausing)
    assert actions == (SetHolds(VM, ORDER.epoch, Hold.ATTEMPT),)
    state, actions = step(state, GuestPaused(VM, 9, 0.001), AFTER_ONE, here(), 1.0)
    assert actions[-1] == SendMap(A, 1)
    assert not any(isinstance(action, SendLastPages) for action in actions)

    state, actions = step(state, MapSent(A, LAST, PARTS, 60), AFTER_ONE, here(), 1.0)
    said = [action.message for action in actions if isinstance(action, SayToPeer)]
    assert said == [
        PARTS[0],
        RoundEnded(A, 1, LAST.pages),
        DeviceState(A, VM, ORDER.epoch, 1, 9, b"", 60),
    ], "what is missing is named before the state that counts it"

    state, _ = step(state, PeerSaid(A, RoundReceived(A, 1, 3)), AFTER_ONE, here(), 1.0)
    state, _ = step(state, PeerSaid(A, StateReceived(A, b"", 0.0)), AFTER_ONE, here(), 1.0)
    assert isinstance(state, OpeningStorage)
    state, actions = step(state, PeerSaid(A, StorageOpened(A)), AFTER_ONE, here(), 1.0)
    assert isinstance(actions[0].message, Consented)  # type: ignore[union-attr]

    state, actions = step(state, COMMITTED, AFTER_ONE, here(holds=Hold.ATTEMPT), 1.0)
    assert isinstance(state, Serving)
    assert actions[:2] == (EndGuest(VM), ServePages(A))
    assert isinstance(actions[2].message, Progress)  # type: ignore[union-attr]
    assert actions[2].message.step is Step.PULL  # type: ignore[union-attr]
    state, actions = step(state, PullServed(A, MUCH), AFTER_ONE, here(), 2.0)
    assert actions[-2:] == (CloseAttempt(A), DestroyVm(VM, moved=True))
    state, actions = step(state, VmDestroyed(VM), AFTER_ONE, here(), 2.0)
    assert isinstance(state, Done)
    assert state.ended.verified is True


def test_without_a_coordinator_the_guest_is_not_paused_and_no_further_round_is_sent() -> None:
    state: State = Listing(replace(TRIP, post_copy=True), 1.0)
    alone = here(linked=False)
    state, actions = step(state, PeerSaid(A, MissingTaken(A, 2)), AFTER_ONE, alone, 1.5)
    assert (state, actions) == (Listing(replace(TRIP, post_copy=True), 1.0, taken=True), ())

    state, actions = step(state, LeaderHeard(), AFTER_ONE, here(), 4.0)

    assert isinstance(state, Pausing)
    assert state.switch.trip.waited_s == 3.0
    assert actions == (SetHolds(VM, ORDER.epoch, Hold.ATTEMPT),)


def test_nothing_that_can_happen_makes_a_source_run_or_hold_its_guest_again() -> None:
    """After the commit it never orders a hold, and leaves only for what ends the VM here."""
    seen: set[type[object]] = set()
    todo: list[State] = [state for state in STATES if isinstance(state, Serving)]
    assert todo
    while todo:
        state = todo.pop()
        seen.add(type(state))
        for event in EVENTS:
            for at in (here(), here(linked=False), here(holds=Hold.ATTEMPT)):
                try:
                    after, actions = step(state, event, ORDER, at, 2.0)
                except AssertionError:
                    continue
                assert not any(isinstance(action, SetHolds) for action in actions)
                if type(after) not in seen:
                    todo.append(after)
    assert seen == {Serving, Leaving, Done}


@pytest.mark.parametrize(("state", "event"), TARGET_GONE)
def test_a_target_that_will_not_ask_again_is_not_waited_for(state: State, event: object) -> None:
    after, actions = step(state, event, ORDER, here(), 2.0)  # type: ignore[arg-type]

    assert after == Leaving(ENDED_WELL)
    assert actions == (CloseAttempt(A), DestroyVm(VM, moved=True))


def test_a_target_that_cannot_be_reached_is_waited_for_longer_than_it_waits_itself() -> None:
    limits = Limits(pull_grace_s=30.0)
    state, actions = step(SERVING, PullBroke(A, "it broke."), ORDER, here(), 7.0)
    assert actions == ()
    assert deadline_s(state, limits) > 7.0 + limits.pull_grace_s
    again, _ = step(state, PullBroke(A, "it broke."), ORDER, here(), 9.0)
    assert again == state, "the time runs from the first break"

    state, _ = step(state, PullJoined(A), ORDER, here(), 9.0)
    assert deadline_s(state, limits) == float("inf")


def test_a_target_that_left_the_view_is_served_as_long_as_it_asks() -> None:
    state, actions = step(SERVING, PeerLeft("node b was removed"), ORDER, here(), 2.0)

    assert isinstance(state, Serving)
    assert actions == ()


def test_a_target_that_had_all_before_the_commit_was_heard_here_is_not_served_again() -> None:
    state, _ = step(Deciding(PULLED), PullServed(A, MUCH), ORDER, here(), 2.0)
    assert isinstance(state, Deciding)

    state, actions = step(state, COMMITTED, ORDER, here(holds=Hold.ATTEMPT), 2.0)

    assert isinstance(state, Leaving)
    assert actions[-1] == DestroyVm(VM, moved=True)


@pytest.mark.parametrize("checked", [True, False])
def test_what_no_checksum_covered_is_not_called_verified(checked: bool) -> None:
    order = replace(ORDER, travel=replace(ORDER.travel, checked=checked))
    state, _ = step(SERVING, PullServed(A, MUCH), order, here(), 2.0)
    assert isinstance(state, Leaving)
    assert state.ended.verified is (True if checked else None)

    state, _ = step(SERVING, PullServed(A, MUCH), replace(order, verify=Verify.OFF), here(), 2.0)
    assert isinstance(state, Leaving)
    assert state.ended.verified is None


def test_a_map_that_leaves_nothing_out_is_an_ordinary_switch() -> None:
    none_left = replace(PULLED, trip=replace(PULLED.trip, missing=0))
    state, _ = step(SendingLast(none_left), MapSent(A, LAST, (), 0), ORDER, here(), 2.0)
    assert isinstance(state, AwaitingState)

    state, actions = step(Deciding(state.switch), COMMITTED, ORDER, here(holds=Hold.ATTEMPT), 2.0)

    assert isinstance(state, Leaving)
    assert actions == (CloseAttempt(A), DestroyVm(VM, moved=True))


def test_a_lost_conversation_does_not_end_the_service() -> None:
    assert step(SERVING, PeerLost(A, "reset"), ORDER, here(), 2.0) == (SERVING, ())


def test_pages_that_are_lost_here_end_the_service_and_say_so() -> None:
    state, actions = step(SERVING, VmLost("its worker ended"), ORDER, here(), 2.0)

    assert isinstance(state, Done)
    told = [action.message for action in actions if isinstance(action, Tell)]
    assert [type(message) for message in told] == [Ended]


def test_every_action_of_a_serving_source_is_one_that_the_edge_carries_out() -> None:
    known = set(get_args(Action))
    for state, event in TARGET_GONE:
        _, actions = step(state, event, ORDER, here(), 2.0)  # type: ignore[arg-type]
        assert {type(action) for action in actions} <= known
