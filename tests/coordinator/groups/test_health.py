from dataclasses import replace

import pytest

from coordinator.groups.health import (
    Finding,
    Limits,
    Phase,
    Sick,
    Sight,
    Stuck,
    Watched,
    excuses,
    look,
    makes_steps,
)
from coordinator.store.group_rows import ResourceRow
from protocol.messages import VmReport
from protocol.names import Epoch, Hold, Incarnation, VmName, Workload

LIMITS = Limits.of(ResourceRow())
LIFE, EPOCH = Incarnation("a-1"), Epoch(1)


def report(steps: int = 0, holds: Hold = Hold.NONE) -> VmReport:
    return VmReport(VmName("sql01"), EPOCH, True, holds, steps)


def sight(phase: Phase, told: VmReport | None = None, excused: bool = False) -> Sight:
    return Sight(LIFE, EPOCH, phase, 0.0, told, excused)


class Looks:
    """One look a second, each with a report that is as new as the look."""

    def __init__(self) -> None:
        self.watched: Watched | None = None
        self.now = 0.0

    def at(self, seconds: float, seen: Sight, late: bool = False) -> list[tuple[float, Finding]]:
        """What is found until `seconds` have gone by."""
        found = []
        for _ in range(round(seconds)):
            self.now += 1.0
            here = replace(seen, reported_at=None if late else self.now)
            self.watched, finding = look(self.watched, here, LIMITS, self.now)
            if finding is not None:
                found.append((self.now, finding))
        return found


def test_the_intervals_are_those_of_the_type_unless_the_resource_has_its_own() -> None:
    assert Limits(5.0, 60.0, 180.0, 300.0) == LIMITS
    own = ResourceRow((("IsAlivePollInterval", 1000), ("PendingTimeout", 20_000)))
    assert Limits(5.0, 1.0, 20.0, 300.0) == Limits.of(own)


def test_a_guest_that_gets_on_is_well() -> None:
    looks = Looks()
    for steps in range(300):
        assert looks.at(1, sight(Phase.ONLINE, report(steps))) == []


def test_a_guest_that_makes_no_step_in_a_minute_fails_is_alive_once() -> None:
    looks = Looks()
    found = looks.at(200, sight(Phase.ONLINE, report(7)))

    assert [at for at, _ in found] == [61.0]
    assert isinstance(found[0][1], Sick)
    assert "IsAlive" in found[0][1].reason


def test_a_guest_that_is_excused_or_makes_one_step_begins_its_minute_anew() -> None:
    looks = Looks()
    assert looks.at(50, sight(Phase.ONLINE, report(7))) == []
    assert looks.at(1, sight(Phase.ONLINE, report(8))) == []
    assert looks.at(50, sight(Phase.ONLINE, report(8))) == []
    assert looks.at(500, sight(Phase.ONLINE, report(8), excused=True)) == []
    assert looks.at(59, sight(Phase.ONLINE, report(8))) == []
    assert len(looks.at(2, sight(Phase.ONLINE, report(8)))) == 1


def test_reports_that_are_late_raise_no_alarm() -> None:
    looks = Looks()
    assert looks.at(50, sight(Phase.ONLINE, report(7))) == []
    assert looks.at(500, sight(Phase.ONLINE, None), late=True) == []
    assert looks.at(1, sight(Phase.ONLINE, report(7))) == []
    assert looks.at(59, sight(Phase.ONLINE, report(7))) == []


def test_a_report_that_is_old_news_is_no_proof_that_a_vm_is_gone() -> None:
    """With pings far apart the newest report may be from before the start."""
    first = replace(sight(Phase.ONLINE), reported_at=0.0)
    watched, _ = look(None, first, LIMITS, 1.0)

    assert look(watched, replace(first, reported_at=0.0), LIMITS, 20.0)[1] is None
    assert isinstance(look(watched, replace(first, reported_at=20.0), LIMITS, 20.0)[1], Sick)


def test_a_vm_that_its_node_has_no_more_fails_looks_alive_after_five_seconds() -> None:
    looks = Looks()
    looks.at(1, sight(Phase.ONLINE, report(7)))

    found = looks.at(30, sight(Phase.ONLINE, None))
    assert [at for at, _ in found] == [6.0]
    assert isinstance(found[0][1], Sick)
    assert "LooksAlive" in found[0][1].reason


def test_a_start_may_take_three_minutes_and_one_that_is_held_any_time() -> None:
    looks = Looks()
    assert looks.at(180, sight(Phase.STARTING, report())) == []
    assert len(looks.at(100, sight(Phase.STARTING, report()))) == 1

    held = Looks()
    assert held.at(1000, sight(Phase.STARTING, report(0, Hold.OPERATOR))) == []


def test_a_stop_without_an_answer_is_told_once_after_five_minutes() -> None:
    looks = Looks()
    assert looks.at(1000, sight(Phase.STOPPING, report(7))) == [(301.0, Stuck(300.0))]


@pytest.mark.parametrize("change", ["life", "epoch", "phase"])
def test_another_life_epoch_or_phase_is_looked_at_anew(change: str) -> None:
    looks = Looks()
    looks.at(60, sight(Phase.ONLINE, report(7)))
    other = {
        "life": replace(sight(Phase.ONLINE, report(7)), life=Incarnation("a-2")),
        "epoch": replace(sight(Phase.ONLINE, report(7)), epoch=Epoch(2)),
        "phase": sight(Phase.STARTING, report(7)),
    }[change]

    assert looks.at(60, other) == []


def test_who_need_not_make_steps() -> None:
    wave, idle, slow = Workload("wave"), Workload("idle"), Workload("wave", 10)
    assert [makes_steps(work) for work in (wave, idle, slow)] == [True, False, False]
    assert not excuses(report(), wave, has_lease=True)
    assert excuses(report(), wave, has_lease=False)
    assert excuses(report(0, Hold.ATTEMPT), wave, has_lease=True)
    assert excuses(report(), idle, has_lease=True)
