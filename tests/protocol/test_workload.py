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


@given(
    st.builds(
        Workload, st.sampled_from(WORKLOADS), st.integers(0, BYTES_MAX), st.integers(0, BYTES_MAX)
    )
)
def test_every_workload_survives_being_written_and_read(workload: Workload) -> None:
    assert parse_workload(format_workload(workload)) == workload
