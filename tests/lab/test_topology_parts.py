"""Votes, properties and coordinators of a topology: what is read, and what is refused."""

import json

import pytest

from lab.errors import TopologyError
from lab.topology import Topology, dump_topology, parse_topology, topology_schema

SMALL = """\
name: small
networks:
  lan: {subnet: 10.0.1.0/24}
  wan: {subnet: 10.0.2.0/24}
nodes: {node1: {}, node2: {}}
"""


def with_lines(lines: str) -> Topology:
    return parse_topology(f"{SMALL}{lines}\n", "small.yaml")


def test_everything_that_decides_is_read_and_written_again() -> None:
    topology = with_lines(
        "quorum: {mode: NodeAndFileShareMajority, witness: {share: quorum1}}\n"
        "personality: 2012r2\n"
        "properties: {QuorumGraceTime: 7, DynamicQuorum: 0}\n"
        "store: etcd\n"
        "coordinators: {c1: , c2: {networks: [wan]}}"
    )

    witness = topology.quorum.witness
    assert witness is not None
    assert (witness.name, witness.kind.value) == ("quorum1", "FileShare")
    assert dict(topology.properties) == {"QuorumGraceTime": 7, "DynamicQuorum": 0}
    assert topology.networks_of_coordinator("c1") == ("lan", "wan")
    assert topology.networks_of_coordinator("c2") == ("wan",)
    assert parse_topology(dump_topology(topology)) == topology


def test_a_number_of_coordinators_names_them() -> None:
    assert list(with_lines("coordinators: 3\nstore: etcd").all_coordinators) == ["c1", "c2", "c3"]
    assert list(with_lines("").all_coordinators) == ["coordinator"]


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        ("quorum: {mode: NodeMajorty}", "did you mean 'NodeMajority'?"),
        ("quorum: {mde: NodeMajority}", "unknown key 'mde' in quorum: did you mean 'mode'?"),
        ("quorum: {witness: {dsik: q}}", "in quorum.witness: did you mean 'disk'?"),
        ("quorum: {witness: {}}", "is one disk or one share"),
        ("quorum: {witness: {disk: a, share: b}}", "is one disk or one share"),
        ("quorum: {witness: {disk: ../a}}", "is no name of a witness"),
        ("quorum: {mode: DiskOnly}", "DiskOnly needs a witness: add witness: {disk: NAME}"),
        ("quorum: {mode: NodeMajority, witness: {disk: q}}", "NodeMajority has no witness"),
        ("quorum: {mode: NodeAndDiskMajority, witness: {share: q}}", "needs a disk"),
        ("personality: 2012", "should be '2008r2' or '2012r2'"),
        ("properties: {SameSubnetDealy: 500}", "did you mean 'SameSubnetDelay'?"),
        ("properties: {SameSubnetDelay: 100}", "SameSubnetDelay is 100: it is 250 to 2000 ms"),
        ("properties: {SameSubnetDelay: slow}", "it is 250 to 2000 ms"),
        ("properties: {FixQuorum: 1}", "FixQuorum cannot be set"),
        ("properties: {DynamicQuorum: 1}", "is a property of 2012 R2"),
        ("properties: {MigrationsPerNode: 2}", "is a property of 2012 R2"),
        ("properties: {MigrationCompression: zst}", "did you mean 'zstd'?"),
        ("timing: {delay: 1s}\nproperties: {SameSubnetDelay: 500}", "is timing.delay"),
        ("store: ectd", "did you mean 'etcd'?"),
        ("coordinators: 0\nstore: etcd", "there are 0 coordinators: a lab has 1 to 7"),
        ("coordinators: 9\nstore: etcd", "there are 9 coordinators: a lab has 1 to 7"),
        ("coordinators: 2", "2 coordinators cannot share a file: add store: etcd"),
        ("coordinators: {c1: {netwroks: [lan]}}", "in coordinators.c1: did you mean 'networks'?"),
        ("coordinators: {c1: {networks: [lna]}}", "coordinator 'c1' names the unknown network"),
        ("coordinators: {node1: }", "'node1' is already the name of one of the coordinators"),
        ("coordinators: {e1: }\nstore: etcd", "'e1' is already the name of one of the members"),
        ("coordinators: 1\ncoordinator: {networks: [lan]}", "exclude each other"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_sentence(lines: str, says: str) -> None:
    with pytest.raises(TopologyError) as refused:
        with_lines(lines)
    sentence = str(refused.value)
    assert sentence.startswith("small.yaml, line ")
    assert says in sentence, sentence
    assert "\n" not in sentence


def test_every_coordinator_shares_a_cluster_network_with_every_node() -> None:
    text = SMALL.replace("node2: {}", "node2: {networks: [lan]}")
    with pytest.raises(TopologyError, match=r"'node2' shares no cluster network with .* 'c2'"):
        parse_topology(f"{text}store: etcd\ncoordinators: {{c1: , c2: {{networks: [wan]}}}}\n")


def test_the_schema_knows_the_new_keys() -> None:
    schema = topology_schema()
    assert {"quorum", "properties", "personality", "store", "coordinators"} <= set(
        schema["properties"]
    )
    json.dumps(schema)
