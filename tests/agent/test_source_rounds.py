from dataclasses import dataclass, replace
from typing import ClassVar

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from agent.actions import Action, Note, SendRound, SetHolds, SetThrottle, Tell
from agent.config import Limits
from agent.events import Connected, GuestPaused, PagesMoved, PeerLost, PeerSaid, RoundSent
from agent.moves import Here, IllegalEvent, LeaderHeard, VmLost
from agent.policies import BUILT_IN, Another, Decision, Policy, PostCopy, Seen
from agent.source import begin, step
from agent.source_rounds import decision_on
from agent.source_states import (
    Connecting,
    Copying,
    Deciding,
    Done,
    GivenUp,
    Landing,
    Leaving,
    Pausing,
    Ready,
    State,
    Trip,
    throttle_of,
)
from protocol.messages import Progress, RoundReceived, RoundRecord
from protocol.names import Hold, Step
from protocol.travel import Travel
from tests.agent.ground import CSV, LAN, VM, here
from tests.agent.test_source import (
    ABORTED,
    BEFORE_CONSENT,
    COMMITTED,
    ENOUGH,
    EVENTS,
    MUCH,
    ORDER,
    STATES,
    A,
    E,
)

AUTO = replace(ORDER, policy="auto-converge")
PAGES = 64


@dataclass(frozen=True)
class Wild(Policy):
    """A policy of somebody who has another idea after each round."""

    name: ClassVar[str] = "lab.wild"

    def first(self, seen: Seen) -> Another:
        return Another("At once.", throttle=0.1)

    def decide(self, seen: Seen) -> Decision:
        match len(seen.rounds) % 5:
            case 1:
                return Another("Slow.", 2e6, 0.5)
            case 2:
                return Another("Calm.")
            case 3:
                return Another("Hard.", 5e6, 0.99)
            case 4 if seen.left_pages > 50:
                return PostCopy("Somewhere else.")
        return Another("Again.", 1e9, 0.2)


SHELF = BUILT_IN.joined([Wild], {})


def at(**what: object) -> Here:
    base = replace(here(limits=Limits(bound_rounds=8)), policies=SHELF)
    return replace(base, **what)  # type: ignore[arg-type]


def a_round(number: int, left: int = 60) -> RoundRecord:
    return replace(MUCH, round=number, dirty_pages_at_end=left)


def shares(actions: tuple[Action, ...]) -> list[float]:
    return [action.share for action in actions if isinstance(action, SetThrottle)]


def copied(order: object, rounds: int, left: int = 60) -> tuple[State, list[tuple[Action, ...]]]:
    """So many rounds, each of which left as much; the state, and what each was answered with."""
    assert isinstance(order, type(ORDER))
    state, actions = step(Connecting(), Connected(A, CSV), order, at(), 0.0)
    told = [actions]
    for number in range(rounds):
        state, _ = step(state, RoundSent(A, a_round(number, left)), order, at(), 1.0)
        landed = PeerSaid(A, RoundReceived(A, number, PAGES))
        state, actions = step(state, landed, order, at(), 1.0)
        told.append(actions)
    return state, told


# ---- rounds


def test_without_a_coordinator_the_guest_is_not_paused_and_one_more_round_makes_up_for_it() -> None:
    alone = here(linked=False)
    landed = PeerSaid(A, RoundReceived(A, 0, 64))

    state, actions = step(Landing(Trip(CSV, (ENOUGH,)), 1.0), landed, ORDER, alone, 1.0)
    assert isinstance(state, Ready)
    assert not any(isinstance(action, SetHolds) for action in actions)

    state, actions = step(state, LeaderHeard(), ORDER, here(), 6.0)
    assert isinstance(state, Copying)
    assert state.trip.waited_s == 5.0
    assert actions == (SendRound(A, 1),)


def test_a_round_that_landed_before_we_knew_that_it_was_sent_counts() -> None:
    state, _ = step(Copying(Trip(CSV)), PeerSaid(A, RoundReceived(A, 0, 64)), ORDER, here(), 1.0)
    state, actions = step(state, RoundSent(A, MUCH), ORDER, here(), 1.1)

    assert isinstance(state, Copying)
    assert actions[-1] == SendRound(A, 1)


def test_while_a_round_travels_those_who_watch_hear_how_far_it_is() -> None:
    first = Copying(Trip(CSV))
    second = Copying(Trip(CSV, (MUCH,)))

    for state, at, pages in ((first, Step.FIRST_ROUND, 7), (second, Step.ROUND, MUCH.pages + 7)):
        after, actions = step(state, PagesMoved(A, 7), ORDER, here(), 1.0)

        assert after == state
        (told,) = actions
        assert isinstance(told, Tell)
        assert isinstance(told.message, Progress)
        assert (told.message.step, told.message.pages_sent) == (at, pages)


# ---- rate


def test_a_round_is_sent_at_the_rate_of_the_policy_within_that_of_the_migration() -> None:
    for limit, rate in ((0, 12_500_000), (50_000_000, 12_500_000), (5_000_000, 5_000_000)):
        order = replace(ORDER, policy="clark", travel=Travel(rate_bytes_per_s=limit))

        _, actions = step(Connecting(), Connected(A, CSV), order, at(), 0.0)

        assert actions[-1] == SendRound(A, 0, rate)


def test_the_limit_of_the_network_that_was_taken_counts_too() -> None:
    order = replace(ORDER, policy="clark", rates=((CSV, 2_000_000), (LAN, 1_048_576)))

    _, actions = step(Connecting(), Connected(A, CSV), order, at(), 0.0)

    assert actions[-1] == SendRound(A, 0, 2_000_000)


def test_a_policy_that_wants_no_rate_leaves_that_of_the_migration() -> None:
    limited = replace(ORDER, travel=Travel(rate_bytes_per_s=5_000_000))

    for order, rate in ((ORDER, 0), (limited, 5_000_000)):
        _, told = copied(order, 1)
        assert [actions[-1] for actions in told] == [SendRound(A, 0, rate), SendRound(A, 1, rate)]


def test_a_round_after_a_wait_for_the_coordinator_is_as_the_policy_wanted_it() -> None:
    asked = Another("Slow.", 3e6, 0.5)
    waiting = Ready(Trip(CSV, (MUCH,), asked=asked), since_s=1.0)

    state, actions = step(waiting, LeaderHeard(), ORDER, at(), 2.0)

    assert isinstance(state, Copying)
    assert shares(actions) == [0.5]
    assert actions[-1] == SendRound(A, 1, 3_000_000)


# ---- throttle


def test_the_throttle_follows_the_policy_and_each_change_is_noted_with_its_reason() -> None:
    state, told = copied(AUTO, 4)

    assert [shares(actions) for actions in told] == [[], [], [0.2], [], [0.3]]
    assert throttle_of(state) == 0.3
    (note,) = (action for action in told[2] if isinstance(action, Note))
    assert note.text.endswith("The guest loses 20 % of its time.")


def test_from_the_pause_on_the_guests_time_is_its_own() -> None:
    state, _ = copied(AUTO, 4)
    state, _ = step(state, RoundSent(A, a_round(4, left=1)), AUTO, at(), 1.0)

    after, actions = step(state, PeerSaid(A, RoundReceived(A, 4, PAGES)), AUTO, at(), 1.0)

    assert isinstance(after, Pausing)
    assert actions[-2:] == (SetHolds(VM, E, Hold.ATTEMPT), SetThrottle(VM, 0.0)), "the pause first"


def test_a_guest_is_not_throttled_while_nobody_could_hear_the_consent() -> None:
    state, _ = copied(AUTO, 4)
    state, _ = step(state, RoundSent(A, a_round(4, left=1)), AUTO, at(), 1.0)
    landed = PeerSaid(A, RoundReceived(A, 4, PAGES))

    after, actions = step(state, landed, AUTO, at(linked=False), 1.0)
    assert isinstance(after, Ready)
    assert shares(actions) == [0.0]

    _, actions = step(after, LeaderHeard(), AUTO, at(), 9.0)
    assert shares(actions) == [0.3]


@pytest.mark.parametrize("end", [PeerLost(A, "reset"), ABORTED], ids=["lost link", "cancelled"])
@pytest.mark.parametrize("rounds", [2, 4])
def test_whoever_ends_the_attempt_the_throttle_ends_with_it(end: object, rounds: int) -> None:
    state, _ = copied(AUTO, rounds)

    after, actions = step(state, end, AUTO, at(), 2.0)  # type: ignore[arg-type]

    assert isinstance(after, GivenUp | Done)
    assert shares(actions) == [0.0]


def test_no_state_and_no_event_leaves_a_guest_throttled_that_no_round_needs() -> None:
    """Every state meets every event: after each, what was ordered is what the state says, and only
    a state that copies says anything but 0.
    """
    for state in STATES:
        for event in EVENTS:
            for place in (at(), at(linked=False), at(holds=Hold.ATTEMPT)):
                try:
                    after, actions = step(state, event, ORDER, place, 2.0)
                except IllegalEvent:
                    continue
                ordered = shares(actions) or [throttle_of(state)]
                lost = isinstance(after, GivenUp) and after.lost  # no guest is left to be slow
                assert throttle_of(after) == ordered[-1] or lost
                if not isinstance(after, Copying | Landing):
                    assert throttle_of(after) == 0.0


@settings(max_examples=300, deadline=None)
@given(
    policy=st.sampled_from([*BUILT_IN.known, "lab.wild"]),
    moves=st.lists(st.tuples(st.integers(0, 99), st.integers(0, 64)), max_size=60),
)
def test_every_life_of_an_attempt_ends_with_a_guest_that_has_its_time(
    policy: str, moves: list[tuple[int, int]]
) -> None:
    order = replace(ORDER, policy=policy)
    state, actions = begin(order, at())
    throttle = 0.0
    for chance, left in [*moves, (99, 0)]:
        event = likely(state, chance, left)
        place = at(holds=Hold.ATTEMPT) if isinstance(state, Pausing) else at(linked=chance % 7 > 0)
        try:
            state, actions = step(state, event, order, place, 1.0)  # type: ignore[arg-type]
        except IllegalEvent:
            continue
        throttle = 0.0 if isinstance(event, VmLost) else [throttle, *shares(actions)][-1]
        if not isinstance(state, GivenUp | Done):
            assert throttle == throttle_of(state)
        elif not (isinstance(state, GivenUp) and state.lost):
            assert throttle == 0.0
        if not isinstance(state, Copying | Landing):
            assert throttle_of(state) == 0.0


def likely(state: State, chance: int, left: int) -> object:
    """Mostly what goes on, and sometimes anything; the end of all is an abort."""
    if chance == 99:
        return ABORTED if not isinstance(state, Leaving) else COMMITTED
    if chance >= 90:
        return EVENTS[chance * 7 % len(EVENTS)]
    match state:
        case Connecting():
            return Connected(A, CSV)
        case Copying(trip):
            return RoundSent(A, a_round(len(trip.rounds), left))
        case Landing(trip):
            return PeerSaid(A, RoundReceived(A, len(trip.rounds) - 1, PAGES))
        case Ready():
            return LeaderHeard()
        case Pausing():
            return GuestPaused(VM, 9, 0.001)
        case Deciding():
            return COMMITTED
    return EVENTS[chance % len(EVENTS)]


# ---- what a policy may not do


class Breaks(Policy):
    name = "lab.breaks"

    def decide(self, seen: Seen) -> Decision:
        raise KeyError("rounds")


class BreaksFirst(Breaks):
    name = "lab.breaks-first"

    def first(self, seen: Seen) -> Another:
        raise KeyError("travel")


def test_a_policy_that_breaks_costs_the_attempt_and_the_guest_stays() -> None:
    place = at(policies=BUILT_IN.joined([Breaks, BreaksFirst], {}))
    for policy, rounds in (("lab.breaks", 1), ("lab.breaks-first", 0)):
        order = replace(ORDER, policy=policy)
        state, event = (
            Landing(Trip(CSV, (MUCH,), throttle=0.5)),
            PeerSaid(A, RoundReceived(A, 0, 1)),
        )
        if not rounds:
            state, event = Connecting(), Connected(A, CSV)  # type: ignore[assignment]

        after, actions = step(state, event, order, place, 1.0)

        assert isinstance(after, GivenUp)
        assert after.told.reason.startswith(f"The migration policy {policy!r} broke ")
        assert shares(actions) == ([0.0] if rounds else [])


class ThinksAgain(Policy):
    name = "lab.thinks-again"
    made = 0

    def __init__(self) -> None:
        type(self).made += 1
        if self.made > 1:
            raise ValueError("not twice")

    def decide(self, seen: Seen) -> Decision:
        return Another("more")


def test_a_plug_in_that_refuses_in_the_middle_costs_the_attempt_and_no_more() -> None:
    shelf = BUILT_IN.joined([ThinksAgain], {})
    order = replace(ORDER, policy="lab.thinks-again")
    assert shelf.why_not("lab.thinks-again") is None

    after, _ = step(Connecting(), Connected(A, CSV), order, at(policies=shelf), 1.0)

    assert isinstance(after, GivenUp)
    assert after.told.reason.endswith("is not possible: not twice.")


def test_what_whoever_asked_chose_is_told_to_the_policy() -> None:
    order = replace(ORDER, travel=Travel(downtime_s=0.3))
    roomy = Limits(blackout_max_s=0.01)

    # 60 pages travel in 0.1 s: within what was asked for, and not within the node's own limit.
    asked = decision_on(Trip(CSV, (MUCH,)), order, replace(at(), limits=roomy))
    usual = decision_on(Trip(CSV, (MUCH,)), ORDER, replace(at(), limits=roomy))

    assert isinstance(usual, Another)
    assert not isinstance(asked, Another)


def test_how_long_a_round_was_on_its_way_is_told_to_the_policy() -> None:
    # 50 pages left of 64 that took 0.1 s: 0.08 s. In 0.05 s on the way the guest writes 25 more.
    order = replace(ORDER, travel=Travel(downtime_s=0.09))
    for lag_s, kind in ((0.0, Pausing), (0.05, Copying)):
        state = Landing(Trip(CSV, (a_round(0, 50),)), since_s=1.0)
        landed = PeerSaid(A, RoundReceived(A, 0, PAGES))

        after, _ = step(state, landed, order, at(), 1.0 + lag_s)

        assert isinstance(after, kind)


def test_states_that_have_no_guest_to_slow_say_so() -> None:
    assert all(throttle_of(state) == 0.0 for state in BEFORE_CONSENT)
