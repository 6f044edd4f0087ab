"""One coordinator's way through the election, and two of them in a world that loses words."""

import random

import pytest

from coordinator.leadership.candidacy import (
    ASIDE_S,
    LOOK_S,
    MARGIN,
    PATIENCE_FIRST_S,
    Action,
    Campaign,
    Candidacy,
    Decides,
    Deposed,
    Event,
    GiveBack,
    Keep,
    Kept,
    Lead,
    LeaseEnded,
    LetGo,
    Look,
    Looked,
    NotWon,
    Rival,
    Standing,
    Tick,
    Won,
)

LEASE_S = 3.0
OTHER = Rival("c2", "http://c2")


def elected(now: float = 100.0) -> Candidacy:
    one = Candidacy(LEASE_S, now)
    assert one.handle(Tick(), now) == (Look(),)
    assert one.handle(Looked(None), now) == (Campaign(),)
    assert one.handle(Won(now), now) == (Lead(),)
    return one


def test_a_follower_looks_again_and_again_and_leaves_a_held_election_alone() -> None:
    one = Candidacy(LEASE_S, 100.0)
    assert one.wake_at() == 100.0
    assert one.handle(Tick(), 100.0) == (Look(),)
    assert one.handle(Looked(OTHER), 100.1) == ()
    assert one.holder == OTHER
    assert one.handle(Tick(), 100.1) == ()
    assert one.wake_at() == 100.0 + LOOK_S
    assert one.handle(Tick(), one.wake_at()) == (Look(),)


def test_an_election_that_another_won_is_looked_at_again() -> None:
    one = Candidacy(LEASE_S, 100.0)
    one.handle(Looked(None), 100.0)
    assert one.standing is Standing.CAMPAIGNING
    assert one.handle(Tick(), 101.0) == ()
    assert one.handle(NotWon(), 101.0) == ()
    assert one.handle(Tick(), one.wake_at()) == (Look(),)


def test_a_leader_keeps_its_lease_and_counts_it_from_when_it_asked() -> None:
    one = elected()
    assert one.handle(Tick(), one.wake_at()) == (Keep(),)
    one.handle(Kept(101.0), 101.4)
    assert one.handle(Tick(), 101.0 + LEASE_S * MARGIN - 0.01) == (Keep(),)
    assert one.standing is Standing.ELECTED
    let_go, give_back = one.handle(Tick(), 101.0 + LEASE_S * MARGIN)
    assert isinstance(let_go, LetGo)
    assert give_back == GiveBack()


@pytest.mark.parametrize("event", [LeaseEnded(), Deposed()])
def test_a_leader_that_lost_its_right_lets_go_at_once(event: Event) -> None:
    one = elected()
    let_go, give_back = one.handle(event, 100.5)
    assert isinstance(let_go, LetGo)
    assert give_back == GiveBack()
    assert one.standing is Standing.FOLLOWER


@pytest.mark.parametrize("event", [Tick(), Decides(True), Kept(100.5)])
def test_a_leader_that_was_frozen_lets_go_with_the_first_event_of_any_kind(event: Event) -> None:
    one = elected()
    first = one.handle(event, 160.0)
    assert isinstance(first[0], LetGo)


def test_a_victory_that_is_told_too_late_is_none() -> None:
    one = Candidacy(LEASE_S, 100.0)
    one.handle(Looked(None), 100.0)
    assert one.handle(Won(100.0), 103.0) == (GiveBack(),)
    assert one.standing is Standing.FOLLOWER


def test_one_that_no_quorum_comes_to_makes_room_and_waits_longer_the_next_time() -> None:
    one, now = elected(), 100.0
    one.handle(Decides(False), now)

    def led_in_vain() -> tuple[float, float]:
        """When it began, and when it made room."""
        nonlocal now
        begun = now
        while True:
            now += 0.1
            if one.standing is not Standing.ELECTED:
                return begun, now
            for action in one.handle(Tick(), now):
                if isinstance(action, Keep):
                    one.handle(Kept(now), now)

    begun, ended = led_in_vain()
    assert ended - begun == pytest.approx(PATIENCE_FIRST_S, abs=0.3)
    assert one.handle(Looked(None), now) == (), "it leaves the election to others for a while"
    now += ASIDE_S + 0.1
    assert one.handle(Looked(None), now) == (Campaign(),)
    one.handle(Won(now), now)
    begun, ended = led_in_vain()
    assert ended - begun == pytest.approx(2 * PATIENCE_FIRST_S, abs=0.3)


def test_one_that_decides_stays_however_long() -> None:
    one = elected()
    one.handle(Decides(True), 100.0)
    for step in range(1, 1000):
        now = 100.0 + step * 0.25
        for action in one.handle(Tick(), now):
            assert action == Keep()
            one.handle(Kept(now), now)
    assert one.standing is Standing.ELECTED


class Etcd:
    """The key and its lease, as they truly are; an answer may come late or never."""

    def __init__(self) -> None:
        self.holder: str | None = None
        self.until = 0.0

    def at(self, now: float) -> str | None:
        if self.holder is not None and now >= self.until:
            self.holder = None
        return self.holder


def answered(etcd: Etcd, me: str, action: Action, now: float) -> Event | None:
    match action:
        case Look():
            holder = etcd.at(now)
            return Looked(None if holder is None else Rival(holder, ""))
        case Campaign():
            if etcd.at(now) is not None:
                return NotWon()
            etcd.holder, etcd.until = me, now + LEASE_S
            return Won(now)
        case Keep():
            if etcd.at(now) != me:
                return LeaseEnded()
            etcd.until = now + LEASE_S
            return Kept(now)
        case GiveBack() if etcd.holder == me:
            etcd.holder = None
    return None


@pytest.mark.parametrize("seed", range(20))
def test_never_do_two_lead_and_soon_somebody_does(seed: int) -> None:
    """Answers are lost, candidates are frozen, and the one rule holds at every moment."""
    chance, etcd, now = random.Random(seed), Etcd(), 100.0
    names = ("c1", "c2", "c3")
    all_of_them = {name: Candidacy(LEASE_S, now) for name in names}
    frozen = dict.fromkeys(names, 0.0)
    open_since: float | None = now
    for _ in range(4000):
        now += 0.05
        for name, one in all_of_them.items():
            if chance.random() < 0.0015:
                frozen[name] = now + chance.choice((1.0, 5.0))
            if now < frozen[name] or now < one.wake_at():
                continue
            todo = list(one.handle(Decides(one.standing is Standing.ELECTED), now))
            todo += one.handle(Tick(), now)
            while todo:
                event = answered(etcd, name, todo.pop(0), now)
                if event is not None and (chance.random() < 0.95 or isinstance(event, NotWon)):
                    todo += one.handle(event, now)
                elif isinstance(event, Won):
                    todo += one.handle(NotWon(), now)
        awake = [
            name
            for name, one in all_of_them.items()
            if one.standing is Standing.ELECTED and now >= frozen[name] and now < one.wake_at() + 1
        ]
        assert len(awake) <= 1, (seed, now, awake)
        open_since = None if awake or any(now < f for f in frozen.values()) else open_since or now
        assert open_since is None or now - open_since < 2 * LEASE_S + 1.0
