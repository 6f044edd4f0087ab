"""What `hvlab migrate` sends for its options, and what is shown of one that waits."""

from typing import Any

import pytest

from shell.errors import DONE, FAILED, OFF
from shell.progress import sentence
from tests.shell.calling import call
from tests.shell.fake_api import FakeApi, error

ASKED = "POST /vms/sql01/migrate"


@pytest.mark.parametrize(
    ("words", "body"),
    [
        (["--streams", "2", "--stripe"], {"streams": 2, "stripe": True}),
        (["--compress", "zstd", "--level", "9"], {"compress": "zstd", "level": 9}),
        (["--delta", "64MiB", "--kept"], {"delta": 64 << 20, "kept": True}),
        (["--no-checksum", "--marking", "peek"], {"checksum": False, "marking": "peek"}),
        (["--rate", "118MB/s", "--downtime", "20ms"], {"rate": 118_000_000, "downtime": 0.02}),
        (["--queue"], {"priority": "medium"}),
        (["--queue", "--priority", "high"], {"priority": "high"}),
    ],
)
def test_only_what_is_said_is_asked_for(
    api: FakeApi, words: list[str], body: dict[str, Any]
) -> None:
    api.say(ASKED, (409, error("node-busy", "Node node2 is busy.")))

    assert call(api.url, "migrate", "sql01", *words).code == FAILED

    assert api.bodies(ASKED) == [{"policy": "2008r2", "verify": "off", **body}]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--streams", "17"], "--streams"),
        (["--compress", "gzip"], "--compress"),
        (["--rate", "fast"], "write it like 50MB/s"),
        (["--delta", "much"], "write it like 1GiB"),
        (["--downtime", "20"], "write it like 20ms"),
        (["--priority", "highest"], "--priority"),
    ],
)
def test_words_that_are_off_ask_nothing(api: FakeApi, words: list[str], says: str) -> None:
    said = call(api.url, "migrate", "sql01", *words)

    assert (said.code, says in said.err) == (OFF, True)
    assert api.asked == []


def test_one_that_waits_says_for_what() -> None:
    waits = {"state": "Queued", "live": None, "outcome": None, "reason": "Node b is busy: wait."}

    assert sentence(waits) == "waits: Node b is busy: wait"


@pytest.mark.parametrize(("word", "rate"), [("118MB/s", 118_000_000), ("0", 0)])
def test_a_node_is_limited_or_freed(api: FakeApi, word: str, rate: int) -> None:
    row = {"name": "node1", "state": "Up", "votes": 1, "migration_rate_bytes_per_s": rate}
    api.say("PUT /nodes/node1/migration-rate", (200, row))

    said = call(api.url, "node", "rate", "node1", word)

    assert said.code == DONE
    assert api.bodies("PUT /nodes/node1/migration-rate") == [{"rate": rate}]
    assert ("at most 118MB/s" if rate else "no limit") in said.out
    assert call(api.url, "node", "rate", "node1", "fast").code == OFF


def test_a_network_is_limited(api: FakeApi) -> None:
    row = {
        **{"name": "csv", "state": "Up", "role": 1, "metric": 1000, "subnet": "10.0.0.0/24"},
        "migration_rate_bytes_per_s": 10**7,
    }
    api.say("PATCH /networks/csv", (200, row))

    said = call(api.url, "network", "set", "csv", "--rate", "10MB/s")

    assert (said.code, "at most 10MB/s" in said.out) == (DONE, True)
    assert api.bodies("PATCH /networks/csv") == [{"migration_rate": 10**7}]
