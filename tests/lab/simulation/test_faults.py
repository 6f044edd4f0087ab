"""Each fault of the simulation hurts, proves it, and leaves a cluster that gets well again."""

import pytest

from agent.policies import DEFAULT_POLICY
from coordinator.requests import CreateVm, MigrateVm
from lab.simulation.cluster import Setting, SimCluster
from lab.simulation.faults import (
    ATTEMPT_FAULTS,
    FAULTS,
    LAB_FAULTS,
    NODE_FAULTS,
    CancelMigration,
    cut_between,
)
from lab.simulation.operators import wave_vm
from protocol.names import AttemptId, NodeName, QuorumMode, Step, Verify, VmName

ONE, TWO = NodeName("node1"), NodeName("node2")
VM = VmName("vm1")


def lab(mode: QuorumMode = QuorumMode.NODE_MAJORITY) -> SimCluster:
    """Three nodes and a spare one; node1 has a running VM."""
    cluster = SimCluster(5, Setting(spares=("node4",), mode=mode))
    cluster.start()
    cluster.ask(CreateVm(VM, wave_vm(10), ONE, start=True))
    cluster.run(8.0)
    assert not cluster.settle(10.0)
    return cluster


@pytest.mark.parametrize("name", [*NODE_FAULTS, *LAB_FAULTS])
def test_a_fault_takes_effect_and_heals(name: str) -> None:
    cluster = lab(QuorumMode.NODE_AND_DISK if "witness" in name else QuorumMode.NODE_MAJORITY)
    target = name == "storage fails"
    if name == "evict":
        cluster.checker.expected.discard(TWO)
    fault = (
        NODE_FAULTS[name](cluster, TWO if target or name == "evict" else ONE)
        if name in NODE_FAULTS
        else LAB_FAULTS[name](cluster)
    )

    assert fault.begin()
    if target:
        cluster.ask(MigrateVm(VM, TWO, DEFAULT_POLICY, Verify.FULL))
    for number in range(2, 12):
        cluster.run(2.0)
        cluster.ask(CreateVm(VmName(f"vm{number}"), wave_vm(10), None, start=False))
    fault.end()
    cluster.start_a_coordinator("c1")
    cluster.run(5.0)

    assert fault.took_effect()
    assert cluster.settle(60.0) == []


@pytest.mark.parametrize("name", ATTEMPT_FAULTS)
def test_a_fault_of_a_migration_takes_effect_and_heals(name: str) -> None:
    cluster = lab()
    attempts: list[AttemptId] = []
    cluster.on_step.append(
        lambda step, attempt: attempts.append(attempt) if step is Step.ROUND else None
    )
    cluster.ask(MigrateVm(VM, TWO, DEFAULT_POLICY, Verify.FULL))
    cluster.world.run_while(lambda: not attempts, cluster.world.now + 20.0, 0.001)
    hurt = CancelMigration(cluster, attempts[0]) if name == "cancel" else None
    fault = hurt or cut_between(cluster, ONE, TWO)

    assert fault.begin()
    cluster.run(20.0)
    fault.end()

    assert fault.took_effect()
    assert cluster.settle(60.0) == []


def test_every_fault_has_a_name_of_its_own() -> None:
    assert len(set(FAULTS)) == len(FAULTS)


def test_a_node_whose_state_was_lost_comes_back_as_a_member() -> None:
    cluster = lab()
    machine = cluster.machines[ONE]
    fault = NODE_FAULTS["lose state"](cluster, ONE)
    home = machine.disk.cluster

    assert fault.begin()
    assert machine.disk.cluster is None
    cluster.run(1.0)
    fault.end()

    assert cluster.settle(60.0) == []
    assert machine.disk.cluster == home


def test_a_node_that_joins_changes_the_votes() -> None:
    cluster = lab()
    fault = LAB_FAULTS["join"](cluster)

    assert fault.begin()
    assert not fault.took_effect()
    cluster.run(20.0)

    assert fault.took_effect()
    assert cluster.checker.view is not None
    assert len(cluster.checker.view["members"]) == 4
    assert not LAB_FAULTS["join"](cluster).begin()
