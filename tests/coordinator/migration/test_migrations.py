import itertools
from typing import get_args

import pytest

from coordinator.migration.migrations import (
    Closed,
    CommitRefused,
    Deciding,
    DecisionWritten,
    EndEnded,
    EndGaveUp,
    EndLeft,
    EndReturned,
    Event,
    Reconciling,
    Reserving,
    Settled,
    SourceConsented,
    SourceProgressed,
    State,
    TargetReserved,
    TellDecided,
    TellMigrate,
    TellReserve,
    TimePassed,
    Travelling,
    Word,
    WriteAbort,
    WriteClosed,
    WriteCommit,
    reached,
    step,
)
from protocol.messages import AttemptReport, Consented
from protocol.names import (
    AttemptId,
    ClusterId,
    Decision,
    Epoch,
    Incarnation,
    Step,
    Term,
    VmName,
)

CONSENT = Consented(
    ClusterId("x"),
    Term(1),
    Incarnation("a-1"),
    AttemptId(1),
    VmName("sql01"),
    Epoch(1),
    True,
    0.0,
    (),
    (),
    "small enough",
)


def report(at: Step, is_source: bool = True, consented: bool = False) -> AttemptReport:
    return AttemptReport(AttemptId(1), VmName("sql01"), Epoch(1), is_source, at, consented)


COPYING = report(Step.ROUND)
WAITING = report(Step.COMMIT, consented=True)
FILLING = report(Step.FIRST_ROUND, is_source=False)
PREPARED = report(Step.STORAGE, is_source=False)

STATES: list[State] = [
    Reserving(10.0),
    Travelling(),
    Travelling(heard=True),
    Deciding(commit=True),
    Deciding(commit=False),
    Settled(Decision.COMMITTED),
    Settled(Decision.ABORTED, source_ended=True),
    Settled(Decision.ABORTED, source_ended=True, target_ended=True),
    Reconciling(10.0),
    Reconciling(10.0, source=Word(True, WAITING)),
    Reconciling(10.0, source=Word(True, COPYING)),
    Reconciling(10.0, target=Word(True, PREPARED)),
    Reconciling(10.0, target=Word(True, None)),
    Closed(),
]
EVENTS: list[Event] = [
    TargetReserved(),
    SourceProgressed(),
    SourceConsented(CONSENT),
    *(EndGaveUp(is_source, "it broke") for is_source in (True, False)),
    *(EndLeft(is_source, "it left") for is_source in (True, False)),
    *(EndReturned(True, said) for said in (None, COPYING, WAITING)),
    *(EndReturned(False, said) for said in (None, FILLING, PREPARED)),
    TimePassed(5.0),
    TimePassed(20.0),
    *(DecisionWritten(decision) for decision in (Decision.COMMITTED, Decision.ABORTED)),
    CommitRefused("the target left"),
    *(EndEnded(is_source) for is_source in (True, False)),
]


def test_every_state_and_every_event_is_in_the_lists() -> None:
    assert {type(state) for state in STATES} == set(get_args(State))
    assert {type(event) for event in EVENTS} == set(get_args(Event))


def test_every_event_in_every_state_keeps_the_rules() -> None:
    for state, event in itertools.product(STATES, EVENTS):
        check_step(state, event)


def check_step(state: State, event: Event) -> None:
    after, orders = step(state, event)

    kinds = {type(order) for order in orders}
    # Nobody is told a decision that is not written.
    if TellDecided in kinds:
        assert isinstance(after, Settled)
        written = after.decision
        assert all(o.decision is written for o in orders if isinstance(o, TellDecided))
    # A commit is only ever asked for on the source's consent.
    if WriteCommit in kinds:
        consented = isinstance(event, SourceConsented) or (
            isinstance(state, Reconciling)
            and (state.source.report == WAITING or event == EndReturned(True, WAITING))
        )
        assert consented, (state, event)
        assert after == Deciding(commit=True)
    # An end that may have consented is never told to go on by anything but the store.
    if isinstance(state, Deciding):
        assert isinstance(after, Deciding | Settled)
    # What is settled stays as it was decided.
    if isinstance(state, Settled):
        assert isinstance(after, Settled)
        assert after.decision is state.decision
    if isinstance(state, Closed):
        assert after == state
        assert orders == ()
    if WriteClosed in kinds:
        assert isinstance(after, Settled)
        assert after.source_ended
        assert after.target_ended
    if WriteAbort in kinds:
        assert after == Deciding(commit=False)
        assert not isinstance(state, Settled)


def test_a_migration_goes_through_its_steps_in_order() -> None:
    state: State = Reserving(10.0)
    story: list[tuple[Event, tuple[object, ...]]] = [
        (TargetReserved(), (TellMigrate(),)),
        (SourceProgressed(), ()),
        (SourceConsented(CONSENT), (WriteCommit(CONSENT),)),
        (
            DecisionWritten(Decision.COMMITTED),
            (TellDecided(False, Decision.COMMITTED), TellDecided(True, Decision.COMMITTED)),
        ),
        (EndEnded(True), ()),
        (EndEnded(False), (WriteClosed(),)),
    ]
    for event, orders in story:
        state, given = step(state, event)
        assert given == orders, event


def test_after_an_abort_the_source_is_told_first() -> None:
    _, orders = step(Deciding(commit=False), DecisionWritten(Decision.ABORTED))

    assert orders[0] == TellDecided(True, Decision.ABORTED)


def test_a_target_that_does_not_reserve_in_time_ends_the_attempt() -> None:
    assert step(Reserving(10.0), TimePassed(9.9)) == (Reserving(10.0), ())
    after, orders = step(Reserving(10.0), TimePassed(10.0))
    assert after == Deciding(commit=False)
    assert isinstance(orders[0], WriteAbort)


def test_orders_that_a_broken_link_may_have_lost_are_given_again() -> None:
    assert step(Reserving(10.0), EndReturned(False, None))[1] == (TellReserve(),)
    assert step(Travelling(), EndReturned(True, None))[1] == (TellMigrate(),)


def test_a_source_that_has_begun_and_knows_nothing_any_more_ends_the_attempt() -> None:
    after, orders = step(Travelling(heard=True), EndReturned(True, None))

    assert after == Deciding(commit=False)
    assert isinstance(orders[0], WriteAbort)


def test_a_decision_is_told_again_to_whoever_has_not_ended() -> None:
    state = Settled(Decision.ABORTED, source_ended=True)

    assert step(state, TimePassed(1.0))[1] == (TellDecided(False, Decision.ABORTED),)
    assert step(state, EndReturned(True, None))[1] == ()
    assert step(state, EndReturned(False, FILLING))[1] == (TellDecided(False, Decision.ABORTED),)


SOURCE_WORDS = {"silent": None, "none": Word(True, None)} | {
    "copying": Word(True, COPYING),
    "consented": Word(True, WAITING),
}
TARGET_WORDS = {"silent": None, "none": Word(True, None)} | {
    "filling": Word(True, FILLING),
    "prepared": Word(True, PREPARED),
}
GOES_ON = {("copying", "filling"), ("copying", "prepared")}
COMMITS = {("consented", "prepared")}


@pytest.mark.parametrize("source", SOURCE_WORDS)
@pytest.mark.parametrize("target", TARGET_WORDS)
def test_an_open_attempt_that_a_new_leader_finds_is_judged_once_both_were_heard(
    source: str, target: str
) -> None:
    state: State = Reconciling(10.0)
    orders: tuple[object, ...] = ()
    for is_source, word in ((True, SOURCE_WORDS[source]), (False, TARGET_WORDS[target])):
        if word is not None:
            assert isinstance(state, Reconciling)
            state, orders = step(state, EndReturned(is_source, word.report))
    if "silent" in (source, target):
        assert isinstance(state, Reconciling), "nothing is decided before both were heard"
        state, orders = step(state, TimePassed(10.0))

    if (source, target) in COMMITS:
        assert orders == (WriteCommit(None),)
    elif (source, target) in GOES_ON:
        assert (state, orders) == (Travelling(heard=True), ())
    else:
        assert isinstance(orders[0], WriteAbort)


def test_a_consent_that_is_told_again_counts_as_the_sources_word() -> None:
    state, orders = step(Reconciling(10.0), SourceConsented(CONSENT))
    assert orders == ()

    _, orders = step(state, EndReturned(False, PREPARED))
    assert orders == (WriteCommit(CONSENT),)


def test_steps_are_compared_by_their_place_and_not_by_their_letters() -> None:
    assert reached(Step.STORAGE, Step.LAST_PAGES)
    assert not reached(Step.LAST_PAGES, Step.STORAGE)
