"""Bad words for `hvlab`, on a lab of real programs: one sentence each, and nothing half made."""

import json
import re
from pathlib import Path

import pytest

from lab.procfs import machine_memory_bytes
from shell.errors import DONE, FAILED, NO_API, OFF
from tests.live.bad_lab import MACHINE_BYTES, Bad, one_sentence, short

# ---- topologies

LAN = "networks:\n  lan: {subnet: 10.0.1.0/24}\n"
NODE = "nodes:\n  node1: {memory: 1GiB}\n"
HEAD = f"name: wrong\n{LAN}"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (f"{HEAD}{NODE}  node1: {{}}\n", "line 6: 'node1' stands here for the second time"),
        (f"{HEAD}{NODE}{NODE}", "line 6: 'nodes' stands here for the second time, after line 4"),
        (f"{HEAD}{NODE}vms:\n  node1: {{memory: 1MiB}}\n", "line 7: 'node1' is already the name"),
        (f"{HEAD}nodes:\n  node1: {{memroy: 1GiB}}\n", "line 5: unknown key 'memroy' in nodes"),
        (f"{HEAD}{NODE}colour: red\n", "line 6: unknown key 'colour': known here: name"),
        (
            f"{HEAD}  lan2: {{subnet: 10.0.2.0/24}}\nnodes:\n  node1: {{networks: [lan]}}\n",
            "line 4: network 'lan2' has no NICs: give it to a node",
        ),
        (f"{HEAD}nodes:\n  node1: {{networks: []}}\n", "line 5: node 'node1' has no NIC"),
        (
            f"{HEAD}{NODE}vms:\n  big: {{memory: 2GiB}}\n",
            "line 7: VM 'big' wants 2GiB, but the largest node has 1GiB: make the VM smaller",
        ),
        (f"{HEAD}{NODE}vms:\n  a: {{memory: 0}}\n", "line 7: vms.a.memory: 0 bytes is no memory"),
        (f"{HEAD}{NODE}vms:\n  a: {{memory: -1GiB}}\n", "'-1GiB' is below zero"),
        (f"{HEAD}{NODE}vms:\n  a: {{memory: 5000}}\n", "choose a multiple of 4096 above 0"),
        (f"{HEAD}{NODE}vms:\n  a: {{memory: 12 parsecs}}\n", "'12 parsecs' is no size: write it"),
        (f"{HEAD}nodes:\n  node1: {{memory: 0}}\n", "line 5: nodes.node1.memory: 0 bytes"),
        (
            f"{HEAD}{NODE}vms:\n  a: {{memory: 1MiB, workload: dance}}\n",
            "line 7: vms.a.workload: there is no workload 'dance': choose one of idle, uniform",
        ),
        (
            f"{HEAD}{NODE}vms:\n  a: {{memory: 1MiB, workload: 'sweep:set=2MiB'}}\n",
            "the working set of VM 'a' does not fit 1MiB",
        ),
        ("name: [wrong\n", "this is no YAML"),
    ],
    ids=short,
)
def test_a_topology_that_is_off_names_its_line_and_starts_nothing(
    unhurt: Bad, tmp_path: Path, text: str, says: str
) -> None:
    path = tmp_path / "wrong.yaml"
    path.write_text(text)

    code, out, err = unhurt.call("up", str(path))

    assert (code, out) == (OFF, "")
    assert one_sentence(err).startswith(f"hvlab: {path}, line ")
    assert says in err
    assert not (unhurt.home.root / "failed").exists()


@pytest.mark.parametrize(
    ("nodes", "vms", "says"),
    [
        (f"{MACHINE_BYTES + 2**30}", "", "node 'node1' wants"),
        (
            f"{2 * MACHINE_BYTES}",
            f"vms:\n  a: {{memory: {MACHINE_BYTES + 2**30}}}\n",
            "VM 'a' wants",
        ),
        (
            f"{MACHINE_BYTES}",
            f"vms:\n  a: {{memory: {MACHINE_BYTES}}}\n  b: {{memory: 1GiB}}\n",
            "the VMs want",
        ),
    ],
    ids=short,
)
def test_a_lab_that_wants_more_memory_than_the_machine_has_is_refused(
    unhurt: Bad, tmp_path: Path, nodes: str, vms: str, says: str
) -> None:
    path = tmp_path / "large.yaml"
    path.write_text(f"{HEAD}nodes:\n  node1: {{memory: {nodes}}}\n{vms}")

    code, out, err = unhurt.call("up", str(path))

    assert (code, out) == (FAILED, "")
    assert says in one_sentence(err)
    assert f"but this machine has {machine_memory_bytes() // 2**20}MiB: " in err


# ---- labs


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["up", "{topology}"], FAILED, "lab 'bad' is already running: end it with hvlab down"),
        (["up", "nowhere"], OFF, "no topology 'nowhere': give a file, or one of demo, "),
        (["up", "/no/such.yaml"], OFF, "cannot read the topology /no/such.yaml: No such file"),
        (["up", "demo", "--name", "A lab"], OFF, "'A lab' is no name: use 1 to 32 of a-z"),
        (["up", "demo", "--fabric", "wool"], OFF, "no fabric 'wool': choose one of loopback"),
        (["down", "--name", "nolab"], NO_API, "there is no lab 'nolab': running: bad"),
        (["down", "--name", "../bad"], NO_API, "there is no lab '../bad': running: bad"),
        (["down", "--all", "--name", "bad"], OFF, "exclude each other: say one of them"),
        (["status", "--name", "nolab"], NO_API, "there is no lab 'nolab'"),
        (["status", "--api", "http://127.0.0.1:1"], NO_API, "no API answers at http://127.0.0.1:1"),
        (["status", "--api", "ftp://127.0.0.1"], NO_API, "is no URL: write it like http://"),
        (["status", "--api", ""], NO_API, "'' is no URL: write it like http://"),
        (["fault", "kill", "node9"], OFF, "no node 'node9': it has node1, node2, node3, node4"),
        (["fault", "pause", "sql01"], OFF, "no node 'sql01': it has node1"),
        (["fault", "restart", "node1"], FAILED, "node1 still runs as pid"),
        (["fault", "burn", "node1"], OFF, "No such command 'burn'"),
        (["logs", "node9"], OFF, "no node 'node9'"),
        (["paint"], OFF, "No such command 'paint'"),
    ],
    ids=short,
)
def test_words_about_labs_that_are_off(unhurt: Bad, words: list[str], code: int, says: str) -> None:
    words = [word.format(topology=unhurt.topology) for word in words]

    ended, out, err = unhurt.call(*words)

    assert (ended, out) == (code, ""), err
    assert says in one_sentence(err)


# ---- VMs and migrations


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["sql01", "--memory", "16MiB"], FAILED, "'sql01' exists already: choose another name"),
        (["a", "--memory", "0"], OFF, "cannot have 0 bytes of memory: give it at least 4096"),
        (["a", "--memory", "-4096"], OFF, "'-4096' is below zero"),
        (["a", "--memory", "5000"], OFF, "no multiple of the page of 4096 bytes: 4096 or 8192"),
        (["a", "--memory", "12 parsecs"], OFF, "'12 parsecs' is no size: write it like 1GiB"),
        (["a", "--memory", "900TiB"], OFF, "No node has 900TiB of memory; the largest has"),
        (["a", "--memory", "9999999TiB"], OFF, "is more than 9223372036854775807 bytes"),
        (["a", "--memory", "2GiB", "--node", "node1"], FAILED, "Node node1 has 1056964608 bytes"),
        (["a", "--memory", "1MiB", "--node", "node9"], FAILED, "no node 'node9'"),
        (["a", "--memory", "1MiB", "--node", "node3"], FAILED, "node3 is Paused and accepts no"),
        (["a b", "--memory", "1MiB"], OFF, "'a b' is no name for a VM: use 1 to 64 letters"),
        (["..", "--memory", "1MiB"], OFF, "with a letter or a digit at either end"),
        (["", "--memory", "1MiB"], OFF, "'name' is wrong"),
        (["a"], OFF, "Missing option '--memory'"),
        (["a", "--memory", "1MiB", "--workload", "dance"], OFF, "no workload 'dance': choose one"),
        (["a", "--memory", "1MiB", "--workload", "wave:"], OFF, "ends in a colon: leave it out"),
        (["a", "--memory", "1MiB", "--workload", "wave:rate=fast"], OFF, "'fast' is no rate"),
        (["a", "--memory", "1MiB", "--workload", "wave:glow=1"], OFF, "is no setting of a work"),
        (["a", "--memory", "1MiB", "--workload", "wave:set=2MiB"], OFF, "does not fit a VM of"),
        (["a", "--memory", "1MiB", "--fill", "pi"], OFF, "'pi' is not one of 'random', 'files'"),
        (["a", "--memory", "1MiB", "--seed", "-1"], OFF, "'seed' is wrong"),
    ],
    ids=short,
)
def test_a_vm_that_cannot_be_created_leaves_none(
    unhurt: Bad, words: list[str], code: int, says: str
) -> None:
    ended, out, err = unhurt.call("vm", "create", *words)

    assert (ended, out) == (code, ""), err
    assert says in one_sentence(err)


def test_a_vm_for_which_the_machine_has_no_memory_left_fails_with_the_reason(unhurt: Bad) -> None:
    code, out, err = unhurt.call(
        *("vm", "create", "huge", "--memory", str(MACHINE_BYTES), "--node", "node4"),
        *("--fill", "zero", "--json"),
    )
    assert code == FAILED, (out, err)
    assert "more memory than this machine has free" in json.loads(out)["error"]["message"]
    assert unhurt.get("/vms/huge")["state"] == "Failed"
    unhurt.data("vm", "stop", "huge")
    unhurt.data("vm", "delete", "huge")


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["sql01", "--to", "node1"], FAILED, "is on node node1 already: choose another node"),
        (["sql01", "--to", "node9"], FAILED, "The cluster has no node 'node9': name one of its"),
        (["sql01", "--to", "node3"], FAILED, "node3 is Paused and accepts no VMs: resume it"),
        (["off01", "--to", "node1"], FAILED, "off01 is off: start it before you migrate it"),
        (["nope", "--to", "node2"], FAILED, "There is no VM 'nope': name one that exists"),
        (["sql01", "--to", "node2", "--policy", "magic"], OFF, "choose one of 2008r2"),
        (["sql01", "--to", "node2", "--verify", "hope"], OFF, "'off', 'sampled', 'full'"),
        (["sql01", "--to", ""], OFF, "it is the name of another node that is Up"),
        (["", "--to", "node2"], OFF, "'' is no name: say which VM or node is meant"),
    ],
    ids=short,
)
def test_a_migration_that_cannot_be_is_refused_and_the_guest_stays(
    unhurt: Bad, words: list[str], code: int, says: str
) -> None:
    ended, out, err = unhurt.call("migrate", *words)

    assert (ended, out) == (code, ""), err
    assert says in one_sentence(err)


@pytest.mark.parametrize(
    "name", ["sql01#", "sql01?x=1", "../vms/sql01", "off01/../sql01", "x" * 99]
)
def test_a_name_that_would_lead_elsewhere_means_no_other_vm(unhurt: Bad, name: str) -> None:
    for words in (["vm", "stop"], ["vm", "delete"], ["vm", "show"], ["migrate"]):
        code, out, err = unhurt.call(*words, name)

        assert (code, out) == (OFF if len(name) > 64 else FAILED, "")
        assert re.search("There is no VM|is no name", one_sentence(err))


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["vm", "show", "nope"], "There is no VM 'nope': name one that exists"),
        (["vm", "start", "nope"], "There is no VM 'nope'"),
        (["vm", "stop", "nope"], "There is no VM 'nope'"),
        (["vm", "delete", "nope"], "There is no VM 'nope'"),
        (["vm", "delete", "sql01"], "sql01 is not off: stop it and wait until it is Offline"),
        (["drain", "node9"], "The cluster has no node 'node9': name one of its nodes"),
        (["resume", "node9"], "The cluster has no node 'node9'"),
        (["resume", "node1"], "Node node1 is not paused: there is nothing to resume"),
    ],
    ids=short,
)
def test_what_cannot_be_done_now_is_refused(unhurt: Bad, words: list[str], says: str) -> None:
    code, out, err = unhurt.call(*words)

    assert (code, out) == (FAILED, ""), err
    assert says in one_sentence(err)


# ---- the cluster itself


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["cluster", "set", "SameSubnetDelay=249"], OFF, "SameSubnetDelay must be 250 to 2000"),
        (["cluster", "set", "SameSubnetDelay=2001"], OFF, "must be 250 to 2000"),
        (["cluster", "set", "SameSubnetDelay=500", "SameSubnetThreshold=2"], OFF, "be 3 to 120"),
        (["cluster", "set", "SameSubnetDelay=fast"], OFF, "SameSubnetDelay"),
        (["cluster", "set", "SameSubnetDelya=500"], FAILED, "SameSubnetDelay"),
        (["cluster", "set", "FixQuorum=1"], FAILED, "FixQuorum"),
        (["cluster", "set", "SameSubnetDelay"], OFF, "sets nothing: write NAME=VALUE"),
        (["cluster", "get", "Nothing"], OFF, "there is no property 'Nothing'"),
        (["quorum", "set", "NodeAndDiskMajority"], OFF, "needs a witness: say --witness PATH"),
        (["quorum", "set", "NodeAndFileShareMajority"], OFF, "needs a witness"),
        (["quorum", "set", "DiskOnly"], OFF, "needs a witness"),
        (["quorum", "set", "NodeMajority", "--witness", "/srv/w"], OFF, "has no witness"),
        (["quorum", "set", "DiskOnly", "--witness", "w"], FAILED, "the full path of a folder"),
        (
            ["quorum", "set", "DiskOnly", "--witness", "/ClusterStorage/Volume1/w"],
            *(OFF, "lies on a cluster shared volume"),
        ),
        (
            ["quorum", "set", "NodeAndFileShareMajority", "--witness", "//node2/w"],
            *(OFF, "lies on node node2 of this cluster"),
        ),
        (["quorum", "force", "node1"], OFF, "forcing needs an oath"),
        (["quorum", "force", "node1", "--oath", "no other node runs"], FAILED, "has its quorum"),
        (["node", "evict", "node9", "--yes"], FAILED, "node9"),
        (["node", "evict", "node4"], OFF, "Say --yes if that is meant"),
        (["node", "stop", "node9"], FAILED, "node9"),
        (["node", "weight", "node1", "2"], OFF, "less than or equal to 1"),
        (["node", "weight", "node9", "0"], FAILED, "node9"),
        (["node", "join", "node9"], FAILED, "node9"),
        (["network", "set", "nope", "--metric", "5"], FAILED, "nope"),
        (["network", "set", "migration", "--metric", "0"], OFF, "'metric' is wrong"),
        (["network", "set", "migration", "--role", "2"], OFF, "a network has no role 2"),
        (["network", "order", "nope"], FAILED, "nope"),
        (["group", "set", "sql01", "FailoverPeriod=1194"], OFF, "FailoverPeriod"),
        (["group", "set", "sql01", "Nothing=1"], FAILED, "Nothing"),
        (["group", "set", "sql01", "PreferredOwners=node9"], FAILED, "node9"),
        (["group", "move", "sql01", "--to", "node9"], FAILED, "node9"),
        (["group", "move", "nope"], FAILED, "There is no group 'nope'"),
        (["group", "fail", "nope"], FAILED, "nope"),
        (["resource", "set", "Virtual Machine sql01", "RestartAction=3"], OFF, "RestartAction"),
        (["resource", "show", "nope"], FAILED, "There is no resource 'nope'"),
        (["events", "--since", "yesterday"], OFF, "'yesterday' is no time"),
        (["events", "--level", "loud"], OFF, "'loud' is no level"),
    ],
    ids=short,
)
def test_what_the_cluster_cannot_be_told_changes_nothing(
    unhurt: Bad, words: list[str], code: int, says: str
) -> None:
    ended, out, err = unhurt.call(*words)

    assert (ended, out) == (code, ""), err
    assert says in one_sentence(err)


# ---- last, since they hurt


def test_a_migration_to_a_node_that_is_down_is_refused(lab: Bad) -> None:
    assert lab.call("fault", "kill", "node4")[0] == DONE
    lab.until_node("node4", "Down")
    before = lab.steady()

    code, out, err = lab.call("migrate", "sql01", "--to", "node4")
    assert (code, out) == (FAILED, ""), err
    assert "node4 is Down and accepts no VMs: wait until it is Up" in one_sentence(err)
    code, out, err = lab.call("fault", "kill", "node4")
    assert (code, out) == (FAILED, ""), err
    assert "node4 does not run: there is nothing to kill" in one_sentence(err)
    assert lab.settled(before) == before


def test_without_its_coordinator_every_question_ends_with_exit_code_3(lab: Bad) -> None:
    assert lab.call("fault", "kill", "coordinator")[0] == DONE

    for words in (
        ["status"],
        ["vm", "list"],
        ["vm", "create", "a", "--memory", "1MiB"],
        ["migrate", "sql01", "--to", "node2"],
    ):
        code, out, err = lab.call(*words)
        assert (code, out) == (NO_API, "")
        assert f"no API answers at {lab.record.api}" in one_sentence(err)
