from dataclasses import replace
from typing import get_args

import pytest

from agent.actions import (
    CloseAttempt,
    Connect,
    DestroyVm,
    SayToPeer,
    SendLastPages,
    SendRound,
    SetHolds,
    Tell,
)
from agent.config import Limits
from agent.events import (
    Connected,
    GuestPaused,
    GuestResumed,
    GuestSettled,
    LastPagesSent,
    PagesMoved,
    PeerLost,
    PeerSaid,
    RoundSent,
    VmDestroyed,
)
from agent.moves import DeadlinePassed, LeaderHeard, VmLost, gave_up
from agent.pull_words import (
    MapDrawn,
    MapSent,
    PeerLeft,
    PullBroke,
    PullJoined,
    PullServed,
    Superseded,
)
from agent.source import begin, step
from agent.source_states import (
    MOVES,
    AwaitingState,
    Connecting,
    Consenting,
    Copying,
    Deciding,
    Done,
    Draining,
    Event,
    GivenUp,
    Landing,
    Leaving,
    Listing,
    OpeningStorage,
    Pausing,
    Ready,
    SendingLast,
    Serving,
    State,
    Switch,
    Trip,
    deadline_s,
    diagram,
    step_of,
)
from protocol.messages import (
    Abandoned,
    Consented,
    Decided,
    DeviceState,
    Ended,
    Migrate,
    MigrationMessage,
    MissingPages,
    MissingTaken,
    OpenStorage,
    Part,
    Progress,
    RoundEnded,
    RoundReceived,
    RoundRecord,
    StateReceived,
    StorageOpened,
)
from protocol.names import AttemptId, Decision, Epoch, Hold, Step, Verify
from tests.agent.ground import CLUSTER, CSV, LAN, TERM, VM, here, life, member
from tests.agent.machines import declared, meet_all

A, E = AttemptId(3), Epoch(4)
ORDER = Migrate(
    CLUSTER, TERM, life("a"), A, VM, E, member("b"), (CSV, LAN), "token", Verify.FULL, "2008r2"
)
ENOUGH = RoundRecord(0, 64, 0, 64 * 4096, 0.1, dirty_pages_at_end=3)
MUCH = replace(ENOUGH, dirty_pages_at_end=60)
LAST = RoundRecord(1, 3, 0, 3 * 4096, 0.001, 0)
TRIP = Trip(CSV, (ENOUGH,), stop_reason="small enough")
SWITCH = Switch(TRIP, asked_s=1.0, part_s=1.0, steps=9, digest=b"d")
ABORTED = Decided(CLUSTER, TERM, life("a"), A, VM, Epoch(5), Decision.ABORTED, "the target died")
COMMITTED = replace(ABORTED, decision=Decision.COMMITTED, reason="")
ENDED = Ended(CLUSTER, TERM, life("a"), A, True, Decision.ABORTED, ())
TOLD = gave_up(ORDER, here(), Step.ROUND, "the target was lost")
ENDED_WELL = replace(ENDED, decision=Decision.COMMITTED)
PULLED = replace(SWITCH, trip=replace(TRIP, post_copy=True, missing=60), digest=b"")
"""A switch that leaves pages behind."""

PARTS = (MissingPages(A, 0, b"\x0f"),)

SLOWED = replace(TRIP, rounds=(MUCH,), throttle=0.3)
"""Its guest loses time: the trip of a policy that throttles."""

BEFORE_CONSENT: list[State] = [
    Connecting(),
    Copying(Trip(CSV)),
    Landing(TRIP, 2.0),
    Ready(TRIP, 0.5),
    Listing(TRIP, 0.5),
    Pausing(SWITCH),
    Draining(SWITCH, 2),
    SendingLast(SWITCH),
    AwaitingState(SWITCH),
    OpeningStorage(SWITCH),
    Consenting(SWITCH),
]
STATES: list[State] = [
    *BEFORE_CONSENT,
    Copying(Trip(CSV), landed=True),
    Landing(replace(TRIP, rounds=(MUCH,)), 2.0),
    Copying(replace(SLOWED, rounds=())),
    Copying(replace(SLOWED, rounds=()), landed=True),
    Landing(SLOWED, 2.0),
    Deciding(SWITCH),
    Deciding(SWITCH, lost=True),
    Listing(TRIP, 0.5, taken=True),
    SendingLast(PULLED),
    Deciding(PULLED),
    Deciding(PULLED, served=MUCH),
    Serving(ENDED_WELL, TRIP),
    Serving(ENDED_WELL, TRIP, broken_s=1.0),
    Serving(ENDED_WELL, TRIP, has_left=True),
    Leaving(replace(ENDED, decision=Decision.COMMITTED)),
    GivenUp(TOLD),
    Done(ENDED),
]
SAID: list[MigrationMessage] = [
    RoundReceived(A, 0, 64),
    StateReceived(A, b"d", 0.0),
    StateReceived(A, b"x", 0.0),
    StorageOpened(A),
    Abandoned(A, "no memory"),
    OpenStorage(A, E),
    MissingTaken(A, 60),
]
EVENTS: list[Event] = [
    Connected(A, CSV),
    PagesMoved(A, 7),
    RoundSent(A, ENOUGH),
    RoundSent(A, MUCH),
    LastPagesSent(A, LAST, b"d", 0.01),
    *(PeerSaid(A, message) for message in SAID),
    PeerLost(A, "reset"),
    GuestPaused(VM, 9, 0.001),
    GuestPaused(VM, 9, 0.001, unanswered=2),
    GuestSettled(VM),
    GuestResumed(VM, 0.001),
    VmDestroyed(VM),
    ABORTED,
    COMMITTED,
    LeaderHeard(),
    DeadlinePassed(),
    VmLost("its worker ended"),
    MapDrawn(A, PARTS),
    MapSent(A, LAST, PARTS, 60),
    PullJoined(A),
    PullBroke(A, "it broke."),
    PullBroke(A, "the target gave up", is_over=True),
    PullServed(A, MUCH),
    PeerLeft("node b was removed"),
    Superseded(),
]

REFUSED = {
    *(
        (type(state).__name__, event)
        for state in BEFORE_CONSENT
        for event in ("Connected", "RoundSent", "LastPagesSent", "MapSent", "Decided committed")
    ),
    *(
        (state, event)
        for state in ("Deciding", "Serving", "Leaving")
        for event in ("Connected", "RoundSent", "LastPagesSent", "MapSent")
    ),
    ("Serving", "Decided aborted"),
    ("Leaving", "Decided aborted"),
    ("GivenUp", "Decided committed"),
    ("Done", "Decided committed"),
} - {("Connecting", "Connected"), ("Copying", "RoundSent"), ("SendingLast", "LastPagesSent")}


def test_every_event_in_every_state_is_decided_or_refused_on_purpose() -> None:
    heres = [here(), here(linked=False), here(holds=Hold.ATTEMPT)]

    moves, refused = set(), set()
    for order in (ORDER, replace(ORDER, policy="post-copy")):
        made, no = meet_all(
            STATES,
            EVENTS,
            heres,
            lambda state, event, at, order=order: step(state, event, order, at, 2.0),  # type: ignore[misc]
        )
        moves |= made
        refused |= no

    assert refused == REFUSED
    said = {type(message).__name__ for message in SAID} - {"RoundReceived", "Abandoned"}
    assert moves == declared(MOVES, said) | OUT_OF_TURN
    assert {type(event) for event in EVENTS} == set(get_args(Event)), "a new event needs a row"
    assert {type(state) for state in STATES} == set(get_args(State)), "a new state needs a row"


OUT_OF_TURN = {(was, "RoundReceived", "GivenUp") for was in ("Connecting", "Ready", "Listing")}
"""A round that nobody sent. In the later states it is that of the last pages, and in time."""


def test_the_picture_shows_every_state() -> None:
    picture = diagram()

    assert picture.startswith("stateDiagram-v2\n    [*] --> Connecting\n")
    for state in get_args(State):
        assert state.__name__ in picture


def test_every_state_has_a_step_by_its_name() -> None:
    assert step_of(Copying(Trip(CSV))) is Step.FIRST_ROUND
    assert step_of(Copying(TRIP)) is Step.ROUND
    assert step_of(GivenUp(TOLD)) is Step.ROUND
    assert all(isinstance(step_of(state), Step) for state in STATES)


def test_a_migration_that_meets_no_trouble() -> None:
    state, actions = begin(ORDER, here())
    assert isinstance(actions[1], Connect)
    assert actions[1].networks == (CSV, LAN)

    state, actions = step(state, Connected(A, CSV), ORDER, here(), 0.0)
    assert SendRound(A, 0) in actions
    state, actions = step(state, RoundSent(A, ENOUGH), ORDER, here(), 1.0)
    assert actions == (SayToPeer(A, RoundEnded(A, 0, 64)),)

    state, actions = step(state, PeerSaid(A, RoundReceived(A, 0, 64)), ORDER, here(), 1.0)
    told, hold = actions
    assert isinstance(told, Tell)
    assert isinstance(told.message, Progress)
    assert told.message.reason == "The 3 pages that are left travel within 50 ms."
    assert hold == SetHolds(VM, E, Hold.ATTEMPT)

    paused = here(holds=Hold.ATTEMPT)
    state, actions = step(state, GuestPaused(VM, 77, 0.002), ORDER, paused, 1.002)
    assert actions[-1] == SendLastPages(A, 1, Verify.FULL)
    state, actions = step(state, LastPagesSent(A, LAST, b"d", 0.010), ORDER, paused, 1.015)
    assert actions == (
        SayToPeer(A, RoundEnded(A, 1, 3)),
        SayToPeer(A, DeviceState(A, VM, E, 1, 77, b"d")),
    )
    state, actions = step(state, PeerSaid(A, StateReceived(A, b"d", 0.010)), ORDER, paused, 1.030)
    assert actions[-1] == SayToPeer(A, OpenStorage(A, E))
    state, actions = step(state, PeerSaid(A, StorageOpened(A)), ORDER, paused, 1.031)
    (said,) = actions
    assert isinstance(said, Tell)
    consent = said.message
    assert isinstance(consent, Consented)
    assert consent.verified is True
    assert consent.rounds == (ENOUGH, LAST)
    assert {part.name: round(part.seconds, 6) for part in consent.parts} == {
        "pause": 0.002,
        "last pages": 0.008,
        "verify": 0.020,
        "storage": 0.001,
    }

    state, actions = step(state, COMMITTED, ORDER, paused, 1.041)
    assert actions == (CloseAttempt(A), DestroyVm(VM, moved=True))
    state, actions = step(state, VmDestroyed(VM), ORDER, here(), 1.1)
    (last,) = actions
    assert isinstance(last, Tell)
    assert isinstance(last.message, Ended)
    (commit,) = last.message.parts
    assert (commit.name, round(commit.seconds, 6)) == ("commit", 0.010)
    assert state == Done(last.message)


@pytest.mark.parametrize("state", BEFORE_CONSENT, ids=lambda state: type(state).__name__)
def test_until_the_consent_a_lost_target_costs_nothing(state: State) -> None:
    after, actions = step(state, PeerLost(A, "reset"), ORDER, here(holds=Hold.ATTEMPT), 2.0)

    assert isinstance(after, GivenUp)
    assert actions == (SetHolds(VM, E, Hold.NONE), CloseAttempt(A), Tell(after.told))
    assert after.told.reason == "The target was lost: reset"


@pytest.mark.parametrize("state", BEFORE_CONSENT, ids=lambda state: type(state).__name__)
def test_until_the_consent_an_abort_gives_the_guest_back_under_its_new_epoch(state: State) -> None:
    held = here(holds=Hold.ATTEMPT | Hold.OPERATOR)
    after, actions = step(state, ABORTED, ORDER, held, 2.0)

    assert isinstance(after, Done)
    assert SayToPeer(A, Abandoned(A, "the target died")) in actions
    assert SetHolds(VM, Epoch(5), Hold.OPERATOR) in actions, "only the attempt's own hold goes"
    assert actions[-1] == Tell(after.ended)


def test_after_the_consent_nothing_but_the_decision_ends_it() -> None:
    state = Deciding(SWITCH)
    for event in EVENTS:
        if isinstance(event, Decided | Connected | RoundSent | LastPagesSent | MapSent):
            continue
        after, actions = step(state, event, ORDER, here(holds=Hold.ATTEMPT), 2.0)
        assert isinstance(after, Deciding)
        assert not any(isinstance(action, SetHolds | DestroyVm) for action in actions)


def test_the_consent_is_told_again_to_a_leader_who_may_not_have_heard_it() -> None:
    _, actions = step(Deciding(SWITCH), LeaderHeard(), ORDER, here(), 2.0)

    (said,) = actions
    assert isinstance(said, Tell)
    assert isinstance(said.message, Consented)


def test_an_abort_after_the_consent_lets_the_guest_run_on_here() -> None:
    after, actions = step(Deciding(SWITCH), ABORTED, ORDER, here(holds=Hold.ATTEMPT), 1.5)

    assert actions[:2] == (SetHolds(VM, Epoch(5), Hold.NONE), CloseAttempt(A))
    assert isinstance(after, Done)
    assert after.ended.parts == (Part("commit", 0.5),)


def test_a_consent_that_nobody_could_hear_is_not_given() -> None:
    opened = PeerSaid(A, StorageOpened(A))

    state, actions = step(OpeningStorage(SWITCH), opened, ORDER, here(linked=False), 1.1)
    assert (type(state), actions) == (Consenting, ())
    state, actions = step(state, LeaderHeard(), ORDER, here(), 1.2)
    assert isinstance(state, Deciding)


def test_memory_that_differs_is_never_handed_over() -> None:
    differs = PeerSaid(A, StateReceived(A, b"x", 0.0))

    state, actions = step(AwaitingState(SWITCH), differs, ORDER, here(holds=Hold.ATTEMPT), 1.1)

    assert isinstance(state, GivenUp)
    assert "memory differs" in state.told.reason
    assert SetHolds(VM, E, Hold.NONE) in actions


def test_without_a_digest_nothing_is_claimed_to_be_verified() -> None:
    blind = replace(SWITCH, digest=b"")
    same = PeerSaid(A, StateReceived(A, b"", 0.0))

    state, _ = step(AwaitingState(blind), same, ORDER, here(), 1.1)
    _, actions = step(state, PeerSaid(A, StorageOpened(A)), ORDER, here(), 1.2)

    (said,) = actions
    assert isinstance(said, Tell)
    assert isinstance(said.message, Consented)
    assert said.message.verified is None


def test_a_guest_does_not_wait_for_ever_for_a_target_that_says_nothing() -> None:
    assert deadline_s(Copying(TRIP), Limits()) == float("inf")
    assert deadline_s(AwaitingState(SWITCH), Limits(switch_max_s=30.0)) == 31.0
    assert deadline_s(Deciding(SWITCH), Limits()) == float("inf"), "the decision has no deadline"

    state, actions = step(
        AwaitingState(SWITCH), DeadlinePassed(), ORDER, here(holds=Hold.ATTEMPT), 31.0
    )
    assert isinstance(state, GivenUp)
    assert SetHolds(VM, E, Hold.NONE) in actions


def test_a_target_that_speaks_out_of_turn_is_left() -> None:
    state, _ = step(Copying(TRIP), PeerSaid(A, StorageOpened(A)), ORDER, here(), 1.0)

    assert isinstance(state, GivenUp)
    assert state.told.reason == "The target said StorageOpened out of turn."


def test_giving_up_is_told_again_until_the_row_says_so() -> None:
    given_up = GivenUp(TOLD)

    _, actions = step(given_up, LeaderHeard(), ORDER, here(), 2.0)
    assert actions == (Tell(TOLD),)
    after, actions = step(given_up, ABORTED, ORDER, here(), 2.0)
    assert isinstance(after, Done)
    assert actions[0] == SetHolds(VM, Epoch(5), Hold.NONE)
