"""A unit's file: blocks and the record, and what a broken disk or a removed file look like."""

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from protocol.scsi.persistent import Kind
from san.io.lun_file import BadLunFile, LunFile
from san.medium import Failure, MediumFailed
from san.nexus import Nexus
from san.reservation_record import BadRecord, ReservationRecord

MIB = 1 << 20
A = Nexus("iqn.2026-11.lab:n1")
RECORD = ReservationRecord(1, True, ((A, 7),), A, Kind.WRITE_REGISTRANTS)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    LunFile.create(tmp_path / "lun-0", MIB)
    return tmp_path / "lun-0"


def read(file: LunFile, lba: int, blocks: int) -> bytes:
    found = bytearray(blocks * file.block_bytes)
    file.read_into(lba, found)
    return bytes(found)


def test_a_new_unit_is_sparse_and_all_zeros(path: Path) -> None:
    with LunFile.open(path) as file:
        assert file.blocks == 2048
        assert read(file, 2047, 1) == bytes(512)
    assert path.stat().st_blocks == 0


def test_what_is_written_in_pieces_is_read(path: Path) -> None:
    with LunFile.open(path) as file:
        file.write(3, [b"a" * 300, memoryview(b"b" * 212), bytearray(b"c" * 512)], fua=True)
        file.flush()

        assert read(file, 2, 3) == bytes(512) + b"a" * 300 + b"b" * 212 + b"c" * 512


def test_more_pieces_than_the_kernel_takes_at_once_are_written_whole(path: Path) -> None:
    pieces = [bytes([index % 251]) * 64 for index in range(4000)]

    with LunFile.open(path) as file:
        file.write(0, pieces)

        assert read(file, 0, 500) == b"".join(pieces)


def test_many_threads_write_side_by_side(path: Path) -> None:
    with LunFile.open(path) as file, ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda n: file.write(n, [bytes([n % 251]) * 512]), range(500)))

        assert read(file, 0, 500) == b"".join(bytes([n % 251]) * 512 for n in range(500))


def test_blocks_given_back_read_as_zeros_and_take_no_space(path: Path) -> None:
    with LunFile.open(path) as file:
        file.write(0, [b"x" * MIB], fua=True)
        file.punch(0, 2048)
        file.flush()

        assert read(file, 1000, 1) == bytes(512)
    assert path.stat().st_size == MIB


def test_a_unit_in_use_is_not_opened_twice(path: Path) -> None:
    with LunFile.open(path), pytest.raises(BadLunFile, match="in use"):
        LunFile.open(path)
    LunFile.open(path).close()


def test_a_unit_is_not_created_over_another(path: Path) -> None:
    with pytest.raises(BadLunFile, match="exists"):
        LunFile.create(path, MIB)


@pytest.mark.parametrize("size", [0, 1000])
def test_odd_sizes_are_refused(tmp_path: Path, size: int) -> None:
    odd = tmp_path / "odd"
    odd.write_bytes(bytes(size))

    with pytest.raises(BadLunFile, match="whole blocks"):
        LunFile.open(odd)


def test_a_removed_file_takes_no_flush_and_no_fua_write(path: Path) -> None:
    with LunFile.open(path) as file:
        path.unlink()

        for deed in (file.flush, lambda: file.write(0, [bytes(512)], fua=True)):
            with pytest.raises(MediumFailed) as failed:
                deed()
            assert failed.value.failure is Failure.GONE


def test_a_replaced_or_cut_file_is_gone(path: Path) -> None:
    with LunFile.open(path) as file:
        os.truncate(path, 512)
        with pytest.raises(MediumFailed, match="was cut"):
            file.check_present()
        path.rename(path.with_name("aside"))
        path.write_bytes(bytes(MIB))
        with pytest.raises(MediumFailed, match="replaced"):
            file.check_present()


def test_a_full_disk_is_told_as_full() -> None:
    """The kernel's own full device stands for a full disk."""
    file = LunFile(Path("/dev/full"), os.open("/dev/full", os.O_RDWR), 512)

    with file, pytest.raises(MediumFailed) as failed:
        file.write(0, [bytes(512)])

    assert failed.value.failure is Failure.FULL


def test_the_record_is_kept_beside_the_file(path: Path) -> None:
    with LunFile.open(path) as file:
        assert file.load() is None
        assert file.save(RECORD)
    with LunFile.open(path) as file:
        assert file.load() == RECORD


def test_an_older_record_never_replaces_a_later_one(path: Path) -> None:
    with LunFile.open(path) as file:
        file.save(ReservationRecord(5, True))

        assert not file.save(RECORD)
        assert file.load() == ReservationRecord(5, True)


def test_a_registration_without_persistence_erases_what_was_kept(path: Path) -> None:
    with LunFile.open(path) as file:
        file.save(RECORD)
        file.save(ReservationRecord(2))

        assert file.load() == ReservationRecord(2)


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"format": 9}'])
def test_a_damaged_record_is_refused(path: Path, text: str) -> None:
    path.with_name("lun-0.reservations").write_text(text)

    with LunFile.open(path) as file, pytest.raises(BadRecord):
        file.load()


def test_a_torn_new_record_leaves_the_old_one(path: Path) -> None:
    with LunFile.open(path) as file:
        file.save(RECORD)
        path.with_name("lun-0.reservations.new").write_text("{half")

        assert file.load() == RECORD
