from typing import Any

import pytest

from shell.errors import DONE, FAILED, OFF
from tests.shell.calling import call
from tests.shell.fake_api import FakeApi, error

VM = "Virtual Machine sql01"
CONFIGURATION = "Virtual Machine Configuration sql01"


def resource(name: str, **fields: Any) -> dict[str, Any]:
    return {
        **{"name": name, "type": "Virtual Machine", "state": "Online", "depends_on": []},
        **{"group": "sql01", "owner": "node1", "settings": {"RestartAction": 2}},
        **fields,
    }


def group(**fields: Any) -> dict[str, Any]:
    return {
        **{"name": "sql01", "state": "Online", "owner": "node1", "epoch": 3, "reason": ""},
        "settings": {"FailoverThreshold": 2**32 - 1, "PreferredOwners": ["node1", "node2"]},
        "resources": [resource(CONFIGURATION), resource(VM, depends_on=[CONFIGURATION])],
        **fields,
    }


def test_list_tells_state_owner_and_why_something_waits(api: FakeApi) -> None:
    api.say("GET /groups", (200, [group(), group(name="web01", reason="no node has memory")]))

    said = call(api.url, "group", "list")

    assert said.code == DONE
    assert all(word in said.out for word in ("sql01", "node1", "web01", "no node has memory"))


def test_show_tells_resources_with_their_order_and_settings(api: FakeApi) -> None:
    api.say("GET /groups/sql01", (200, group()))

    said = call(api.url, "group", "show", "sql01")

    assert all(word in said.out for word in (VM, CONFIGURATION, "4294967295 (none)"))
    assert "node1, node2" in said.out


def test_set_sends_numbers_and_lists(api: FakeApi) -> None:
    api.say("PATCH /groups/sql01", (200, group()))

    code = call(
        api.url, "group", "set", "sql01", "FailoverThreshold=2", "PreferredOwners=node1,node2"
    ).code

    assert code == DONE
    assert api.bodies("PATCH /groups/sql01") == [
        {"settings": {"FailoverThreshold": 2, "PreferredOwners": ["node1", "node2"]}}
    ]


def test_move_waits_until_it_is_there_in_the_state_that_it_had(api: FakeApi) -> None:
    pending = group(state="Pending", owner="node2")
    api.say("GET /groups/sql01", (200, group()), (200, pending), (200, group(owner="node2")))
    api.say("POST /groups/sql01/move", (202, {**pending, "node": "node2"}))

    said = call(api.url, "group", "move", "sql01", "--to", "node2")

    assert (said.code, said.out) == (DONE, "sql01 was moved: Online on node2.\n")
    assert api.bodies("POST /groups/sql01/move") == [{"to": "node2"}]


def test_a_move_that_ends_failed_is_exit_code_1(api: FakeApi) -> None:
    api.say("GET /groups/sql01", (200, group()), (200, group(state="Failed", reason="No memory.")))
    api.say("POST /groups/sql01/move", (202, group(state="Pending", node="node2")))

    said = call(api.url, "group", "move", "sql01")

    assert (said.code, "sql01 is Failed, not Online (No memory)" in said.err) == (FAILED, True)


@pytest.mark.parametrize(
    ("word", "state", "done"), [("start", "Online", "started"), ("stop", "Offline", "stopped")]
)
def test_start_and_stop_wait_for_the_state(api: FakeApi, word: str, state: str, done: str) -> None:
    api.say(f"POST /groups/sql01/{word}", (202, group(state="Pending")))
    api.say("GET /groups/sql01", (200, group(state="Pending")), (200, group(state=state)))

    assert call(api.url, "group", word, "sql01").out == f"sql01 was {done}: {state} on node1.\n"


def test_fail_means_the_vm_unless_another_resource_is_named(api: FakeApi) -> None:
    api.say("POST /resources/Virtual Machine sql01/fail", (202, resource(VM)))
    api.say(f"POST /resources/{CONFIGURATION}/fail", (202, resource(CONFIGURATION)))

    assert call(api.url, "group", "fail", "sql01").code == DONE
    assert call(api.url, "group", "fail", "sql01", "--resource", CONFIGURATION).code == DONE
    assert len(api.asked) == 2


@pytest.mark.parametrize("words", [["list"], ["show", VM], ["set", VM, "RestartAction=1"]])
def test_resources_are_listed_shown_and_set(api: FakeApi, words: list[str]) -> None:
    api.say("GET /resources", (200, [resource(VM)]))
    api.say(f"GET /resources/{VM}", (200, resource(VM)))
    api.say(f"PATCH /resources/{VM}", (200, resource(VM)))

    said = call(api.url, "resource", *words)

    assert (said.code, VM in said.out) == (DONE, True)


def test_possible_owners_are_a_list(api: FakeApi) -> None:
    api.say(f"PATCH /resources/{VM}", (200, resource(VM)))

    call(api.url, "resource", "set", VM, "possibleowners=node1,node2")

    assert api.bodies(f"PATCH /resources/{VM}") == [
        {"settings": {"possibleowners": ["node1", "node2"]}}
    ]


@pytest.mark.parametrize(
    ("words", "question", "status", "exit_code"),
    [
        (["group", "show", "no"], "GET /groups/no", 404, FAILED),
        (["group", "set", "no", "A=1"], "PATCH /groups/no", 404, FAILED),
        (["group", "set", "no", "FailoverPeriod=9999"], "PATCH /groups/no", 422, OFF),
        (["group", "start", "no"], "POST /groups/no/start", 404, FAILED),
        (["group", "stop", "no"], "POST /groups/no/stop", 404, FAILED),
        (["group", "move", "no", "--to", "x"], "GET /groups/no", 404, FAILED),
        (["group", "fail", "no"], "POST /resources/Virtual Machine no/fail", 404, FAILED),
        (["resource", "show", "no"], "GET /resources/no", 404, FAILED),
        (["resource", "set", "no", "RestartAction=3"], "PATCH /resources/no", 422, OFF),
        (["resource", "fail", "no"], "POST /resources/no/fail", 404, FAILED),
    ],
)
def test_what_is_unknown_or_out_of_range_is_one_sentence(
    api: FakeApi, words: list[str], question: str, status: int, exit_code: int
) -> None:
    api.say(question, (status, error("some-code", "That is not so: name another.")))

    said = call(api.url, *words)

    assert (said.code, said.err) == (exit_code, "hvlab: That is not so: name another.\n")


@pytest.mark.parametrize(
    "words",
    [
        ["group", "set", "sql01"],
        ["group", "set", "sql01", "FailoverThreshold"],
        ["group", "show", ".."],
        ["resource", "set", VM, "RestartAction"],
        ["resource", "show", "a\nb"],
        ["group", "move"],
    ],
)
def test_words_that_are_off_ask_nothing(api: FakeApi, words: list[str]) -> None:
    said = call(api.url, *words)

    assert (said.code, said.err.count("\n")) == (OFF, 1)
    assert api.asked == []
