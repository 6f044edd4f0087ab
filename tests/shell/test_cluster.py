from typing import Any

import pytest

from shell.errors import DONE, FAILED, OFF
from tests.shell.calling import call
from tests.shell.fake_api import FakeApi, error


def prop(name: str, value: Any, **fields: Any) -> dict[str, Any]:
    return {
        **{"name": name, "value": value, "default": value, "least": 250, "most": 2000},
        **{"unit": "ms", "writable": True, "meaning": "between two heartbeats"},
        **fields,
    }


DELAY = prop("SameSubnetDelay", 1000)
THRESHOLD = prop("SameSubnetThreshold", 5, least=3, most=120, unit="")
FORCED = prop("FixQuorum", 0, least=None, most=None, unit="", writable=False)
STATUS = {
    **{"cluster": "demo", "cluster_id": "abc", "leader": "c1", "term": 4},
    "quorum": {
        **{"mode": "NodeMajority", "votes": 3, "present": 3, "needed": 2, "has_quorum": True},
        **{"forced": False, "may_fail": 1, "witness": None},
    },
}


def test_show_lists_every_property_with_its_range(api: FakeApi) -> None:
    api.say("GET /status", (200, STATUS))
    api.say("GET /cluster/properties", (200, [DELAY, THRESHOLD, FORCED]))

    said = call(api.url, "cluster", "show")

    assert said.code == DONE
    assert all(words in said.out for words in ("Cluster demo", "250-2000 ms", "3-120", "read only"))


def test_show_as_data_has_the_values_by_name(api: FakeApi) -> None:
    api.say("GET /status", (200, STATUS))
    api.say("GET /cluster/properties", (200, [DELAY, THRESHOLD]))

    assert call(api.url, "cluster", "show", "--json").data == {
        **{"cluster": "demo", "cluster_id": "abc", "leader": "c1", "term": 4},
        "properties": {"SameSubnetDelay": 1000, "SameSubnetThreshold": 5},
    }


def test_get_prints_values_whatever_the_capitals(api: FakeApi) -> None:
    api.say("GET /cluster/properties", (200, [DELAY, THRESHOLD]))

    said = call(api.url, "cluster", "get", "samesubnetdelay", "SameSubnetThreshold")

    assert (said.code, said.out) == (DONE, "SameSubnetDelay=1000\nSameSubnetThreshold=5\n")


def test_get_of_an_unknown_name_is_off(api: FakeApi) -> None:
    api.say("GET /cluster/properties", (200, [DELAY]))

    said = call(api.url, "cluster", "get", "Delay")

    assert (said.code, "there is no property 'Delay'" in said.err) == (OFF, True)


def test_set_asks_for_all_at_once(api: FakeApi) -> None:
    changed = [{**DELAY, "value": 500}, {**THRESHOLD, "value": 10}, FORCED]
    api.say("PATCH /cluster/properties", (200, changed))

    said = call(api.url, "cluster", "set", "SameSubnetDelay=500", "samesubnetthreshold=10")

    assert (said.code, said.out) == (DONE, "SameSubnetDelay=500\nSameSubnetThreshold=10\n")
    assert api.bodies("PATCH /cluster/properties") == [
        {"SameSubnetDelay": 500, "samesubnetthreshold": 10}
    ]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["SameSubnetDelay"], "'SameSubnetDelay' sets nothing: write NAME=VALUE"),
        (["=5"], "sets nothing"),
        (["A=1", "A=2"], "A is set twice"),
        ([], "Missing argument 'NAME=VALUE...'"),
    ],
)
def test_words_that_set_nothing_are_off(api: FakeApi, words: list[str], says: str) -> None:
    said = call(api.url, "cluster", "set", *words)

    assert (said.code, says in said.err) == (OFF, True)
    assert api.asked == []


@pytest.mark.parametrize(
    ("status", "code", "exit_code"),
    [(422, "out-of-range", OFF), (404, "unknown-property", FAILED), (409, "read-only", FAILED)],
)
def test_what_is_refused_is_one_sentence(
    api: FakeApi, status: int, code: str, exit_code: int
) -> None:
    api.say("PATCH /cluster/properties", (status, error(code, "It is 250 to 2000.")))

    said = call(api.url, "cluster", "set", "SameSubnetDelay=1")

    assert (said.code, said.err) == (exit_code, "hvlab: It is 250 to 2000.\n")
