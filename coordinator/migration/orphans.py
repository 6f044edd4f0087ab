"""What an agent still has of an attempt that no row keeps open, after a store was put back.

A target's skeleton goes, and a source that has not consented is its own master again. A source
that has consented may have lost its VM to a commit that the store has forgotten: it stops it, for
only that is safe. A target that runs on such a commit is judged by what it reports of the VM.
"""

from coordinator.membership.agents import Agent
from coordinator.scene import Scene
from protocol.messages import AttemptReport, Decided, StopVm
from protocol.names import ClusterId, Decision, Epoch, Step

AFTER_DECISION = (Step.RESUME, Step.ANNOUNCE, Step.PULL)
FORGOTTEN = "no coordinator knows of this attempt any more"


def is_orphan(scene: Scene, agent: Agent, report: AttemptReport) -> bool:
    """No open row is of this very attempt: ids may be given out again after a restore."""
    row = scene.book.unclosed.get(report.attempt)
    if row is None or row.vm != report.vm:
        return True
    life = row.source_incarnation if report.is_source else row.target_incarnation
    return life != agent.incarnation


def orders_for(
    scene: Scene, cluster: ClusterId, agent: Agent, report: AttemptReport
) -> tuple[Decided | StopVm, ...]:
    """What the agent is told; nothing where the VM's own reports say what is to be done."""
    if not is_orphan(scene, agent, report) or report.step in AFTER_DECISION:
        return ()
    head = (cluster, scene.term, agent.incarnation)
    row = scene.book.attempts.get(report.attempt)
    is_its_row = row is not None and row.vm == report.vm and row.epoch == report.epoch
    if is_its_row and row is not None and row.decision is Decision.COMMITTED:
        return ()
    # The source keeps its epoch: nobody has been given a higher one by a decision of this row.
    epoch = report.epoch if report.is_source else Epoch(report.epoch + 1)
    ended = Decided(*head, report.attempt, report.vm, epoch, Decision.ABORTED, FORGOTTEN)
    if report.is_source and report.consented:
        return StopVm(*head, report.vm, report.epoch), ended
    return (ended,)
