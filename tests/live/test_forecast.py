"""A guest that writes is watched where it runs, and its migration held against the forecast."""

from collections.abc import Iterator

import pytest

from shell.errors import DONE, FAILED
from tests.live.cli import Cli

MB, MIB = 1_000_000, 2**20
TOPOLOGY = """\
name: forecast
timing: {delay: 200ms, threshold: 5}
networks:
  management: {subnet: 10.0.1.0/24, gateway: true}
  migration: {subnet: 10.0.2.0/24}
nodes: {node1: {memory: 512MiB}, node2: {memory: 512MiB}}
vms:
  sql01: {memory: 96MiB, node: node1, workload: 'uniform:rate=20MB/s,set=32MiB'}
  wave01: {memory: 16MiB, node: node2, workload: 'wave:rate=10MB/s'}
"""
MEMORY = 96 * MIB


@pytest.fixture(scope="module")
def cli(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cli]:
    cli = Cli(tmp_path_factory.mktemp("forecast"), TOPOLOGY)
    cli.data("up", str(cli.topology), apart=True)
    yield cli
    cli.data("down", apart=True)


def test_an_estimate_knows_how_much_is_written_and_sent(cli: Cli) -> None:
    told = cli.data("estimate", "sql01", "--to", "node2", "--rate", "118MB/s", "--policy", "2008r2")

    assert (told["source"], told["target"]) == ("node1", "node2")
    tenth = min(told["curve"], key=lambda point: abs(point["seconds"] - 0.1))
    # 20 MB/s, less where the machine is busy with other things.
    assert 0.2 * MB < tenth["bytes"] < 4 * MB
    sizes = [point["bytes"] for point in told["curve"]]
    assert sizes[-1] > sizes[0]
    (policy,) = told["policies"]
    assert MEMORY <= policy["wire_bytes"]["likely"] < 2 * MEMORY
    assert policy["total_s"]["likely"] > MEMORY / (125 * MB)
    for name in ("rounds", "wire_bytes", "total_s", "blackout_s"):
        figure = policy[name]
        assert figure["least"] <= figure["likely"] <= figure["most"] <= figure["limit"]


def test_a_wave_is_watched_without_breaking_it(cli: Cli) -> None:
    told = cli.data("estimate", "wave01", "--window", "300ms")

    assert len(told["policies"]) > 1
    assert told["cost_s"] < 1.0


def test_a_record_has_what_was_foretold_beside_what_came(cli: Cli) -> None:
    record = cli.data("migrate", "sql01", "--to", "node2", "--rate", "118MB/s", "--verify", "full")

    assert record["verified"] is True, "whoever watched took no page from the migration"
    told, explained = record["predicted"], record["explained"]
    assert told["policy"] == "2008r2"
    assert record["wire_bytes"] <= told["bounds"]["wire_bytes"][2]
    assert told["wire_bytes"] == pytest.approx(record["wire_bytes"], rel=0.4)
    assert explained["sentence"]
    assert explained["goodput_ratio"] > 0.2


def test_a_drain_is_foretold_and_scored(cli: Cli) -> None:
    told = cli.data("drain", "node2", "--estimate")
    assert sorted(told["order"]) == ["sql01", "wave01"]
    assert told["total_s"]["likely"] > 0

    drained = cli.data("drain", "node2")

    assert sorted(drained["moved"]) == ["sql01", "wave01"]
    assert drained["predicted"]["order"] == told["order"]
    assert drained["took_s"] > 0
    cli.data("resume", "node2")


def test_a_vm_that_is_off_is_not_watched(cli: Cli) -> None:
    cli.data("vm", "stop", "wave01")

    code, _, err = cli.call("estimate", "wave01")

    assert (code, "is Offline: nothing is written" in err) == (FAILED, True)
    assert code != DONE
