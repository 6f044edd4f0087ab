"""Policies decide in the simulated cluster as they do on a node: its guests can be slowed, and its
wires paced.
"""

from collections.abc import Iterator

import pytest

from coordinator.requests import CancelAttempt, CreateVm, MigrateVm
from lab.simulation.cluster import Setting, SimCluster
from lab.simulation.faults import cut_between
from lab.simulation.guest import SimWorker
from lab.simulation.operators import wave_vm
from protocol.names import PAGE_BYTES, AttemptId, Hold, NodeName, Verify, VmName

ONE, TWO = NodeName("node1"), NodeName("node2")
VM = VmName("vm1")
FAST = wave_vm(60, pages=64)
"""A guest that writes 60 pages a second, on a wire that carries 40."""


def lab() -> SimCluster:
    cluster = SimCluster(3, Setting())
    cluster.start()
    cluster.ask(CreateVm(VM, FAST, ONE, start=True))
    cluster.run(8.0)
    assert not cluster.settle(10.0)
    return cluster


def move(cluster: SimCluster, policy: str, **travel: int) -> AttemptId:
    order = MigrateVm(VM, TWO, policy, Verify.FULL, tuple(travel.items()))
    assert cluster.ask(order)
    cluster.world.run_while(lambda: not cluster.checker.attempts, cluster.world.now + 5.0, 0.01)
    return AttemptId(max(cluster.checker.attempts))


def rounds(cluster: SimCluster) -> list[dict[str, float]]:
    (row,) = cluster.checker.attempts.values()
    found = row["rounds"]
    assert isinstance(found, tuple | list)
    return list(found)


def workers(cluster: SimCluster) -> Iterator[SimWorker]:
    for machine in cluster.machines.values():
        yield from machine.workers


def throttled(cluster: SimCluster) -> bool:
    return any(worker.throttle for worker in workers(cluster))


def until_throttled(cluster: SimCluster) -> None:
    cluster.world.run_while(lambda: not throttled(cluster), cluster.world.now + 60.0, 0.01)
    assert throttled(cluster)


def test_auto_converge_brings_a_guest_across_that_is_faster_than_its_wire() -> None:
    cluster = lab()
    move(cluster, "auto-converge")
    cluster.run(60.0)

    assert cluster.settle(10.0) == []
    assert cluster.checker.vms[VM]["owner"] == TWO
    shares = [record["throttle"] for record in rounds(cluster)]
    assert shares[:4] == [0.0, 0.0, 0.2, 0.2]
    assert max(shares) > 1 - 40 / 60
    assert not throttled(cluster)


def test_2008_r2_never_slows_the_guest() -> None:
    cluster = lab()
    move(cluster, "2008r2")
    cluster.run(60.0)

    assert cluster.checker.vms[VM]["owner"] == TWO
    assert {record["throttle"] for record in rounds(cluster)} == {0.0}
    assert len(rounds(cluster)) == 11, "ten, and the last pages"


@pytest.mark.parametrize("hurt", ["cancelled", "cut off", "source killed"])
def test_whatever_ends_the_attempt_the_guest_has_its_time_back(hurt: str) -> None:
    cluster = lab()
    attempt = move(cluster, "auto-converge")
    until_throttled(cluster)

    cut = None
    if hurt == "cancelled":
        cluster.ask(CancelAttempt(attempt))
    elif hurt == "cut off":
        cut = cut_between(cluster, ONE, TWO)
        cut.begin()
    else:
        cluster.machines[ONE].kill()
        cluster.machines[ONE].start()
    cluster.run(60.0)
    if cut is not None:
        cut.end()

    assert cluster.settle(90.0) == []
    assert not throttled(cluster)


def test_a_simulated_wire_is_as_slow_as_the_migration_was_allowed() -> None:
    cluster = lab()
    cluster.pages_per_s = 1000.0
    move(cluster, "2008r2", rate_bytes_per_s=256 * PAGE_BYTES)
    cluster.run(30.0)

    first = rounds(cluster)[0]
    assert first["seconds"] == pytest.approx(first["pages"] / 256)


def test_a_throttled_guest_makes_so_many_steps_fewer() -> None:
    cluster = lab()
    (worker,) = [worker for worker in workers(cluster) if worker.vm == VM]
    for share, steps in ((0.0, 600), (0.25, 450), (0.99, 6)):
        worker.slow(share)
        before = worker.steps
        cluster.world.run(cluster.world.now + 10.0)
        worker.advance()
        assert worker.steps - before == pytest.approx(steps, abs=2)
    assert (worker.holds, worker.alive) == (Hold.NONE, True)
