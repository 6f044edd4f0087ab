import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.names import Workload
from protocol.workload import (
    BYTES_MAX,
    WORKLOADS,
    format_size,
    format_workload,
    parse_rate,
    parse_size,
    parse_workload,
    why_no_disk,
)


@pytest.mark.parametrize(
    ("text", "size_bytes"),
    [
        ("4096", 4096),
        ("0", 0),
        ("1GiB", 2**30),
        ("512MiB", 512 * 2**20),
        ("4KiB", 4096),
        ("1 GiB", 2**30),
        (" 1GiB ", 2**30),
        ("1.5GiB", 3 * 2**29),
        ("50MB", 50_000_000),
        ("1kB", 1000),
        ("1KB", 1000),
        ("2GB", 2 * 10**9),
        ("7B", 7),
    ],
)
def test_a_size_is_read_in_its_unit(text: str, size_bytes: int) -> None:
    assert parse_size(text) == size_bytes


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "write it like 1GiB"),
        ("GiB", "write it like 1GiB"),
        ("1Gib", "write it like 1GiB"),
        ("1G", "write it like 1GiB"),
        ("1GiB/s", "write it like 1GiB"),
        ("1GiB!", "write it like 1GiB"),
        ("1e9", "write it like 1GiB"),
        ("١GiB", "write it like 1GiB"),
        ("9" * 5000, "write it like 1GiB"),
        ("-1GiB", "below zero"),
        ("-0.5GiB", "below zero"),
        ("0.3KiB", "whole number of bytes"),
        ("9999999TiB", "smaller size"),
    ],
)
def test_what_is_no_size_is_refused_with_what_would_be_right(text: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        parse_size(text)


def test_a_rate_may_say_that_it_is_per_second() -> None:
    assert parse_rate("50MB/s") == parse_rate("50MB") == 50_000_000

    with pytest.raises(ValueError, match="write it like 50MB/s"):
        parse_rate("50MB/h")


@given(st.integers(0, BYTES_MAX))
def test_every_size_survives_being_written_and_read(size_bytes: int) -> None:
    assert parse_size(format_size(size_bytes)) == size_bytes


def test_a_workload_is_a_name_and_what_it_sets() -> None:
    assert parse_workload("idle") == Workload("idle")
    assert parse_workload("hotspot:rate=50MB/s,set=64MiB") == Workload("hotspot", 50_000_000, 2**26)
    assert parse_workload("sweep: set=1GiB , rate=1MB") == Workload("sweep", 10**6, 2**30)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "choose one of idle"),
        ("hotpsot", "no workload 'hotpsot'"),
        ("Idle", "choose one of idle"),
        ("hotspot:", "ends in a colon"),
        ("hotspot:rate", "no setting of a workload"),
        ("hotspot:speed=1MB/s", "no setting of a workload"),
        ("hotspot:rate=1MB/s,", "no setting of a workload"),
        ("hotspot:rate=1MB/s,rate=2MB/s", "sets rate twice"),
        ("hotspot:rate=fast", "write it like 50MB/s"),
        ("hotspot:set=-1MiB", "below zero"),
    ],
)
def test_a_bad_workload_is_refused_with_what_would_be_right(text: str, says: str) -> None:
    with pytest.raises(ValueError, match=says) as refused:
        parse_workload(text)
    assert "\n" not in str(refused.value)


def test_a_guest_with_a_disk_has_its_rate_in_operations_and_its_block() -> None:
    assert parse_workload("ledger:rate=200/s,entry=1KiB") == Workload("ledger", 200 * 1024, 0, 1024)
    assert parse_workload("ledger:rate=200/s") == Workload("ledger", 200 * 512)
    assert parse_workload("ledger:rate=1MB/s") == Workload("ledger", 10**6)
    assert parse_workload("database:page=8KiB,rate=10,set=1MiB") == Workload(
        "database", 81920, 2**20, 8192
    )
    assert (
        format_workload(Workload("ledger", 200 * 1024, 0, 1024)) == "ledger:rate=200/s,entry=1KiB"
    )
    assert format_workload(Workload("ledger", 7)) == "ledger:rate=7B/s"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("ledger:entry=100", "a multiple of 512 bytes is wanted"),
        ("ledger:entry=128KiB", "up to 65536"),
        ("ledger:page=4096", "no setting of a workload"),
        ("database:page=512", "a multiple of 4096 bytes is wanted"),
        ("ledger:rate=9999999999999999999/s", "choose a smaller rate"),
    ],
)
def test_a_block_that_no_disk_takes_is_refused(text: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        parse_workload(text)


def test_a_guest_that_needs_a_disk_is_told_what_is_wrong_with_the_vms() -> None:
    ledger = Workload("ledger")
    assert why_no_disk(Workload("wave"), ()) is None
    assert why_no_disk(ledger, (1 << 20,)) is None
    assert "the VM has none" in (why_no_disk(ledger, ()) or "")
    assert "at least 33280 bytes" in (why_no_disk(ledger, (512, 1 << 20)) or "")
    odd = Workload("ledger", block_bytes=700)
    assert "cannot write blocks of 700 bytes" in (why_no_disk(odd, (1 << 20,)) or "")


@given(
    st.builds(
        Workload,
        st.just("ledger"),
        st.integers(0, BYTES_MAX),
        st.integers(0, BYTES_MAX),
        st.integers(0, 128).map(lambda sectors: sectors * 512),
    )
)
def test_every_workload_of_a_disk_survives_being_written_and_read(workload: Workload) -> None:
    assert parse_workload(format_workload(workload)) == workload


@given(
    st.builds(
        Workload, st.sampled_from(WORKLOADS), st.integers(0, BYTES_MAX), st.integers(0, BYTES_MAX)
    )
)
def test_every_workload_survives_being_written_and_read(workload: Workload) -> None:
    assert parse_workload(format_workload(workload)) == workload
