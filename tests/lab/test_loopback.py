import dataclasses
import ipaddress
import socket
from pathlib import Path

import pytest

from lab.errors import LabError
from lab.home import Home
from lab.loopback import Loopback, Ports, first_in_use, lay_out
from lab.topology import Topology, builtin, parse_topology

ANY = Ports(heartbeat=0, control=0, migration=0, api=0)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


def take(home: Home, topology: Topology, ports: Ports = ANY) -> int:
    """Take addresses for a lab, as its launcher does; the second octet that it got."""
    with home.starting(topology.name):
        layout = Loopback(ports).take(topology, home)
        return int(layout.api_addresses["coordinator"].split(".")[1])


def test_every_nic_has_an_address_that_names_network_and_host() -> None:
    layout = lay_out(builtin("demo"), 42, Ports())

    assert layout.nodes["node3"] == {
        "management": "127.42.1.3",
        "migration": "127.42.2.3",
        "csv": "127.42.3.3",
    }
    assert layout.coordinators["coordinator"]["csv"] == "127.42.3.250"
    assert layout.api_addresses["coordinator"] == "127.42.1.250"
    everyone = [*layout.coordinators["coordinator"].values()]
    for addresses in layout.nodes.values():
        everyone += addresses.values()
    assert len(everyone) == len(set(everyone)) == 15
    assert all(ipaddress.IPv4Address(address).is_loopback for address in everyone)


def test_a_node_has_addresses_on_its_own_networks_only_and_the_api_is_where_clients_come_in() -> (
    None
):
    topology = parse_topology(
        "name: lab\n"
        "networks: {csv: {subnet: 10.0.1.0/24}, lan: {subnet: 10.0.2.0/24, gateway: true}}\n"
        "nodes: {node1: {}, node2: {networks: [lan]}}\n"
    )
    layout = lay_out(topology, 10, Ports())

    assert layout.nodes["node2"] == {"lan": "127.10.2.2"}
    assert layout.api_addresses["coordinator"] == "127.10.2.250"


def test_labs_of_one_home_get_different_octets_while_they_start(home: Home) -> None:
    demo = builtin("demo")
    with home.starting("one"), home.starting("two"):
        fabric = Loopback(ANY)
        first = fabric.take(demo.called("one"), home)
        second = fabric.take(demo.called("two"), home)
    assert first.api_addresses != second.api_addresses


def test_an_octet_is_free_again_when_it_is_given_back_or_its_lab_is_gone(home: Home) -> None:
    demo = builtin("demo")
    marks = home.root / "octets"

    first = take(home, demo)
    assert (marks / str(first)).read_text() == "demo"
    assert take(home, demo) == first

    Loopback(ANY).give_back(home, "other")
    assert [mark.name for mark in marks.iterdir()] == [str(first)]
    Loopback(ANY).give_back(home, "demo")
    assert list(marks.iterdir()) == []


def test_an_octet_on_which_a_port_is_in_use_is_passed_over(home: Home) -> None:
    demo = builtin("demo")
    octet = take(home, demo)
    with socket.create_server((f"127.{octet}.2.1", 0)) as taken:
        port = taken.getsockname()[1]
        ports = Ports(heartbeat=0, control=0, migration=port, api=0)
        assert take(home, demo, ports) != octet


@pytest.mark.parametrize(
    ("which", "kind"),
    [("heartbeat", "UDP"), ("control", "TCP"), ("migration", "TCP"), ("api", "TCP")],
)
def test_a_port_that_is_in_use_on_all_addresses_is_named(home: Home, which: str, kind: str) -> None:
    transport = socket.SOCK_DGRAM if kind == "UDP" else socket.SOCK_STREAM
    with socket.socket(socket.AF_INET, transport) as taken:
        taken.bind(("0.0.0.0", 0))
        if kind == "TCP":
            taken.listen()
        port = taken.getsockname()[1]
        ports = dataclasses.replace(ANY, **{which: port})
        with pytest.raises(LabError) as refused:
            take(home, builtin("two-nodes"), ports)

    assert f"{kind} port {port}: end the program that listens there" in str(refused.value)
    assert list((home.root / "octets").iterdir()) == []


def test_ports_of_udp_and_tcp_do_not_get_into_each_others_way() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        assert first_in_use([("UDP", "127.0.0.1", port)]) == f"UDP port {port}"
        assert first_in_use([("UDP", "127.0.0.2", port), ("UDP", "127.0.0.1", 0)]) is None


def test_an_address_that_cannot_be_had_is_one_sentence() -> None:
    with pytest.raises(LabError, match=r"cannot use TCP port 80 of 192\.0\.2\.1"):
        first_in_use([("TCP", "192.0.2.1", 80)])
