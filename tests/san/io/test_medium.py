"""Deeds done to a real file, with every write on record before it counts."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from protocol.scsi.persistent import Kind as ReservationKind
from san.io.evidence import Evidence, KeysSeen, Kind, WriteSeen, read_evidence
from san.io.lun_file import LunFile
from san.io.medium import Medium
from san.medium import (
    AbortTasks,
    CompareMedium,
    Failure,
    FillMedium,
    FlushMedium,
    MediumFailed,
    ReadMedium,
    SaveReservations,
    UnmapMedium,
    WriteMedium,
)
from san.nexus import Nexus
from san.reservation_record import ReservationRecord

A = Nexus("iqn.2026-11.lab:n1")
ONES = b"\1" * 512


@pytest.fixture
def medium(tmp_path: Path) -> Iterator[Medium]:
    LunFile.create(tmp_path / "lun-0", 4 << 20)
    evidence = Evidence(tmp_path / "evidence")
    medium = Medium(0, LunFile.open(tmp_path / "lun-0"), evidence)
    yield medium
    medium.close()
    evidence.close()


def test_writes_fills_and_holes_are_done_and_on_record(medium: Medium, tmp_path: Path) -> None:
    medium.carry_out(WriteMedium(1, 1, [ONES], True, 7), A)
    medium.carry_out(FillMedium(2, 5000, ONES, 7), A)
    medium.carry_out(UnmapMedium(((3, 2), (9, 1)), 7), A)
    medium.carry_out(FlushMedium(), A)

    found = medium.carry_out(ReadMedium(0, 6), A)
    assert found is not None
    assert bytes(found) == bytes(512) + ONES * 2 + bytes(1024) + ONES
    seen = [
        (one.kind, one.writer, one.key, one.lba, one.blocks)
        for one in read_evidence(tmp_path / "evidence")
        if isinstance(one, WriteSeen)
    ]
    writer = A.transport_id
    assert seen == [
        (Kind.WRITE, writer, 7, 1, 1),
        (Kind.FILL, writer, 7, 2, 5000),
        (Kind.UNMAP, writer, 7, 3, 2),
        (Kind.UNMAP, writer, 7, 9, 1),
    ]


def test_a_comparison_names_the_first_other_block(medium: Medium) -> None:
    medium.carry_out(FillMedium(0, 10, ONES, 0), A)

    medium.carry_out(CompareMedium(0, 10, [ONES]), A)
    medium.carry_out(CompareMedium(0, 8192, []), A)
    with pytest.raises(MediumFailed) as failed:
        medium.carry_out(CompareMedium(8, 4, [ONES * 4]), A)

    assert (failed.value.failure, failed.value.block) == (Failure.DIFFERENT, 10)


def test_registrations_are_saved_and_on_record(medium: Medium, tmp_path: Path) -> None:
    record = ReservationRecord(1, True, ((A, 7),), A, ReservationKind.WRITE_REGISTRANTS)

    for _ in range(2):
        medium.carry_out(SaveReservations(record, 1, ((A, 7),)), A)

    assert medium.file.load() == record
    (seen,) = read_evidence(tmp_path / "evidence")
    assert isinstance(seen, KeysSeen)
    assert seen.keys == ((A.transport_id, 7),)


def test_a_write_that_cannot_be_put_on_record_is_not_done(medium: Medium) -> None:
    assert medium.evidence is not None
    medium.evidence.close()

    with pytest.raises(MediumFailed) as failed:
        medium.carry_out(WriteMedium(1, 1, [ONES], False, 7), A)

    assert failed.value.failure is Failure.UNRECORDED


def test_a_removed_file_is_found_by_the_next_flush(medium: Medium) -> None:
    medium.file.path.unlink()

    with pytest.raises(MediumFailed) as failed:
        medium.carry_out(FlushMedium(), A)

    assert failed.value.failure is Failure.GONE


def test_tasks_are_no_business_of_the_medium(medium: Medium) -> None:
    with pytest.raises(AssertionError):
        medium.carry_out(AbortTasks((A,)), A)
