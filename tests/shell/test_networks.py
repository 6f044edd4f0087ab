from typing import Any

import pytest

from shell.errors import DONE, FAILED, OFF
from tests.shell.calling import call
from tests.shell.fake_api import FakeApi, error

CSV: dict[str, Any] = {
    **{"name": "csv", "state": "Partitioned", "role": 1, "metric": 1000, "subnet": "127.3.0.0/16"},
    **{"auto_metric": True, "gateway": False, "csv": True},
    "interfaces": [{"node": "node1", "address": "127.3.0.1", "state": "Unreachable"}],
}
ORDER: dict[str, Any] = {
    **{"order": [], "exclude": ["management"], "effective": ["migration", "csv"]},
    "warning": "Live migration and CSV share network csv.",
}


def test_list_and_show_tell_role_metric_and_interfaces(api: FakeApi) -> None:
    api.say("GET /networks", (200, [CSV]))
    api.say("GET /networks/csv", (200, CSV))

    assert "1000 (automatic)" in call(api.url, "network", "list").out
    shown = call(api.url, "network", "show", "csv").out
    assert all(word in shown for word in ("Partitioned", "1 (cluster)", "127.3.0.1", "Unreachable"))


@pytest.mark.parametrize(
    ("words", "body"),
    [
        (["--metric", "900"], {"metric": 900}),
        (["--auto-metric"], {"auto_metric": True}),
        (["--role", "3"], {"role": 3}),
        (["--role", "0", "--metric", "5"], {"role": 0, "metric": 5}),
    ],
)
def test_set_changes_what_is_said_and_nothing_else(
    api: FakeApi, words: list[str], body: dict[str, Any]
) -> None:
    api.say("PATCH /networks/csv", (200, CSV))

    assert call(api.url, "network", "set", "csv", *words).code == DONE
    assert api.bodies("PATCH /networks/csv") == [body]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["csv"], "say --role, --metric, --auto-metric or --rate"),
        (["csv", "--role", "2"], "a network has no role 2: it is 0"),
        (["csv", "--role", "cluster"], "Invalid value for '--role'"),
        (["csv", "--metric", "5", "--auto-metric"], "exclude each other"),
    ],
)
def test_words_that_are_off_ask_nothing(api: FakeApi, words: list[str], says: str) -> None:
    said = call(api.url, "network", "set", *words)

    assert (said.code, says in said.err) == (OFF, True)
    assert api.asked == []


def test_order_without_names_shows_it_with_its_warning(api: FakeApi) -> None:
    api.say("GET /migration-networks", (200, ORDER))

    said = call(api.url, "network", "order")

    assert "tries, by the default rule: migration, csv." in said.out
    assert "never uses: management." in said.out
    assert "Warning: Live migration and CSV share network csv." in said.out


@pytest.mark.parametrize(
    ("words", "body"),
    [
        (["migration", "csv"], {"order": ["migration", "csv"], "exclude": []}),
        (["migration", "--exclude", "csv"], {"order": ["migration"], "exclude": ["csv"]}),
        (["--exclude", "a", "--exclude", "b"], {"order": [], "exclude": ["a", "b"]}),
        (["--default"], {"order": [], "exclude": []}),
    ],
)
def test_order_sets_what_is_named(api: FakeApi, words: list[str], body: dict[str, Any]) -> None:
    api.say("PUT /migration-networks", (200, ORDER))

    assert call(api.url, "network", "order", *words).code == DONE
    assert api.bodies("PUT /migration-networks") == [body]


def test_the_default_order_has_no_names(api: FakeApi) -> None:
    assert call(api.url, "network", "order", "csv", "--default").code == OFF


@pytest.mark.parametrize(
    ("words", "question", "status", "exit_code"),
    [
        (["show", "ghost"], "GET /networks/ghost", 404, FAILED),
        (["set", "ghost", "--metric", "1"], "PATCH /networks/ghost", 404, FAILED),
        (["set", "csv", "--metric", "0"], "PATCH /networks/csv", 422, OFF),
        (["set", "csv", "--role", "0"], "PATCH /networks/csv", 409, FAILED),
        (["order", "ghost"], "PUT /migration-networks", 404, FAILED),
    ],
)
def test_what_the_cluster_refuses_is_its_sentence(
    api: FakeApi, words: list[str], question: str, status: int, exit_code: int
) -> None:
    api.say(question, (status, error("some-code", "It may not be: choose another.")))

    said = call(api.url, "network", *words)

    assert (said.code, said.err) == (exit_code, "hvlab: It may not be: choose another.\n")
