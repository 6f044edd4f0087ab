from dataclasses import replace
from typing import get_args

import pytest

from agent import actions as deeds
from agent.actions import (
    Announce,
    CloseAttempt,
    CloseStorage,
    DestroyVm,
    DigestMemory,
    SayToPeer,
    SetHolds,
    Tell,
)
from agent.config import Limits
from agent.events import (
    GuestPaused,
    GuestResumed,
    GuestSettled,
    MemoryDigested,
    PeerLost,
    PeerSaid,
    ReserveDone,
    ReserveFailed,
    RoundLanded,
    SourceConnected,
    StorageDone,
    StorageFailed,
    VmDestroyed,
)
from agent.moves import DeadlinePassed, LeaderHeard, VmLost, gave_up
from agent.pull_words import (
    MissingCounted,
    PeerLeft,
    PullBroke,
    PullDone,
    PullJoined,
    Superseded,
)
from agent.target import begin, step
from agent.target_states import (
    MOVES,
    Clearing,
    Digesting,
    Done,
    Event,
    Gathering,
    GivenUp,
    Listening,
    Opening,
    Prepared,
    Pull,
    Pulling,
    Punching,
    Received,
    Receiving,
    Reserving,
    Resuming,
    State,
    deadline_s,
    diagram,
    step_of,
)
from protocol.messages import (
    Abandoned,
    Decided,
    DeviceState,
    Ended,
    MigrationMessage,
    MissingNamed,
    MissingPages,
    OpenStorage,
    Reserve,
    Reserved,
    RoundEnded,
    RoundReceived,
    StateReceived,
    StorageOpened,
)
from protocol.names import AttemptId, Decision, Epoch, Hold, Step, Verify
from tests.agent.ground import CLUSTER, SPEC, TERM, VM, here, life, member
from tests.agent.machines import declared, meet_all

A, E = AttemptId(3), Epoch(4)
ORDER = Reserve(CLUSTER, TERM, life("b"), A, VM, E, SPEC, member("a"), "token", Verify.FULL)
BLIND = replace(ORDER, verify=Verify.OFF)
DEVICE = DeviceState(A, VM, E, 1, 77, b"d")
LACKING = DeviceState(A, VM, E, 1, 77, b"", missing_pages=60)
PULLS = [Pull(60), Pull(60, broken_s=1.0), Pull(60, has_left=True), Pull(60, is_done=True)]
ABORTED = Decided(CLUSTER, TERM, life("b"), A, VM, Epoch(5), Decision.ABORTED, "cancelled")
COMMITTED = replace(ABORTED, decision=Decision.COMMITTED, reason="")
ENDED = Ended(CLUSTER, TERM, life("a"), A, False, Decision.ABORTED, ())
CAME = replace(ENDED, decision=Decision.COMMITTED)
TOLD = gave_up(ORDER, here(), Step.ROUND, "the source was lost")

BEFORE_PREPARED: list[State] = [
    Reserving(),
    Listening(1.0),
    Receiving(0),
    Gathering(DEVICE),
    Digesting(),
    Punching(LACKING),
    Received(),
    Opening(),
]
STATES: list[State] = [
    *BEFORE_PREPARED,
    Receiving(1),
    Prepared(),
    Prepared(lost=True),
    Resuming(CAME, Epoch(5), 1.0),
    Gathering(LACKING),
    Received(60),
    Prepared(missing_pages=60),
    *(Resuming(CAME, Epoch(5), 1.0, pull) for pull in PULLS),
    *(Pulling(CAME, Epoch(5), pull) for pull in PULLS[:-1]),
    GivenUp(TOLD, cleared=False),
    GivenUp(TOLD, cleared=True),
    Clearing(ENDED),
    Done(ENDED),
]
SAID: list[MigrationMessage] = [
    DEVICE,
    LACKING,
    MissingPages(A, 0, b"\x0f"),
    MissingNamed(A),
    RoundEnded(A, 1, 3),
    OpenStorage(A, E),
    Abandoned(A, "cancelled"),
    StorageOpened(A),
]
EVENTS: list[Event] = [
    ReserveDone(A),
    ReserveFailed(A, "no memory is left"),
    SourceConnected(A),
    RoundLanded(A, 1, 3),
    MemoryDigested(A, b"d", 0.01),
    StorageDone(A),
    StorageFailed(A, "the volume is offline"),
    *(PeerSaid(A, message) for message in SAID),
    PeerLost(A, "reset"),
    GuestPaused(VM, 9, 0.001),
    GuestSettled(VM),
    GuestResumed(VM, 0.001),
    VmDestroyed(VM),
    ABORTED,
    COMMITTED,
    LeaderHeard(),
    DeadlinePassed(),
    VmLost("its worker ended"),
    MissingCounted(A, 60),
    MissingCounted(A, 59),
    MissingCounted(A, 60, "no memory"),
    PullJoined(A),
    PullBroke(A, "it broke.", left_pages=7),
    PullBroke(A, "it is gone.", is_over=True, left_pages=7),
    PullDone(A),
    PeerLeft("node a was removed"),
    Superseded(),
]

EDGE = (
    "ReserveDone",
    "ReserveFailed",
    "SourceConnected",
    "RoundLanded",
    "MemoryDigested",
    "StorageDone",
    "StorageFailed",
)
REFUSED = {
    *(
        (type(state).__name__, event)
        for state in BEFORE_PREPARED
        for event in (*EDGE, "Decided committed")
    ),
    *((state, event) for state in ("Prepared", "Resuming", "Pulling") for event in EDGE),
    ("Resuming", "Decided aborted"),
    ("Pulling", "Decided aborted"),
    ("GivenUp", "Decided committed"),
    ("Clearing", "Decided committed"),
    ("Done", "Decided committed"),
} - {
    ("Reserving", "ReserveDone"),
    ("Reserving", "ReserveFailed"),
    ("Listening", "SourceConnected"),
    ("Receiving", "RoundLanded"),
    ("Gathering", "RoundLanded"),
    ("Digesting", "MemoryDigested"),
    ("Opening", "StorageDone"),
    ("Opening", "StorageFailed"),
}


def test_every_event_in_every_state_is_decided_or_refused_on_purpose() -> None:
    moves, refused = set(), set()
    for order in (ORDER, BLIND):
        made, no = meet_all(
            STATES,
            EVENTS,
            [here(), here(linked=False), here(holds=Hold.ATTEMPT)],
            lambda state, event, at, order=order: step(state, event, order, at, 2.0),  # type: ignore[misc]
        )
        moves |= made
        refused |= no

    assert refused == REFUSED
    said = {"DeviceState", "MissingNamed", "MissingPages", "OpenStorage", "StorageOpened"}
    assert moves == declared(MOVES, said) - IN_TURN
    assert {type(event) for event in EVENTS} == set(get_args(Event)), "a new event needs a row"
    assert {type(state) for state in STATES} == set(get_args(State)), "a new state needs a row"


IN_TURN = {("Receiving", said, "GivenUp") for said in ("MissingPages", "MissingNamed")}
"""Told while pages come, it changes no state."""


def test_the_picture_shows_every_state() -> None:
    picture = diagram()

    assert picture.startswith("stateDiagram-v2\n    [*] --> Reserving\n")
    for state in get_args(State):
        assert state.__name__ in picture


def test_every_state_has_a_step_by_its_name() -> None:
    assert step_of(Receiving()) is Step.FIRST_ROUND
    assert step_of(Receiving(0)) is Step.ROUND
    assert step_of(GivenUp(TOLD, True)) is Step.ROUND
    assert all(isinstance(step_of(state), Step) for state in STATES)


def test_a_migration_that_meets_no_trouble() -> None:
    state, actions = begin(ORDER, here())
    (reserve,) = actions
    assert isinstance(reserve, deeds.Reserve)
    assert reserve.source_incarnation == life("a")

    state, actions = step(state, ReserveDone(A), ORDER, here(), 1.0)
    (told,) = actions
    assert isinstance(told, Tell)
    assert isinstance(told.message, Reserved)
    state, _ = step(state, SourceConnected(A), ORDER, here(), 1.0)
    state, actions = step(state, RoundLanded(A, 0, 64), ORDER, here(), 1.0)
    assert actions == (SayToPeer(A, RoundReceived(A, 0, 64)),)
    state, actions = step(state, RoundLanded(A, 1, 3), ORDER, here(), 1.0)
    state, actions = step(state, PeerSaid(A, DEVICE), ORDER, here(), 1.0)
    assert actions == (DigestMemory(A, Verify.FULL),)
    state, actions = step(state, MemoryDigested(A, b"d", 0.01), ORDER, here(), 1.0)
    assert actions == (SayToPeer(A, StateReceived(A, b"d", 0.01)),)
    state, actions = step(state, PeerSaid(A, OpenStorage(A, E)), ORDER, here(), 1.0)
    assert actions == (deeds.OpenStorage(A, VM, Epoch(E + 1)),)
    state, actions = step(state, StorageDone(A), ORDER, here(), 1.0)
    assert actions == (SayToPeer(A, StorageOpened(A)),)

    held = here(holds=Hold.ATTEMPT)
    state, actions = step(state, COMMITTED, ORDER, held, 1.0)
    assert actions == (SetHolds(VM, Epoch(5), Hold.NONE),)
    state, actions = step(state, GuestResumed(VM, 0.002), ORDER, here(), 1.002)
    announce, close, last = actions
    assert announce == Announce(VM, Epoch(5))
    assert close == CloseAttempt(A)
    assert isinstance(last, Tell)
    assert isinstance(last.message, Ended)
    assert [part.name for part in last.message.parts] == ["resume"]
    assert state == Done(last.message)


@pytest.mark.parametrize("late", [True, False])
def test_pages_and_state_may_come_in_any_order(late: bool) -> None:
    pages, device = RoundLanded(A, 1, 3), PeerSaid(A, DEVICE)
    first, second = (device, pages) if late else (pages, device)

    state, _ = step(Receiving(0), first, ORDER, here(), 1.0)
    state, actions = step(state, second, ORDER, here(), 1.0)

    assert state == Digesting()
    assert actions[-1] == DigestMemory(A, Verify.FULL)


def test_what_the_source_did_not_digest_is_not_digested_here() -> None:
    state, actions = step(Receiving(1), PeerSaid(A, DEVICE), BLIND, here(), 1.0)

    assert state == Received()
    assert actions == (SayToPeer(A, StateReceived(A, b"", 0.0)),)


@pytest.mark.parametrize("state", BEFORE_PREPARED, ids=lambda state: type(state).__name__)
def test_until_the_disks_are_open_a_lost_source_leaves_nothing_behind(state: State) -> None:
    after, actions = step(state, PeerLost(A, "reset"), ORDER, here(), 2.0)

    assert isinstance(after, GivenUp)
    assert after.told.reason == "The source was lost: reset"
    assert not after.told.is_source
    closed = [CloseStorage(VM, A)] if isinstance(state, Opening) else []
    assert [*actions] == [*closed, CloseAttempt(A), DestroyVm(VM), Tell(after.told)]


def test_once_the_disks_are_open_nothing_but_the_decision_ends_it() -> None:
    for event in EVENTS:
        if isinstance(event, Decided) or type(event).__name__ in EDGE:
            continue
        after, actions = step(Prepared(), event, ORDER, here(holds=Hold.ATTEMPT), 2.0)
        assert isinstance(after, Prepared)
        assert actions == ()


def test_an_abort_takes_everything_away_before_it_is_confirmed() -> None:
    state, actions = step(Prepared(), ABORTED, ORDER, here(holds=Hold.ATTEMPT), 2.0)
    assert actions == (CloseStorage(VM, A), CloseAttempt(A), DestroyVm(VM))

    state, actions = step(state, VmDestroyed(VM), ORDER, here(), 2.1)
    assert isinstance(state, Done)
    assert actions == (Tell(state.ended),)


def test_a_commit_of_a_vm_whose_worker_is_gone_is_confirmed_all_the_same() -> None:
    state, actions = step(Prepared(lost=True), COMMITTED, ORDER, here(), 2.0)

    assert isinstance(state, Done)
    assert actions == (CloseAttempt(A), Tell(state.ended))


def test_a_source_that_never_comes_does_not_keep_the_place_for_ever() -> None:
    assert deadline_s(Listening(1.0), Limits(listen_max_s=60.0)) == 61.0
    assert deadline_s(Prepared(), Limits()) == float("inf")

    state, actions = step(Listening(1.0), DeadlinePassed(), ORDER, here(), 61.0)
    assert isinstance(state, GivenUp)
    assert DestroyVm(VM) in actions


def test_disks_that_cannot_be_opened_end_it_in_a_sentence() -> None:
    state, actions = step(Opening(), StorageFailed(A, "the volume is offline"), ORDER, here(), 2.0)

    assert isinstance(state, GivenUp)
    assert state.told.step is Step.STORAGE
    assert state.told.reason == "The disks of sql01 could not be opened here: the volume is offline"
    assert SayToPeer(A, Abandoned(A, state.told.reason)) in actions


def test_the_reservation_is_told_again_to_a_new_leader() -> None:
    _, actions = step(Listening(1.0), LeaderHeard(), ORDER, here(), 2.0)

    (told,) = actions
    assert isinstance(told, Tell)
    assert isinstance(told.message, Reserved)
