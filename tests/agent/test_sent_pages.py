"""What was sent, remembered within a budget and never wrongly."""

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from agent.runs import Pages
from agent.sent_pages import SentPages
from protocol.names import PAGE_BYTES
from tests.agent.contents import Content, random_pages

VM_PAGES = 40
ENOUGH = 1024 * 1024


def pages(*numbers: int) -> Pages:
    return np.array(numbers, np.int64)


def holding(count: int) -> SentPages:
    """Room for exactly so many pages."""
    sent = SentPages(VM_PAGES, VM_PAGES * 4 + count * (PAGE_BYTES + 12))
    assert sent.capacity == count
    return sent


def known(sent: SentPages) -> list[int]:
    found: list[int] = sent.find(np.arange(VM_PAGES)).tolist()
    return found


class Against(RuleBasedStateMachine):
    """A dictionary of all that was ever sent is the obvious way to remember it."""

    def __init__(self) -> None:
        super().__init__()
        self.sent = holding(10)
        self.there: dict[int, Content] = {}
        self.round_no = 0
        self.seed = 0

    @rule()
    def begin_a_round(self) -> None:
        self.round_no += 1

    @rule(numbers=st.sets(st.integers(0, VM_PAGES - 1), min_size=1, max_size=20))
    def send(self, numbers: set[int]) -> None:
        self.seed += 1
        content = random_pages(len(numbers), self.seed)
        ordered = sorted(numbers)
        self.sent.remember(pages(*ordered), content, self.round_no)
        self.there.update(zip(ordered, content, strict=True))

    @rule(numbers=st.sets(st.integers(0, VM_PAGES - 1), min_size=1, max_size=20))
    def forget(self, numbers: set[int]) -> None:
        self.sent.forget(pages(*sorted(numbers)))
        for number in numbers:
            self.there.pop(number, None)

    @invariant()
    def what_is_remembered_is_what_is_there(self) -> None:
        found = known(self.sent)
        assert len(found) <= self.sent.capacity
        copies = self.sent.copies(pages(*found))
        for number, copy in zip(found, copies, strict=True):
            assert np.array_equal(copy, self.there[number])


Against.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestAgainstADictionary = Against.TestCase


def test_with_room_for_all_pages_none_is_forgotten() -> None:
    sent = SentPages(VM_PAGES, ENOUGH)
    content = random_pages(VM_PAGES)
    sent.remember(np.arange(VM_PAGES), content, 0)
    assert known(sent) == list(range(VM_PAGES))
    assert np.array_equal(sent.copies(np.arange(VM_PAGES)), content)


def test_pages_of_round_0_make_room_for_those_that_are_written() -> None:
    sent = holding(8)
    sent.remember(np.arange(VM_PAGES), random_pages(VM_PAGES), 0)
    assert known(sent) == [0, 1, 2, 3, 4, 5, 6, 7]
    hot = pages(30, 31, 32)
    sent.remember(hot, random_pages(3), 1)
    assert known(sent) == [3, 4, 5, 6, 7, 30, 31, 32]


def test_more_hot_pages_than_places_do_not_throw_each_other_out() -> None:
    sent = holding(8)
    hot = np.arange(10, 30)
    hits = []
    for round_no in range(1, 8):
        hits.append(len(sent.find(hot)))
        sent.remember(hot, random_pages(len(hot)), round_no)
    assert hits == [0, 8, 8, 8, 8, 8, 8]


def test_pages_that_cooled_down_make_room() -> None:
    sent = holding(4)
    sent.remember(pages(1, 2, 3, 4), random_pages(4), 1)
    sent.remember(pages(11, 12), random_pages(2), 2)
    assert known(sent) == [1, 2, 3, 4]
    sent.remember(pages(11, 12), random_pages(2), 3)
    assert known(sent) == [3, 4, 11, 12]


def test_it_never_takes_more_than_its_budget() -> None:
    for budget in (0, 1, VM_PAGES * 4, 10_000, 50_000, ENOUGH, 1 << 40):
        sent = SentPages(VM_PAGES, budget)
        assert sent.memory_bytes <= budget
        assert sent.capacity <= VM_PAGES


def test_a_budget_too_small_for_a_page_remembers_nothing() -> None:
    sent = SentPages(1 << 20, 1 << 20)
    sent.remember(pages(1), random_pages(1), 0)
    sent.forget(pages(1))
    assert sent.capacity == 0
    assert len(sent.find(pages(1))) == 0
