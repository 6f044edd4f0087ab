"""With which words a lab's programs are started, and what is asked when its cluster forms."""

import json
from pathlib import Path

import pytest

from lab import san_launching
from lab.errors import StartFailed
from lab.forming import wish
from lab.home import SanRecord
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


def test_a_witness_on_a_lun_is_named_by_the_luns_id(tmp_path: Path) -> None:
    san = "san: {luns: [{name: quorum1, size: 64MiB}]}\n"
    topology = parse_topology(LAB + san)

    assert wish(topology, tmp_path, {"quorum1": "60ab"})["witness"] == {
        "name": "quorum1",
        "kind": "Disk",
        "path": "lun:60ab",
    }


WITH_SAN = """\
name: lab
networks:
  lan: {subnet: 10.0.1.0/24}
  storage-a: {subnet: 10.0.8.0/24, role: None}
  storage-b: {subnet: 10.0.9.0/24, role: None}
nodes: {node1: {}, node2: {networks: [lan, storage-b]}}
san:
  luns: [{name: data1, size: 64MiB}, {name: data2, size: 1GiB}]
  chap: {name: hvlab, secret: a-long-enough-secret}
"""


def test_the_san_has_a_portal_on_each_of_its_networks_and_agents_are_told_those_they_can_reach(
    tmp_path: Path,
) -> None:
    topology = parse_topology(WITH_SAN)
    layout = lay_out(topology, 42, Ports(iscsi=0))
    chap = san_launching.write_chap(topology, tmp_path / "chap.json")
    wanted = san_launching.portals_wanted(layout)
    argv = san_launching.san_options(topology, tmp_path / "san", wanted, chap)

    assert options(argv, "--portal") == ["127.42.2.240:0", "127.42.3.240:0"]
    assert options(argv, "--lun") == ["data1=67108864", "data2=1073741824"]
    secret = json.loads((tmp_path / "chap.json").read_text())
    assert secret == {"name": "hvlab", "secret": "a-long-enough-secret"}
    assert (tmp_path / "chap.json").stat().st_mode & 0o777 == 0o600

    said = {"portals": ["127.42.2.240:7001", "127.42.3.240:7002"]}
    portals = san_launching.check_portals(said, wanted)
    target = san_launching.target_name(topology)
    san = SanRecord(
        name="san",
        pid=1,
        start_time=1,
        addresses=layout.san,
        argv=argv,
        ready=said,
        portals=portals,
        target=target,
    )
    both = san_launching.agent_options(topology, layout, "node1", san, chap)
    one = san_launching.agent_options(topology, layout, "node2", san, chap)
    assert options(both, "--portal") == [
        "storage-a=127.42.2.240:7001",
        "storage-b=127.42.3.240:7002",
    ]
    assert options(one, "--portal") == ["storage-b=127.42.3.240:7002"]
    assert options(one, "--target") == options(argv, "--target") == [target]
    assert options(both, "--initiator") != options(one, "--initiator")


def test_a_san_that_listens_elsewhere_than_it_was_told_is_no_start() -> None:
    with pytest.raises(StartFailed, match=r"listens on .*, not on"):
        san_launching.check_portals({"portals": ["127.0.0.1:3260"]}, ["127.42.2.240:0"])
    with pytest.raises(StartFailed, match="lacks 'portals'"):
        san_launching.check_portals({}, ["127.42.2.240:0"])
