"""Pages that a node still has of a VM that left it, told by their hashes."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from agent.kept_image import KeptBudget, hashes_of, kept_among, table_bytes, table_from
from protocol.names import VmName
from tests.agent.contents import random_pages

A, B, C = VmName("a"), VmName("b"), VmName("c")
GIB = 1 << 30


def test_a_table_that_travelled_says_the_same() -> None:
    table = hashes_of(random_pages(10))
    travelled = table.tobytes()
    assert len(travelled) == table_bytes(10)
    assert np.array_equal(table_from(travelled), table)


@given(st.sets(st.integers(0, 19)), st.sets(st.integers(0, 19), min_size=1))
def test_just_the_pages_that_are_as_they_were_need_not_travel(
    changed: set[int], asked: set[int]
) -> None:
    content = random_pages(20)
    table = hashes_of(content)
    for page in changed:
        content[page, page] ^= np.uint64(1)
    numbers = np.array(sorted(asked))
    kept = numbers[kept_among(numbers, content[numbers], table)]
    assert kept.tolist() == sorted(asked - changed)


def test_a_page_that_lies_elsewhere_now_is_not_taken_for_it() -> None:
    content = random_pages(2)
    table = hashes_of(content)
    assert len(kept_among(np.array([0, 1]), content[::-1].copy(), table)) == 0


def test_nothing_is_kept_without_a_budget() -> None:
    assert KeptBudget(0).keep(A, GIB) == (False, ())


def test_the_oldest_image_makes_room() -> None:
    budget = KeptBudget(3 * GIB)
    assert budget.keep(A, GIB) == (True, ())
    assert budget.keep(B, GIB) == (True, ())
    assert budget.keep(C, 2 * GIB) == (True, (A,))
    assert budget.kept_bytes == 3 * GIB
    assert budget.oldest() == B


def test_an_image_that_never_fits_costs_no_other() -> None:
    budget = KeptBudget(GIB)
    budget.keep(A, GIB)
    assert budget.keep(B, 2 * GIB) == (False, ())
    assert budget.oldest() == A


def test_a_vm_has_one_image_and_it_is_the_newest() -> None:
    budget = KeptBudget(2 * GIB)
    budget.keep(A, GIB)
    assert budget.keep(A, GIB) == (True, (A,))
    assert budget.kept_bytes == GIB
    budget.let_go(A)
    budget.let_go(A)
    assert budget.kept_bytes == 0
    assert budget.oldest() is None
