"""The treacherous store: what becomes of a request, and that honest askers can live with it."""

import heapq
import itertools
from collections.abc import Callable
from random import Random
from typing import Any

import pytest

from coordinator.store.interface import (
    Applied,
    Compare,
    Conflict,
    Indefinite,
    Put,
    Result,
    Row,
    StaleTerm,
    Txn,
)
from lab.simulation.store import Fate, MemoryStore, SimStore, Trouble

ALL_TROUBLE = Trouble(answer_lost=0.2, request_lost=0.2, request_late=0.2, late_s=(0.0, 5.0))


class Clock:
    """A world of which only the time matters."""

    def __init__(self) -> None:
        self.now = 0.0
        self._queue: list[tuple[float, int, Callable[[], None]]] = []
        self._count = itertools.count()

    def after(self, delay_s: float, call: Callable[[], None]) -> None:
        assert delay_s >= 0
        heapq.heappush(self._queue, (self.now + delay_s, next(self._count), call))

    def run(self, until_s: float = 1e9) -> None:
        while self._queue and self._queue[0][0] <= until_s:
            self.now, _, call = heapq.heappop(self._queue)
            call()


def a_store(trouble: Trouble, seed: int = 1) -> tuple[Clock, SimStore]:
    clock, truth = Clock(), MemoryStore()
    truth.take_term(0, "c1")
    return clock, SimStore(truth, Random(seed), clock.after, trouble)


CHANGE = Txn(1, (Compare("vm/a", 0),), (Put("vm/a", {"n": 1}),))


def test_an_honest_store_answers_once_and_in_time() -> None:
    clock, store = a_store(Trouble(delay_s=(0.1, 0.2)))
    answers: list[tuple[float, Result]] = []
    store.submit(CHANGE, lambda result: answers.append((clock.now, result)))
    assert answers == []

    clock.run()

    ((at, result),) = answers
    assert result == Applied(2)
    assert 0.2 <= at <= 0.4


@pytest.mark.parametrize(
    ("fate", "there_at_the_answer", "there_in_the_end"),
    [
        (Fate.ANSWER_LOST, True, True),
        (Fate.REQUEST_LOST, False, False),
        (Fate.REQUEST_LATE, False, True),
    ],
)
def test_an_indefinite_answer_may_mean_any_of_three_things(
    fate: Fate, there_at_the_answer: bool, there_in_the_end: bool
) -> None:
    clock, store = a_store(Trouble(late_s=(1.0, 1.0)))
    store.decree = lambda _txn: fate
    seen: list[tuple[Result, bool]] = []
    store.submit(CHANGE, lambda result: seen.append((result, store.truth.get("vm/a").revision > 0)))

    clock.run()

    ((result, there),) = seen
    assert isinstance(result, Indefinite)
    assert there is there_at_the_answer
    assert (store.truth.get("vm/a").revision > 0) is there_in_the_end
    assert store.fates == {fate: 1}


def test_a_late_request_loses_against_the_same_sent_again() -> None:
    clock, store = a_store(Trouble(late_s=(1.0, 1.0)))
    answers: list[Result] = []
    store.decree = lambda _txn: Fate.REQUEST_LATE
    store.submit(CHANGE, answers.append)
    clock.run(until_s=2.0)
    store.decree = lambda _txn: None
    store.submit(CHANGE, answers.append)
    clock.run()
    assert answers[1:] == [Applied(2)]
    assert store.truth.revision == 2, "it happened once"


def test_a_late_request_of_an_old_term_changes_nothing() -> None:
    clock, store = a_store(Trouble(late_s=(1.0, 1.0)))
    store.decree = lambda _txn: Fate.REQUEST_LATE
    store.submit(CHANGE, lambda _: None)
    clock.run(until_s=2.0)
    store.truth.take_term(0, "c2")
    clock.run()
    assert store.truth.get("vm/a") == Row("vm/a", None, 0)


def test_an_outage_loses_requests_and_answers_until_it_ends() -> None:
    clock, store = a_store(Trouble(delay_s=(0.1, 0.1)))
    answers: dict[str, Any] = {}
    clock.after(0.00, lambda: store.submit(CHANGE, lambda r: answers.update(answer_cut=r)))
    clock.after(0.15, lambda: store.outage(lasting_s=1.0))
    clock.after(0.20, lambda: store.get("vm/a", lambda r: answers.update(request_cut=r)))
    clock.after(1.20, lambda: store.get("vm/a", lambda r: answers.update(healed=r)))

    clock.run()

    assert isinstance(answers["answer_cut"], Indefinite)
    assert isinstance(answers["request_cut"], Indefinite)
    assert answers["healed"] == Row("vm/a", {"n": 1}, 2)
    assert store.fates == {Fate.CUT_OFF: 2, Fate.ANSWERED: 1}


def test_two_coordinators_share_one_truth_and_one_leads() -> None:
    clock, truth = Clock(), MemoryStore()
    ways = [SimStore(truth, Random(seed), clock.after) for seed in (1, 2)]
    terms: list[int | Indefinite] = []
    for way in ways:
        way.take_term(0, "c", terms.append)
        clock.run()
    assert terms == [1, 2]

    answers: list[Result] = []
    ways[0].submit(Txn(1, puts=(Put("vm/a", {}),)), answers.append)
    ways[1].submit(Txn(2, puts=(Put("vm/b", {}),)), answers.append)
    clock.run()

    assert StaleTerm(2) in answers
    assert [row.key for row in truth.range("vm/")] == ["vm/b"]


def test_what_was_sent_does_not_change_under_way() -> None:
    clock, store = a_store(Trouble())
    value = {"owner": "node1"}
    store.submit(Txn(1, puts=(Put("vm/a", value),)), lambda _: None)
    value["owner"] = "node2"
    clock.run()
    assert store.truth.get("vm/a").value == {"owner": "node1"}


class Marker:
    """Adds its mark to one row by compare-and-set; in doubt it asks and sends the same again."""

    def __init__(self, store: SimStore, mark: int) -> None:
        self.store, self.mark, self.done = store, mark, False
        self.begin()

    def begin(self) -> None:
        self.store.get("marks", self.read)

    def read(self, row: Row | Indefinite) -> None:
        if isinstance(row, Indefinite):
            return self.begin()
        marks = row.value["marks"] if row.value else []
        if self.mark in marks:
            self.done = True
            return
        put = Put("marks", {"marks": [*marks, self.mark]})
        self.store.submit(Txn(1, (Compare("marks", row.revision),), (put,)), self.answered)

    def answered(self, result: Result) -> None:
        match result:
            case Applied():
                self.done = True
            case Conflict() | Indefinite():
                self.begin()
            case StaleTerm():
                raise AssertionError("nobody took another term")


@pytest.mark.parametrize("seed", range(20))
def test_who_asks_before_repeating_loses_nothing_and_repeats_nothing(seed: int) -> None:
    clock, store = a_store(ALL_TROUBLE, seed)
    markers = [Marker(store, mark) for mark in range(6)]

    clock.run(until_s=10_000)

    assert all(marker.done for marker in markers)
    row = store.truth.get("marks")
    assert row.value is not None
    assert sorted(row.value["marks"]) == [*range(6)]


def test_a_seed_tells_the_same_story_and_every_trouble_comes() -> None:
    def story() -> tuple[list[tuple[float, Result]], dict[Fate, int]]:
        clock, store = a_store(ALL_TROUBLE, seed=7)
        answers: list[tuple[float, Result]] = []
        for _ in range(200):
            store.submit(CHANGE, lambda result: answers.append((clock.now, result)))
        clock.run()
        return answers, dict(store.fates)

    answers, fates = story()
    assert (answers, fates) == story()
    assert len(answers) == 200
    assert fates.keys() == set(Fate) - {Fate.CUT_OFF}
    assert sum(result == Applied(2) for _, result in answers) <= 1


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"answer_lost": 0.6, "request_lost": 0.6}, "between 0 and 1"),
        ({"request_late": -0.1}, "between 0 and 1"),
        ({"timeout_s": 0.1, "delay_s": (0.0, 0.2)}, "longest way"),
    ],
)
def test_trouble_that_cannot_be_is_refused(wrong: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Trouble(**wrong)
