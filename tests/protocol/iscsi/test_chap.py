"""CHAP: who knows the secret is let in, and nobody else."""

import pytest

from protocol.iscsi.chap import (
    Challenge,
    Credentials,
    answer,
    check,
    prove,
    read_binary,
    read_challenge,
)
from protocol.iscsi.errors import BadChap

ME = Credentials("node1", b"correct horse battery")
CHALLENGE = Challenge(7, bytes(range(16)))


def test_the_sum_is_that_of_the_standard() -> None:
    # MD5 over identifier, secret and challenge (RFC 1994), by another program.
    assert answer(Challenge(0, b"c"), b"s").hex() == "112bfbfaae11984500cb965b070e1693"


def test_who_knows_the_secret_is_believed() -> None:
    proof = dict(prove(read_challenge(dict(CHALLENGE.pairs())), ME))

    check(CHALLENGE, ME, proof)

    assert proof["CHAP_N"] == "node1"


@pytest.mark.parametrize(
    "proof",
    [
        dict(prove(CHALLENGE, Credentials("node1", b"wrong horse battery!"))),
        dict(prove(CHALLENGE, Credentials("node2", ME.secret))),
        dict(prove(Challenge(8, CHALLENGE.value), ME)),
        {"CHAP_N": "node1"},
        {"CHAP_N": "node1", "CHAP_R": "0x"},
        {"CHAP_N": "node1", "CHAP_R": "0x" + "00" * 17},
        {"CHAP_N": "node1", "CHAP_R": "0bnot base64"},
    ],
)
def test_nobody_else_is(proof: dict[str, str]) -> None:
    with pytest.raises(BadChap):
        check(CHALLENGE, ME, proof)


@pytest.mark.parametrize("number", ["", "256", "-1", "x", "٣"])
def test_a_bad_identifier_is_refused(number: str) -> None:
    with pytest.raises(BadChap):
        read_challenge({"CHAP_I": number, "CHAP_C": "0x00"})


def test_binary_may_be_hexadecimal_or_base64() -> None:
    assert read_binary("K", "0xabc", 16) == b"\x0a\xbc"
    assert read_binary("K", "0bq80=", 16) == b"\xab\xcd"


def test_a_secret_is_in_no_text() -> None:
    assert "horse" not in repr(ME)
