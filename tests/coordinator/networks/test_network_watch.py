"""Faults of networks become events: once, when they last, and while somebody leads."""

from typing import Any

from protocol.names import NetworkName, NodeName
from tests.coordinator.driver import World, formed
from tests.coordinator.ground import NETWORKS, TIMING

CSV, COPY, LAN = (network.name for network in NETWORKS)
LASTING_S = TIMING.support_s + 2 * TIMING.delay_s
OF_NETWORKS = {1125, 1126, 1127, 1129, 1130, 1131, 1592}


def cut(world: World, network: NetworkName, *pairs: str) -> None:
    for one, other in map(tuple, pairs):
        world[one].broken.add((NodeName(other), network))
        world[other].broken.add((NodeName(one), network))


def mend(world: World) -> None:
    for agent in world.agents.values():
        agent.broken.clear()


def told(world: World) -> list[tuple[int, str, str | None]]:
    found: list[dict[str, Any]] = [
        dict(row.value or {}) for row in world.store.range("event/", limit=1000)
    ]
    return [(e["id"], e["level"], e["node"]) for e in found if e["id"] in OF_NETWORKS]


def test_a_failed_interface_is_told_of_once_and_when_it_is_back() -> None:
    world = formed()
    cut(world, CSV, "ab", "ac")

    world.after(3 * LASTING_S)
    assert told(world) == [(1127, "error", "a")]

    mend(world)
    world.after(LASTING_S)
    assert told(world)[1:] == [(1126, "info", "a")]


def test_a_fault_that_cannot_be_located_partitions_the_network() -> None:
    world = formed()
    cut(world, CSV, "ab")
    world.after(LASTING_S)

    assert told(world) == [
        (1125, "warning", "a"),
        (1125, "warning", "b"),
        (1129, "warning", None),
    ]


def test_a_network_that_nobody_uses_is_down_and_up_again() -> None:
    world = formed("ab")
    cut(world, CSV, "ab")
    world.after(LASTING_S)
    assert (1130, "error", None) in told(world)

    mend(world)
    world.after(LASTING_S)
    assert told(world)[-1] == (1131, "info", None)


def test_flapping_fills_no_log() -> None:
    world = formed()
    for _ in range(20):
        cut(world, CSV, "ab", "ac")
        world.after(TIMING.delay_s * 2)
        mend(world)
        world.after(TIMING.delay_s * 2)

    assert told(world) == []


def test_the_death_of_a_node_is_no_fault_of_its_networks() -> None:
    world = formed()
    world.die("c")
    world.after(5 * LASTING_S)

    assert (1135 in world.events(), told(world)) == (True, [])


def test_a_member_that_is_connected_again_after_a_while_is_told_of() -> None:
    world = formed()
    world.disconnect("c")
    world.after(3 * LASTING_S)
    assert told(world) == []

    world.connect("c")
    world.after(LASTING_S)
    assert told(world) == [(1592, "info", "c")]


def test_traffic_of_the_cluster_moves_to_another_network_while_one_is_down() -> None:
    world = formed("ab")

    def carrying() -> list[str]:
        return [n["name"] for n in world.core.picture().networks if n["csv"]]

    assert carrying() == ["csv"]

    cut(world, CSV, "ab")
    world.after(TIMING.delay_s)
    assert carrying() == ["migration"]
    assert world.core.picture().migration["effective"] == ["management", "migration", "csv"]

    mend(world)
    world.after(TIMING.delay_s)
    assert carrying() == ["csv"]
