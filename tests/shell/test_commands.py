import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import typer

from shell.app import build
from shell.errors import DONE, FAILED, INCONCLUSIVE, NO_API, OFF
from tests.shell.calling import call
from tests.shell.fake_api import FakeApi, error, serving
from tests.shell.test_progress import attempt, live
from tests.shell.test_tables import RECORD

VM = {
    "name": "sql01",
    "state": "Online",
    "node": "node1",
    "epoch": 1,
    "memory_bytes": 2**30,
    "workload": "idle",
    "steps": 12,
    "dirty_bytes_per_s": 0.0,
    "attempt": None,
}
ENDED = {**RECORD, "ended_at": 5.0}


def test_status_as_data_is_what_the_api_says(api: FakeApi) -> None:
    api.say("GET /status", (200, {"cluster": None, "available": []}))

    said = call(api.url, "status", "--json")

    assert (said.code, said.data) == (DONE, {"cluster": None, "available": []})


def test_a_refusal_is_one_sentence_and_exit_code_1(api: FakeApi) -> None:
    api.say("GET /vms/nosuch", (404, error("unknown-vm", "There is no VM 'nosuch' [here].")))

    said = call(api.url, "vm", "show", "nosuch")

    assert (said.code, said.out) == (FAILED, "")
    assert said.err == "hvlab: There is no VM 'nosuch' [here].\n"


def test_a_refusal_as_data_is_on_stdout(api: FakeApi) -> None:
    body = error("unknown-vm", "There is no VM 'nosuch'.")
    api.say("GET /vms/nosuch", (404, body))

    said = call(api.url, "vm", "show", "nosuch", "--json")

    assert (said.code, said.data, said.err) == (FAILED, body, "")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["vm", "create", "a", "--memory", "much"], "'much' is no size"),
        (["vm", "create", "a", "--memory", "1GiB", "--workload", "chess"], "no workload 'chess'"),
        (["vm", "create", "a"], "Missing option '--memory'"),
        (["vm", "create", "a", "--memory", "1GiB", "--fill", "air"], "'air' is not one of"),
        (["fly"], "No such command 'fly'"),
        (["status", "--loud"], "No such option: --loud"),
    ],
)
def test_words_that_are_off_are_one_sentence_and_exit_code_2(
    api: FakeApi, words: list[str], says: str
) -> None:
    said = call(api.url, *words)

    assert said.code == OFF
    assert says in said.err
    assert said.err.count("\n") == 1
    assert api.asked == []


def test_words_that_are_off_as_data_are_on_stdout(api: FakeApi) -> None:
    said = call(api.url, "vm", "create", "a", "--json")

    assert said.code == OFF
    assert said.data["error"]["code"] == "bad-words"


def test_what_the_api_cannot_make_sense_of_is_exit_code_2(api: FakeApi) -> None:
    api.say("POST /vms", (422, error("bad-memory", "A VM cannot have 0 bytes of memory.")))

    assert call(api.url, "vm", "create", "a", "--memory", "0").code == OFF


def test_without_an_api_it_is_exit_code_3() -> None:
    with serving(FakeApi()) as gone:
        url = gone.url

    said = call(url, "status")

    assert said.code == NO_API
    assert said.err == f"hvlab: no API answers at {url}: Connection refused\n"


def test_another_server_is_not_taken_for_the_api(api: FakeApi) -> None:
    api.say("GET /status", (404, "<html>"))

    assert call(api.url, "status").code == NO_API


def test_a_lost_answer_is_inconclusive_and_not_asked_again(api: FakeApi) -> None:
    api.say("POST /vms", (0, None))

    said = call(api.url, "vm", "create", "a", "--memory", "1MiB", patience_s=5.0)

    assert said.code == INCONCLUSIVE
    assert "may have been done" in said.err
    assert len(api.asked) == 1


def test_an_unknown_outcome_is_inconclusive(api: FakeApi) -> None:
    api.say("POST /vms/sql01/stop", (504, error("unknown", "It may have been done: look.")))

    assert call(api.url, "vm", "stop", "sql01").code == INCONCLUSIVE


def test_what_was_certainly_not_done_is_asked_again(api: FakeApi) -> None:
    api.say("POST /vms/sql01/start", (503, error("no-leader", "Wait.")), (202, {}))
    api.say("GET /vms/sql01", (0, None), (200, VM))

    said = call(api.url, "vm", "start", "sql01", patience_s=5.0)

    assert (said.code, said.out) == (DONE, "sql01 was started: Online on node1.\n")


def test_what_a_follower_may_not_do_is_asked_of_the_leader(api: FakeApi) -> None:
    with serving(FakeApi()) as leader:
        api.say("POST /vms/sql01/start", (421, error("not-leader", "c2 leads, ask it.")))
        api.say("GET /status", (200, {"leader_api": f"{leader.url}/api/v1"}))
        api.say("GET /vms/sql01", (200, VM))
        leader.say("POST /vms/sql01/start", (202, {}))

        assert call(api.url, "vm", "start", "sql01").code == DONE
        assert leader.asked == [("POST /vms/sql01/start", {})]


def test_a_follower_that_knows_no_leader_is_believed(api: FakeApi) -> None:
    api.say("POST /vms/sql01/start", (421, error("not-leader", "c2 leads, ask it.")))
    api.say("GET /status", (200, {"leader_api": None}))

    said = call(api.url, "vm", "start", "sql01")

    assert (said.code, said.err) == (FAILED, "hvlab: c2 leads, ask it.\n")


def test_create_waits_until_the_vm_is_online(api: FakeApi) -> None:
    pending = {**VM, "state": "OnlinePending"}
    api.say("POST /vms", (201, pending))
    api.say("GET /vms/sql01", (200, pending), (200, pending), (200, VM))

    said = call(
        api.url,
        *("vm", "create", "sql01", "--memory", "1GiB", "--node", "node1", "--fill", "files"),
        *("--workload", "hotspot:rate=50MB/s,set=64MiB", "--json"),
    )

    assert (said.code, said.data, said.err) == (DONE, VM, "")
    assert api.bodies("POST /vms") == [
        {
            "name": "sql01",
            "memory": 2**30,
            "node": "node1",
            "workload": "hotspot:rate=50MB/s,set=64MiB",
            "fill": "files",
            "start": True,
        }
    ]


def test_create_off_neither_starts_nor_waits(api: FakeApi) -> None:
    api.say("POST /vms", (201, {}))
    api.say("GET /vms/sql01", (200, {**VM, "state": "Offline"}))

    assert call(api.url, "vm", "create", "sql01", "--memory", "1MiB", "--off").code == DONE
    assert api.bodies("POST /vms")[0]["start"] is False


def test_a_vm_that_failed_to_start_is_exit_code_1(api: FakeApi) -> None:
    api.say("POST /vms", (201, {}))
    api.say("GET /vms/sql01", (200, {**VM, "state": "Failed"}))

    said = call(api.url, "vm", "create", "sql01", "--memory", "1MiB")

    assert said.code == FAILED
    assert "hvlab: sql01 is Failed" in said.err


@pytest.mark.parametrize(
    ("word", "code", "state"), [("start", "vm-on", "Online"), ("stop", "vm-off", "Offline")]
)
def test_a_vm_that_is_as_was_wished_is_fine(api: FakeApi, word: str, code: str, state: str) -> None:
    api.say(f"POST /vms/sql01/{word}", (409, error(code, "It is already.")))
    api.say("GET /vms/sql01", (200, {**VM, "state": state}))

    said = call(api.url, "vm", word, "sql01")

    assert said.code == DONE
    assert "already" in said.out


def test_a_vm_that_is_busy_cannot_be_stopped(api: FakeApi) -> None:
    api.say("POST /vms/sql01/stop", (409, error("vm-busy", "sql01 is in attempt 4.")))

    assert call(api.url, "vm", "stop", "sql01").code == FAILED


def test_delete_says_what_is_gone(api: FakeApi) -> None:
    api.say("DELETE /vms/sql01", (202, {}))

    assert call(api.url, "vm", "delete", "sql01").out == "sql01 was deleted.\n"


def test_list_shows_every_vm(api: FakeApi) -> None:
    api.say("GET /vms", (200, [VM, {**VM, "name": "web01"}]))

    said = call(api.url, "vm", "list")

    assert all(word in said.out for word in ("sql01", "web01", "1,024 MiB"))


def migrating(api: FakeApi, *seen: dict[str, Any]) -> None:
    api.say("POST /vms/sql01/migrate", (202, {"attempt": 3}))
    api.say("GET /attempts/3", *((200, row) for row in seen))


def test_migrate_is_followed_to_its_end_and_prints_the_record(api: FakeApi) -> None:
    going = attempt(attempt=3, live=live("S5", 100))
    migrating(api, going, {**ENDED, "ended_at": None, "live": live("S12")}, ENDED)

    said = call(api.url, "migrate", "sql01", "--to", "node2", "--verify", "full")

    assert said.code == DONE
    assert "byte-identical" in said.out
    assert "sql01 node1 -> node2: S5 round 0, all pages" in said.err
    body = {"to": "node2", "policy": "2008r2", "verify": "full"}
    assert api.bodies("POST /vms/sql01/migrate") == [body]


def test_migrate_as_data_is_the_record_alone(api: FakeApi) -> None:
    migrating(api, ENDED)

    said = call(api.url, "migrate", "sql01", "--to", "node2", "--json")

    assert (said.code, said.data, said.err) == (DONE, ENDED, "")


@pytest.mark.parametrize(
    "ending", [{"outcome": "failed"}, {"outcome": "cancelled"}, {"verified": False}]
)
def test_a_migration_that_did_not_do_what_it_should_is_exit_code_1(
    api: FakeApi, ending: dict[str, Any]
) -> None:
    migrating(api, {**ENDED, **ending})

    assert call(api.url, "migrate", "sql01", "--to", "node2").code == FAILED


def test_a_refused_migration_as_data_is_its_record_and_the_reason(api: FakeApi) -> None:
    refused = {**RECORD, "outcome": "refused", "rounds": []}
    body = {**error("node-busy", "Node node2 is busy: wait."), "record": refused}
    api.say("POST /vms/sql01/migrate", (409, body))

    said = call(api.url, "migrate", "sql01", "--to", "node2", "--json")

    assert (said.code, said.data["outcome"]) == (FAILED, "refused")
    assert said.data["error"] == body["error"]
    assert call(api.url, "migrate", "sql01").err == "hvlab: Node node2 is busy: wait.\n"


def test_a_coordinator_that_is_away_for_a_while_is_waited_for(api: FakeApi) -> None:
    going = attempt(attempt=3, live=live("S5", 100))
    api.say("POST /vms/sql01/migrate", (202, {"attempt": 3}))
    api.say("GET /attempts/3", (200, going), *[(0, None)] * 5, (200, ENDED))

    assert call(api.url, "migrate", "sql01", "--to", "node2").code == DONE


@dataclass
class Impatient(FakeApi):
    """Presses Ctrl-C once it has been asked how the attempt goes, which ends with the cancel."""

    outcome: str = "cancelled"

    async def answer(self, request: Any) -> Any:
        if request.path.endswith("/cancel"):
            self.say("GET /attempts/3", (200, {**ENDED, "outcome": self.outcome}))
        elif request.path.endswith("/attempts/3") and not self.bodies("GET /attempts/3"):
            os.kill(os.getpid(), signal.SIGINT)
        return await super().answer(request)


def test_ctrl_c_cancels_the_migration_and_says_how_it_ended() -> None:
    with serving(Impatient()) as api:
        migrating(api, attempt(attempt=3, live=live("S5", 100)))
        api.say("POST /attempts/3/cancel", (202, {}))

        said = call(api.url, "migrate", "sql01", "--to", "node2")

    assert said.code == FAILED
    assert len(api.bodies("POST /attempts/3/cancel")) == 1
    assert "Migration 3 of sql01 from node1 to node2: cancelled" in said.out
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_cancel_that_comes_too_late_shows_how_it_ended() -> None:
    with serving(Impatient(outcome="completed")) as api:
        migrating(api, attempt(attempt=3, live=live("S12")))
        api.say("POST /attempts/3/cancel", (409, error("attempt-decided", "It is committed.")))

        said = call(api.url, "migrate", "sql01", "--to", "node2")

    assert (said.code, "It is committed." in said.err) == (DONE, True)


def node(draining: bool) -> dict[str, Any]:
    return {"name": "node1", "state": "Paused", "votes": 1, "vms": [], "draining": draining}


def test_drain_waits_until_the_node_is_empty(api: FakeApi) -> None:
    moved = attempt(attempt=8, outcome="completed", ended_at=2.0)
    api.say("GET /vms", (200, [VM]), (200, [VM]), (200, [{**VM, "node": "node2"}]))
    api.say("GET /nodes", (200, [node(True)]))
    api.say("GET /attempts", (200, []), (200, [attempt(attempt=8)]), (200, [moved]))
    api.say("POST /nodes/node1/pause", (202, {}))

    said = call(api.url, "drain", "node1")

    assert said.code == DONE
    assert said.out.startswith("node1 is drained: 1 VMs moved away.")
    assert api.bodies("POST /nodes/node1/pause") == [{"drain": True}]
    assert "sql01 node1 -> node2: completed" in said.err


def test_a_drain_that_leaves_something_behind_is_exit_code_1(api: FakeApi) -> None:
    api.say("GET /vms", (200, [VM]))
    api.say("GET /nodes", (200, [node(True)]), (200, [node(False)]))
    api.say("GET /attempts", (200, []))
    api.say("POST /nodes/node1/pause", (202, {}))

    said = call(api.url, "drain", "node1", "--json")

    assert (said.code, said.data["left"], said.data["moved"]) == (FAILED, ["sql01"], [])


def test_resume_asks_for_it(api: FakeApi) -> None:
    api.say("POST /nodes/node1/resume", (202, {}))

    assert call(api.url, "resume", "node1").code == DONE


def families(command: Any, words: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Every command of the program, by its words."""
    inner = getattr(command, "commands", {})
    if not inner:
        yield words
    for name, one in inner.items():
        yield from families(one, (*words, name))


COMMANDS = sorted(families(typer.main.get_command(build())))


def test_the_families_of_commands_are_there() -> None:
    known = {words[0] for words in COMMANDS}

    assert {"quorum", "cluster", "node", "network", "group", "resource", "events"} <= known


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_every_command_has_help_with_an_example_and_prints_data(
    words: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert call("http://127.0.0.1:1", *words, "--help").code == DONE

    help_text = capsys.readouterr().out
    assert f"hvlab {' '.join(words)}" in help_text.split("Examples:")[1]
    assert "--json" in help_text


@pytest.mark.parametrize(
    "words", [words for words in COMMANDS if words != ("events",)], ids=" ".join
)
def test_without_an_api_every_command_is_one_sentence(words: tuple[str, ...]) -> None:
    """Whatever its arguments: what is missing, or that nobody answers."""
    said = call("http://127.0.0.1:1", *words)

    assert said.code in (OFF, NO_API)
    assert said.err.startswith("hvlab: ")
    assert said.err.count("\n") == 1
