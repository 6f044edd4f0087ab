"""An error keeps its name, its sentence and above all its one bit on the wire."""

import ast
import inspect
from collections.abc import Iterator
from pathlib import Path

import pytest

from protocol import errors
from protocol.errors import (
    SENTENCE_CHARS_MAX,
    BadFrame,
    ClusterError,
    PeerUnreachable,
    ProtocolError,
    Refused,
    StoreIndefinite,
    from_wire,
    to_wire,
)


def tree(root: type[ClusterError]) -> Iterator[type[ClusterError]]:
    yield root
    for child in root.__subclasses__():
        if child.__module__ == errors.__name__:
            yield from tree(child)


@pytest.mark.parametrize("kind", list(tree(ClusterError)), ids=lambda kind: str(kind.__name__))
def test_every_error_survives_the_wire(kind: type[ClusterError]) -> None:
    back = from_wire(to_wire(kind("node4 is down: choose a node that is up")))

    assert type(back) is kind
    assert str(back) == "node4 is down: choose a node that is up"


@pytest.mark.parametrize("kind", list(tree(ClusterError)), ids=lambda kind: str(kind.__name__))
def test_the_tree_in_the_docstring_names_every_error(kind: type[ClusterError]) -> None:
    assert any(kind.__name__ in line.split() for line in (errors.__doc__ or "").splitlines())


def test_only_errors_that_promise_no_effect_are_definite() -> None:
    doubtful = {ClusterError, PeerUnreachable, StoreIndefinite}

    for kind in tree(ClusterError):
        assert kind.definite == (kind not in doubtful and not issubclass(kind, ProtocolError))


def test_an_unknown_definite_error_may_be_repeated() -> None:
    back = from_wire({"error": "QuotaSpent", "definite": True, "sentence": "no"})

    assert type(back) is Refused
    assert back.definite


@pytest.mark.parametrize("name", ["QuotaSpent", "Refused"])
def test_doubt_survives_the_wire_whatever_the_name(name: str) -> None:
    assert not from_wire({"error": name, "definite": False, "sentence": "who knows"}).definite


def test_a_known_indefinite_error_never_becomes_certain() -> None:
    assert not from_wire({"error": "PeerUnreachable", "definite": True, "sentence": ""}).definite


def test_a_sentence_too_long_for_a_message_is_cut() -> None:
    assert len(str(to_wire(Refused("x" * 10_000))["sentence"])) == SENTENCE_CHARS_MAX


def test_a_sentence_that_no_text_can_hold_is_escaped() -> None:
    assert to_wire(Refused("no VM \udc80"))["sentence"] == "no VM \\udc80"


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"error": "Refused"},
        {"error": 1, "definite": True, "sentence": "x"},
        {"error": "Refused", "definite": 1, "sentence": "x"},
    ],
)
def test_an_error_of_the_wrong_shape_is_a_bad_frame(data: dict[str, object]) -> None:
    with pytest.raises(BadFrame):
        from_wire(data)


def test_two_errors_cannot_share_a_name() -> None:
    with pytest.raises(AssertionError, match="two errors are called Refused"):
        type("Refused", (ClusterError,), {})


def test_the_errors_import_nothing_of_ours() -> None:
    source = ast.parse(Path(inspect.getfile(errors)).read_text())
    modules = [node.module for node in ast.walk(source) if isinstance(node, ast.ImportFrom)]
    assert not [module for module in modules if module and module.startswith("protocol")]
