"""Directed stories about votes and the witness, each on the edge of one rule. They raise
`Violation` if it is broken.
"""

from coordinator import requests
from coordinator.requests import CreateVm
from coordinator.store.interface import Row
from lab.simulation.ballots import Violation
from lab.simulation.cluster import DISK, Setting, SimCluster
from lab.simulation.faults import Cut, cut_from_coordinators
from lab.simulation.partitions import apart
from lab.simulation.witness import way_to
from protocol.names import NodeName, QuorumMode, Timing
from tests.drills import ONE, SPEC, THREE, TWO, VM, all_is_well


def split(cluster: SimCluster, *groups: list[str]) -> Cut:
    """Cut groups of hosts from each other."""
    pairs = sorted(apart(*groups))
    cut = Cut(cluster, tuple((net, *pair) for net in cluster.networks for pair in pairs))
    cut.begin()
    return cut


def voting_lab(nodes: int, mode: QuorumMode, grace_s: float = 200.0) -> SimCluster:
    """A calm lab with a witness; node1 has the VM, and soon the witness, too."""
    names = tuple(f"node{number}" for number in range(1, nodes + 1))
    timing = Timing(1.0, 5, grace_s=grace_s)
    cluster = SimCluster(7, Setting(nodes=names, mode=mode, timing=timing))
    cluster.start()
    cluster.ask(CreateVm(VM, SPEC, ONE, start=True))
    cluster.run(25.0)
    all_is_well(cluster, 10.0)
    return cluster


def holder_on_the_other_side() -> SimCluster:
    """Halves that both see the witness: its holder keeps it, and the others wait for its end."""
    cluster = voting_lab(4, QuorumMode.NODE_AND_DISK)
    cut = split(cluster, ["node1", "node2"], ["node3", "node4", "c1"])
    cluster.run(40.0)
    cut.end()
    all_is_well(cluster)
    return cluster


def holder_of_an_older_view() -> SimCluster:
    """Node1 has slept through a view in which its VM was given to node2; then it is the only one
    that reaches the witness.
    """
    cluster = voting_lab(2, QuorumMode.NODE_AND_SHARE)
    cuts = [split(cluster, ["node1"], ["node2", "c1"]), Cut(cluster, (way_to(ONE),))]
    cuts[1].begin()
    cluster.run(40.0)
    assert cluster.checker.vms[VM]["owner"] == TWO, "the story did not happen"
    cluster.machines[TWO].kill()
    cuts.pop().end()
    cluster.run(60.0)
    for cut in cuts:
        cut.end()
    cluster.machines[TWO].start()
    all_is_well(cluster)
    return cluster


def holder_alone_with_the_coordinator() -> SimCluster:
    """One node and the witness are two votes of five, and not three."""
    cluster = voting_lab(4, QuorumMode.NODE_AND_DISK)
    cut = split(cluster, ["node1", "c1"], ["node2", "node3", "node4"])
    cluster.run(40.0)
    cut.end()
    all_is_well(cluster)
    return cluster


def votes_change_before_few() -> SimCluster:
    """Of four nodes three are cut from the coordinator while the votes become the disk's alone."""
    cluster = voting_lab(4, QuorumMode.NODE_AND_DISK)
    cuts = [cut_from_coordinators(cluster, node) for node in (TWO, THREE, NodeName("node4"))]

    def proposed(row: Row) -> None:
        if row.value is not None and not row.value["held"] and not cuts[0].before:
            for cut in cuts:
                cut.begin()
                cut.before += 1
            forget()

    forget = cluster.truth.on_change("view", proposed)
    cluster.ask(requests.SetQuorum(QuorumMode.DISK_ONLY, DISK))
    cluster.run(30.0)
    for cut in cuts:
        cut.end()
    all_is_well(cluster)
    return cluster


def grace_time_is_over() -> SimCluster:
    """A node that has no lease any more has no guest either, once the grace time is over."""
    cluster = voting_lab(3, QuorumMode.NODE_MAJORITY, grace_s=10.0)
    cut = split(cluster, ["node1"], ["node2", "node3", "c1"])
    cluster.run(5.0 + 10.0 + 5.0)
    left = [worker.vm for worker in cluster.machines[ONE].workers]
    if left:
        raise Violation(f"{left} are on node1 when the grace time is over")
    cut.end()
    all_is_well(cluster)
    return cluster
