"""The rows of the store are lost with its coordinator: the disk witness brings them back."""

import pytest

from coordinator.requests import CreateVm
from coordinator.store.interface import TERM_KEY
from lab.simulation.cluster import DISK, SHARE, Setting, SimCluster
from protocol.names import Fill, NodeName, QuorumMode, VmName, VmSpec, Workload

SQL = VmName("sql01")
SPEC = VmSpec(64 * 4096, Workload("wave"), Fill.RANDOM, 1)


def lab(seed: int, mode: QuorumMode) -> SimCluster:
    cluster = SimCluster(seed, Setting(nodes=("node1", "node2"), mode=mode, is_coded=True))
    cluster.start()
    cluster.ask(CreateVm(SQL, SPEC, NodeName("node1"), True))
    cluster.run(20.0)
    return cluster


def lose_rows(cluster: SimCluster) -> None:
    """All but the term, by which whoever watches tells leaders apart; a store of term 0 is tested
    with the coordinator alone.
    """
    cluster.coordinators["c1"].kill()
    for key in list(cluster.truth._kept):
        if key != TERM_KEY:
            del cluster.truth._kept[key]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("mode", [QuorumMode.NODE_AND_DISK, QuorumMode.DISK_ONLY])
def test_what_the_disk_keeps_comes_back_and_the_guest_never_stops(
    seed: int, mode: QuorumMode
) -> None:
    cluster = lab(seed, mode)
    before = cluster.truth.get(f"vm/{SQL}").value
    assert cluster.witnesses[DISK.path].copy is not None
    lose_rows(cluster)
    cluster.run(10.0)
    cluster.coordinators["c1"].start()
    cluster.run(20.0)

    assert cluster.settle(60.0) == []
    after = cluster.truth.get(f"vm/{SQL}").value
    assert before is not None
    assert after is not None
    assert (after["epoch"], after["owner_incarnation"]) == (
        before["epoch"],
        before["owner_incarnation"],
    )


def test_while_a_node_is_away_nothing_comes_back() -> None:
    cluster = lab(0, QuorumMode.NODE_AND_DISK)
    lose_rows(cluster)
    cluster.machines[NodeName("node1")].kill()
    cluster.coordinators["c1"].start()
    cluster.run(60.0)
    assert cluster.truth.get(f"vm/{SQL}").value is None

    cluster.machines[NodeName("node1")].start()

    assert cluster.settle(90.0) == []
    assert cluster.truth.get(f"vm/{SQL}").value is not None


def test_a_share_has_nothing_to_give_back() -> None:
    cluster = lab(0, QuorumMode.NODE_AND_SHARE)
    assert cluster.witnesses[SHARE.path].copy is None
    lose_rows(cluster)
    cluster.coordinators["c1"].start()
    cluster.run(60.0)

    assert cluster.truth.get("cluster").value is None
