"""Quorum, properties, nodes and networks over HTTP, with a real core behind it."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter

from coordinator.io import api_answers as answers
from tests.coordinator.io.scripted import Bench, ScriptedAgent, coordinator


def check_shape(kind: Any, body: Any) -> None:
    """`body` is what the documentation says, with every field documented."""
    adapter: TypeAdapter[Any] = TypeAdapter(kind)
    assert adapter.dump_python(adapter.validate_python(body), mode="json") == body


async def three(bench: Bench) -> None:
    await bench.form(*(ScriptedAgent(f"node{n}") for n in (1, 2, 3)))


# ---- properties


async def test_properties_have_their_defaults_and_ranges() -> None:
    async with coordinator() as bench:
        await three(bench)

        listed = await bench.get("/cluster/properties")

    check_shape(list[answers.Property], listed)
    delay = next(row for row in listed if row["name"] == "SameSubnetDelay")
    assert (delay["default"], delay["least"], delay["most"], delay["unit"]) == (
        *(1000, 250, 2000, "ms"),
    )


async def test_several_properties_are_set_at_once_and_shown() -> None:
    async with coordinator() as bench:
        await three(bench)

        status, listed = await bench.call(
            "PATCH",
            "/cluster/properties",
            json={"SameSubnetDelay": 500, "AddEvictDelay": 0, "Description": "a test"},
        )

        assert status == 200, listed
        values = {row["name"]: row["value"] for row in listed}
        assert (values["SameSubnetDelay"], values["AddEvictDelay"]) == (500, 0)
        assert values["Description"] == "a test"


@pytest.mark.parametrize(
    ("body", "status", "wrong"),
    [
        ({"SameSubnetDelay": 249}, 422, "250"),
        ({"SameSubnetDelay": 2001}, 422, "2000"),
        ({"SameSubnetThreshold": 2}, 422, "120"),
        ({"QuorumArbitrationTimeMax": 0}, 422, "3600"),
        ({"AddEvictDelay": 601}, 422, "600"),
        ({"SameSubnetDelay": "fast"}, 422, "SameSubnetDelay"),
        ({"SameSubnetDelay": 500, "SameSubnetThreshold": 1}, 422, "SameSubnetThreshold"),
        ({"SameSubnetDelay": 500.5}, 422, "'SameSubnetDelay' is wrong"),
        ({"SameSubnetDelay": True}, 422, "'SameSubnetDelay' is wrong"),
        ({"SameSubnetDelay": None}, 422, "'SameSubnetDelay' is wrong"),
        ({"SameSubnetDelay": [500]}, 422, "a whole number or a text"),
        ({"NoSuchThing": 1}, 404, "NoSuchThing"),
        ({"FixQuorum": 1}, 409, "FixQuorum"),
        ({}, 422, "at least one name and its value"),
        ([], 422, "at least one name and its value"),
    ],
)
async def test_a_property_that_cannot_be_changes_nothing(
    body: Any, status: int, wrong: str
) -> None:
    async with coordinator() as bench:
        await three(bench)
        before = await bench.get("/cluster/properties")

        got, said = await bench.call("PATCH", "/cluster/properties", json=body)

        assert (got, wrong in said["error"]["message"]) == (status, True), said
        assert said["error"]["message"].endswith(".")
        assert await bench.get("/cluster/properties") == before


# ---- quorum


async def test_quorum_shows_every_voter_and_what_may_fail() -> None:
    async with coordinator() as bench:
        await three(bench)

        quorum = await bench.get("/quorum")

    check_shape(answers.QuorumInFull, quorum)
    assert (quorum["mode"], quorum["votes"], quorum["needed"]) == ("NodeMajority", 3, 2)
    assert (quorum["may_fail"], quorum["outlook"]) == (1, "It can lose 1 more vote.")
    assert [(v["name"], v["votes"], v["counted"]) for v in quorum["nodes"]] == [
        *(("node1", 1, True), ("node2", 1, True), ("node3", 1, True)),
    ]


async def test_before_there_is_a_cluster_there_is_no_quorum() -> None:
    async with coordinator() as bench:
        quorum = await bench.get("/quorum")

    check_shape(answers.QuorumInFull, quorum)
    assert (quorum["mode"], quorum["has_quorum"]) == (None, False)


async def test_a_vote_is_taken_and_given_back() -> None:
    async with coordinator() as bench:
        await three(bench)

        status, quorum = await bench.call("PATCH", "/nodes/node3", json={"weight": 0})

        assert status == 200, quorum
        assert (quorum["votes"], quorum["needed"], quorum["may_fail"]) == (2, 2, 0)
        assert (await bench.get("/nodes/node3"))["weight"] == 0


@pytest.mark.parametrize(
    ("body", "status", "wrong"),
    [
        ({"mode": "NodeAndDiskMajority"}, 422, "witness"),
        ({"mode": "NodeAndFileShareMajority"}, 422, "witness"),
        ({"mode": "DiskOnly"}, 422, "witness"),
        (
            {"mode": "NodeAndDiskMajority", "witness": {"kind": "FileShare", "path": "/w"}},
            *(422, "witness"),
        ),
        ({"mode": "NodeMajority", "witness": {"kind": "Disk", "path": "/w"}}, 422, "witness"),
        (
            {"mode": "NodeAndDiskMajority", "witness": {"kind": "Disk", "path": "w"}},
            404,
            "no disk 'w'",
        ),
        (
            {
                "mode": "NodeAndDiskMajority",
                "witness": {"kind": "Disk", "path": "/ClusterStorage/Volume1/w"},
            },
            *(422, "ClusterStorage"),
        ),
        ({"mode": "Majority"}, 422, "NodeMajority, NodeAndDiskMajority"),
        ({}, 422, "'mode' is missing"),
        ({"mode": "DiskOnly", "witness": {"path": "/w"}}, 422, "'witness.kind' is missing"),
        ({"mode": "DiskOnly", "witness": {"kind": "Tape", "path": "/w"}}, 422, "Disk or FileShare"),
        ({"mode": "DiskOnly", "witness": {"kind": "Disk", "path": ""}}, 422, "'witness.path'"),
        ({"mode": "DiskOnly", "witness": {"kind": "Disk", "size": 1}}, 422, "'witness.path'"),
        (
            {"mode": "DiskOnly", "witness": {"kind": "Disk", "path": "/w", "size": 1}},
            *(422, "no field 'size' here: there is name, kind, path"),
        ),
        ({"mode": "DiskOnly", "witness": "/w"}, 422, "'witness' is wrong"),
    ],
)
async def test_a_mode_and_its_witness_must_fit(body: Any, status: int, wrong: str) -> None:
    async with coordinator() as bench:
        await three(bench)
        before = await bench.get("/quorum")

        got, said = await bench.call("PUT", "/quorum", json=body)

        assert (got, wrong in said["error"]["message"]) == (status, True), said
        assert await bench.get("/quorum") == before


async def test_a_cluster_is_formed_with_a_witness_and_a_personality(tmp_path: Path) -> None:
    wanted: dict[str, Any] = {
        **{"name": "lab", "nodes": ["node1", "node2"], "personality": "2012r2"},
        **{"mode": "NodeAndFileShareMajority"},
        "witness": {"name": "w", "kind": "FileShare", "path": str(tmp_path)},
    }
    async with coordinator() as bench:
        await bench.join(ScriptedAgent("node1"), ScriptedAgent("node2"))

        unfit = {**wanted, "mode": "NodeMajority"}
        status, said = await bench.call("POST", "/cluster", json=unfit)
        assert status == 422, said

        status, said = await bench.call("POST", "/cluster", json=wanted)

        assert status == 201, said
        quorum = await bench.get("/quorum")
        check_shape(answers.QuorumInFull, quorum)
        assert (quorum["personality"], quorum["witness"]["path"]) == ("2012r2", str(tmp_path))
        assert quorum["witness"]["state"] == "Unknown"


@pytest.mark.parametrize(
    ("body", "status", "wrong"),
    [
        ({"nodes": ["node1"]}, 422, "'oath' is missing"),
        ({"nodes": ["node1"], "oath": "yes"}, 422, "'oath' is wrong"),
        ({"nodes": [], "oath": True}, 422, "'nodes' is wrong"),
        ({"oath": True}, 422, "'nodes' is missing"),
        ({"nodes": ["node1"], "oath": True}, 409, "has its quorum"),
    ],
)
async def test_force_needs_nodes_and_an_oath_and_a_lost_quorum(
    body: Any, status: int, wrong: str
) -> None:
    async with coordinator() as bench:
        await three(bench)

        got, said = await bench.call("POST", "/quorum/force", json=body)

        assert (got, wrong in said["error"]["message"]) == (status, True), said


# ---- nodes


async def test_a_node_is_evicted_and_its_vote_with_it() -> None:
    async with coordinator() as bench:
        await three(bench)

        status, said = await bench.call("DELETE", "/nodes/node3")

        assert (status, said) == (200, {"node": "node3"})
        assert [node["name"] for node in await bench.get("/nodes")] == ["node1", "node2"]
        assert (await bench.get("/quorum"))["votes"] == 2


async def test_the_last_node_cannot_be_evicted() -> None:
    async with coordinator() as bench:
        await bench.form(ScriptedAgent("node1"))

        status, said = await bench.call("DELETE", "/nodes/node1")

        assert (status, said["error"]["code"]) == (409, "last-node")
        assert len(await bench.get("/nodes")) == 1


async def test_a_node_is_stopped_and_started() -> None:
    async with coordinator() as bench:
        await three(bench)

        assert (await bench.post("/nodes/node3/stop"))[0] == 202
        await bench.until("/nodes/node3", state="Down", stopped=True)
        assert (await bench.post("/nodes/node3/start")) == (202, {"node": "node3"})
        assert (await bench.get("/nodes/node3"))["stopped"] is False


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "code"),
    [
        ("DELETE", "/nodes/ghost", None, 404, "unknown-node"),
        ("POST", "/nodes/ghost/stop", None, 404, "unknown-node"),
        ("POST", "/nodes/ghost/start", None, 404, "unknown-node"),
        ("PATCH", "/nodes/ghost", {"weight": 0}, 404, "unknown-node"),
        ("GET", "/nodes/ghost", None, 404, "unknown-node"),
        ("PATCH", "/nodes/node1", {"weight": 2}, 422, "bad-request"),
        ("PATCH", "/nodes/node1", {}, 422, "bad-request"),
        ("PATCH", "/nodes/node1", {"weight": "1"}, 422, "bad-request"),
        ("GET", "/networks/ghost", None, 404, "unknown-network"),
        ("PATCH", "/networks/ghost", {"metric": 5}, 404, "unknown-network"),
        ("PATCH", "/networks/management", {"metric": 0}, 422, "bad-request"),
        ("PATCH", "/networks/management", {"role": 2}, 422, "bad-request"),
        ("PATCH", "/networks/management", {"role": 0}, 409, "last-cluster-network"),
        ("PUT", "/migration-networks", {"order": ["ghost"]}, 404, "unknown-network"),
        ("PUT", "/migration-networks", {"order": "management"}, 422, "bad-request"),
    ],
)
async def test_what_cannot_be_is_one_sentence_and_changes_nothing(
    method: str, path: str, body: Any, status: int, code: str
) -> None:
    async with coordinator() as bench:
        await three(bench)
        before = [await bench.get(at) for at in ("/nodes", "/networks", "/migration-networks")]

        got, said = await bench.call(method, path, json=body)

        assert (got, said["error"]["code"]) == (status, code), said
        after = [await bench.get(at) for at in ("/nodes", "/networks", "/migration-networks")]
        for rows in (*before, *after):
            for row in rows if isinstance(rows, list) else ():
                row.pop("lease_s", None)
        assert after == before


# ---- networks


async def test_a_network_has_a_metric_of_its_own_until_it_is_handed_back() -> None:
    async with coordinator() as bench:
        await three(bench)
        check_shape(list[answers.Network], await bench.get("/networks"))

        status, network = await bench.call("PATCH", "/networks/management", json={"metric": 900})
        assert (status, network["metric"], network["auto_metric"]) == (200, 900, False)
        check_shape(answers.Network, network)

        _, network = await bench.call("PATCH", "/networks/management", json={"auto_metric": True})
        assert network["auto_metric"] is True


async def test_the_order_for_migrations_is_set_and_forgotten() -> None:
    async with coordinator() as bench:
        await three(bench)
        check_shape(answers.MigrationNetworks, await bench.get("/migration-networks"))

        status, said = await bench.call(
            "PUT", "/migration-networks", json={"order": ["management"]}
        )
        assert (status, said["order"], said["effective"]) == (200, ["management"], ["management"])

        status, said = await bench.call("PUT", "/migration-networks", json={})
        assert (status, said["order"]) == (200, [])
