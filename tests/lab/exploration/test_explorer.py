"""Every execution with few deviations; `python -m lab.exploration` goes further."""

import pickle
from dataclasses import replace

import pytest

from agent import holds
from lab.exploration import acting, guests
from lab.exploration.deviations import Budget, apply, deviations
from lab.exploration.explorer import Explorer
from lab.exploration.fingerprint import fingerprint
from lab.exploration.stories import STORIES, formed
from lab.exploration.world import World

NOTHING = Budget(crashes=0, messages=0, expiries=0, leaders=0, total=1)
ONE_OF = {
    "crash": replace(NOTHING, crashes=1),
    "lost lease": replace(NOTHING, expiries=1),
    "new leader": replace(NOTHING, leaders=1),
}


def _only_beats(world: World) -> bool:
    """A heartbeat is about to arrive: whatever goes wrong now could as well a moment later."""
    return bool(world.queue) and world.queue[0].kind == "beat"


@pytest.fixture(scope="module")
def calm() -> bytes:
    return pickle.dumps(formed())


@pytest.mark.parametrize("fault", ONE_OF)
@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.name)
def test_one_fault_at_any_point_leaves_one_running_copy(story, fault):
    explorer = Explorer(lambda world: story.is_open(world) and not _only_beats(world))
    explorer.explore(story.begin(), ONE_OF[fault])
    tally = explorer.tally
    assert tally.broken == []
    assert tally.is_complete
    assert tally.states > 20


def test_a_copy_of_a_state_goes_on_as_the_state_itself_does(calm):
    one, other = pickle.loads(calm), pickle.loads(calm)
    for _ in range(200):
        acting.step(one)
        acting.step(other)
        assert fingerprint(one) == fingerprint(other)


def test_a_calm_cluster_comes_back_to_states_that_it_has_been_in(calm):
    world, seen = pickle.loads(calm), set()
    for _ in range(400):
        acting.step(world)
        if not world.queue:
            seen.add(fingerprint(world))
    before = len(seen)
    for _ in range(400):
        acting.step(world)
        if not world.queue:
            seen.add(fingerprint(world))
    assert len(seen) == before


def test_each_deviation_leads_to_another_state(calm):
    world = pickle.loads(calm)
    while not any(item.kind == "told" for item in world.queue[:1]):
        acting.step(world)
    kept = pickle.dumps(world)
    met = [fingerprint(world)]
    for deviation in deviations(world, Budget()):
        child: World = pickle.loads(kept)
        apply(child, deviation)
        met.append(fingerprint(child))
    assert len(set(met)) == len(met) > 8


def test_guests_that_ignore_their_lease_are_found_out(monkeypatch):
    monkeypatch.setattr(guests, "may_run", lambda held, end_s, now: not held)
    story = next(story for story in STORIES if story.name == "hand-over")
    explorer = Explorer(story.is_open, stops_at_first=True)
    explorer.explore(story.begin(), ONE_OF["lost lease"])
    (words, trail), *_ = explorer.tally.broken
    assert "copies run" in words or "a copy runs on" in words or "has a lease" in words
    assert "freeze" in trail[0]
    assert holds.may_run is not guests.may_run
