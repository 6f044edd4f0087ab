from agent.actions import CreateVm, DestroyVm, SetHolds
from agent.events import GuestObserved, GuestPaused, GuestResumed
from agent.vms import Phase, Started, Stopped, Vms
from protocol.names import Epoch, Hold
from tests.agent.ground import SPEC, VM

E1, E2, E3 = Epoch(1), Epoch(2), Epoch(3)


def running(epoch: Epoch = E1) -> Vms:
    vms = Vms()
    assert vms.start(VM, epoch, SPEC) == [CreateVm(VM, epoch, SPEC, Hold.NONE)]
    assert vms.created(VM) == [Started(VM, epoch)]
    return vms


def test_a_start_that_is_told_again_starts_nothing_twice() -> None:
    vms = Vms()
    vms.start(VM, E1, SPEC)

    assert vms.start(VM, E1, SPEC) == [], "it is being made"
    vms.created(VM)
    assert vms.start(VM, E1, SPEC) == [Started(VM, E1)]


def test_what_was_lost_under_an_epoch_is_not_started_under_it_again() -> None:
    vms = running()

    assert vms.failed(VM, "its worker ended") == [Stopped(VM, E1, "its worker ended")]
    (said,) = vms.start(VM, E1, SPEC)
    assert isinstance(said, Stopped)
    assert vms.start(VM, E2, SPEC) == [CreateVm(VM, E2, SPEC, Hold.NONE)]


def test_a_start_under_an_older_epoch_is_refused_in_a_sentence() -> None:
    (said,) = running(E3).start(VM, E2, SPEC)

    assert said == Stopped(VM, E2, "Epoch 2 of sql01 is over; epoch 3 was seen.")


def test_a_failed_start_is_told_with_its_reason() -> None:
    vms = Vms()
    vms.start(VM, E1, SPEC)

    assert vms.failed(VM, "no memory is left") == [Stopped(VM, E1, "no memory is left")]
    assert vms.created(VM) == []


def test_a_start_under_a_newer_epoch_ends_what_is_here_first() -> None:
    vms = running()

    assert vms.start(VM, E2, SPEC) == [DestroyVm(VM)]
    assert vms.start(VM, E2, SPEC) == [], "told again while the old one leaves"
    assert vms.destroyed(VM) == [CreateVm(VM, E2, SPEC, Hold.NONE)]


def test_a_stop_is_answered_when_it_is_done_or_when_nothing_is_there() -> None:
    vms = running()

    assert vms.stop(VM, E1) == [DestroyVm(VM)]
    assert vms.stop(VM, E1) == []
    assert vms.destroyed(VM) == [Stopped(VM, E1)]
    assert vms.stop(VM, E1) == [Stopped(VM, E1)]


def test_a_stop_does_not_touch_what_runs_under_a_newer_epoch() -> None:
    vms = running(E2)

    assert vms.stop(VM, E1) == [Stopped(VM, E1)]
    assert vms.vms[VM].phase is Phase.HERE


def test_a_stop_takes_back_a_start_that_waits_and_an_older_stop_does_not() -> None:
    vms = running()
    vms.start(VM, E2, SPEC)

    assert vms.stop(VM, E1) == [Stopped(VM, E1)]
    assert vms.stop(VM, E2) == []
    assert vms.destroyed(VM) == [Stopped(VM, E2)]


def test_a_vm_that_is_made_to_fail_ends_like_a_stop_and_is_told_as_a_failure() -> None:
    vms = running(E2)

    assert vms.stop(VM, E2, "told to") == [DestroyVm(VM)]
    assert vms.stop(VM, E2, "told to") == [], "told again while it goes"
    assert vms.destroyed(VM) == [Stopped(VM, E2, "told to")]
    assert vms.stop(VM, E2, "told to") == [Stopped(VM, E2, "told to")]

    vms = running(E3)
    assert vms.stop(VM, E2, "told to") == [Stopped(VM, E2, "told to")]
    assert vms.vms[VM].phase is Phase.HERE, "what runs under a newer epoch is left alone"


def test_after_a_stop_nothing_starts_under_its_epoch() -> None:
    vms = Vms()
    vms.stop(VM, E2)

    assert isinstance(vms.start(VM, E2, SPEC)[0], Stopped)
    assert isinstance(vms.start(VM, E1, SPEC)[0], Stopped)
    assert isinstance(vms.start(VM, E3, SPEC)[0], CreateVm)


def test_a_reserved_vm_is_not_this_nodes_until_its_hold_goes() -> None:
    vms = Vms()
    vms.reserve(VM, E1, SPEC)
    assert vms.reports(has_lease=True) == ()

    vms.carry(SetHolds(VM, E2, Hold.NONE))

    (report,) = vms.reports(has_lease=True)
    assert (report.epoch, report.holds) == (E2, Hold.NONE)
    assert vms.is_stale(VM, E1)


def test_the_end_of_a_reservation_is_the_attempts_to_tell() -> None:
    vms = Vms()
    vms.reserve(VM, E1, SPEC)

    assert vms.failed(VM, "its worker ended") == []


def test_a_start_that_comes_during_an_attempt_waits_for_its_end() -> None:
    vms = running()
    assert vms.start(VM, E2, SPEC, in_attempt=True) == []

    assert vms.carry(SetHolds(VM, E2, Hold.NONE)) == [], "the abort has brought epoch 2"
    assert vms.start(VM, E2, SPEC) == [Started(VM, E2)]


def test_a_start_that_is_newer_than_the_attempts_end_starts_anew() -> None:
    vms = running()
    vms.start(VM, E3, SPEC, in_attempt=True)

    assert vms.carry(SetHolds(VM, E2, Hold.NONE)) == [DestroyVm(VM)]
    assert vms.destroyed(VM) == [CreateVm(VM, E3, SPEC, Hold.NONE)]


def test_a_start_that_comes_during_an_attempt_starts_when_the_attempt_has_taken_the_vm_away() -> (
    None
):
    vms = running()
    vms.start(VM, E3, SPEC, in_attempt=True)

    vms.carry(DestroyVm(VM))
    assert vms.destroyed(VM) == [CreateVm(VM, E3, SPEC, Hold.NONE)]


def test_of_what_leaves_only_the_end_is_heard() -> None:
    vms = running()
    vms.start(VM, E2, SPEC)

    assert vms.failed(VM, "its worker ended as it left") == []
    assert vms.destroyed(VM) == [CreateVm(VM, E2, SPEC, Hold.NONE)]
    assert vms.destroyed(VM) == [], "an end that comes twice is not that of the new one"
    assert vms.created(VM) == [Started(VM, E2)]


def test_reports_tell_what_was_seen_last() -> None:
    vms = running()
    vms.observed(GuestObserved(VM, True, 10, 5e6))
    vms.paused(GuestPaused(VM, 12, 0.001))
    (paused,) = vms.reports(has_lease=True)
    vms.resumed(GuestResumed(VM, 0.001))
    (resumed,) = vms.reports(has_lease=False)

    assert (paused.running, paused.steps, paused.dirty_bytes_per_s) == (False, 12, 5e6)
    assert resumed.running
    assert resumed.holds is Hold.LEASE, "told, though the workers see to it themselves"
