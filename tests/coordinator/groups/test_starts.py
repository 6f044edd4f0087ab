import pytest

from coordinator.groups.starts import IN_FLIGHT_MAX, Starts, is_starting
from protocol.messages import VmReport
from protocol.names import Epoch, Hold, VmName
from tests.coordinator.stage import SQL, A, Stage


def names(count: int) -> list[VmName]:
    return [VmName(f"vm{number:03d}") for number in range(count)]


def test_32_start_at_once_and_the_rest_follow_in_their_order() -> None:
    starts = Starts()
    begun = [vm for vm in names(40) if starts.may_begin(A, vm)]

    assert begun == names(40)[:IN_FLIGHT_MAX]
    assert starts.is_queued(A, VmName("vm032"))
    assert starts.ended(A, VmName("vm007")) == "vm032"
    assert starts.may_begin(A, VmName("vm032"))
    assert not starts.may_begin(A, VmName("vm039"))
    assert starts.ended(A, VmName("vm036")) is None, "it was waiting, and is gone: nothing is free"
    assert starts.ended(A, VmName("vm001")) == "vm033"


def test_what_is_starting_may_be_told_again() -> None:
    starts = Starts()
    for vm in names(32):
        starts.may_begin(A, vm)

    assert starts.may_begin(A, VmName("vm005"))


@pytest.mark.parametrize(
    ("asked", "report", "online", "starting"),
    [
        (0, None, 0, False),
        (1, None, 0, True),
        (2, None, 0, False),
        (1, None, 1, False),
        (0, VmReport(SQL, Epoch(1), False, Hold.NONE), 0, True),
        (0, VmReport(SQL, Epoch(1), False, Hold.OPERATOR), 0, False),
        (0, VmReport(SQL, Epoch(1), True, Hold.NONE), 0, False),
        (1, VmReport(SQL, Epoch(0), True, Hold.NONE, 9), 0, True),
    ],
)
def test_what_is_in_flight_is_seen_from_orders_and_reports(
    asked: int, report: VmReport | None, online: int, starting: bool
) -> None:
    stage = Stage()
    row = stage.vm()
    agent = stage.agent("a")
    agent.vms.clear()
    if report is not None:
        agent.vms[SQL] = report
    if asked:
        agent.asked[SQL] = (Epoch(asked), 0.0)
    if online:
        agent.online[SQL] = Epoch(online)

    assert is_starting(agent, row) is starting


def test_a_pass_counts_anew_what_is_in_flight() -> None:
    stage, starts = Stage(), Starts()
    for vm in names(40):
        starts.may_begin(A, vm)
        stage.vm(vm)
    starts.recount(stage.scene)

    assert starts.may_begin(A, VmName("vm039")), "all are online"
