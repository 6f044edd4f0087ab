"""Groups and resources over HTTP, with a real core behind it."""

from typing import Any

import pytest

from coordinator.io import api_answers as answers
from tests.coordinator.io.scripted import Bench, ScriptedAgent, coordinator
from tests.coordinator.io.test_cluster_operations import check_shape

VM = "/resources/Virtual%20Machine%20sql01"


async def with_group(bench: Bench) -> None:
    await bench.form(ScriptedAgent("node1"), ScriptedAgent("node2"))
    status, body = await bench.post("/vms", name="sql01", memory="1MiB", node="node1")
    assert status == 201, body
    await bench.until("/groups/sql01", state="Online")


async def test_a_group_and_its_resources_are_shown_with_their_settings() -> None:
    async with coordinator() as bench:
        await with_group(bench)

        group = await bench.get("/groups/sql01")
        resources = await bench.get("/resources")

        check_shape(answers.Group, group)
        check_shape(list[answers.Resource], resources)
        assert resources == group["resources"]
        assert await bench.get(VM) == resources[1]
        assert group["settings"]["FailoverPeriod"] == 6


async def test_settings_are_changed_all_at_once() -> None:
    async with coordinator() as bench:
        await with_group(bench)

        status, group = await bench.call(
            "PATCH",
            "/groups/sql01",
            json={"settings": {"FailoverThreshold": 2, "PreferredOwners": ["node2"]}},
        )
        assert status == 200, group
        assert group["settings"]["FailoverThreshold"] == 2
        assert group["preferred_owners"] == ["node2"]

        status, resource = await bench.call("PATCH", VM, json={"settings": {"RestartAction": 1}})
        assert (status, resource["settings"]["RestartAction"]) == (200, 1)


async def test_a_group_moves_stops_and_starts() -> None:
    async with coordinator() as bench:
        await with_group(bench)

        status, moved = await bench.post("/groups/sql01/move", to="node2")
        assert (status, moved["node"], moved["how"]) == (202, "node2", "cold")
        check_shape(answers.Moved, moved)
        await bench.until("/groups/sql01", state="Online", owner="node2")

        assert (await bench.post("/groups/sql01/stop"))[0] == 202
        await bench.until("/groups/sql01", state="Offline")
        assert (await bench.post("/groups/sql01/start"))[0] == 202
        await bench.until("/groups/sql01", state="Online")


async def test_a_resource_fails_on_purpose() -> None:
    async with coordinator() as bench:
        await with_group(bench)

        status, said = await bench.post(f"{VM}/fail")

    assert (status, said["name"]) == (202, "Virtual Machine sql01")


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "code"),
    [
        ("GET", "/groups/ghost", None, 404, "unknown-group"),
        ("PATCH", "/groups/ghost", {"settings": {"FailoverPeriod": 1}}, 404, "unknown-group"),
        ("PATCH", "/groups/sql01", {"settings": {"Nothing": 1}}, 404, "unknown-property"),
        ("PATCH", "/groups/sql01", {"settings": {"FailoverPeriod": 1194}}, 422, "out-of-range"),
        ("PATCH", "/groups/sql01", {"settings": {"FailoverPeriod": True}}, 422, "bad-request"),
        ("PATCH", "/groups/sql01", {"settings": {}}, 422, "bad-request"),
        ("PATCH", "/groups/sql01", {"FailoverPeriod": 1}, 422, "bad-request"),
        (
            *("PATCH", "/groups/sql01"),
            {"settings": {"FailoverThreshold": 1, "PreferredOwners": ["ghost"]}},
            *(404, "unknown-node"),
        ),
        ("POST", "/groups/sql01/move", {"to": "ghost"}, 404, "unknown-node"),
        ("POST", "/groups/sql01/move", {"to": "node1"}, 409, "same-node"),
        ("POST", "/groups/ghost/move", {}, 404, "unknown-group"),
        ("POST", "/groups/ghost/start", None, 404, "unknown-vm"),
        ("POST", "/groups/ghost/stop", None, 404, "unknown-vm"),
        ("GET", "/resources/ghost", None, 404, "unknown-resource"),
        ("PATCH", "/resources/ghost", {"settings": {"RestartAction": 1}}, 404, "unknown-resource"),
        ("PATCH", VM, {"settings": {"RestartAction": 3}}, 422, "out-of-range"),
        ("PATCH", VM, {"settings": {"PossibleOwners": "node1"}}, 422, "out-of-range"),
        ("POST", "/resources/ghost/fail", None, 404, "unknown-resource"),
    ],
)
async def test_what_cannot_be_is_one_sentence_and_changes_nothing(
    method: str, path: str, body: Any, status: int, code: str
) -> None:
    async with coordinator() as bench:
        await with_group(bench)
        before = await bench.get("/groups")

        got, said = await bench.call(method, path, json=body)

        assert (got, said["error"]["code"]) == (status, code), said
        assert await bench.get("/groups") == before
