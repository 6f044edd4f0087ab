"""How one network and its interfaces are: a pure function of who is up and who reaches whom.

A fault is *located* where nobody reaches an interface while others reach each other: that one has
Failed. Where it cannot be located, everybody who misses a peer is Unreachable.
"""

import enum
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from protocol.names import NodeName


class NetworkState(enum.Enum):
    """The state of a network, as the cluster's administrator reads it."""

    UNAVAILABLE = "Unavailable"
    DOWN = "Down"
    PARTITIONED = "Partitioned"
    UP = "Up"


class InterfaceState(enum.Enum):
    """The state of one node's interface on one network."""

    UNAVAILABLE = "Unavailable"
    FAILED = "Failed"
    UNREACHABLE = "Unreachable"
    UP = "Up"


@dataclass(frozen=True, slots=True)
class Reach:
    """`node` says whether it and `peer` hear each other on the network."""

    node: NodeName
    peer: NodeName
    up: bool


@dataclass(frozen=True, slots=True)
class Condition:
    """How a network is, and each interface on it."""

    network: NetworkState
    interfaces: Mapping[NodeName, InterfaceState]


def condition(nodes: Mapping[NodeName, bool], reports: Iterable[Reach]) -> Condition:
    """`nodes`: who has an interface on the network, and whether that node is up.

    Of two reports on one path the worse counts. A path that nobody reports on says nothing.
    """
    here = {node for node, up in nodes.items() if up}
    said = [r for r in reports if r.node != r.peer and r.node in here and r.peer in here]
    broken = {frozenset((r.node, r.peer)) for r in said if not r.up}
    whole = {frozenset((r.node, r.peer)) for r in said if r.up} - broken
    reached = {node for path in whole for node in path}
    missed = {node for path in broken for node in path}
    located = (missed - reached) if whole else set()
    astray = {node for path in broken if path.isdisjoint(located) for node in path}
    interfaces = {
        node: _interface(node in here, node in located, node in astray) for node in sorted(nodes)
    }
    return Condition(_network(here, any(r.up for r in said), bool(astray)), interfaces)


def _interface(is_here: bool, is_located: bool, is_astray: bool) -> InterfaceState:
    if not is_here:
        return InterfaceState.UNAVAILABLE
    if is_located:
        return InterfaceState.FAILED
    return InterfaceState.UNREACHABLE if is_astray else InterfaceState.UP


def _network(here: set[NodeName], anybody_hears: bool, is_broken: bool) -> NetworkState:
    if not here:
        return NetworkState.UNAVAILABLE
    if not is_broken:
        return NetworkState.UP
    return NetworkState.PARTITIONED if anybody_hears else NetworkState.DOWN
