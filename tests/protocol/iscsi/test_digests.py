"""CRC32C as RFC 7143 prints it."""

import pytest

from protocol.iscsi.digests import digest_of, is_digest_of


@pytest.mark.parametrize(
    ("data", "digest"),
    [
        (bytes(32), "aa36918a"),
        (b"\xff" * 32, "43aba862"),
        (bytes(range(32)), "4e79dd46"),
        (bytes(range(31, -1, -1)), "5cdb3f11"),
    ],
)
def test_the_examples_of_the_standard(data: bytes, digest: str) -> None:
    assert digest_of(data).hex() == digest
    assert digest_of(data[:5], data[5:]).hex() == digest
    assert is_digest_of(bytes.fromhex(digest), [data])
