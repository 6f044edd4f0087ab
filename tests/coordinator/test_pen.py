from dataclasses import dataclass, field
from typing import Any

import pytest

from coordinator.actions import Transact
from coordinator.events import WorkId
from coordinator.pen import Draft, Dropped, Lost, Pen, Written
from coordinator.requests import Declined
from coordinator.scene import Scene
from coordinator.shown.chronicle import Note
from coordinator.store.interface import Applied, Indefinite, StaleTerm
from lab.simulation.store import MemoryStore
from protocol.names import Term
from tests.coordinator.ground import config

NOTE = Note(1, "info", "something happened")
NO = Declined(409, "no", "It cannot be done: do something else.")


@dataclass(frozen=True)
class Write:
    """Writes a node row that counts how often it was written."""

    name: str
    relies: tuple[str, ...] = ()

    def draft(self, scene: Scene) -> Draft:
        value = {"name": self.name, "memory_bytes": scene.book.counter.events}
        more = {"paused": False, "draining": False, "joined_at": 0.0}
        return Draft(self.relies, ((f"node/{self.name}", {**value, **more}),), notes=(NOTE,))


@dataclass(frozen=True)
class Refuse:
    def draft(self, scene: Scene) -> Declined:
        return NO


@dataclass(frozen=True)
class Pointless:
    def draft(self, scene: Scene) -> None:
        return None


@dataclass
class Desk:
    """A pen on a true store, of which each answer is asked for by hand."""

    store: MemoryStore = field(default_factory=MemoryStore)
    pen: Pen = field(default_factory=Pen)
    scene: Scene = field(default_factory=lambda: Scene(config(), 0.0))
    works: int = 0

    def __post_init__(self) -> None:
        self.scene.term = Term(self.store.take_term(1, "c1"))

    def take(self) -> tuple[list[Any], Transact | None]:
        self.works += 1
        return self.pen.take(self.scene, WorkId(self.works))

    def begin(self) -> Transact:
        outcomes, action = self.take()
        assert outcomes == []
        assert action is not None
        return action

    def answer(self, action: Transact, result: Any = None) -> list[Any]:
        said = self.store.apply(action.txn) if result is None else result
        return self.pen.answered(action.work, said, self.scene)


def test_one_transaction_at_a_time_and_the_rows_follow() -> None:
    desk = Desk()
    desk.pen.put(Write("a"))
    desk.pen.put(Write("b"))

    first = desk.begin()
    assert desk.take() == ([], None)
    (written,) = desk.answer(first)
    assert written.plan == Write("a")
    (written,) = desk.answer(desk.begin())
    assert written.plan == Write("b")

    assert sorted(desk.scene.book.nodes) == ["a", "b"]
    assert desk.scene.book.counter.events == 2
    assert desk.pen.idle
    for key in ("node/a", "node/b", "counter"):
        assert desk.scene.book.revision(key) == desk.store.get(key).revision


def test_an_urgent_plan_goes_first_and_a_waiting_one_is_not_taken_twice() -> None:
    desk = Desk()
    for plan in (Write("a"), Write("b"), Write("b")):
        desk.pen.put(plan)
    desk.pen.put(Write("c"), urgent=True)

    plans = []
    while not desk.pen.idle:
        plans += [outcome.plan.name for outcome in desk.answer(desk.begin())]
    assert plans == ["c", "a", "b"]


def test_refusals_and_pointless_plans_are_told_and_the_next_is_begun() -> None:
    desk = Desk()
    for plan in (Refuse(), Pointless(), Write("a")):
        desk.pen.put(plan)

    outcomes, action = desk.take()

    assert outcomes == [Dropped(Refuse(), NO), Dropped(Pointless(), None)]
    assert action is not None


@pytest.mark.parametrize("applied", [True, False])
def test_an_indefinite_answer_is_met_by_the_identical_transaction(applied: bool) -> None:
    desk = Desk()
    desk.pen.put(Write("a"))
    first = desk.begin()
    if applied:
        desk.store.apply(first.txn)

    assert desk.answer(first, Indefinite("the wire broke")) == []
    again = desk.begin()
    (written,) = desk.answer(again)

    assert again.txn is first.txn
    assert again.work != first.work
    assert isinstance(written, Written)
    assert desk.store.get("node/a").revision == desk.scene.book.revision("node/a")
    assert len(desk.store.range("event/")) == 1
    desk.pen.put(Write("b"))
    assert isinstance(desk.answer(desk.begin())[0], Written)


def test_repeats_slow_down_but_never_stop() -> None:
    desk = Desk()
    desk.pen.put(Write("a"))
    action, waits = desk.begin(), []
    for _ in range(9):
        desk.answer(action, Indefinite("still broken"))
        waits.append(desk.pen.wake_at() - desk.scene.now)
        desk.scene.now = desk.pen.wake_at()
        action = desk.begin()

    assert waits[0] == 0
    assert waits == sorted(waits)
    assert waits[-1] == 1.0
    assert desk.answer(action) != []


def test_an_answer_to_a_repeated_question_counts_only_for_the_newest() -> None:
    desk = Desk()
    desk.pen.put(Write("a"))
    first = desk.begin()
    desk.answer(first, Indefinite("slow"))
    second = desk.begin()

    assert desk.answer(first, Applied(99)) == []
    assert len(desk.answer(second)) == 1


def test_a_row_that_changed_underneath_is_learned_and_the_plan_is_made_again() -> None:
    desk = Desk()
    desk.pen.put(Write("a"))
    ((one),) = desk.answer(desk.begin())
    assert isinstance(one, Written)
    desk.scene.book.revisions["counter"] = 1  # a mirror that lags behind
    desk.pen.put(Write("a"))

    assert desk.answer(desk.begin()) == []
    (written,) = desk.answer(desk.begin())

    assert isinstance(written, Written)
    assert desk.scene.book.counter.events == 2


def test_what_a_plan_relies_on_is_compared_too() -> None:
    desk = Desk()
    desk.pen.put(Write("a", relies=("view",)))

    keys = [compare.key for compare in desk.begin().txn.compares]

    assert keys == ["view", "node/a", "counter"]


def test_a_stale_term_ends_everything() -> None:
    desk = Desk()
    desk.pen.put(Write("a"))
    action = desk.begin()
    desk.store.take_term(1, "c2")

    assert desk.answer(action) == [Lost(2)]
    assert desk.store.range("node/") == ()
    assert desk.answer(action, StaleTerm(2)) == []


def test_clearing_says_which_plan_may_have_been_written() -> None:
    desk = Desk()
    desk.pen.put(Write("a"))
    desk.pen.put(Write("b"))
    desk.begin()

    assert desk.pen.clear() == ((Write("a"), True), (Write("b"), False))
    assert desk.pen.idle
