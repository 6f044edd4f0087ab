import pytest

from agent.config import AgentConfig, Limits
from protocol.names import PAGE_BYTES, Endpoint, NetworkName, NodeName

ENDPOINT = Endpoint(((NetworkName("lan"), "127.0.0.1"),), 3343, 6600)


def test_the_limits_of_2008_r2_are_the_defaults() -> None:
    assert Limits().rounds_max == 10
    assert Limits().blackout_max_s == 0.05


@pytest.mark.parametrize("name", ["blackout_max_s", "switch_max_s", "listen_max_s"])
def test_a_time_of_nothing_is_no_limit(name: str) -> None:
    with pytest.raises(ValueError, match=name):
        Limits(**{name: 0.0})  # type: ignore[arg-type]


def test_a_migration_makes_at_least_one_round() -> None:
    with pytest.raises(ValueError, match="at least one round"):
        Limits(rounds_max=0)


def test_a_node_without_name_address_or_memory_is_no_node() -> None:
    with pytest.raises(ValueError, match="name"):
        AgentConfig(node=NodeName(""), endpoint=ENDPOINT, memory_bytes=PAGE_BYTES)
    with pytest.raises(ValueError, match="address"):
        AgentConfig(node=NodeName("a"), endpoint=Endpoint((), 1, 2), memory_bytes=PAGE_BYTES)
    with pytest.raises(ValueError, match="at least a page"):
        AgentConfig(node=NodeName("a"), endpoint=ENDPOINT, memory_bytes=PAGE_BYTES - 1)
