"""A fence is answered when nothing of whom it fences can be written any more."""

from protocol.iscsi.requests import NO_TAG, DataOut
from protocol.iscsi.responses import ScsiResponse
from protocol.scsi.commands import PersistentReserveOut, Write
from protocol.scsi.persistent import Kind, OutAction, OutParameters
from protocol.scsi.status import Status
from san.events import ConnectionLost
from san.medium import WriteMedium
from tests.san.drill import BLOCK, Drill, Initiator

ONE, OTHER = 0x0101, 0x0202


def out(node: Initiator, action: OutAction, key: int, action_key: int = 0) -> None:
    data = OutParameters(key, action_key).write()
    kind = Kind.WRITE_REGISTRANTS
    node.say(PersistentReserveOut(action, kind, len(data)), data)


def status_of(drill: Drill, node: Initiator) -> int | None:
    """Of the node's last command; None while there is no answer."""
    for pdu in drill.take(node.number):
        if isinstance(pdu, ScsiResponse) and pdu.task_tag == node.tag:
            return pdu.status
    return None


def fenced_pair(drill: Drill) -> tuple[Initiator, Initiator]:
    """Both are registered, the first holds the reservation."""
    one, other = drill.initiator(1), drill.initiator(2)
    for node, key in ((one, ONE), (other, OTHER)):
        out(node, OutAction.REGISTER, 0, key)
        drill.work_all()
        assert status_of(drill, node) == Status.GOOD
    out(one, OutAction.RESERVE, ONE)
    drill.work_all()
    assert status_of(drill, one) == Status.GOOD
    return one, other


def end_writes(drill: Drill) -> None:
    """The medium ends what it writes, and nothing else."""
    writes = [work for work in drill.works if isinstance(work.deed, WriteMedium)]
    for work in writes:
        drill.works.remove(work)
        drill.works.insert(0, work)
        drill.work()


def test_a_preempt_and_abort_waits_for_a_write_in_flight() -> None:
    drill = Drill()
    one, other = fenced_pair(drill)
    other.write(0, b"z" * BLOCK)

    out(one, OutAction.PREEMPT_AND_ABORT, ONE, OTHER)
    assert status_of(drill, one) is None
    assert all(isinstance(work.deed, WriteMedium) for work in drill.works)
    end_writes(drill)
    drill.work_all()

    assert status_of(drill, one) == Status.GOOD
    assert status_of(drill, other) == Status.TASK_ABORTED


def test_it_waits_for_a_write_whose_connection_is_gone_as_well() -> None:
    drill = Drill()
    one, other = fenced_pair(drill)
    other.write(0, b"z" * BLOCK)
    drill.feed(ConnectionLost(other.number))

    out(one, OutAction.PREEMPT_AND_ABORT, ONE, OTHER)
    assert status_of(drill, one) is None
    end_writes(drill)
    drill.work_all()

    assert status_of(drill, one) == Status.GOOD


def test_a_write_that_still_collects_its_data_never_reaches_the_medium() -> None:
    drill = Drill()
    one, other = fenced_pair(drill)
    other.say(Write(0, 2), final=False)

    out(one, OutAction.PREEMPT_AND_ABORT, ONE, OTHER)
    drill.work_all()
    assert status_of(drill, one) == Status.GOOD
    drill.tell(2, DataOut(0, other.tag, NO_TAG, 0, 0, 0, True, bytes(2 * BLOCK)))

    assert drill.works == []
    assert drill.core.is_idle


def test_the_fenced_writes_nothing_any_more() -> None:
    drill = Drill()
    one, other = fenced_pair(drill)
    out(one, OutAction.PREEMPT_AND_ABORT, ONE, OTHER)
    drill.work_all()

    other.write(0, b"z" * BLOCK)  # is told first that its registration is gone
    (answer,) = other.write(0, b"z" * BLOCK)

    assert isinstance(answer, ScsiResponse)
    assert answer.status == Status.RESERVATION_CONFLICT
    assert drill.works == []
    assert drill.blocks[:BLOCK] == bytes(BLOCK)


def test_a_key_is_given_up_after_the_writes_that_were_made_with_it() -> None:
    drill = Drill()
    one, _ = fenced_pair(drill)
    one.write(0, b"a" * BLOCK)

    out(one, OutAction.REGISTER, ONE, 0)
    assert [type(work.deed) for work in drill.works] == [WriteMedium]
    drill.work_all()

    assert status_of(drill, one) == Status.GOOD
