from dataclasses import dataclass, replace

import pytest

from lab.bench.failover import TIMING, Failover, as_data, rows, topology_lines, why_wrong
from lab.bench.failover_sums import (
    EACH_S,
    MODES,
    Case,
    Dies,
    cases,
    parts,
    until_running_s,
    until_view_s,
)
from lab.cluster import topology_of
from protocol.names import QuorumMode, Timing

MAJORITY = Case(QuorumMode.NODE_MAJORITY, 3, Dies.ANY)
HOLDER = Case(QuorumMode.NODE_AND_DISK, 2, Dies.HOLDER)
ONCE = Failover(MAJORITY, 10, 0.9, 1.0, 1.1, 1.2, ())


@dataclass
class Seen:
    """A worker, as far as the verdict looks at it."""

    node: str
    runs: bool = True
    beat_s: float = 0.0
    changed_s: float = 0.0


@pytest.mark.parametrize(
    ("case", "to_start_s"),
    [
        (MAJORITY, 8.05),
        (Case(QuorumMode.NODE_AND_DISK, 2, Dies.OTHER), 8.05),
        (HOLDER, 12.07),
        (Case(QuorumMode.NODE_AND_SHARE, 4, Dies.HOLDER), 8.05),
        (Case(QuorumMode.DISK_ONLY, 2, Dies.OTHER), 8.05),
        (Case(QuorumMode.DISK_ONLY, 2, Dies.HOLDER), 12.07),
    ],
    ids=str,
)
def test_with_the_clocks_of_the_field_the_sums_are_those_of_the_document(
    case: Case, to_start_s: float
) -> None:
    assert sum(parts(case, Timing()).values()) == pytest.approx(to_start_s, abs=0.01)
    assert until_view_s(case, Timing()) == pytest.approx(to_start_s - 1.0, abs=0.01)


def test_each_vm_adds_to_the_sum_what_its_transaction_may_take() -> None:
    more = until_running_s(MAJORITY, TIMING, 100) - until_running_s(MAJORITY, TIMING, 1)
    assert more == pytest.approx(99 * EACH_S)


def test_every_quorum_mode_is_measured_with_and_without_its_witness_s_holder() -> None:
    measured = [case for mode, nodes in MODES for case in cases(mode, nodes)]

    assert {case.mode for case in measured} == set(QuorumMode)
    for case in measured:
        assert topology_of(case.nodes, more=topology_lines(case)).quorum.mode == case.mode.value
        dead = {c.dies for c in measured if c.mode is case.mode}
        assert dead == ({Dies.HOLDER, Dies.OTHER} if case.has_witness else {Dies.ANY})


def test_a_failover_is_within_the_sum_or_says_what_is_not() -> None:
    assert ONCE.trouble is None
    assert "view" in str(replace(ONCE, held_s=1.3).trouble)
    assert "all VMs" in str(replace(ONCE, last_s=3.0).trouble)
    assert replace(ONCE, wrong=("vm1 runs 2 times",)).trouble == "vm1 runs 2 times"


def test_rounds_of_one_case_are_told_as_their_median_and_spread() -> None:
    table = list(rows([ONCE, replace(ONCE, held_s=1.2), replace(ONCE, held_s=1.1, vms=1)]))

    assert [row[1] for row in table] == ["1", "10"]
    assert table[1][3] == "1.10 (1.00 - 1.20)"
    assert as_data([ONCE])[0]["sum"] == parts(MAJORITY, TIMING)


@pytest.mark.parametrize(
    ("after", "says"),
    [
        ([Seen("node2", changed_s=10.0)], ""),
        ([Seen("node3", runs=False), Seen("node2", changed_s=10.0)], ""),
        ([], "runs 0 times"),
        ([Seen("node2", changed_s=10.0), Seen("node3", changed_s=10.0)], "runs 2 times"),
        ([Seen("node1", changed_s=10.0)], "runs 1 times"),
        ([Seen("node2", changed_s=8.0)], "before it had ended"),
    ],
)
def test_a_vm_runs_elsewhere_exactly_once_and_never_before_it_has_ended(
    after: list[Seen], says: str
) -> None:
    before = [Seen("node1", runs=False, beat_s=9.0)]
    found = why_wrong("vm1", "node1", before, after)
    assert says in found
    assert bool(says) is bool(found)


def test_a_guest_that_outlives_its_node_is_found() -> None:
    alive = [Seen("node1")]
    found = why_wrong("vm1", "node1", alive, [Seen("node2")])
    assert "still runs" in found
