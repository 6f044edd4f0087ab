"""All units behind one door, and the numbers that have none."""

import pytest

from protocol.scsi.capacity import read_luns
from protocol.scsi.commands import Inquiry, Read, ReportLuns, RequestSense, TestUnitReady
from protocol.scsi.sense import read_sense
from protocol.scsi.status import Status
from san.answers import Answer, Work
from san.logical_unit import LogicalUnit, UnitFacts
from san.medium import Failure, FlushMedium
from san.nexus import Nexus
from san.units import Units

A, B = Nexus("iqn.2026-11.lab:n1"), Nexus("iqn.2026-11.lab:n2")


@pytest.fixture
def units() -> Units:
    return Units({lun: LogicalUnit(UnitFacts(f"3{lun:015x}", 100)) for lun in (0, 3)})


def code(outcome: Answer | Work | None) -> int:
    assert isinstance(outcome, Answer)
    assert outcome.sense is not None
    return outcome.sense.code


def data(outcome: Answer | Work) -> bytes:
    assert isinstance(outcome, Answer)
    assert outcome.status is Status.GOOD
    return bytes(outcome.data)


def test_all_units_are_reported_under_any_number(units: Units) -> None:
    for lun in (0, 7):
        assert read_luns(data(units.execute(A, lun, ReportLuns()))) == (0, 3)
    assert read_luns(data(units.execute(A, 0, ReportLuns(select=1)))) == ()
    assert code(units.execute(A, 0, ReportLuns(select=9))) == 0x2400


def test_a_number_without_a_unit_says_that_there_is_none(units: Units) -> None:
    assert data(units.execute(A, 7, Inquiry()))[0] == 0x7F
    assert code(units.admit(A, 7, Read(0, 1))) == 0x2500
    assert read_sense(data(units.execute(A, 7, RequestSense()))).code == 0x2500
    assert units.block_bytes(7) == 0


def test_each_unit_tells_a_new_nexus_that_it_was_switched_on(units: Units) -> None:
    units.arrived(A)

    assert code(units.execute(A, 0, TestUnitReady())) == 0x2900
    assert units.execute(A, 0, TestUnitReady()) == Answer(Status.GOOD)
    assert code(units.execute(A, 3, TestUnitReady())) == 0x2900


def test_who_comes_back_is_told_that_it_was_away(units: Units) -> None:
    units.arrived(A)
    units.execute(A, 0, TestUnitReady())

    units.arrived(A)

    assert code(units.execute(A, 0, TestUnitReady())) == 0x2907


def test_a_reset_is_told_to_everybody(units: Units) -> None:
    for nexus in (A, B):
        units.arrived(nexus)
        units.execute(nexus, 0, TestUnitReady())

    units.reset(0)

    for nexus in (A, B):
        assert code(units.execute(nexus, 0, TestUnitReady())) == 0x2903


def test_a_unit_without_a_medium_is_not_reported(units: Units) -> None:
    units.failed(3, FlushMedium(), Failure.GONE)

    assert read_luns(data(units.execute(A, 0, ReportLuns()))) == (0,)
    assert code(units.admit(A, 3, TestUnitReady())) == 0x2500
