import json
from typing import Any

import pytest

from shell.errors import DONE, FAILED, OFF
from tests.shell.calling import call
from tests.shell.fake_api import FakeApi


def happened(index: int) -> dict[str, Any]:
    return {
        "at": 1700000000.0 + index,
        "id": 1201,
        "level": "info",
        "node": "node1",
        "group": "sql01",
        "text": f"number {index}",
        "index": index,
    }


def test_events_are_read_page_after_page_one_object_a_line(api: FakeApi) -> None:
    api.say("GET /log", (200, [happened(1), happened(2)]), (200, [happened(3)]), (200, []))

    said = call(api.url, "events", "--json")

    assert [json.loads(line)["index"] for line in said.out.splitlines()] == [1, 2, 3]
    assert [query["after"] for query in api.bodies("GET /log")] == ["0", "2", "3"]


def test_followed_events_go_on_after_a_gap_and_a_broken_stream(api: FakeApi) -> None:
    api.say("GET /log", (200, [happened(1)]), (200, []))
    api.streams = [
        b"id: 2\nevent: event\ndata: %s\n\nevent: state\ndata: {}\n\n"
        % json.dumps(happened(2)).encode(),
        b"id: 3\nevent: event\ndata: %s\n\nevent: gap\ndata: {}\n\n"
        % json.dumps(happened(3)).encode(),
    ]

    said = call(api.url, "events", "--follow", "--json")

    assert said.code == FAILED  # the streams are used up: there are no events here any more
    lines = [json.loads(line) for line in said.out.splitlines() if "error" not in line]
    assert [line["index"] for line in lines] == [1, 2, 3]
    asked = [query["after"] for question, query in api.asked if question == "GET /events"]
    assert asked[:3] == ["1", "2", "3"]


def test_the_log_is_asked_for_by_time_level_node_id_and_group(api: FakeApi) -> None:
    api.say("GET /log", (200, [happened(1)]), (200, []))
    words = ("--since", "2023-11-14T00:00:00+00:00", "--until", "0s", "--level", "warning")

    said = call(
        *(api.url, "events", *words, "--node", "node1"),
        *("--id", "1135", "--id", "1177", "--group", "sql01"),
    )

    assert said.code == DONE
    asked = api.bodies("GET /log")[0]
    assert float(asked.pop("since")) == 1699920000.0
    assert float(asked.pop("until")) > 1699920000.0
    assert asked == {
        **{"after": "0", "limit": "500", "level": "warning", "node": "node1"},
        **{"id": "1135,1177", "group": "sql01"},
    }


def test_what_is_followed_is_filtered_alike(api: FakeApi) -> None:
    api.say("GET /log", (200, []))
    other = {**happened(2), "node": "node2"}
    told = [other, {**happened(3), "level": "error"}, {**happened(4), "id": 7}, happened(5)]
    api.streams = [
        b"".join(
            b"id: %d\nevent: event\ndata: %s\n\n" % (row["index"], json.dumps(row).encode())
            for row in told
        )
    ]

    said = call(
        *(api.url, "events", "--follow", "--json", "--node", "node1"),
        *("--level", "error", "--id", "1201"),
    )

    lines = [json.loads(line) for line in said.out.splitlines() if 'error": {' not in line]
    assert [line["index"] for line in lines] == [3]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--since", "yesterday"], "'yesterday' is no time: write 30s, 10m, 2h or 1d"),
        (["--until", "25:00"], "is no time"),
        (["--level", "loud"], "'loud' is no level: it is one of info, warning"),
        (["--id", "quorum"], "Invalid value for '--id'"),
    ],
)
def test_a_filter_that_is_off_is_one_sentence(api: FakeApi, words: list[str], says: str) -> None:
    said = call(api.url, "events", *words)

    assert (said.code, says in said.err) == (OFF, True)
    assert api.asked == []
