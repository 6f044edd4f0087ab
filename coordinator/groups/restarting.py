"""What a failure leads to: a restart, a move of the whole group, or a group that stays failed.

Pure: settings, counts and the wall-clock time go in. The names are those of the field.
"""

import enum
from dataclasses import dataclass, replace

from coordinator.groups.group_properties import NONE
from coordinator.store.group_rows import GroupRow, ResourceRow


class Remedy(enum.Enum):
    RESTART = "it is started again where it was"
    FAIL_OVER = "the group goes to the next node"
    STAY_FAILED = "it stays failed"


@dataclass(frozen=True, slots=True)
class Verdict:
    """`group` carries the counts on; `why` says why a group stays failed."""

    remedy: Remedy
    group: GroupRow
    why: str = ""


def failover_limit(group: GroupRow, nodes: int) -> int:
    """FailoverThreshold; unset it is one less than there are nodes."""
    threshold = group.number("FailoverThreshold")
    return max(0, nodes - 1) if threshold == NONE else threshold


def judge(group: GroupRow, part: str, has_other: bool, nodes: int, wall: float) -> Verdict:
    """The resource `part` of `group` has failed. `has_other`: another node could take it."""
    resource: ResourceRow = getattr(group, part)
    action = resource.number("RestartAction")
    if action == 0:
        failed = replace(group, retry_at=None)
        return Verdict(Remedy.STAY_FAILED, failed, "RestartAction 0 forbids to start it again")
    restarts, since = _counted(
        resource.restarts, resource.restarts_since, wall, resource.number("RestartPeriod") / 1000
    )
    if restarts < resource.number("RestartThreshold"):
        restarted = replace(resource, restarts=restarts + 1, restarts_since=since)
        return Verdict(Remedy.RESTART, _with(group, part, restarted))
    if action == 1:
        why = "RestartThreshold is used up, and RestartAction 1 forbids to fail the group over"
        return Verdict(Remedy.STAY_FAILED, _failed(group, resource, wall), why)
    failovers, begun = _counted(
        group.failovers, group.failovers_since, wall, group.number("FailoverPeriod") * 3600
    )
    limit = failover_limit(group, nodes)
    if failovers >= limit:
        why = f"FailoverThreshold, {limit} in {group.number('FailoverPeriod')} h, is used up"
        return Verdict(Remedy.STAY_FAILED, _failed(group, resource, wall), why)
    if not has_other:
        why = "no other node can take it"
        return Verdict(Remedy.STAY_FAILED, _failed(group, resource, wall), why)
    moved = replace(forgiven(group), failovers=failovers + 1, failovers_since=begun)
    return Verdict(Remedy.FAIL_OVER, moved)


def forgiven(group: GroupRow) -> GroupRow:
    """Each node has the restarts of its own; so has a group that is tried again."""
    return replace(
        group,
        configuration=replace(group.configuration, restarts=0, restarts_since=0.0),
        machine=replace(group.machine, restarts=0, restarts_since=0.0),
        retry_at=None,
    )


def fresh(group: GroupRow) -> GroupRow:
    """An operator has started it: what failed before is forgotten."""
    return replace(forgiven(group), failovers=0, failovers_since=0.0, move_to=None, waits_until=0.0)


def _counted(count: int, since: float, wall: float, period_s: float) -> tuple[int, float]:
    """The count of the present period, which begins with what is counted first."""
    if count == 0 or wall - since > period_s:
        return 0, wall
    return count, since


def _with(group: GroupRow, part: str, resource: ResourceRow) -> GroupRow:
    if part == "configuration":
        return replace(group, configuration=resource)
    return replace(group, machine=resource)


def _failed(group: GroupRow, resource: ResourceRow, wall: float) -> GroupRow:
    """RetryPeriodOnFailure; the largest number means never."""
    period_ms = resource.number("RetryPeriodOnFailure")
    return replace(group, retry_at=None if period_ms == NONE else wall + period_ms / 1000)
