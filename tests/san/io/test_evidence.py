"""The log of writes: complete, in order, and readable up to a torn end."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import xxhash

from san.io.evidence import (
    BadEvidence,
    Evidence,
    KeysSeen,
    Kind,
    WriteSeen,
    evidence_files,
    read_evidence,
)

WRITER = "iqn.2026-11.lab:n1,i,0x00023d000001"


def wrote(evidence: Evidence, lba: int, writer: str = WRITER) -> None:
    evidence.wrote(writer, 7, 0, lba, 1, [b"some", memoryview(b"thing")])


def lbas(folder: Path) -> list[int]:
    return [seen.lba for seen in read_evidence(folder) if isinstance(seen, WriteSeen)]


def test_a_write_is_told_with_all_that_a_checker_needs(tmp_path: Path) -> None:
    evidence = Evidence(tmp_path)
    wrote(evidence, 5)
    evidence.wrote(WRITER, 0, 1, 9, 100, (), Kind.UNMAP)
    evidence.registered(0, 3, [(WRITER, 7), ("other", 8)])
    evidence.close()

    write, unmap, keys = read_evidence(tmp_path)

    digest = xxhash.xxh64_intdigest(b"something")
    assert isinstance(write, WriteSeen)
    assert write == WriteSeen(write.at_ns, WRITER, 7, 0, 5, 1, digest)
    assert unmap == WriteSeen(unmap.at_ns, WRITER, 0, 1, 9, 100, 0, Kind.UNMAP)
    assert keys == KeysSeen(keys.at_ns, 0, 3, ((WRITER, 7), ("other", 8)))
    assert write.at_ns <= unmap.at_ns <= keys.at_ns


def test_a_file_that_is_full_is_followed_by_another(tmp_path: Path) -> None:
    evidence = Evidence(tmp_path, rotate_bytes=300)
    for lba in range(20):
        wrote(evidence, lba)
    evidence.close()

    assert len(evidence_files(tmp_path)) > 3
    assert lbas(tmp_path) == list(range(20))


def test_another_life_goes_on_in_a_file_of_its_own(tmp_path: Path) -> None:
    for lba in (1, 2):
        evidence = Evidence(tmp_path)
        wrote(evidence, lba)
        evidence.close()

    assert lbas(tmp_path) == [1, 2]


def test_a_log_cut_at_any_byte_tells_all_whole_entries(tmp_path: Path) -> None:
    evidence = Evidence(tmp_path)
    for lba in range(3):
        wrote(evidence, lba)
    evidence.close()
    (path,) = evidence_files(tmp_path)
    whole = path.read_bytes()

    seen = []
    for length in range(len(whole) + 1):
        path.write_bytes(whole[:length])
        seen.append(lbas(tmp_path))

    assert seen[-1] == [0, 1, 2]
    assert all(short == [0, 1, 2][: len(short)] for short in seen)
    assert [len(short) for short in seen] == sorted(len(short) for short in seen)


def test_damage_before_the_end_is_no_torn_tail(tmp_path: Path) -> None:
    evidence = Evidence(tmp_path)
    for lba in range(3):
        wrote(evidence, lba)
    evidence.close()
    (path,) = evidence_files(tmp_path)
    damaged = bytearray(path.read_bytes())
    damaged[-60] ^= 1
    path.write_bytes(damaged)

    with pytest.raises(BadEvidence, match="damaged"):
        lbas(tmp_path)


def test_many_threads_append_whole_entries(tmp_path: Path) -> None:
    evidence = Evidence(tmp_path, rotate_bytes=4000)
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda lba: wrote(evidence, lba, f"writer {lba % 5}"), range(400)))
    evidence.close()

    assert sorted(lbas(tmp_path)) == list(range(400))
