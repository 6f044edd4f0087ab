"""Parameter data of persistent reservations, both ways."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.scsi.errors import BadResponse, IllegalRequest
from protocol.scsi.persistent import (
    Capabilities,
    FullStatus,
    Keys,
    Kind,
    OutParameters,
    Registrant,
    Reservation,
    read_transport_id,
    write_transport_id,
)

KEY = st.integers(0, (1 << 64) - 1)
PORT = st.from_regex(r"iqn\.[a-z.\-:0-9]{1,60},i,0x[0-9a-f]{12}", fullmatch=True)
KIND = st.sampled_from(Kind)
GENERATION = st.integers(0, (1 << 32) - 1)


@given(
    st.builds(
        OutParameters,
        KEY,
        KEY,
        st.booleans(),
        st.booleans(),
        st.none() | st.lists(PORT, max_size=3).map(tuple),
    )
)
def test_what_is_sent_along_is_what_arrives(parameters: OutParameters) -> None:
    assert OutParameters.read(parameters.write()) == parameters


@given(st.binary(max_size=120))
def test_any_parameters_are_understood_or_illegal(data: bytes) -> None:
    with contextlib.suppress(IllegalRequest):
        assert isinstance(OutParameters.read(data), OutParameters)


@given(GENERATION, st.lists(KEY, max_size=8).map(tuple))
def test_keys_survive_and_a_cut_answer_shows_the_first(generation: int, keys: tuple[int]) -> None:
    data = Keys(generation, keys).write()

    assert Keys.read(data) == Keys(generation, keys)
    assert Keys.read(data[:20]).keys == keys[:1]


@given(GENERATION, KEY, st.none() | KIND)
def test_a_reservation_survives(generation: int, key: int, kind: Kind | None) -> None:
    held = Reservation(generation, key if kind else 0, kind)

    assert Reservation.read(held.write()) == held


@given(
    GENERATION,
    st.lists(
        st.builds(Registrant, KEY, PORT, st.integers(0, 0xFFFF), st.booleans(), st.none() | KIND),
        max_size=4,
    ).map(tuple),
)
def test_full_status_survives(generation: int, registrants: tuple[Registrant, ...]) -> None:
    status = FullStatus(generation, registrants)

    assert FullStatus.read(status.write()) == status


@given(st.binary(max_size=100))
def test_any_answer_is_understood_or_a_bad_response(data: bytes) -> None:
    for kind in (Keys, Reservation, Capabilities, FullStatus):
        with contextlib.suppress(BadResponse):
            assert isinstance(kind.read(data), kind)


def test_capabilities_tell_all_six_types() -> None:
    data = Capabilities(persists=True).write()

    assert data.hex() == "00080d81ea010000"
    assert Capabilities.read(data) == Capabilities(persists=True)


def test_a_transport_id_is_padded_to_whole_words() -> None:
    port = "iqn.2026-11.lab:n1,i,0x000000000001"

    data = write_transport_id(port)

    assert len(data) % 4 == 0
    assert data[0] == 0x45
    assert read_transport_id(data) == (port, len(data))


def test_parameters_of_an_odd_length_are_refused() -> None:
    with pytest.raises(IllegalRequest) as refused:
        OutParameters.read(bytes(25))

    assert refused.value.sense.code == 0x1A00
