"""Every missing page once, what is waited for first, compared with the obvious way."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent import pulls
from agent.pull_order import PullOrder
from protocol.errors import BadBatch

VM_PAGES = 200


def order_of(missing: set[int], push_pages: int = 3) -> PullOrder:
    order = PullOrder(VM_PAGES, push_pages)
    tell(order, missing)
    return order


def tell(order: PullOrder, missing: set[int]) -> None:
    marked = np.zeros(VM_PAGES, np.bool_)
    marked[sorted(missing)] = True
    for first, bitmap in pulls.bitmaps(marked):
        order.told(first, bitmap, is_last=False)
    order.told(0, b"", is_last=True)


@given(st.sets(st.integers(0, VM_PAGES - 1)), st.lists(st.integers(0, VM_PAGES - 1)))
def test_each_missing_page_is_sent_once_and_a_page_that_is_waited_for_at_once(
    missing: set[int], wanted: list[int]
) -> None:
    order, sent = order_of(missing), []
    for page in wanted:
        order.wanted([page])
        got = order.take().tolist()
        assert got == ([page] if page in missing - set(sent) else [])
        sent += got
    while order.left:
        got = order.take().tolist()
        assert 0 < len(got) <= 3
        sent += got

    assert sorted(sent) == sorted(missing)
    assert len(order.take()) == 0


def test_the_pages_behind_the_one_that_was_waited_for_follow_it() -> None:
    order = order_of({1, 2, 50, 51, 52, 90})
    order.wanted([50])

    assert [order.take().tolist() for _ in range(4)] == [[50], [51, 52, 90], [1, 2], []]


def test_nothing_travels_before_the_whole_map_was_told() -> None:
    order = PullOrder(VM_PAGES, 3)
    order.told(0, b"\xff", is_last=False)
    order.wanted([1])

    assert len(order.take()) == 0
    assert not order.is_waited_for


def test_another_connection_begins_with_what_is_lacking_then() -> None:
    order = order_of({1, 2, 3, 4})
    order.take()
    order.begin_anew()
    assert order.left == 0
    tell(order, {2, 4})

    assert order.take().tolist() + order.take().tolist() == [4, 2]


def test_a_page_that_is_none_of_the_vms_is_refused() -> None:
    with pytest.raises(BadBatch, match="a VM of 200 pages has not"):
        order_of({1}).wanted([VM_PAGES])
