from typing import Any

import pytest

from shell.errors import DONE, FAILED, OFF
from tests.shell.calling import call
from tests.shell.fake_api import FakeApi, error
from tests.shell.test_ballot import quorum


def node(**fields: Any) -> dict[str, Any]:
    return {
        **{"name": "node1", "state": "Up", "votes": 1, "weight": 1, "id": 1, "vms": ["sql01"]},
        **{"stopped": False, "memory_bytes": 2**32, "memory_free_bytes": 2**31, "lease_s": 4.2},
        "addresses": {"csv": "127.1.0.1"},
        "routes": [{"node": "node2", "network": "csv", "up": False}],
        **fields,
    }


def test_list_tells_state_weight_and_votes(api: FakeApi) -> None:
    api.say("GET /nodes", (200, [node(), node(name="node2", state="Down", stopped=True)]))

    said = call(api.url, "node", "list")

    assert (said.code, "Down, stopped" in said.out, "2,048 MiB of 4,096 MiB" in said.out) == (
        *(DONE, True, True),
    )


def test_show_tells_the_lease_the_addresses_and_the_routes(api: FakeApi) -> None:
    api.say("GET /nodes/node1", (200, node()))

    said = call(api.url, "node", "show", "node1")

    assert all(word in said.out for word in ("4.2 s", "127.1.0.1", "node2", "DOWN"))


@pytest.mark.parametrize(
    ("word", "state"), [("stop", "Down"), ("start", "Up"), ("start", "Paused")]
)
def test_stop_and_start_wait_for_the_state(api: FakeApi, word: str, state: str) -> None:
    api.say(f"POST /nodes/node1/{word}", (202, {"node": "node1"}))
    api.say("GET /nodes/node1", (200, node(state="Joining")), (200, node(state=state)))

    said = call(api.url, "node", word, "node1")

    assert (said.code, said.out) == (DONE, f"node1: {state}.\n")


@pytest.mark.parametrize(
    ("word", "code", "state"),
    [("stop", "node-stopped", "Down"), ("start", "node-not-stopped", "Up")],
)
def test_a_node_that_is_as_was_wished_is_fine(
    api: FakeApi, word: str, code: str, state: str
) -> None:
    api.say(f"POST /nodes/node1/{word}", (409, error(code, "It is already.")))
    api.say("GET /nodes/node1", (200, node(state=state)))

    assert call(api.url, "node", word, "node1").code == DONE


def test_pause_and_resume_ask_for_it(api: FakeApi) -> None:
    api.say("POST /nodes/node1/pause", (202, {"node": "node1"}))
    api.say("POST /nodes/node1/resume", (202, {"node": "node1"}))

    assert call(api.url, "node", "pause", "node1").code == DONE
    assert call(api.url, "node", "resume", "node1").code == DONE
    assert api.bodies("POST /nodes/node1/pause") == [{"drain": False}]


def test_a_node_joins(api: FakeApi) -> None:
    api.say("POST /nodes", (201, {}))
    api.say("GET /nodes/node5", (200, node(name="node5")))

    assert call(api.url, "node", "join", "node5").out == "node5 has joined: Up.\n"


@pytest.mark.parametrize("votes", [0, 1])
def test_weight_takes_the_vote_or_gives_it_back(api: FakeApi, votes: int) -> None:
    api.say("PATCH /nodes/node1", (200, quorum()))

    assert call(api.url, "node", "weight", "node1", str(votes)).code == DONE
    assert api.bodies("PATCH /nodes/node1") == [{"weight": votes}]


@pytest.mark.parametrize(
    ("words", "types"), [(["--yes"], None), (["--yes", "--json"], None), ([], "node3")]
)
def test_evict_is_done_for_whoever_confirms(
    api: FakeApi, words: list[str], types: str | None
) -> None:
    api.say("DELETE /nodes/node3", (200, {"node": "node3"}))

    assert call(api.url, "node", "evict", "node3", *words, types=types).code == DONE


@pytest.mark.parametrize(
    ("words", "types", "says"),
    [
        ([], None, "Say --yes if that is meant"),
        (["--json"], "node3", "Say --yes if that is meant"),
        ([], "y", "nothing was done"),
        ([], "node1", "nothing was done"),
    ],
)
def test_without_confirmation_nobody_is_evicted(
    api: FakeApi, words: list[str], types: str | None, says: str
) -> None:
    said = call(api.url, "node", "evict", "node3", *words, types=types)

    assert (said.code, says in said.out + said.err) == (OFF, True)
    assert api.asked == []


@pytest.mark.parametrize(
    ("words", "question", "code"),
    [
        (["evict", "node1", "--yes"], "DELETE /nodes/node1", "last-node"),
        (["evict", "node1", "--yes"], "DELETE /nodes/node1", "quorum-would-be-lost"),
        (["stop", "node1"], "POST /nodes/node1/stop", "quorum-would-be-lost"),
        (["weight", "node1", "0"], "PATCH /nodes/node1", "quorum-would-be-lost"),
        (["start", "ghost"], "POST /nodes/ghost/start", "unknown-node"),
        (["pause", "ghost"], "POST /nodes/ghost/pause", "unknown-node"),
        (["resume", "ghost"], "POST /nodes/ghost/resume", "unknown-node"),
        (["join", "ghost"], "POST /nodes", "unknown-node"),
        (["show", "ghost"], "GET /nodes/ghost", "unknown-node"),
    ],
)
def test_what_the_cluster_refuses_is_its_sentence(
    api: FakeApi, words: list[str], question: str, code: str
) -> None:
    api.say(question, (404 if code.startswith("unknown") else 409, error(code, "It may not be.")))

    said = call(api.url, "node", *words)

    assert (said.code, said.err) == (FAILED, "hvlab: It may not be.\n")


@pytest.mark.parametrize(
    "words",
    [["weight", "node1", "2"], ["weight", "node1", "one"], ["weight", "node1"], ["evict", ".."]],
)
def test_words_that_are_off_ask_nothing(api: FakeApi, words: list[str]) -> None:
    said = call(api.url, "node", *words, types="..")

    assert (said.code, said.err.count("\n")) == (OFF, 1)
    assert api.asked == []
