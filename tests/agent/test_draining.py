"""S8 of a guest with a disk: what was asked of it must have been answered before anything moves."""

from agent import disk_reports as reports
from agent.actions import DestroyVm, SendLastPages, SetHolds
from agent.config import Limits
from agent.events import (
    DiskFlows,
    DiskGone,
    DiskRefused,
    DiskStuck,
    GuestPaused,
    GuestSettled,
)
from agent.moves import DeadlinePassed
from agent.source import step
from agent.source_states import Draining, GivenUp, Pausing, SendingLast, deadline_s
from agent.vms import Stopped, Vms
from protocol.names import Epoch, Hold, Step, Verify
from tests.agent.ground import SPEC, VM, here
from tests.agent.test_source import ORDER, SWITCH, A, E


def test_a_guest_whose_disk_has_not_answered_all_is_not_moved_before_it_has() -> None:
    paused = here(holds=Hold.ATTEMPT)
    state, actions = step(
        Pausing(SWITCH), GuestPaused(VM, 9, 0.001, unanswered=2), ORDER, paused, 1.1
    )
    assert (state, actions) == (Draining(SWITCH, 2), ())

    state, actions = step(state, GuestSettled(VM), ORDER, paused, 1.5)
    assert isinstance(state, SendingLast)
    assert actions[-1] == SendLastPages(A, 1, Verify.FULL)


def test_storage_that_is_busy_ends_the_attempt_and_the_guest_runs_on() -> None:
    paused, draining = here(holds=Hold.ATTEMPT), Draining(SWITCH, 2)
    assert deadline_s(draining, Limits()) == SWITCH.asked_s + Limits().drain_max_s

    state, actions = step(draining, DeadlinePassed(), ORDER, paused, 6.0)

    assert isinstance(state, GivenUp)
    assert state.told.step is Step.PAUSE
    assert "2 requests to the disk of sql01 were not answered within 5 s" in state.told.reason
    assert actions[0] == SetHolds(VM, E, Hold.NONE)


def test_a_disk_that_does_not_answer_holds_its_guest_until_it_does() -> None:
    vms = Vms()
    vms.start(VM, E, SPEC)
    vms.created(VM)

    note, holds = vms.disk_turned(DiskStuck(VM, "No path to the disk is left."))
    assert "No path to the disk is left." in note.text  # type: ignore[union-attr]
    assert holds == SetHolds(VM, E, Hold.FAULT)
    assert vms.disk_turned(DiskStuck(VM, "again")) == [], "it is said once"

    _, holds = vms.disk_turned(DiskFlows(VM))
    assert holds == SetHolds(VM, E, Hold.NONE)
    assert vms.disk_turned(DiskFlows(VM)) == []


def test_the_fault_of_a_disk_leaves_the_holds_of_others() -> None:
    vms = Vms()
    vms.start(VM, E, SPEC)
    vms.created(VM)
    vms.carry(SetHolds(VM, E, Hold.ATTEMPT))
    vms.disk_turned(DiskStuck(VM, "No path to the disk is left."))
    vms.carry(SetHolds(VM, Epoch(E + 1), Hold.FAULT))

    assert vms.vms[VM].holds == Hold.FAULT
    assert vms.disk_turned(DiskFlows(VM))[-1] == SetHolds(VM, Epoch(E + 1), Hold.NONE)


def test_a_disk_that_is_gone_for_good_ends_the_guest_as_a_failure() -> None:
    vms = Vms()
    vms.start(VM, E, SPEC)
    vms.created(VM)

    note, destroy = vms.disk_turned(DiskGone(VM, "The registration was preempted."))
    assert "its disk is lost here: The registration was preempted." in note.text  # type: ignore[union-attr]
    assert destroy == DestroyVm(VM)
    assert vms.disk_turned(DiskGone(VM, "again")) == [], "it is said once"
    assert vms.destroyed(VM) == [
        Stopped(VM, E, "its disk is lost here: The registration was preempted.")
    ]
    assert vms.disk_turned(DiskGone(VM, "late")) == []


def test_while_an_attempt_decides_a_disk_that_is_gone_only_holds_the_guest() -> None:
    vms = Vms()
    vms.start(VM, E, SPEC)
    vms.created(VM)

    _, holds = vms.disk_turned(DiskGone(VM, "Epoch 3 is over."), moves=True)
    assert holds == SetHolds(VM, E, Hold.FAULT)
    assert vms.disk_turned(DiskGone(VM, "Epoch 3 is over."))[-1] == DestroyVm(VM)


def test_what_was_refused_is_told_to_the_coordinator() -> None:
    vms = Vms()

    note, told = vms.disk_turned(DiskRefused(VM, E, "write"))

    assert "A request (write) was refused" in note.text  # type: ignore[union-attr]
    assert told == reports.request_refused(VM, E, "write")
