"""With which words a lab's programs are started, and what is asked when its cluster forms."""

from pathlib import Path

from lab.forming import wish
from lab.launching import Programs
from lab.loopback import Ports, lay_out
from lab.topology import parse_topology

LAB = """\
name: lab
networks: {lan: {subnet: 10.0.1.0/24}, wan: {subnet: 10.0.2.0/24}}
nodes: {node1: {}, node2: {networks: [lan]}}
coordinators: 2
store: etcd
quorum: {witness: {disk: quorum1}}
personality: 2012r2
"""


def options(argv: tuple[str, ...], name: str) -> list[str]:
    return [argv[at + 1] for at, word in enumerate(argv) if word == name]


def test_agents_ask_all_coordinators_of_a_network_before_the_next_network(tmp_path: Path) -> None:
    topology = parse_topology(LAB)
    layout = lay_out(topology, 42, Ports())
    control = [
        {net: f"{address}:3343" for net, address in addresses.items()}
        for addresses in layout.coordinators.values()
    ]

    both = Programs().agent_argv(topology, layout, "node1", tmp_path, control)
    lan = Programs().agent_argv(topology, layout, "node2", tmp_path, control)

    assert options(both, "--coordinator") == [
        *("127.42.1.250:3343", "127.42.1.249:3343"),
        *("127.42.2.250:3343", "127.42.2.249:3343"),
    ]
    assert options(lan, "--coordinator") == ["127.42.1.250:3343", "127.42.1.249:3343"]


def test_coordinators_of_one_etcd_have_names_and_know_the_folders_of_nodes(tmp_path: Path) -> None:
    topology = parse_topology(LAB)
    urls = ("http://127.42.0.1:1", "http://127.42.0.1:2")
    argv = Programs().coordinator_argv(topology, "c2", tmp_path / "c2", ("a:1",), "a:2", urls)

    assert options(argv, "--leader-name") == ["c2"]
    assert options(argv, "--store") == ["etcd"]
    assert options(argv, "--etcd") == list(urls)
    assert options(argv, "--node-folder") == [
        str(tmp_path / "nodes" / node) for node in ("node1", "node2")
    ]


def test_the_cluster_forms_with_the_witness_and_rules_of_the_file(tmp_path: Path) -> None:
    asked = wish(parse_topology(LAB), tmp_path)

    assert asked["witness"] == {
        "name": "quorum1",
        "kind": "Disk",
        "path": str(tmp_path / "witness" / "quorum1"),
    }
    assert asked["personality"] == "2012r2"
    assert "mode" not in asked
