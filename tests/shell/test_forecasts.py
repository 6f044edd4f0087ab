"""`hvlab estimate`, and what a drain says of itself before and after."""

from typing import Any

import pytest

from shell.errors import DONE, FAILED, OFF
from tests.shell.calling import call
from tests.shell.fake_api import FakeApi, error
from tests.shell.test_tables import RECORD


def figure(likely: float, least: float, most: float) -> dict[str, float]:
    return {"likely": likely, "least": least, "most": most, "limit": most * 5}


FORECAST = {
    "policy": "2008r2",
    "rounds": figure(4, 3, 5),
    "wire_bytes": figure(280 * 2**20, 270 * 2**20, 300 * 2**20),
    "total_s": figure(2.5, 2.25, 3.0),
    "blackout_s": figure(0.05, 0.02, 0.11),
    "reason": "What is left is small enough.",
    "ends_by_itself": True,
}
ESTIMATE = {
    "vm": "sql01",
    "source": "node1",
    "target": "node2",
    "basis": "the last 2 migrations between node1 and node2",
    "wire_bytes_per_s": {"likely": 110 * 2**20, "least": 100 * 2**20, "most": 120 * 2**20},
    "zero_share": 0.25,
    "packed_share": 0.5,
    "curve": [{"seconds": 0.1, "bytes": 2**22, "least_bytes": 2**21, "most_bytes": 2**23}],
    "cost_s": 0.01,
    "policies": [FORECAST],
}
DRAIN = {
    "node": "node1",
    "at_once": 1,
    "order": ["sql01"],
    "vms": [{"vm": "sql01", "target": "node2", **FORECAST}],
    "stay": [{"vm": "web01", "reason": "It is local."}],
    "total_s": figure(2.5, 2.25, 3.0),
}
WHERE = "POST /vms/sql01/estimate"


def test_an_estimate_shows_the_curve_and_each_policy_with_its_bounds(api: FakeApi) -> None:
    api.say(WHERE, (200, ESTIMATE))

    said = call(api.url, "estimate", "sql01", "--to", "node2")

    assert said.code == DONE
    for words in (
        "sql01 from node1 to node2",
        "110 MiB/s (100 MiB/s to 120 MiB/s), from the last 2 migrations",
        "Zero pages: 25 %.",
        "50 % of the bytes are left",
        "40 MiB/s",
        "(3 to 5)",
        "(2.2 s to 3.0 s)",
        "(20.0 ms to 110 ms)",
        "2008r2: What is left is small enough.",
    ):
        assert words in said.out, words
    assert "Watching what sql01 writes." in said.err
    assert api.bodies(WHERE) == [{"to": "node2"}]


def test_what_is_chosen_is_asked_for_in_bytes_and_seconds(api: FakeApi) -> None:
    api.say(WHERE, (200, ESTIMATE))

    said = call(
        api.url,
        *("estimate", "sql01", "--policy", "clark", "--rate", "118MB/s", "--downtime", "20ms"),
        *("--window", "10s", "--streams", "2", "--marking", "round", "--json"),
    )

    assert (said.code, said.data, said.err) == (DONE, ESTIMATE, "")
    assert api.bodies(WHERE) == [
        {
            "policy": "clark",
            "rate": 118_000_000,
            "downtime": 0.02,
            "window": 10.0,
            "streams": 2,
            "marking": "round",
        }
    ]


@pytest.mark.parametrize(
    ("status", "code", "sentence"),
    [
        (404, "unknown-vm", "There is no VM 'sql01': name one that exists."),
        (409, "vm-off", "VM sql01 is Offline: nothing is written. Start it first."),
    ],
)
def test_a_refusal_is_one_sentence(api: FakeApi, status: int, code: str, sentence: str) -> None:
    api.say(WHERE, (status, error(code, sentence)))

    said = call(api.url, "estimate", "sql01")

    assert said.code == FAILED
    assert said.err.endswith(f"hvlab: {sentence}\n")


@pytest.mark.parametrize(
    "words", [["--window", "soon"], ["--rate", "fast"], ["--marking", "never"], ["--streams", "99"]]
)
def test_words_that_are_off_ask_nothing(api: FakeApi, words: list[str]) -> None:
    said = call(api.url, "estimate", "sql01", *words)

    assert (said.code, api.asked) == (OFF, [])


def test_the_estimate_of_a_drain_moves_nothing(api: FakeApi) -> None:
    api.say("POST /nodes/node1/estimate", (200, DRAIN))

    said = call(api.url, "drain", "node1", "--estimate")

    assert said.code == DONE
    for words in ("Draining node1, one at once", "web01 stays: It is local.", "All of it: 2.5 s"):
        assert words in said.out
    assert [asked for asked, _ in api.asked] == ["POST /nodes/node1/estimate"]


def drained(api: FakeApi) -> None:
    vm: dict[str, Any] = {"name": "sql01", "state": "Online", "node": "node1"}
    api.say("GET /vms", (200, [vm]), (200, [{**vm, "node": "node2"}]))
    api.say("GET /attempts", (200, []))
    api.say("POST /nodes/node1/pause", (202, {"node": "node1"}))
    api.say("GET /nodes", (200, [{"name": "node1", "state": "Paused", "draining": False}]))


def test_a_drain_is_foretold_and_scored(api: FakeApi) -> None:
    drained(api)
    api.say("POST /nodes/node1/estimate", (200, DRAIN))

    said = call(api.url, "drain", "node1")

    assert said.code == DONE
    assert "All of it: 2.5 s" in said.err
    assert "Foretold 2.5 s, took " in said.out
    assert "outside 2.2 s to 3.0 s" in said.out


def test_a_drain_that_cannot_be_foretold_is_done_all_the_same(api: FakeApi) -> None:
    drained(api)
    api.say("POST /nodes/node1/estimate", (503, error("not-sampled", "It did not answer.")))

    said = call(api.url, "drain", "node1", "--json")

    assert said.code == DONE
    assert (said.data["moved"], said.data["predicted"]) == (["sql01"], None)
    assert said.data["took_s"] >= 0


def test_the_record_of_a_migration_says_what_was_foretold(api: FakeApi) -> None:
    predicted = {"rounds": 4.0, "wire_bytes": 2**28, "total_s": 1.5, "blackout_s": 0.05}
    record = {
        **RECORD,
        "ended_at": 5.0,
        "predicted": predicted,
        "explained": {"sentence": "As foretold."},
    }
    api.say("POST /vms/sql01/migrate", (202, {"attempt": 7}))
    api.say("GET /attempts/7", (200, record))

    said = call(api.url, "migrate", "sql01")

    assert "Foretold: 1.5 s, 256 MiB in 4 rounds, blackout 50.0 ms. As foretold." in said.out
