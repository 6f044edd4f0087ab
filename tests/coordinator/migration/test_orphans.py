import pytest

from coordinator.groups.placement import owned_bytes
from coordinator.migration.orphans import FORGOTTEN, is_orphan, orders_for
from protocol.messages import AttemptReport, Decided, StopVm
from protocol.names import AttemptId, Decision, Epoch, Step, Term
from tests.coordinator.ground import MIB
from tests.coordinator.stage import LAB, SQL, WEB, A, B, Stage, life

HEAD = (LAB, Term(3), life("b"))


def report(
    is_source: bool = False, step: Step = Step.ROUND, consented: bool = False
) -> AttemptReport:
    return AttemptReport(AttemptId(1), SQL, Epoch(1), is_source, step, consented)


def orders(stage: Stage, said: AttemptReport) -> tuple[Decided | StopVm, ...]:
    return orders_for(stage.scene, LAB, stage.agent("b"), said)


def aborted(epoch: int) -> Decided:
    return Decided(*HEAD, AttemptId(1), SQL, Epoch(epoch), Decision.ABORTED, FORGOTTEN)


def test_an_attempt_that_a_row_keeps_open_is_no_orphan() -> None:
    stage = Stage()
    stage.vm()
    stage.attempt()

    assert not is_orphan(stage.scene, stage.agent("b"), report())
    assert orders(stage, report()) == ()


@pytest.mark.parametrize("known", ["nothing", "another VM's", "another life's", "aborted"])
def test_a_skeleton_that_nobody_waits_for_is_destroyed(known: str) -> None:
    stage = Stage()
    stage.vm()
    if known == "another VM's":
        stage.vm(WEB)
        stage.attempt(vm=WEB)
    elif known == "another life's":
        stage.attempt(target="c")
    elif known == "aborted":
        stage.aborted(ended_at=99.0)

    assert orders(stage, report()) == (aborted(2),)


def test_a_source_that_has_not_consented_keeps_its_vm_under_its_epoch() -> None:
    assert orders(Stage(), report(is_source=True)) == (aborted(1),)


def test_a_source_that_has_consented_stops_its_vm() -> None:
    said = report(is_source=True, step=Step.COMMIT, consented=True)

    assert orders(Stage(), said) == (StopVm(*HEAD, SQL, Epoch(1)), aborted(1))


@pytest.mark.parametrize("step", [Step.RESUME, Step.ANNOUNCE, Step.PULL])
def test_what_was_decided_already_is_not_decided_again(step: Step) -> None:
    assert orders(Stage(), report(step=step)) == ()
    assert orders(Stage(), report(is_source=True, step=step, consented=True)) == ()


def test_the_memory_of_an_orphan_is_counted_until_it_has_gone() -> None:
    stage = Stage()
    stage.vm()
    assert owned_bytes(stage.scene) == {A: 64 * MIB}

    stage.agent("b").orphans[AttemptId(1)] = report()
    assert owned_bytes(stage.scene) == {A: 64 * MIB, B: 64 * MIB}
