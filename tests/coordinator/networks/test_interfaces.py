"""Where a fault lies, from who says that it reaches whom."""

from collections.abc import Iterable
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as some

from coordinator.networks.interfaces import (
    Condition,
    InterfaceState,
    NetworkState,
    Reach,
    condition,
)
from protocol.names import NodeName

LETTERS = {
    "U": InterfaceState.UP,
    "R": InterfaceState.UNREACHABLE,
    "F": InterfaceState.FAILED,
    "-": InterfaceState.UNAVAILABLE,
}

# Nodes (capitals are up), paths that are broken in both reports, the network, each interface.
TABLE = [
    ("", "", "Unavailable", ""),
    ("a", "", "Unavailable", "-"),
    ("ab", "", "Unavailable", "--"),
    ("A", "", "Up", "U"),
    ("Ab", "", "Up", "U-"),
    ("AB", "", "Up", "UU"),
    ("AB", "ab", "Down", "RR"),
    ("ABC", "", "Up", "UUU"),
    ("ABC", "ab", "Partitioned", "RRU"),
    ("ABC", "ab ac", "Up", "FUU"),
    ("ABC", "ab ac bc", "Down", "RRR"),
    ("ABc", "ab", "Down", "RR-"),
    ("ABCd", "ab ac", "Up", "FUU-"),
    ("ABCD", "ab ac ad", "Up", "FUUU"),
    ("ABCD", "ac ad bc bd", "Partitioned", "RRRR"),
    ("ABCD", "ab ac ad bc bd", "Up", "FFUU"),
    ("ABCD", "ab cd", "Partitioned", "RRRR"),
    ("ABCD", "ab ac ad bc", "Partitioned", "FRRU"),
]


def reports(nodes: str, broken: Iterable[str]) -> list[Reach]:
    """Both ends of each path between nodes that are up say the same of it."""
    here = [NodeName(node.lower()) for node in nodes if node.isupper()]
    out = {frozenset(path) for path in broken}
    return [Reach(a, b, frozenset((a, b)) not in out) for a, b in permutations(here, 2)]


def judged(nodes: str, broken: Iterable[str]) -> Condition:
    here = {NodeName(node.lower()): node.isupper() for node in nodes}
    return condition(here, reports(nodes, broken))


@pytest.mark.parametrize(("nodes", "broken", "network", "interfaces"), TABLE)
def test_states_follow_from_the_paths(
    nodes: str, broken: str, network: str, interfaces: str
) -> None:
    found = judged(nodes, broken.split())

    assert found.network is NetworkState(network)
    assert list(found.interfaces.values()) == [LETTERS[letter] for letter in interfaces]


def test_of_two_reports_on_one_path_the_worse_counts() -> None:
    a, b = NodeName("a"), NodeName("b")

    found = condition({a: True, b: True}, [Reach(a, b, True), Reach(b, a, False)])

    assert found.network is NetworkState.PARTITIONED
    assert set(found.interfaces.values()) == {InterfaceState.UNREACHABLE}


def test_a_path_of_which_nobody_reports_says_nothing() -> None:
    nodes = {NodeName(node): True for node in "abc"}

    assert condition(nodes, []).network is NetworkState.UP


PATHS = ["ab", "ac", "ad", "ae", "bc", "bd", "be", "cd", "ce", "de"]
UP_OR_NOT = some.lists(some.booleans(), min_size=5, max_size=5)
BROKEN = some.sets(some.sampled_from(PATHS))


def named(up: list[bool], names: str = "abcde") -> str:
    return "".join(n.upper() if here else n for n, here in zip(names, up, strict=True))


@given(UP_OR_NOT, BROKEN, some.permutations("abcde"))
def test_renaming_the_nodes_changes_nothing_but_the_names(
    up: list[bool], broken: set[str], names: list[str]
) -> None:
    renamed = dict(zip("abcde", names, strict=True))
    other = ["".join(renamed[node] for node in path) for path in broken]

    one, two = judged(named(up), broken), judged(named(up, "".join(names)), other)

    assert one.network is two.network
    assert {renamed[n]: state for n, state in one.interfaces.items()} == two.interfaces


@given(UP_OR_NOT, BROKEN)
def test_the_states_say_what_their_words_mean(up: list[bool], broken: set[str]) -> None:
    found = judged(named(up), broken)
    here = {node for node, is_up in zip("abcde", up, strict=True) if is_up}
    gone = {path for path in PATHS if path in broken and set(path) <= here}
    whole = {path for path in PATHS if path not in broken and set(path) <= here}

    for node, state in found.interfaces.items():
        reached = any(node in path for path in whole)
        missed = any(node in path for path in gone)
        match state:
            case InterfaceState.UNAVAILABLE:
                assert node not in here
            case InterfaceState.FAILED:
                assert (missed, reached) == (True, False)
                assert whole
            case InterfaceState.UNREACHABLE:
                assert missed
            case InterfaceState.UP:
                assert node in here
    failed = {n for n, state in found.interfaces.items() if state is InterfaceState.FAILED}
    torn = any(failed.isdisjoint(path) for path in gone)
    assert (found.network is NetworkState.UP) == bool(here and not torn)
    assert (found.network is NetworkState.PARTITIONED) == bool(torn and whole)


@given(UP_OR_NOT, BROKEN, some.sampled_from(PATHS))
def test_mending_a_path_never_breaks_a_network_that_is_whole(
    up: list[bool], broken: set[str], path: str
) -> None:
    if not broken - {path}:
        assert judged(named(up), broken - {path}).network in (
            NetworkState.UP,
            NetworkState.UNAVAILABLE,
        )
