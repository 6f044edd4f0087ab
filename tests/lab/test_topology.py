import json
from pathlib import Path

import pytest
from pydantic import ValidationError

from lab.errors import TopologyError
from lab.topology import (
    builtin,
    builtins,
    dump_topology,
    find_topology,
    load_topology,
    parse_topology,
    topology_schema,
)
from lab.topology_checks import check_machine
from protocol.names import Timing, Workload

WHOLE = """\
name: demo
timing: {delay: 250ms, threshold: 3}
networks:
  management: {subnet: 10.0.1.0/24, role: ClusterAndClient, gateway: true}
  migration:  {subnet: 10.0.2.0/24, role: Cluster, metric: 500}
  csv:        {subnet: 10.0.3.0/24}
nodes:
  node1: {memory: 2GiB, networks: [management, csv]}
  node2:
coordinator: {networks: [management]}
vms:
  sql01: {memory: 1GiB, node: node1, workload: "hotspot:rate=50MB/s,set=64MiB", fill: files}
"""

SMALL = """\
name: small
networks:
  lan: {subnet: 10.0.1.0/24}
nodes:
  node1: {memory: 1GiB}
"""


def test_a_whole_topology_is_read_with_its_sizes_times_and_defaults() -> None:
    topology = parse_topology(WHOLE)

    assert topology.clocks == Timing(delay_s=0.25, threshold=3)
    assert topology.nodes["node1"].memory == 2 * 2**30
    assert topology.nodes["node2"].memory == 4 * 2**30
    assert topology.networks_of("node1") == ("management", "csv")
    assert topology.networks_of("node2") == ("management", "migration", "csv")
    assert topology.networks_of_coordinator("coordinator") == ("management",)
    assert topology.vms["sql01"].guest == Workload("hotspot", 50_000_000, 64 * 2**20)


def test_roles_and_metrics_that_are_left_out_follow_the_gateway() -> None:
    topology = parse_topology(WHOLE)

    assert topology.metrics() == {"management": 10000, "migration": 500, "csv": 1000}
    assert topology.role("csv") == "Cluster"
    assert builtin("demo").role("management") == "ClusterAndClient"


def test_a_topology_does_not_change_once_it_is_read() -> None:
    topology = parse_topology(SMALL)
    with pytest.raises(ValidationError):
        topology.name = "other"


@pytest.mark.parametrize(
    ("old", "new", "line", "says"),
    [
        ("memory: 1GiB", "memroy: 1GiB", 5, "unknown key 'memroy' in nodes.node1: did you mean"),
        ("name: small", "name: small\ncolour: red", 2, "unknown key 'colour': known here: name"),
        ("name: small\n", "", 1, "lacks the key 'name'"),
        ("lan: {subnet: 10.0.1.0/24}", "lan: {}", 3, "networks.lan lacks the key 'subnet'"),
        (
            "nodes:",
            "nodes:\n  node1: {}",
            6,
            "'node1' stands here for the second time, after line 5",
        ),
        ("name: small", "name: Small", 1, "'Small' is no name"),
        ("name: small", "name: 7", 1, "should be a valid string"),
        ("node1:", "node_1:", 5, "'node_1' is no name"),
        ("node1:", "yes:", 5, "YAML does not read yes as a word: quote it"),
        ("node1:", "? [a]\n  :", 5, "YAML does not read this key as a word"),
        ("node1:", "coordinator:", 5, "'coordinator' means something of its own"),
        ("node1:", "lan:", 5, "'lan' is already the name of one of the networks"),
        ("memory: 1GiB", "memory: 0", 5, "0 bytes is no memory size"),
        ("memory: 1GiB", "memory: -4096", 5, "is below zero"),
        ("memory: 1GiB", "memory: 5000", 5, "multiple of 4096"),
        ("memory: 1GiB", "memory: lots", 5, "'lots' is no size: write it like 1GiB"),
        ("memory: 1GiB", "memory: true", 5, "True is no size"),
        ("memory: 1GiB", "networks: []", 5, "node 'node1' has no NIC"),
        ("memory: 1GiB", "networks: [lna]", 5, "unknown network 'lna': did you mean 'lan'?"),
        ("memory: 1GiB", "networks: [lan, lan]", 5, "names network 'lan' twice"),
        ("memory: 1GiB", "networks: lan", 5, "should be a valid tuple"),
        ("{memory: 1GiB}", "4GiB", 5, "must hold keys with values"),
        ("10.0.1.0/24", "10.0.1.5/24", 3, "10.0.1.0/24 is"),
        ("10.0.1.0/24", "10.0.1.0", 3, "10.0.1.0/32 is"),
        ("10.0.1.0/24", "lan", 3, "write it like 10.0.1.0/24"),
        ("10.0.1.0/24", "10.0.1.0/31", 3, "room for 0 hosts, but 2 are on it"),
        ("10.0.1.0/24}", "10.0.1.0/24, role: none}", 3, "should be 'None', 'Cluster' or"),
        ("10.0.1.0/24}", "10.0.1.0/24, metric: 0}", 3, "greater than or equal to 1"),
        ("10.0.1.0/24}", "10.0.1.0/24, role: None}", 5, "shares no cluster network"),
        ("nodes:", "  b: {subnet: 10.0.1.0/24}\nnodes:", 4, "already the subnet of 'lan'"),
        ("nodes:", "  b: {subnet: 10.0.0.0/16}\nnodes:", 4, "overlaps 10.0.1.0/24 of 'lan'"),
        (
            "nodes:\n  node1: {memory: 1GiB}",
            "  b: {subnet: 10.0.2.0/24}\nnodes:\n  node1: {networks: [lan]}",
            4,
            "network 'b' has no NICs",
        ),
        ("name: small", "name: small\ntiming: {delay: 1}", 2, "write it like 1000ms"),
        ("name: small", "name: small\ntiming: {delay: 1h}", 2, "write it like 1000ms"),
        ("name: small", "name: small\ntiming: {delay: 2ms}", 2, "choose 20ms to 60s"),
        ("name: small", "name: small\ntiming: {threshold: 0}", 2, "greater than or equal to 2"),
        ("name: small", "name: [small", 2, "this is no YAML"),
        ("name: small", "name: small\n\t", 2, "this is no YAML"),
        ("name: small", "name: !!python/name:os.system x", 1, "this is no YAML"),
        ("name: small", "name: &a [*a]", 1, "an alias must not contain itself"),
        ("  node1: {memory: 1GiB}\n", "", 4, "nodes must hold keys with values"),
        ("  node1: {memory: 1GiB}\n", "  {}\n", 4, "there are 0 nodes: a lab has 1 to 64"),
    ],
)
def test_a_bad_topology_is_refused_with_its_line_and_what_would_be_right(
    old: str, new: str, line: int, says: str
) -> None:
    assert old in SMALL

    with pytest.raises(TopologyError) as refused:
        parse_topology(SMALL.replace(old, new, 1), "small.yaml")

    sentence = str(refused.value)
    assert sentence.startswith(f"small.yaml, line {line}: "), sentence
    assert says in sentence, sentence
    assert "\n" not in sentence


@pytest.mark.parametrize(
    ("vm", "says"),
    [
        ("{memory: 2GiB}", "VM 'sql01' wants 2GiB, but the largest node has 1GiB"),
        ("{memory: 0}", "no memory size"),
        ("{memory: 4097}", "multiple of 4096"),
        ("{memory: -1GiB}", "below zero"),
        ("{}", "lacks the key 'memory'"),
        ("{memory: 1GiB, node: node2}", "unknown node 'node2': did you mean 'node1'?"),
        ("{memory: 1GiB, workload: hotpsot}", "no workload 'hotpsot': choose one of idle"),
        ('{memory: 1GiB, workload: "sweep:set=1GiB"}', "does not fit 1GiB beside the guest's own"),
        ("{memory: 1GiB, fill: pi}", "should be 'random', 'files' or 'zero'"),
    ],
)
def test_a_vm_that_cannot_be_is_refused_at_its_line(vm: str, says: str) -> None:
    with pytest.raises(TopologyError) as refused:
        parse_topology(f"{SMALL}vms:\n  sql01: {vm}\n", "small.yaml")

    assert str(refused.value).startswith("small.yaml, line 7: ")
    assert says in str(refused.value)


def test_vms_that_one_node_cannot_hold_together_are_refused() -> None:
    vms = "vms:\n  a: {memory: 768MiB, node: node1}\n  b: {memory: 512MiB, node: node1}\n"
    with pytest.raises(TopologyError, match=r"line 8: the VMs of node 'node1' want 1280MiB"):
        parse_topology(SMALL + vms)


def test_aliases_that_unfold_without_end_are_refused_at_once() -> None:
    bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n"
    for level in range(1, 12):
        bomb += f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 10)}]\n"
    with pytest.raises(TopologyError, match="use fewer aliases"):
        parse_topology(bomb)


@pytest.mark.parametrize("text", ["", "just words", "- a\n- b\n", "---\na: 1\n---\nb: 2\n", "\0"])
def test_what_is_no_mapping_is_refused_in_one_sentence(text: str) -> None:
    with pytest.raises(TopologyError, match=r"^topology, line \d+: [^\n]+$"):
        parse_topology(text)


def test_of_several_mistakes_the_first_in_the_file_is_named() -> None:
    with pytest.raises(TopologyError, match="line 3: unknown key 'gatway'"):
        parse_topology(SMALL.replace("/24}", "/24, gatway: yes}").replace("1GiB", "0"))


def test_the_builtin_topologies_are_whole() -> None:
    assert builtins() == ("demo", "san-four-nodes", "san-two-nodes", "two-nodes")
    demo = builtin("demo")
    assert list(demo.nodes) == ["node1", "node2", "node3", "node4"]
    by_metric = sorted(demo.networks, key=demo.metrics().__getitem__)
    assert by_metric == ["csv", "migration", "management"]
    assert len(builtin("two-nodes").nodes) == 2


@pytest.mark.parametrize("text", [WHOLE, SMALL])
def test_a_topology_survives_being_written_and_read(text: str) -> None:
    topology = parse_topology(text)
    assert parse_topology(dump_topology(topology)) == topology


def test_a_topology_is_found_by_file_or_by_builtin_name(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(SMALL)

    assert find_topology(str(path)).name == "small"
    assert find_topology("demo").name == "demo"
    with pytest.raises(TopologyError, match=r"cannot read the topology .*No such file"):
        find_topology(str(tmp_path / "none.yaml"))
    with pytest.raises(TopologyError, match="give a file, or one of demo, san-four-nodes"):
        find_topology("dmeo")


def test_policies_of_ones_own_are_found_beside_the_topology(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("")
    path = tmp_path / "mine.yaml"
    path.write_text(f"{SMALL}\npolicies: [mine.py]\n")

    assert load_topology(path).policies == (str(tmp_path / "mine.py"),)

    path.write_text(f"{SMALL}\npolicies: [mine.py, gone.py]\n")
    with pytest.raises(TopologyError, match=r"policies: there is no file .*gone\.py"):
        load_topology(path)


def test_a_file_that_is_not_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "noise.yaml"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(TopologyError, match="it is not text in UTF-8"):
        load_topology(path)


def test_a_lab_can_be_called_otherwise_but_not_anyhow() -> None:
    assert builtin("demo").called("demo-2").name == "demo-2"
    with pytest.raises(TopologyError, match="is no name"):
        builtin("demo").called("../demo")


def test_a_lab_larger_than_the_machine_is_refused() -> None:
    topology = parse_topology(WHOLE)
    assert check_machine(topology, 2**32) is None
    assert "make the VM smaller" in (check_machine(topology, 2**29) or "")
    assert check_machine(topology, 2**31) == (
        "node 'node2' wants 4GiB, but this machine has 2048MiB: give the node less"
    )
    second = parse_topology(f"{WHOLE}  web01: {{memory: 1GiB, node: node2}}\n")
    assert "the VMs want 2GiB together" in (check_machine(second, 2**31 - 1) or "")


def test_the_schema_is_plain_json_that_refuses_unknown_keys() -> None:
    schema = json.loads(json.dumps(topology_schema()))

    assert schema["required"] == ["name", "networks", "nodes"]
    assert schema["additionalProperties"] is False
    assert all(part["additionalProperties"] is False for part in schema["$defs"].values())
