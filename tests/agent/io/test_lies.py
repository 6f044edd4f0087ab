"""Streams that are right but for one thing, and those that are right in nothing."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.batches import Kind
from protocol.names import PAGE_BYTES
from tests.fuzz.lies import VM_PAGES, bomb, header, hear_out
from tests.fuzz.pages import batches_from

quick = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
numbers = st.one_of(st.integers(0, VM_PAGES + 1), st.integers(0, 2**32 - 1))
batches = st.builds(
    lambda kind, round_no, runs, payload, length_off, checksum: (
        header(kind, round_no, len(runs), len(payload) + length_off, checksum)
        + b"".join(start.to_bytes(4, "little") for start, _ in runs)
        + b"".join(count.to_bytes(4, "little") for _, count in runs)
        + payload
    ),
    st.sampled_from([0, *Kind, 7]),
    st.sampled_from([0, 0, 0, 1, 2**32 - 1]),
    st.lists(st.tuples(numbers, numbers), max_size=3),
    st.one_of(st.binary(max_size=40), st.sampled_from([bytes(PAGE_BYTES), bomb(PAGE_BYTES)])),
    st.sampled_from([0, 0, 0, 1, -1, 2**31]),
    st.sampled_from([0, 1, 2**64 - 1]),
)


@quick
@given(st.lists(batches, max_size=5), st.integers(0, 200))
def test_whatever_a_source_says_ends_in_an_error_of_ours(said: list[bytes], cut: int) -> None:
    whole = b"".join(said)
    assert hear_out(whole[: max(0, len(whole) - cut)])


@quick
@given(st.binary(max_size=600))
def test_whatever_a_fuzzer_draws_ends_in_an_error_of_ours(data: bytes) -> None:
    assert hear_out(data)
    assert hear_out(batches_from(data))


def one(start: int, count: int) -> bytes:
    return start.to_bytes(4, "little") + count.to_bytes(4, "little")


FULL = header(Kind.PAGES, 0, 1, VM_PAGES * PAGE_BYTES, 0) + one(0, VM_PAGES)


@pytest.mark.parametrize(
    ("said", "sentence"),
    [
        (header(Kind.PAGES, 0, 1, 2 * PAGE_BYTES, 0) + one(0, 1), "do not take"),
        (header(Kind.PAGES, 0, 1, PAGE_BYTES, 0) + one(VM_PAGES, 1), "the VM has 16"),
        (header(Kind.PAGES, 0, 1, PAGE_BYTES, 9) + one(0, 1) + bytes(PAGE_BYTES), "checksum"),
        (header(Kind.ZSTD, 0, 1, 20, 0) + one(0, 1) + bomb(1 << 24)[:20], "a frame of"),
        (header(Kind.PAGES, 1, 1, PAGE_BYTES, 0) + one(0, 1), "round 1 in round 0"),
        (FULL + bytes(VM_PAGES * PAGE_BYTES - 60_000), "ended it"),
        (header(Kind.ZERO, 0, 1, 0, 0) + one(0, VM_PAGES) + FULL, "more pages than the VM"),
        (header(Kind.END, 0, 0, 0, 0) * 2, "round 0 in round 1"),
    ],
)
def test_a_lie_is_named(said: bytes, sentence: str) -> None:
    assert sentence in hear_out(said)
