"""How a request over HTTP says how pages travel, how fast, and whether it waits."""

from typing import Any

import pytest

from tests.coordinator.io.scripted import Bench, ScriptedAgent, coordinator


async def three(bench: Bench, *, consents: bool = True) -> None:
    await bench.form(*(ScriptedAgent(f"node{n}", consents=consents) for n in (1, 2, 3)))
    for name, node in (("sql01", "node1"), ("web01", "node3")):
        await bench.post("/vms", name=name, memory="1MiB", node=node)
        await bench.until(f"/vms/{name}", state="Online")


async def test_every_choice_is_made_in_the_words_of_people_and_shown_in_bytes_and_seconds() -> None:
    async with coordinator() as bench:
        await three(bench)

        _, asked = await bench.post(
            "/vms/sql01/migrate",
            **{"to": "node2", "streams": 2, "compress": "auto", "level": 3, "delta": "64MiB"},
            **{"kept": True, "checksum": False, "stripe": True, "marking": "sent"},
            **{"rate": "118MB/s", "downtime": "20ms", "priority": "high"},
        )
        record = await bench.until(f"/attempts/{asked['attempt']}", live=None)

    assert record["travel"] == {
        **{"streams": 2, "compress": "auto", "level": 3, "delta_bytes": 64 << 20, "kept": True},
        **{"checked": False, "stripe": True, "marking": "sent"},
        **{"rate_bytes_per_s": 118_000_000, "downtime_s": 0.02},
    }
    assert (record["priority"], record["queued_s"]) == ("high", 0.0)


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"streams": 17}, "streams is 17; it must be 1 to 16."),
        ({"streams": 10**30}, "streams"),
        ({"rate": "5"}, "at least 1000000"),
        ({"rate": "fast"}, "write it like 50MB/s"),
        ({"delta": "-1MiB"}, "below zero"),
        ({"downtime": "soon"}, "write it like 20ms"),
        ({"downtime": 4000}, "0 to 3600"),
        ({"compress": "gzip"}, "off, auto or zstd"),
        ({"priority": "highest"}, "high, medium or low"),
        ({"kept": "yes"}, "true or false"),
    ],
)
async def test_what_nobody_can_carry_out_is_refused_in_a_sentence(
    fields: dict[str, Any], says: str
) -> None:
    async with coordinator() as bench:
        await three(bench)

        status, body = await bench.post("/vms/sql01/migrate", to="node2", **fields)

        assert (status, says in body["error"]["message"]) == (422, True), body
        assert (await bench.get("/vms/sql01"))["attempt"] is None


async def test_one_that_waits_is_shown_and_can_be_cancelled() -> None:
    async with coordinator() as bench:
        await three(bench, consents=False)
        await bench.post("/vms/sql01/migrate", to="node2")

        status, asked = await bench.post("/vms/web01/migrate", to="node2", priority="low")
        path = f"/attempts/{asked['attempt']}"
        waits = await bench.get(path)

        assert (status, waits["state"], waits["live"]) == (202, "Queued", None)
        assert "node2 takes part in migration attempt 1" in waits["reason"]
        assert (await bench.post(f"{path}/cancel"))[0] == 202
        assert (await bench.get(path))["outcome"] == "cancelled"


async def test_a_node_is_limited_and_so_are_its_migrations() -> None:
    async with coordinator() as bench:
        await three(bench)
        where = "/nodes/node1/migration-rate"

        status, node = await bench.call("PUT", where, json={"rate": "50MB/s"})
        _, asked = await bench.post("/vms/sql01/migrate", to="node2", rate="118MB/s")
        record = await bench.until(f"/attempts/{asked['attempt']}", live=None)

        assert (status, node["migration_rate_bytes_per_s"]) == (200, 50_000_000)
        assert record["travel"]["rate_bytes_per_s"] == 50_000_000
        status, body = await bench.call("PUT", where, json={"rate": 7})
        assert (status, body["error"]["code"]) == (422, "bad-rate")
        status, _ = await bench.call("PUT", "/nodes/x/migration-rate", json={"rate": 0})
        assert status == 404
