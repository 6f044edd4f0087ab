"""Forecasts over HTTP, with a real core behind it and nodes that answer at once."""

from typing import Any

import pytest

from coordinator.io import forecast_answers as answers
from protocol.messages import FromAgent, SampleWrites
from tests.coordinator.io.scripted import Bench, ScriptedAgent, coordinator
from tests.coordinator.io.test_cluster_operations import check_shape
from tests.coordinator.migration.told import answer


def told(message: Any) -> list[FromAgent]:
    return [answer(message)] if isinstance(message, SampleWrites) else []


async def with_vm(bench: Bench) -> ScriptedAgent:
    one, two = ScriptedAgent("node1", storage=told), ScriptedAgent("node2")
    await bench.form(one, two)
    body = {"name": "sql01", "memory": 2**26, "node": "node1"}
    assert (await bench.call("POST", "/vms", json=body))[0] == 201
    await bench.until("/vms/sql01", state="Online")
    return one


async def test_an_estimate_has_the_shape_that_is_documented() -> None:
    async with coordinator() as bench:
        node = await with_vm(bench)

        status, said = await bench.call(
            "POST",
            "/vms/sql01/estimate",
            json={"to": "node2", "rate": "118MB/s", "window": "2s", "marking": "round"},
        )

        assert status == 200, said
        check_shape(answers.Estimate, said)
        (order,) = [one for one in node.heard if isinstance(one, SampleWrites)]
        assert (order.longest_s, order.travel.rate_bytes_per_s) == (2.0, 118_000_000)
        assert order.travel.marking.value == "round"
        assert said["target"] == "node2"


async def test_no_body_means_all_policies_and_the_best_node() -> None:
    async with coordinator() as bench:
        await with_vm(bench)

        status, said = await bench.call("POST", "/vms/sql01/estimate")

        assert (status, said["target"]) == (200, "node2")


async def test_the_estimate_of_a_drain_has_the_shape_that_is_documented() -> None:
    async with coordinator() as bench:
        await with_vm(bench)

        status, said = await bench.call("POST", "/nodes/node1/estimate")

        assert status == 200, said
        check_shape(answers.DrainEstimate, said)
        assert said["order"] == ["sql01"]


@pytest.mark.parametrize(
    ("path", "body", "status", "wrong"),
    [
        ("/vms/ghost/estimate", {}, 404, "no VM 'ghost'"),
        ("/vms/sql01/estimate", {"to": "node9"}, 404, "node9"),
        ("/vms/sql01/estimate", {"to": "node1"}, 409, "on node node1 already"),
        ("/vms/sql01/estimate", {"policy": "wish"}, 422, "wish"),
        ("/vms/sql01/estimate", {"window": 0}, 422, "'window' is wrong"),
        ("/vms/sql01/estimate", {"window": "31s"}, 422, "'window' is wrong"),
        ("/vms/sql01/estimate", {"window": "soon"}, 422, "'window' is wrong"),
        ("/vms/sql01/estimate", {"rate": "fast"}, 422, "'rate' is wrong"),
        ("/vms/sql01/estimate", {"marking": "never"}, 422, "'marking' is wrong"),
        ("/vms/sql01/estimate", {"verify": "full"}, 422, "verify"),
        ("/nodes/node9/estimate", {}, 404, "node9"),
    ],
)
async def test_what_cannot_be_foretold_is_one_sentence(
    path: str, body: dict[str, Any], status: int, wrong: str
) -> None:
    async with coordinator() as bench:
        await with_vm(bench)

        got, said = await bench.call("POST", path, json=body)

        assert (got, wrong in said["error"]["message"]) == (status, True), said
        assert said["error"]["message"].endswith(".")
