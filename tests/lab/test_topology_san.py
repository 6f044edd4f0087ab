import pytest

from lab.errors import TopologyError
from lab.topology import builtin, dump_topology, parse_topology
from lab.topology_san import witness_lun

WITH_SAN = """\
name: lab
networks:
  lan: {subnet: 10.0.1.0/24}
  storage: {subnet: 10.0.8.0/24, role: None}
nodes: {node1: {}, node2: {networks: [lan]}}
san:
  networks: [storage]
  luns:
    - {name: data1, size: 64MiB, use: volume}
    - {name: data2, size: 1GiB}
  chap: {name: hvlab, secret: a-long-enough-secret}
"""


def test_a_san_is_read_with_its_luns_and_written_back_as_it_was() -> None:
    topology = parse_topology(WITH_SAN)

    assert topology.san is not None
    assert [(lun.name, lun.size, lun.use) for lun in topology.san.luns] == [
        ("data1", 64 * 2**20, "volume"),
        ("data2", 2**30, "available"),
    ]
    assert topology.networks_of_san == ("storage",)
    assert parse_topology(dump_topology(topology)) == topology
    assert "a-long-enough-secret" not in repr(topology)


def test_without_a_word_the_san_is_on_the_networks_that_the_cluster_does_not_use() -> None:
    text = WITH_SAN.replace("  networks: [storage]\n", "")

    assert parse_topology(text).networks_of_san == ("storage",)
    assert parse_topology(text.replace(", role: None", "")).networks_of_san == ("lan", "storage")
    assert builtin("san-four-nodes").networks_of_san == ("storage-a", "storage-b")
    assert builtin("demo").networks_of_san == ()


@pytest.mark.parametrize(
    ("old", "new", "line", "says"),
    [
        ("[storage]", "[storag]", 7, "unknown network 'storag': did you mean 'storage'?"),
        ("[storage]", "[]", 7, "the san has no portal: name at least one network"),
        ("64MiB", "4KiB", 9, "4096 bytes is no size of a LUN: choose a multiple of 4096"),
        ("64MiB", "1048577", 9, "is no size of a LUN"),
        ("64MiB", "lots", 9, "'lots' is no size"),
        ("64MiB", "true", 9, "True is no size"),
        ("name: data2", "name: data1", 10, "LUN 'data1' stands here for the second time"),
        ("name: data2", "name: ../data", 10, "'../data' is no name of a LUN"),
        ("1GiB}", "1GiB, sise: 3}", 10, "unknown key 'sise' in san.luns"),
        ("use: volume", "use: volum", 9, "did you mean 'volume'"),
        ("a-long-enough-secret", "short", 11, "a secret of CHAP has 12 to 256 bytes"),
        ("chap: {name: hvlab, ", "chap: {", 11, "san.chap lacks the key 'name'"),
    ],
)
def test_a_bad_san_is_refused_with_its_line_and_what_would_be_right(
    old: str, new: str, line: int, says: str
) -> None:
    assert old in WITH_SAN
    text = WITH_SAN.replace(old, new, 1)

    with pytest.raises(TopologyError) as refused:
        parse_topology(text, "lab.yaml")

    sentence = str(refused.value)
    assert sentence.startswith(f"lab.yaml, line {line}: "), sentence
    assert says in sentence, sentence


def test_a_disk_witness_is_the_lun_of_its_name_if_there_is_one() -> None:
    for name, lun in (("data2", "data2"), ("elsewhere", None)):
        topology = parse_topology(f"{WITH_SAN}quorum: {{witness: {{disk: {name}}}}}\n")
        found = witness_lun(topology)
        assert (None if found is None else found.name) == lun
    assert witness_lun(parse_topology(f"{WITH_SAN}quorum: {{witness: {{share: data2}}}}\n")) is None
    for name in ("san-two-nodes", "san-four-nodes"):
        assert witness_lun(builtin(name)) is not None


@pytest.mark.parametrize(
    ("lun", "size", "says"),
    [
        ("data1", "1GiB", "LUN 'data1' is to be a volume: the witness has a LUN of its own"),
        ("data2", "8MiB", "LUN 'data2' is too small for a witness, which needs 9"),
    ],
)
def test_a_lun_that_cannot_be_the_witness_is_refused(lun: str, size: str, says: str) -> None:
    text = WITH_SAN.replace("1GiB", size) + f"quorum: {{witness: {{disk: {lun}}}}}\n"

    with pytest.raises(TopologyError, match=says):
        parse_topology(text)
