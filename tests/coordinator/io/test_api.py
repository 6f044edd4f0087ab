"""The HTTP API translates and decides nothing; every mistake of a caller is one sentence."""

import asyncio
from typing import Any

import aiohttp
import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator
from pydantic import BaseModel, TypeAdapter

from coordinator.io import api_answers as answers
from coordinator.io import attempt_answers
from coordinator.io.api import BODY_BYTES_MAX
from tests.coordinator.io.scripted import Bench, ScriptedAgent, coordinator


def check_shape(kind: Any, body: Any) -> None:
    """`body` is what the documentation says, with every field documented."""
    adapter: TypeAdapter[Any] = TypeAdapter(kind)
    assert adapter.dump_python(adapter.validate_python(body), mode="json") == body


async def bench_of_two(bench: Bench, *, consents: bool = True) -> None:
    await bench.form(
        ScriptedAgent("node1", consents=consents), ScriptedAgent("node2", consents=consents)
    )
    status, body = await bench.post("/vms", name="sql01", memory="1MiB", node="node1")
    assert status == 201, body
    await bench.until("/vms/sql01", state="Online")


async def test_before_there_is_a_cluster_status_names_the_nodes_that_are_available() -> None:
    async with coordinator() as bench:
        await bench.join(ScriptedAgent("node1"))

        status = await bench.get("/status")

    check_shape(answers.Status, status)
    assert (status["cluster"], status["available"]) == (None, ["node1"])
    assert status["leader"] == "here"


async def test_a_cluster_forms_and_is_answered_once_its_view_holds() -> None:
    async with coordinator() as bench:
        await bench.join(ScriptedAgent("node1"), ScriptedAgent("node2"))

        status, body = await bench.post("/cluster", name="lab", nodes=["node1", "node2"])

        assert status == 201
        check_shape(answers.Status, body)
        assert body["quorum"] == {
            **{"mode": "NodeMajority", "votes": 2, "present": 2, "needed": 2},
            **{"has_quorum": True, "forced": False, "may_fail": 0, "witness": None},
        }
        assert [(n["name"], n["state"]) for n in body["nodes"]] == [
            ("node1", "Up"),
            ("node2", "Up"),
        ]
        check_shape(list[answers.Node], await bench.get("/nodes"))
        check_shape(list[answers.Network], await bench.get("/networks"))


async def test_a_node_joins_a_cluster_that_is_there() -> None:
    async with coordinator() as bench:
        await bench.form(ScriptedAgent("node1"))
        await bench.join(ScriptedAgent("node2"))

        status, body = await bench.post("/nodes", node="node2")

        assert status == 201, body
        assert [n["name"] for n in body["nodes"]] == ["node1", "node2"]


async def test_a_vm_lives_from_its_creation_to_its_deletion() -> None:
    async with coordinator() as bench:
        await bench_of_two(bench)
        check_shape(list[answers.Group], await bench.get("/groups"))
        check_shape(list[answers.Vm], await bench.get("/vms"))

        status, vm = await bench.post("/vms/sql01/stop")
        assert (status, vm["wish"]) == (202, "off")
        await bench.until("/vms/sql01", state="Offline")
        status, vm = await bench.post("/vms/sql01/start")
        assert (status, vm["epoch"]) == (202, 2)
        await bench.until("/vms/sql01", state="Online")
        await bench.post("/vms/sql01/stop")
        await bench.until("/vms/sql01", state="Offline")

        assert await bench.call("DELETE", "/vms/sql01") == (200, {"vm": "sql01"})
        assert await bench.get("/vms") == []


async def test_a_vm_is_created_from_words_or_numbers_and_shown_in_the_same_words() -> None:
    async with coordinator() as bench:
        await bench.form(ScriptedAgent("node1"))
        words = "hotspot:rate=50MB/s,set=64KiB"

        status, vm = await bench.post(
            "/vms", name="a", memory=65536, workload=words, fill="zero", start=False, seed=5
        )

        assert (status, vm["memory_bytes"], vm["fill"], vm["seed"]) == (201, 65536, "zero", 5)
        assert vm["workload"] == "hotspot:rate=50MB/s,set=64KiB"
        assert vm["state"] == "Offline"


async def test_a_migration_leaves_its_record() -> None:
    async with coordinator() as bench:
        await bench_of_two(bench)

        status, asked = await bench.post("/vms/sql01/migrate", to="node2", verify="full")
        record = await bench.until(f"/attempts/{asked['attempt']}", live=None)

        assert status == 202
        check_shape(attempt_answers.Attempt, record)
        assert (record["outcome"], record["source"], record["target"]) == (
            "completed",
            "node1",
            "node2",
        )
        assert record["blackout_s"] == pytest.approx(0.010)
        assert await bench.get("/attempts?vm=sql01&limit=1") == [record]
        assert await bench.get("/attempts?vm=other") == []


async def test_a_running_migration_shows_how_far_it_is_and_can_be_cancelled() -> None:
    async with coordinator() as bench:
        await bench_of_two(bench, consents=False)
        _, asked = await bench.post("/vms/sql01/migrate")
        path = f"/attempts/{asked['attempt']}"
        while (going := await bench.get(path))["live"]["step"] != "S5":
            pass

        check_shape(attempt_answers.Attempt, going)
        assert going["live"]["pages_sent"] == 100
        status, _ = await bench.post(f"{path}/cancel")
        ended = await bench.until(path, live=None)

        assert (status, ended["outcome"]) == (202, "cancelled")
        assert (await bench.get("/vms/sql01"))["node"] == "node1"
        assert (await bench.post(f"{path}/cancel"))[0] == 409


async def test_a_refused_migration_is_answered_with_its_record() -> None:
    async with coordinator() as bench:
        await bench_of_two(bench)

        status, body = await bench.post("/vms/sql01/migrate", to="node1")

        assert status == 409
        check_shape(answers.Error, body)
        assert body["error"]["code"] == "same-node"
        assert body["record"]["outcome"] == "refused"
        assert body["record"]["reason"] == body["error"]["message"]


async def test_pausing_refuses_new_vms_and_resuming_takes_them_again() -> None:
    async with coordinator() as bench:
        await bench.form(ScriptedAgent("node1"))

        assert (await bench.post("/nodes/node1/pause"))[0] == 202
        assert (await bench.post("/vms", name="a", memory="1MiB", node="node1"))[0] == 409
        assert (await bench.call("POST", "/nodes/node1/resume"))[0] == 202
        assert (await bench.post("/vms", name="a", memory="1MiB", node="node1"))[0] == 201


async def test_the_log_is_filtered_by_time_level_node_id_and_group() -> None:
    async with coordinator() as bench:
        await bench_of_two(bench)
        log = await bench.get("/log?after=0")
        joined = [event for event in log if event["id"] == 1062]

        assert await bench.get("/log?id=1062") == joined
        assert await bench.get("/log?id=1061,1062&node=node2") == joined[1:]
        assert await bench.get("/log?level=critical") == []
        assert await bench.get("/log?group=sql01") == [e for e in log if e["group"] == "sql01"]
        later = log[-1]["at"] + 1
        assert await bench.get(f"/log?since={later}") == []
        assert await bench.get(f"/log?until={later}&after=0") == log
        assert await bench.get("/log?since=1970-01-01T01:00:00%2B01:00&after=0") == log
        assert await bench.get("/log?until=1970-01-01 00:00") == []


async def test_the_log_tells_the_newest_or_what_follows_an_event() -> None:
    async with coordinator() as bench:
        await bench_of_two(bench)

        log = await bench.get("/log?after=0")

        check_shape(list[answers.LogEvent], log)
        assert [event["index"] for event in log] == list(range(1, len(log) + 1))
        assert await bench.get("/log?limit=2") == log[-2:]
        assert await bench.get("/log?after=1&limit=2") == log[1:3]


@pytest.mark.parametrize(
    ("path", "body", "wrong"),
    [
        ("/vms", {"memory": "1GiB"}, "'name' is missing"),
        ("/vms", {"name": "a"}, "'memory' is missing"),
        ("/vms", {"name": 7, "memory": "1GiB"}, "'name' is wrong"),
        ("/vms", {"name": "", "memory": "1GiB"}, "'name' is wrong"),
        ("/vms", {"name": "a b", "memory": "1MiB"}, "no name for a VM"),
        ("/vms", {"name": "a", "memory": "1Gib"}, "'1Gib' is no size"),
        ("/vms", {"name": "a", "memory": "-1GiB"}, "below zero"),
        ("/vms", {"name": "a", "memory": 0}, "cannot have 0 bytes"),
        ("/vms", {"name": "a", "memory": -4096}, "cannot have -4096 bytes"),
        ("/vms", {"name": "a", "memory": 4097}, "no multiple of the page"),
        ("/vms", {"name": "a", "memory": "1TiB"}, "the largest has"),
        ("/vms", {"name": "a", "memory": True}, "'memory' is wrong"),
        ("/vms", {"name": "a", "memory": 4096.5}, "'memory' is wrong"),
        ("/vms", {"name": "a", "memory": "1MiB", "size": 1}, "no field 'size'"),
        ("/vms", {"name": "a", "memory": "1MiB", "workload": "busy"}, "no workload 'busy'"),
        ("/vms", {"name": "a", "memory": "1MiB", "workload": 5}, "'workload' is wrong"),
        ("/vms", {"name": "a", "memory": "1MiB", "fill": "ones"}, "random, files or zero"),
        ("/vms", {"name": "a", "memory": "1MiB", "seed": -1}, "'seed' is wrong"),
        ("/vms", {"name": "a", "memory": "1MiB", "start": "yes"}, "true or false"),
        ("/vms", ["a"], "JSON object with name, memory"),
        ("/vms/a/migrate", {"verify": "some"}, "off, sampled or full"),
        ("/vms/a/migrate", {"target": "node2"}, "no field 'target'"),
        ("/cluster", {"name": "lab", "nodes": []}, "'nodes' is wrong"),
        ("/cluster", {"name": "lab", "nodes": ["a", 5]}, "'nodes', item 1, is wrong"),
        ("/cluster", {"name": "x", "nodes": ["a"], "delay_s": 0}, "'delay_s' is wrong"),
        ("/nodes/node1/pause", {"drain": 1}, "'drain' is wrong"),
        ("/vms/a/start", {"now": True}, "no field 'now' here: there is no field at all"),
    ],
)
async def test_a_wrong_body_is_one_sentence_that_names_the_field(
    path: str, body: Any, wrong: str
) -> None:
    async with coordinator() as bench:
        await bench.form(ScriptedAgent("node1"))

        status, said = await bench.call("POST", path, json=body)

        assert status == 422
        assert wrong in said["error"]["message"]
        assert said["error"]["message"].endswith(".")
        assert await bench.get("/vms") == []


@pytest.mark.parametrize("body", ["", "{", "NaN,", '{"name": "\\ud800"}'])
async def test_a_body_that_is_not_json_is_said_to_be_none(body: str) -> None:
    async with coordinator() as bench:
        headers = {"Content-Type": "application/json"}

        status, said = await bench.call("POST", "/vms", data=body, headers=headers)

    assert status == 422
    assert "is not JSON" in said["error"]["message"]


@pytest.mark.parametrize(
    ("path", "wrong"),
    [
        ("/log?after=-1", "'after' is wrong"),
        ("/log?limit=0", "'limit' is wrong"),
        ("/log?limit=x", "'limit' is wrong"),
        ("/log?sinse=1", "no field 'sinse'"),
        ("/log?since=yesterday", "'since' is wrong"),
        ("/log?until=inf", "'until' is wrong"),
        ("/log?level=bad", "'level' is wrong"),
        ("/log?id=1135,x", "'id' is wrong"),
        ("/events?after=x", "'after' is wrong"),
        ("/status?x=1", "takes no parameters"),
    ],
)
async def test_a_wrong_query_is_one_sentence(path: str, wrong: str) -> None:
    async with coordinator() as bench:
        status, said = await bench.call("GET", path)

    assert status == 422
    assert wrong in said["error"]["message"]


async def test_what_is_not_there_is_404_and_a_wrong_method_names_the_right_one() -> None:
    async with coordinator() as bench:
        await bench.form(ScriptedAgent("node1"))

        for path, code in (
            ("/vms/ghost", "unknown-vm"),
            ("/attempts/7", "unknown-attempt"),
            ("/attempts/x", "unknown-attempt"),
            ("/nothing", "not-found"),
        ):
            status, said = await bench.call("GET", path)
            assert (status, said["error"]["code"]) == (404, code)
        status, said = await bench.call("PUT", "/vms")
        assert (status, said["error"]["code"]) == (405, "method-not-allowed")
        assert "GET, POST" in said["error"]["message"]
        assert (await bench.post("/vms/ghost/start"))[0] == 404
        assert (await bench.post("/nodes/ghost/pause"))[0] == 404


@pytest.mark.parametrize(
    ("headers", "status", "code"),
    [
        ({"Host": "evil.example"}, 403, "foreign-host"),
        ({"Host": "evil.example:80"}, 403, "foreign-host"),
        ({"Origin": "http://evil.example"}, 403, "foreign-origin"),
        ({"Origin": "null"}, 403, "foreign-origin"),
        ({"Content-Type": "text/plain"}, 415, "not-json"),
        ({"Content-Type": "application/x-www-form-urlencoded"}, 415, "not-json"),
    ],
)
async def test_a_page_in_a_browser_cannot_operate_the_cluster(
    headers: dict[str, str], status: int, code: str
) -> None:
    async with coordinator() as bench:
        await bench.form(ScriptedAgent("node1"))
        headers = {"Content-Type": "application/json", **headers}

        got, said = await bench.call("POST", "/nodes/node1/pause", data="{}", headers=headers)

        assert (got, said["error"]["code"]) == (status, code)
        assert (await bench.get("/status"))["nodes"][0]["state"] == "Up"


@pytest.mark.parametrize("host", ["localhost", "localhost:8080", "127.0.0.1", "[::1]:80"])
async def test_an_address_and_localhost_are_names_of_this_server(host: str) -> None:
    async with coordinator() as bench:
        headers = {"Host": host, "Origin": f"http://{host}"}

        assert (await bench.call("GET", "/status", headers=headers))[0] == 200


async def test_a_body_beyond_the_limit_is_refused() -> None:
    async with coordinator() as bench:
        status, said = await bench.post("/vms", name="a" * BODY_BYTES_MAX, memory=4096)

    assert (status, said["error"]["code"]) == (413, "too-large")


async def test_a_question_without_an_answer_in_time_has_an_open_outcome() -> None:
    async with coordinator(ask_s=0.05) as bench:
        deaf = ScriptedAgent("node1")
        deaf.answers = lambda message: []  # type: ignore[method-assign]
        await bench.join(deaf)

        status, said = await bench.post("/cluster", name="lab", nodes=["node1"])

    assert (status, said["error"]["code"]) == (504, "unknown-outcome")


async def test_a_question_that_is_open_when_the_coordinator_stops_is_answered() -> None:
    async with coordinator() as bench:
        deaf = ScriptedAgent("node1")
        deaf.answers = lambda message: []  # type: ignore[method-assign]
        await bench.join(deaf)
        asked = asyncio.ensure_future(bench.post("/cluster", name="lab", nodes=["node1"]))
        while not (await bench.get("/status"))["cluster"]:
            pass

        bench.driver.stop()

        assert (await asked)[0] == 504
        assert (await bench.post("/nodes", node="node1"))[0] == 503


async def test_the_documentation_is_a_valid_openapi_document() -> None:
    async with coordinator() as bench:
        document = await bench.get("/../openapi.json")

    OpenAPIV31SpecValidator(document).validate()
    assert {"/api/v1/vms/{vm}/migrate", "/api/v1/events"} <= document["paths"].keys()
    models = {n for n, m in vars(answers).items() if isinstance(m, type) and m is not BaseModel}
    used = {name for name in models if issubclass(getattr(answers, name), BaseModel)}
    assert used <= document["components"]["schemas"].keys()


async def test_the_page_for_people_needs_nothing_from_outside() -> None:
    async with coordinator() as bench, aiohttp.ClientSession() as http:
        async with http.get(bench.url.replace("/v1", "/docs")) as answer:
            page = await answer.text()
            policy = answer.headers["Content-Security-Policy"]

    assert policy.startswith("default-src 'none'")
    assert "/api/v1/vms/{vm}/migrate" in page
    assert "<script" not in page
    assert "http://" not in page
    assert "https://" not in page
