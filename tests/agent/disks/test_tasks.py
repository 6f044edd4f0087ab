import pytest

from agent.disks.tasks import Task, Verdict, ending
from protocol.scsi.sense import (
    POWER_ON,
    REGISTRATIONS_PREEMPTED,
    RESERVATIONS_PREEMPTED,
    Sense,
    fixed,
)
from protocol.scsi.status import Status


@pytest.mark.parametrize(
    ("status", "sense", "verdict", "is_attention"),
    [
        (Status.CHECK_CONDITION, RESERVATIONS_PREEMPTED, Verdict.PREEMPTED, True),
        (Status.CHECK_CONDITION, REGISTRATIONS_PREEMPTED, Verdict.PREEMPTED, True),
        (Status.CHECK_CONDITION, POWER_ON, Verdict.AGAIN, False),
        (Status.RESERVATION_CONFLICT, None, Verdict.PREEMPTED, False),
    ],
)
def test_a_conflict_is_about_this_command_and_an_attention_about_what_was(
    status: Status, sense: Sense | None, verdict: Verdict, is_attention: bool
) -> None:
    task = Task(0, b"", status=status, sense=fixed(sense) if sense else b"")
    found = ending(task)
    assert (found.verdict, found.is_attention) == (verdict, is_attention)
