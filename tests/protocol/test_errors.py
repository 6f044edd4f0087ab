"""An error says whether what it reports may still have happened."""

import ast
import inspect
from collections.abc import Iterator
from pathlib import Path

import pytest

from protocol import errors
from protocol.errors import ClusterError, PeerUnreachable, ProtocolError, StoreIndefinite


def tree(root: type[ClusterError]) -> Iterator[type[ClusterError]]:
    yield root
    for child in root.__subclasses__():
        if child.__module__ == errors.__name__:
            yield from tree(child)


@pytest.mark.parametrize("kind", list(tree(ClusterError)), ids=lambda kind: str(kind.__name__))
def test_the_tree_in_the_docstring_names_every_error(kind: type[ClusterError]) -> None:
    assert any(kind.__name__ in line.split() for line in (errors.__doc__ or "").splitlines())


def test_only_errors_that_promise_no_effect_are_definite() -> None:
    doubtful = {ClusterError, PeerUnreachable, StoreIndefinite}

    for kind in tree(ClusterError):
        assert kind.definite == (kind not in doubtful and not issubclass(kind, ProtocolError))


def test_the_errors_import_nothing_of_ours() -> None:
    source = ast.parse(Path(inspect.getfile(errors)).read_text())
    modules = [node.module for node in ast.walk(source) if isinstance(node, ast.ImportFrom)]
    assert not [module for module in modules if module and module.startswith("protocol")]
