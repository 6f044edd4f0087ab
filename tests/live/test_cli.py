"""The command as people call it, in a process of its own, on a lab of real programs."""

import json
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.procfs import runs
from shell.errors import DONE, FAILED, NO_API, OFF
from tests.live.cli import ROOT, WITHIN_S, Cli

TOPOLOGY = """\
name: cli
timing: {delay: 200ms, threshold: 5}
networks:
  management: {subnet: 10.0.1.0/24, gateway: true}
  migration: {subnet: 10.0.2.0/24}
nodes: {node1: {memory: 1GiB}, node2: {memory: 1GiB}, node3: {memory: 1GiB}}
vms:
  sql01: {memory: 64MiB, node: node1, workload: 'hotspot:rate=50MB/s,set=16MiB'}
"""


@pytest.fixture(scope="module")
def idle(tmp_path_factory: pytest.TempPathFactory) -> Cli:
    return Cli(tmp_path_factory.mktemp("idle"), TOPOLOGY)


@pytest.fixture(scope="module")
def cli(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cli]:
    """A lab for all questions that do not hurt it."""
    cli = Cli(tmp_path_factory.mktemp("cli"), TOPOLOGY)
    up = cli.data("up", str(cli.topology), apart=True)
    assert [node["name"] for node in up["nodes"]] == ["node1", "node2", "node3"]
    processes = cli.home.lab("cli").processes
    yield cli
    assert cli.data("down", apart=True) == {"ended": ["cli"]}
    assert not any(runs(process) for process in processes)
    assert cli.home.labs() == ()


def test_without_a_lab_every_command_says_so_with_exit_code_3(idle: Cli) -> None:
    for words in (["status"], ["vm", "list"], ["down"], ["logs"], ["fault", "kill", "node1"]):
        code, out, err = idle.call(*words)
        assert (code, out, err) == (NO_API, "", "hvlab: no lab runs: start one with hvlab up\n")


def test_a_topology_that_is_off_starts_nothing_and_is_exit_code_2(idle: Cli) -> None:
    bad = idle.topology.with_name("bad.yaml")
    bad.write_text(TOPOLOGY.replace("nodes:", "nods:"))

    code, out, err = idle.call("up", str(bad))

    assert (code, out) == (OFF, "")
    assert "bad.yaml" in err
    assert err.count("\n") == 1
    assert idle.home.labs() == ()


def test_the_schema_is_json(idle: Cli) -> None:
    code, out, _ = idle.run("schema")

    assert code == DONE
    assert "nodes" in json.loads(out)["properties"]


def test_status_has_the_fields_of_the_contract(cli: Cli) -> None:
    status = cli.data("status")

    assert status["cluster"] == "cli"
    assert status["quorum"]["has_quorum"] is True
    assert {"name", "state", "votes", "vms"} <= status["nodes"][0].keys()
    assert {"name", "state", "role", "metric", "subnet"} <= status["networks"][0].keys()
    assert {"name", "state", "owner", "epoch"} <= status["groups"][0].keys()
    assert cli.call("status", "--name", "cli")[0] == DONE


def test_a_vm_lives_from_create_to_delete(cli: Cli) -> None:
    row = cli.data("vm", "create", "web01", "--memory", "16MiB", "--node", "node3")
    assert (row["state"], row["node"], row["memory_bytes"]) == ("Online", "node3", 16 * 2**20)
    assert cli.call("vm", "create", "web01", "--memory", "16MiB")[0] == FAILED
    assert cli.call("vm", "delete", "web01")[0] == FAILED
    assert "already" in cli.call("vm", "start", "web01")[1]
    assert cli.data("vm", "stop", "web01")["state"] == "Offline"
    assert cli.data("vm", "delete", "web01") == {"name": "web01", "deleted": True}
    assert cli.data("vm", "show", "web01", code=FAILED)["error"]["code"] == "unknown-vm"


def test_a_migration_and_a_drain_move_a_working_vm(cli: Cli) -> None:
    node = cli.data("vm", "show", "sql01")["node"]
    other = "node2" if node == "node1" else "node1"

    record = cli.data("migrate", "sql01", "--to", other, "--verify", "full")
    assert (record["outcome"], record["verified"]) == ("completed", True)
    assert cli.data("vm", "show", "sql01")["node"] == other
    refused = cli.data("migrate", "sql01", "--to", other, code=FAILED)
    assert refused["outcome"] == "refused"

    drained = cli.data("drain", other)
    assert (drained["moved"], drained["left"]) == (["sql01"], [])
    assert cli.data("resume", other)["resumed"] is True


def test_the_events_are_one_object_a_line(cli: Cli) -> None:
    _, out, _ = cli.call("events", "--json")

    rows = [json.loads(line) for line in out.splitlines()]
    assert rows
    assert all(
        {"at", "id", "level", "node", "group", "text", "index"} <= row.keys() for row in rows
    )


def test_faults_hit_whom_they_name_and_logs_tell(cli: Cli) -> None:
    agent = cli.home.lab("cli").node("node3").pid

    assert cli.data("fault", "pause", "node3", "--agent-only")["pids"] == [agent]
    assert agent in cli.data("fault", "resume", "node3")["pids"]
    assert cli.call("fault", "kill", "node9")[0] == OFF
    code, out, _ = cli.call("logs", "node3", "--lines", "1", "--json")
    assert code == DONE
    assert all(json.loads(line)["program"] == "node3" for line in out.splitlines())


def test_the_coordinator_comes_back_with_what_it_knew(cli: Cli) -> None:
    before = cli.data("status")

    assert cli.data("fault", "kill", "coordinator")["target"] == "coordinator"
    assert cli.call("status")[0] == NO_API
    cli.data("fault", "restart", "coordinator", apart=True)

    after = cli.data("status")
    assert after["cluster"] == before["cluster"]
    assert after["term"] > before["term"]


def test_an_interrupted_start_leaves_no_process(tmp_path: Path) -> None:
    cli = Cli(tmp_path, TOPOLOGY)
    with subprocess.Popen(
        cli.argv("up", str(cli.topology)),
        cwd=ROOT,
        env=cli.env,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as starting:
        assert starting.stderr is not None
        assert "forming" in next(line for line in starting.stderr if "forming" in line)
        (lab,) = cli.home.labs()
        starting.send_signal(signal.SIGINT)
        said = starting.stderr.read()
        assert starting.wait(WITHIN_S) == FAILED

    assert "hvlab: stopped before it was done" in said
    assert not any(runs(process) for process in lab.processes)
    assert cli.home.labs() == ()
