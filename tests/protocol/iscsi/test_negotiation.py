"""Both ends of a negotiation come to the same, whatever they wish."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.iscsi.errors import BadNegotiation, BadText
from protocol.iscsi.negotiation import Agreed, Negotiation, Wishes

DIGESTS = st.sampled_from(
    [("None",), ("None", "CRC32C"), ("CRC32C", "None"), ("CRC32C", "Other", "None")]
)
SIZES = st.integers(512, (1 << 24) - 1)
WISHES = st.builds(
    Wishes,
    DIGESTS,
    DIGESTS,
    st.booleans(),
    st.booleans(),
    SIZES,
    SIZES,
    SIZES,
    st.integers(0, 3600),
    st.integers(0, 3600),
    st.integers(1, 65535),
)


def negotiated(initiator: Negotiation, target: Negotiation) -> tuple[Agreed, Agreed]:
    replies = target.take(initiator.offer()) + target.declare()
    assert initiator.take(replies) == []
    assert not initiator.awaited
    return initiator.agreed, target.agreed


@given(WISHES, WISHES)
def test_both_ends_agree(one: Wishes, other: Wishes) -> None:
    here, there = negotiated(Negotiation(one), Negotiation(other))

    assert (here.send_bytes_max, here.receive_bytes_max) == (
        there.receive_bytes_max,
        there.send_bytes_max,
    )
    same = [name for name in Agreed.__slots__ if not name.endswith("e_bytes_max")]
    for name in set(same) - {"send_bytes_max", "receive_bytes_max"}:
        assert getattr(here, name) == getattr(there, name), name
    assert here.first_burst_bytes_max <= here.burst_bytes_max
    assert here.initial_r2t == (one.initial_r2t or other.initial_r2t)
    assert here.immediate_data == (one.immediate_data and other.immediate_data)


def test_what_nobody_speaks_of_has_the_defaults_of_the_standard() -> None:
    assert Negotiation(Wishes()).agreed == Agreed(receive_bytes_max=Wishes().receive_bytes_max)


def test_the_first_digest_of_the_offerer_wins() -> None:
    target = Negotiation(Wishes(header_digest=("None", "CRC32C")))

    assert target.take([("HeaderDigest", "CRC32C,None")]) == [("HeaderDigest", "CRC32C")]


def test_unknown_keys_and_lists_without_a_common_value_are_answered() -> None:
    target = Negotiation(Wishes())

    assert target.take([("X-com.example", "1"), ("DataDigest", "MD5"), ("OFMarker", "Yes")]) == [
        ("X-com.example", "NotUnderstood"),
        ("DataDigest", "Reject"),
        ("OFMarker", "No"),
    ]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("MaxBurstLength", "511"),
        ("MaxBurstLength", "16777216"),
        ("MaxRecvDataSegmentLength", "0"),
        ("ImmediateData", "yes"),
        ("ErrorRecoveryLevel", "many"),
    ],
)
def test_values_that_a_key_does_not_allow_are_refused(key: str, value: str) -> None:
    with pytest.raises(BadText):
        Negotiation(Wishes()).take([(key, value)])


@pytest.mark.parametrize(
    "answer", [("MaxBurstLength", "2097152"), ("HeaderDigest", "Reject"), ("InitialR2T", "Maybe")]
)
def test_an_answer_that_fits_no_offer_is_refused(answer: tuple[str, str]) -> None:
    initiator = Negotiation(Wishes(header_digest=("CRC32C",)))
    initiator.offer()

    with pytest.raises((BadNegotiation, BadText)):
        initiator.take([answer])


def test_a_key_is_negotiated_once() -> None:
    with pytest.raises(BadNegotiation, match="twice"):
        Negotiation(Wishes()).take([("MaxConnections", "1"), ("MaxConnections", "1")])
