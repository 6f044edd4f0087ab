from typing import Any

import pytest

from shell.confirmation import OATH
from shell.errors import DONE, FAILED, OFF
from tests.shell.calling import call
from tests.shell.fake_api import FakeApi, error
from tests.shell.test_ballot import quorum

DISK = {"kind": "Disk", "path": "/srv/w"}


def test_show_draws_every_voter_and_says_what_may_fail(api: FakeApi) -> None:
    api.say("GET /quorum", (200, quorum()))

    said = call(api.url, "quorum", "show")

    assert said.code == DONE
    assert "node2" in said.out
    assert "It can lose 1 more vote." in said.out


def test_show_as_data_is_what_the_api_says(api: FakeApi) -> None:
    api.say("GET /quorum", (200, quorum()))

    assert call(api.url, "quorum", "show", "--json").data == quorum()


@pytest.mark.parametrize(
    ("words", "body"),
    [
        (["NodeMajority"], {"mode": "NodeMajority"}),
        (["nodemajority"], {"mode": "NodeMajority"}),
        (
            ["NodeAndDiskMajority", "--witness", "/srv/w"],
            {"mode": "NodeAndDiskMajority", "witness": DISK},
        ),
        (
            ["NodeAndFileShareMajority", "--witness", "/srv/w", "--witness-name", "share1"],
            {
                "mode": "NodeAndFileShareMajority",
                "witness": {"kind": "FileShare", "path": "/srv/w", "name": "share1"},
            },
        ),
        (["DiskOnly", "--witness", "/srv/w"], {"mode": "DiskOnly", "witness": DISK}),
    ],
)
def test_set_names_the_mode_and_the_kind_of_witness_that_it_needs(
    api: FakeApi, words: list[str], body: dict[str, Any]
) -> None:
    api.say("PUT /quorum", (200, quorum()))

    assert call(api.url, "quorum", "set", *words).code == DONE
    assert api.bodies("PUT /quorum") == [body]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["NodeAndDiskMajority"], "NodeAndDiskMajority needs a witness: say --witness PATH"),
        (["NodeAndFileShareMajority"], "needs a witness: say --witness PATH, a share's folder"),
        (["DiskOnly"], "DiskOnly needs a witness"),
        (["DiskOnly", "--witness", ""], "DiskOnly needs a witness"),
        (["NodeMajority", "--witness", "/srv/w"], "NodeMajority has no witness: leave it out"),
        (["NodeMajority", "--witness-name", "w"], "NodeMajority has no witness: leave it out"),
        (["Majority"], "'Majority' is not one of"),
        ([], "Missing argument 'MODE'"),
    ],
)
def test_a_mode_without_its_witness_is_not_even_asked_for(
    api: FakeApi, words: list[str], says: str
) -> None:
    said = call(api.url, "quorum", "set", *words)

    assert (said.code, says in said.err) == (OFF, True)
    assert said.err.count("\n") == 1
    assert api.asked == []


@pytest.mark.parametrize(
    ("status", "code", "sentence", "exit_code"),
    [
        (422, "bad-witness", "The witness lies on node node1: choose a folder outside.", OFF),
        (422, "bad-witness", "The witness lies on a cluster shared volume: choose a disk.", OFF),
        (409, "quorum-would-be-lost", "This would lose quorum (5954): start nodes first.", FAILED),
        (409, "view-pending", "Another change does not hold yet: wait.", FAILED),
    ],
)
def test_what_the_cluster_refuses_is_its_sentence(
    api: FakeApi, status: int, code: str, sentence: str, exit_code: int
) -> None:
    api.say("PUT /quorum", (status, error(code, sentence)))

    said = call(api.url, "quorum", "set", "DiskOnly", "--witness", "/x")

    assert (said.code, said.err) == (exit_code, f"hvlab: {sentence}\n")


@pytest.mark.parametrize(
    "words", [["--oath", OATH], ["--oath", " No other  node runs. "], ["--oath", OATH, "--json"]]
)
def test_force_is_done_for_whoever_swears(api: FakeApi, words: list[str]) -> None:
    api.say("POST /quorum/force", (200, quorum(forced=True)))

    assert call(api.url, "quorum", "force", "node1", "node2", *words).code == DONE
    assert api.bodies("POST /quorum/force") == [{"nodes": ["node1", "node2"], "oath": True}]


def test_force_asks_a_person_for_the_oath(api: FakeApi) -> None:
    api.say("POST /quorum/force", (200, quorum(forced=True)))

    said = call(api.url, "quorum", "force", "node1", types=OATH)

    assert (said.code, "FORCED" in said.out) == (DONE, True)


@pytest.mark.parametrize(
    ("words", "types", "says"),
    [
        ([], None, f'say --oath "{OATH}" if it is true'),
        ([], "yes", "nothing was done: the oath is"),
        (["--oath", "I think so"], OATH, "nothing was done: the oath is"),
        (["--oath", ""], OATH, "nothing was done: the oath is"),
    ],
)
def test_without_the_oath_nothing_is_forced(
    api: FakeApi, words: list[str], types: str | None, says: str
) -> None:
    said = call(api.url, "quorum", "force", "node1", *words, types=types)

    assert (said.code, says in said.err) == (OFF, True)
    assert api.asked == []


def test_a_script_is_never_asked_for_the_oath(api: FakeApi) -> None:
    said = call(api.url, "quorum", "force", "node1", "--json", types=OATH)

    assert (said.code, said.data["error"]["code"]) == (OFF, "bad-words")
    assert api.asked == []
