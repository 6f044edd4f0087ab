"""Judges every VM from what its owner reports: LooksAlive, IsAlive, PendingTimeout,
DeadlockTimeout.

Pure. Reports come with answers to pings, so they may be late or missing; then nothing is judged,
and what was being measured begins anew.
"""

import enum
from dataclasses import dataclass, replace

from coordinator.groups.group_properties import IS_ALIVE_MS, LOOKS_ALIVE_MS, NONE
from coordinator.store.group_rows import ResourceRow
from protocol.messages import VmReport
from protocol.names import PAGE_BYTES, Epoch, Hold, Incarnation, Workload

SLOWEST_S = 10.0
"""A guest that needs longer than this for a page is not judged by its steps."""


class Phase(enum.Enum):
    STARTING = "it is told to start, and is not online yet"
    ONLINE = "it came online"
    STOPPING = "it is told to stop, or to fail, and has not answered"


@dataclass(frozen=True, slots=True)
class Limits:
    """A resource's own intervals, in seconds."""

    looks_alive_s: float
    is_alive_s: float
    pending_s: float
    deadlock_s: float

    @staticmethod
    def of(resource: ResourceRow) -> "Limits":
        looks, alive = (
            resource.number(name) for name in ("LooksAlivePollInterval", "IsAlivePollInterval")
        )
        return Limits(
            (LOOKS_ALIVE_MS if looks == NONE else looks) / 1000,
            (IS_ALIVE_MS if alive == NONE else alive) / 1000,
            resource.number("PendingTimeout") / 1000,
            resource.number("DeadlockTimeout") / 1000,
        )


@dataclass(frozen=True, slots=True)
class Sight:
    """One look at a VM. `report`: what its owner says of it under the row's epoch, if anything.

    `reported_at`: when it last said what it has; None if that is too long ago to go by. `excused`:
    its guest need not make steps now.
    """

    life: Incarnation
    epoch: Epoch
    phase: Phase
    reported_at: float | None
    report: VmReport | None
    excused: bool


@dataclass(frozen=True, slots=True)
class Watched:
    """What is known of earlier looks: since when, and the steps at the last IsAlive."""

    life: Incarnation
    epoch: Epoch
    phase: Phase
    since: float
    seen_at: float
    checked_at: float
    steps: int
    told: bool = False


@dataclass(frozen=True, slots=True)
class Sick:
    """The resource has failed: its owner is to end it, and to say so."""

    reason: str


@dataclass(frozen=True, slots=True)
class Stuck:
    """The owner does not answer. Nothing can be done for the VM; it can only be said."""

    after_s: float


Finding = Sick | Stuck


def makes_steps(workload: Workload) -> bool:
    """Whether a guest of this workload that runs gets on within SLOWEST_S."""
    if workload.name == "idle":
        return False
    rate = workload.rate_bytes_per_s
    return rate == 0 or rate * SLOWEST_S >= PAGE_BYTES  # 0 is the workload's own, which is quick


def excuses(report: VmReport | None, workload: Workload, has_lease: bool) -> bool:
    """A guest that is held, idle or without a lease may stand still."""
    held = report is not None and report.holds is not Hold.NONE
    return held or not has_lease or not makes_steps(workload)


def look(
    was: Watched | None, sight: Sight, limits: Limits, now: float
) -> tuple[Watched, Finding | None]:
    """What this look adds to the earlier ones, and what follows from it, once."""
    key = (sight.life, sight.epoch, sight.phase)
    steps = -1 if sight.report is None else sight.report.steps
    if was is None or (was.life, was.epoch, was.phase) != key:
        return Watched(*key, now, now, now, steps), None
    match sight.phase:
        case Phase.STARTING:
            if sight.report is not None and sight.report.holds is not Hold.NONE:
                return replace(was, since=now), None
            if not was.told and now - was.since >= limits.pending_s:
                reason = f"it was not online within its PendingTimeout of {limits.pending_s:g} s"
                return replace(was, told=True), Sick(reason)
        case Phase.STOPPING:
            if not was.told and now - was.since >= limits.deadlock_s:
                return replace(was, told=True), Stuck(limits.deadlock_s)
        case Phase.ONLINE:
            return _look_alive(was, sight, limits, now)
    return was, None


def _look_alive(
    was: Watched, sight: Sight, limits: Limits, now: float
) -> tuple[Watched, Finding | None]:
    if sight.reported_at is None:
        return replace(was, seen_at=now, checked_at=now, steps=-1), None
    report = sight.report
    if report is None:
        if not was.told and sight.reported_at - was.seen_at >= limits.looks_alive_s:
            return replace(was, told=True), Sick("it failed LooksAlive: its node has it no more")
        return was, None
    if sight.excused or was.steps < 0 or report.steps != was.steps:
        return _seen(was, now, report.steps, now), None
    if not was.told and sight.reported_at - was.checked_at >= limits.is_alive_s:
        reason = f"it failed IsAlive: its guest made no step for {limits.is_alive_s:g} s"
        return replace(was, seen_at=now, told=True), Sick(reason)
    return _seen(was, now, was.steps, was.checked_at), None


def _seen(was: Watched, now: float, steps: int, checked_at: float) -> Watched:
    return replace(was, seen_at=now, checked_at=checked_at, steps=steps)
