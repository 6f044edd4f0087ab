"""The clever arrays against the obvious sets of page numbers."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from agent.runs import (
    Runs,
    all_pages,
    batches,
    joined,
    no_runs,
    runs_from_map,
    runs_from_numbers,
    stripes,
    union,
)

PAGES = 96
page_sets = st.sets(st.integers(0, PAGES - 1))


def runs_of(pages: set[int]) -> Runs:
    return runs_from_map(np.array([page in pages for page in range(PAGES)], dtype=np.bool_))


def pages_of(runs: Runs) -> list[int]:
    """Slow and obvious: count every run out."""
    return [
        page
        for start, count in zip(runs.starts.tolist(), runs.counts.tolist(), strict=True)
        for page in range(start, start + count)
    ]


@given(page_sets)
def test_a_map_becomes_the_longest_possible_runs_and_a_map_again(pages: set[int]) -> None:
    runs = runs_of(pages)

    assert pages_of(runs) == sorted(pages)
    assert runs.pages == len(pages)
    assert len(runs) == sum(page - 1 not in pages for page in pages)
    assert runs.numbers().tolist() == sorted(pages)
    assert set(np.flatnonzero(runs.to_map(PAGES)).tolist()) == pages


@given(page_sets)
def test_page_numbers_become_the_same_runs_as_a_map(pages: set[int]) -> None:
    by_number = runs_from_numbers(np.array(sorted(pages), dtype=np.int64))

    assert by_number.starts.tolist() == runs_of(pages).starts.tolist()
    assert by_number.counts.tolist() == runs_of(pages).counts.tolist()


@given(page_sets, page_sets)
def test_a_union_has_the_pages_of_both_in_the_longest_possible_runs(
    one: set[int], other: set[int]
) -> None:
    both = union(runs_of(one), runs_of(other))

    assert both.starts.tolist() == runs_of(one | other).starts.tolist()
    assert both.counts.tolist() == runs_of(one | other).counts.tolist()


@given(page_sets, st.integers(1, PAGES))
def test_batches_keep_every_page_in_order_and_only_the_last_is_short(
    pages: set[int], pages_max: int
) -> None:
    parts = batches(runs_of(pages), pages_max)

    assert [page for part in parts for page in pages_of(part)] == sorted(pages)
    assert [part.pages for part in parts[:-1]] == [pages_max] * (len(parts) - 1)
    assert all(0 < part.pages <= pages_max and min(part.counts) > 0 for part in parts)


@given(page_sets, page_sets, st.integers(1, 4), st.integers(1, 20))
def test_a_page_travels_on_the_same_stream_in_every_round(
    first: set[int], second: set[int], streams: int, stripe_pages: int
) -> None:
    rounds = [stripes(runs_of(pages), streams, stripe_pages) for pages in (first, second)]

    shares = [[set(pages_of(share)) for share in one_round] for one_round in rounds]
    assert [set().union(*share) for share in shares] == [first, second]
    assert [sum(map(len, share)) for share in shares] == [len(first), len(second)]
    for mine in range(streams):
        for other in set(range(streams)) - {mine}:
            assert not shares[0][mine] & shares[1][other]


def test_a_whole_vm_is_one_run_and_an_empty_set_has_none() -> None:
    assert pages_of(all_pages(3)) == [0, 1, 2]
    assert len(all_pages(3)) == 1
    assert len(all_pages(0)) == len(no_runs()) == no_runs().pages == 0
    assert batches(no_runs(), 8) == []
    assert len(runs_from_map(np.zeros(0, dtype=np.bool_))) == 0


def test_small_gaps_are_filled_and_wide_ones_are_kept() -> None:
    runs = runs_from_numbers(np.array([1, 3, 4, 9, 30]))

    assert joined(runs, 2).numbers().tolist() == [1, 2, 3, 4, 9, 30]
    assert joined(runs, 4).numbers().tolist() == [*range(1, 10), 30]
    assert joined(no_runs(), 4).pages == 0
