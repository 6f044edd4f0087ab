"""Names of initiator ports."""

import pytest

from san.nexus import Nexus, nexus_of


def test_a_nexus_is_found_again_by_its_port() -> None:
    nexus = Nexus("iqn.2026-11.lab:n1,i,0x", "00023d00000a", 2)

    assert nexus_of(nexus.transport_id, 2) == nexus
    assert nexus_of("iqn.x,i,0x00023D00000A", 1) == Nexus("iqn.x", "00023d00000a")


@pytest.mark.parametrize("port", ["", "iqn.x", "iqn.x,i,0x1", ",i,0x000000000001"])
def test_other_words_name_no_port(port: str) -> None:
    assert nexus_of(port, 1) is None
