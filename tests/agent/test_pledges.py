from hypothesis import given
from hypothesis import strategies as st

from agent.actions import NodeRecord
from agent.events import Tick
from agent.pledges import Pledges, forgotten, is_brand_new, wait_s
from protocol.messages import Welcome
from protocol.names import Term, Timing
from tests.agent.ground import CLUSTER, TERM, TIMING, agent, life
from tests.agent.leader import beat, living, support_in, told, welcome

FAST, SLOW = Timing(delay_s=0.5), Timing(delay_s=2.0)
KNOWN = NodeRecord(CLUSTER, Term(1), timing=SLOW)


def test_a_node_that_was_never_in_a_cluster_has_nothing_to_wait_for() -> None:
    pledges = Pledges(NodeRecord(), 0.0)
    record = pledges.retimed(NodeRecord(), FAST, 0.0)

    assert is_brand_new(NodeRecord())
    assert record.outlast_s == 0.0
    assert pledges.drop_s == float("inf")


def test_shorter_clocks_leave_the_longer_wait_on_disk_until_old_promises_have_run_out() -> None:
    pledges = Pledges(KNOWN, 0.0)

    record = pledges.retimed(KNOWN, FAST, 100.0)

    assert wait_s(record) == SLOW.outlast_s
    assert pledges.drop_s == 100.0 + SLOW.outlast_s
    assert pledges.dropped(record, pledges.drop_s - 0.001) == record
    assert wait_s(pledges.dropped(record, pledges.drop_s)) == FAST.outlast_s


def test_longer_clocks_count_at_once() -> None:
    pledges = Pledges(KNOWN, 0.0)
    record = pledges.retimed(KNOWN, FAST, 100.0)

    longer = pledges.retimed(record, Timing(delay_s=5.0), 101.0)

    assert (wait_s(longer), longer.outlast_s) == (Timing(delay_s=5.0).outlast_s, 0.0)
    assert pledges.drop_s == float("inf")


def test_an_evicted_node_takes_its_wait_along() -> None:
    record = Pledges(KNOWN, 0.0).retimed(KNOWN, FAST, 100.0)

    assert forgotten(record) == NodeRecord(outlast_s=SLOW.outlast_s)
    assert not is_brand_new(forgotten(record))
    assert is_brand_new(forgotten(NodeRecord()))


@given(
    st.lists(
        st.tuples(st.floats(0.1, 20.0), st.sampled_from([0.25, 0.5, 1.0, 2.0]), st.booleans()),
        max_size=20,
    )
)
def test_whenever_it_dies_the_next_life_waits_for_every_promise(
    steps: list[tuple[float, float, bool]],
) -> None:
    """Clocks change, promises are made, lives end: at any moment the record covers what is out."""
    now, promised_until_s = 0.0, 0.0
    record = NodeRecord(CLUSTER, Term(1))
    pledges = Pledges(record, now)
    may_promise_s = wait_s(record)
    for later_s, delay_s, restarts in steps:
        now += later_s
        record = pledges.dropped(record, now)
        if restarts:
            pledges, may_promise_s = Pledges(record, now), now + wait_s(record)
            assert may_promise_s >= promised_until_s
        record = pledges.retimed(record, Timing(delay_s=delay_s), now)
        if now >= may_promise_s:
            promised_until_s = max(promised_until_s, now + record.timing.outlast_s)
        assert now + wait_s(record) >= promised_until_s


# ---- in the agent


def test_a_running_agent_promises_by_the_new_clocks_from_when_they_are_on_disk() -> None:
    core = living("b")
    assert support_in([*core.handle(beat("a", "b"), 2.0)]) == TIMING.support_s

    told(core, Welcome(CLUSTER, TERM, life("b"), FAST), 3.0)

    assert support_in([*core.handle(beat("a", "b", 2), 3.0)]) == FAST.support_s
    assert core.record.outlast_s == TIMING.outlast_s
    core.handle(Tick(), 3.0 + TIMING.outlast_s)
    assert core.record.outlast_s == 0.0


def test_a_life_that_begins_in_between_waits_for_the_longer_promises() -> None:
    core = living("b")
    told(core, Welcome(CLUSTER, TERM, life("b"), FAST), 3.0)

    again = agent("b", 2, core.record)
    welcome(again)

    assert again.views.waits_until_s == TIMING.outlast_s


def test_longer_clocks_do_not_begin_a_start_wait_that_is_over_again() -> None:
    core = agent("b", record=NodeRecord(CLUSTER, TERM, timing=TIMING))
    welcome(core)

    told(core, Welcome(CLUSTER, TERM, life("b"), SLOW), 6.0)

    assert core.views.may_support(life("a"), 6.0)


def test_who_lost_its_folder_waits_by_the_clusters_clocks_however_late_it_is_welcomed() -> None:
    core = agent("b", 2)

    told(core, Welcome(CLUSTER, TERM, life("b", 2), SLOW), 8.0)

    assert core.views.waits_until_s == SLOW.outlast_s
    assert not core.views.may_support(life("a"), 8.0)
