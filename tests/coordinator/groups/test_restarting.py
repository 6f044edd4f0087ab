from dataclasses import replace

import pytest

from coordinator.groups.group_properties import NONE
from coordinator.groups.restarting import Remedy, failover_limit, forgiven, fresh, judge
from coordinator.store.group_rows import GroupRow, ResourceRow, Settings
from protocol.names import VmName

SQL = VmName("sql01")


def group(settings: Settings = (), machine: Settings = (), **fields: int) -> GroupRow:
    counts = ResourceRow(machine, fields.pop("restarts", 0))
    return replace(GroupRow(SQL, settings, machine=counts), **fields)  # type: ignore[arg-type]


def remedy(of: GroupRow, has_other: bool = True, wall: float = 10.0) -> Remedy:
    return judge(of, "machine", has_other, nodes=3, wall=wall).remedy


@pytest.mark.parametrize("action", [0, 1, 2])
@pytest.mark.parametrize("restarts", [0, 1])
@pytest.mark.parametrize("failovers", [0, 1, 2])
@pytest.mark.parametrize("has_other", [False, True])
def test_every_case_of_the_policy(
    action: int, restarts: int, failovers: int, has_other: bool
) -> None:
    row = group((), (("RestartAction", action),), restarts=restarts, failovers=failovers)

    if action == 0:
        expected = Remedy.STAY_FAILED
    elif restarts == 0:
        expected = Remedy.RESTART
    elif action == 1 or failovers == 2 or not has_other:
        expected = Remedy.STAY_FAILED
    else:
        expected = Remedy.FAIL_OVER
    assert remedy(row, has_other) is expected


def test_counts_are_of_the_present_period_only() -> None:
    row = group(restarts=1)
    assert remedy(row, wall=900.0) is Remedy.FAIL_OVER
    assert remedy(row, wall=900.1) is Remedy.RESTART

    full = group((), (("RestartThreshold", 0),), failovers=2)
    assert remedy(full, wall=6 * 3600.0) is Remedy.STAY_FAILED
    assert remedy(full, wall=6 * 3600.1) is Remedy.FAIL_OVER


def test_a_failover_gives_the_next_node_its_own_restarts() -> None:
    moved = judge(group(restarts=1), "machine", True, 3, 10.0).group

    assert (moved.failovers, moved.failovers_since, moved.machine.restarts) == (1, 10.0, 0)


def test_the_failover_threshold_is_one_less_than_the_nodes_unless_it_is_set() -> None:
    assert [failover_limit(group(), nodes) for nodes in (1, 2, 16)] == [0, 1, 15]
    assert failover_limit(group((("FailoverThreshold", 7),)), 3) == 7


@pytest.mark.parametrize(("period", "at"), [(NONE, None), (3_600_000, 3610.0)])
def test_a_failed_group_is_tried_again_after_its_retry_period(
    period: int, at: float | None
) -> None:
    row = group((), (("RestartAction", 1), ("RetryPeriodOnFailure", period)), restarts=1)

    assert judge(row, "machine", True, 3, 10.0).group.retry_at == at


def test_a_retry_forgives_restarts_and_an_operator_everything() -> None:
    row = replace(group(restarts=1, failovers=2), retry_at=5.0)

    assert (forgiven(row).machine.restarts, forgiven(row).failovers) == (0, 2)
    assert forgiven(row).retry_at is None
    assert fresh(row).failovers == 0
