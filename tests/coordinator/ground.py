"""What the tests of the coordinator stand on: networks, clocks, a configuration, a VM."""

from coordinator.config import CoordinatorConfig, Network
from coordinator.requests import MigrateVm
from protocol.names import (
    Endpoint,
    Fill,
    NetworkName,
    NodeName,
    Timing,
    Verify,
    VmName,
    VmSpec,
    Workload,
)

MIB = 1024 * 1024
TIMING = Timing()
A, B, C = map(NodeName, "abc")
SQL = VmName("sql01")
MOVE = MigrateVm(SQL, B, "2008r2", Verify.FULL)
NETWORKS = (
    Network(NetworkName("csv"), "127.1.0.0/16", role=1, metric=1000),
    Network(NetworkName("migration"), "127.2.0.0/16", role=1, metric=1100),
    Network(NetworkName("management"), "127.3.0.0/16", role=3, metric=10000),
)


def spec(memory_bytes: int = 64 * MIB) -> VmSpec:
    return VmSpec(memory_bytes, Workload("idle"), Fill.ZERO, seed=1)


def config(leader: str = "c1") -> CoordinatorConfig:
    return CoordinatorConfig(lab="test", leader=leader, networks=NETWORKS, secret=b"secret")


def endpoint(node: str) -> Endpoint:
    """An address on each network, from the node's name."""
    number = sum(node.encode()) % 250 + 1
    addresses = ((n.name, f"127.{nth}.0.{number}") for nth, n in enumerate(NETWORKS, start=1))
    return Endpoint(tuple(addresses), 3343, 6600)
