"""Directed stories for a simulated cluster, each on the edge of one rule. They raise `Violation` if
it is broken.
"""

from typing import Any

from agent import events
from agent.actions import NodeRecord
from agent.policies import DEFAULT_POLICY
from coordinator import requests
from coordinator.requests import Accepted, CreateVm, JoinNode, MigrateVm, Response
from coordinator.store.interface import Txn
from lab.simulation.cluster import Setting, SimCluster
from lab.simulation.faults import cut_between, cut_from_coordinators, cut_off, mute
from lab.simulation.operators import wave_vm
from lab.simulation.store import Fate
from protocol.messages import Heartbeat, HeartbeatAnswer, StartVm
from protocol.names import (
    AttemptId,
    ClusterId,
    Epoch,
    NodeName,
    Step,
    Term,
    Timing,
    Verify,
    VmName,
)

ONE, TWO, THREE = NodeName("node1"), NodeName("node2"), NodeName("node3")
VM = VmName("vm1")
SPEC = wave_vm(10)


def lab(
    nodes: int = 3, vms: int = 1, spares: int = 0, timing: Timing = Timing(2.0, 3)
) -> SimCluster:
    """A calm lab whose node1 has a running VM, or two."""
    names = tuple(f"node{number}" for number in range(1, nodes + spares + 1))
    cluster = SimCluster(7, Setting(nodes=names[:nodes], spares=names[nodes:], timing=timing))
    cluster.start()
    for number in range(1, vms + 1):
        cluster.ask(CreateVm(VmName(f"vm{number}"), SPEC, ONE, start=True))
    cluster.run(8.0)
    all_is_well(cluster, 10.0)
    return cluster


def all_is_well(cluster: SimCluster, within_s: float = 90.0) -> None:
    complaints = cluster.settle(within_s)
    assert not complaints, complaints


def move(cluster: SimCluster, target: NodeName = TWO, verify: Verify = Verify.OFF) -> None:
    assert cluster.ask(MigrateVm(VM, target, DEFAULT_POLICY, verify))


def migration() -> SimCluster:
    cluster = lab()
    move(cluster)
    cluster.run(15.0)
    all_is_well(cluster)
    assert cluster.checker.vms[VM]["owner"] == TWO
    return cluster


def slowed_and_cancelled() -> SimCluster:
    """A guest that is faster than its wire loses time, and then somebody thinks again."""
    cluster = SimCluster(7, Setting())
    cluster.start()
    cluster.ask(CreateVm(VM, wave_vm(60, pages=64), ONE, start=True))
    cluster.run(8.0)
    assert cluster.ask(MigrateVm(VM, TWO, "auto-converge", Verify.OFF))
    (worker,) = cluster.machines[ONE].workers
    cluster.world.run_while(lambda: not worker.throttle, cluster.world.now + 60.0, 0.01)
    cluster.ask(requests.CancelAttempt(AttemptId(1)))
    cluster.run(15.0)
    all_is_well(cluster)
    return cluster


def two_migrations_of_one_node() -> SimCluster:
    cluster = lab(vms=2)
    move(cluster)
    cluster.ask(MigrateVm(VmName("vm2"), THREE, DEFAULT_POLICY, Verify.OFF))
    cluster.run(15.0)
    all_is_well(cluster)
    return cluster


def stale_start() -> SimCluster:
    """A leader that is confused orders a start under an epoch that is over."""
    cluster = lab()
    epoch = Epoch(cluster.checker.vms[VM]["epoch"])
    move(cluster)
    cluster.run(15.5)  # between two pings: a report would have it stopped at once
    agent = cluster.machines[ONE].agent
    assert agent is not None
    home = ClusterId(str(agent.core.record.cluster))
    term = Term(cluster.truth.term)
    agent.feed(events.Told(StartVm(home, term, agent.incarnation, VM, epoch, SPEC)))
    cluster.run(5.0)
    all_is_well(cluster)
    return cluster


def late_answers() -> SimCluster:
    """Answers take five seconds; then the node is not heard any more, and what was answered still
    arrives.
    """
    cluster = lab()
    late: set[int] = set()

    def delay(network: str, sender: str, receiver: str, message: Any) -> bool:
        if receiver != ONE or not isinstance(message, HeartbeatAnswer) or id(message) in late:
            return False
        late.add(id(message))
        kept.append(message)
        cluster.world.after(5.0, cluster.net._arrive, network, sender, receiver, message)
        return True

    kept: list[HeartbeatAnswer] = []  # so that no id is used twice
    cluster.net.drops = delay
    cluster.run(20.0)
    cuts = [mute(cluster, ONE), cut_from_coordinators(cluster, ONE)]
    for cut in cuts:
        cut.begin()
    cluster.run(60.0)
    for cut in cuts:
        cut.end()
    cluster.net.drops = None
    all_is_well(cluster)
    return cluster


def owner_cut_off() -> SimCluster:
    cluster = lab()
    cut = cut_off(cluster, ONE)
    cut.begin()
    cluster.run(40.0)
    cut.end()
    all_is_well(cluster)
    assert cluster.checker.vms[VM]["owner"] != ONE
    return cluster


def _leans_on_node2(cluster: SimCluster) -> list[Any]:
    """Node1 hears and is heard by node2 alone: its lease rests on one promise, and no regroup has
    come to its end yet.
    """
    cuts = [cut_from_coordinators(cluster, ONE), cut_between(cluster, ONE, THREE)]
    for cut in cuts:
        cut.begin()
    cluster.run(cluster.setting.timing.support_s + 3.0)
    return cuts


def promiser_restarts() -> SimCluster:
    """The only peer that supports node1 is killed and back in no time, and cannot hear node1 any
    more.
    """
    return _promiser_comes_back(loses_state=False)


def promiser_loses_its_state() -> SimCluster:
    """The same, and the peer comes back as if it had never belonged to a cluster."""
    return _promiser_comes_back(loses_state=True)


def _promiser_comes_back(loses_state: bool) -> SimCluster:
    cluster = lab()
    cuts = _leans_on_node2(cluster)
    # What node3 has promised node2 must be older than what node2 has promised node1.
    cluster.net.drops = lambda _, sender, receiver, message: (
        (sender, receiver) == (TWO, THREE) and isinstance(message, Heartbeat)
    )
    cluster.run(4.0)
    cluster.net.drops = None
    cluster.machines[TWO].kill()
    if loses_state:
        cluster.machines[TWO].disk = NodeRecord()
    cuts.append(cut_between(cluster, ONE, TWO))
    cuts[-1].begin()
    cluster.run(0.3)
    cluster.machines[TWO].start()
    cluster.run(60.0)
    for cut in cuts:
        cut.end()
    all_is_well(cluster)
    return cluster


def promiser_loses_the_route() -> SimCluster:
    """Node2's heartbeats to node1 get lost and its answers do not: it supports whom it counts as
    down.
    """
    cluster = lab()
    cuts = _leans_on_node2(cluster)
    cluster.net.drops = lambda _, sender, receiver, message: (
        (sender, receiver) == (TWO, ONE) and isinstance(message, Heartbeat)
    )
    cluster.run(60.0)
    cluster.net.drops = None
    for cut in cuts:
        cut.end()
    all_is_well(cluster)
    return cluster


def commit_gets_lost() -> SimCluster:
    """For six seconds no commit gets to the store, and nobody knows."""
    cluster = lab()
    until_s = cluster.world.now + 10.0

    def lose(txn: Txn) -> Fate | None:
        commits = any(put.value.get("decision") == "committed" for put in txn.puts)
        return Fate.REQUEST_LOST if commits and cluster.world.now < until_s else None

    cluster.coordinators["c1"].store.decree = lose
    move(cluster)
    cluster.run(30.0)
    all_is_well(cluster)
    return cluster


def old_leader_wakes() -> SimCluster:
    """A leader is stopped with a wish on its desk; another leads; it wakes up and writes."""
    cluster = lab()
    old = cluster.coordinators["c1"]
    old.freeze()
    assert old.process is not None
    old.process.ask(CreateVm(VmName("late"), SPEC, ONE, start=False), lambda _: None)
    cluster.coordinators["c2"].start()
    cluster.run(30.0)
    old.thaw()
    cluster.run(30.0)
    all_is_well(cluster)
    return cluster


def target_leaves_while_the_consent_travels() -> SimCluster:
    """The target dies after the consent was said; it is heard just when the view without the target
    holds.
    """
    cluster = lab(nodes=5)
    cut = cut_from_coordinators(cluster, ONE)
    windows: list[float] = []

    def at_step(step: Step, attempt: AttemptId) -> None:
        if step is Step.LAST_PAGES:
            cut.begin()
        elif step is Step.COMMIT:
            cluster.world.after(0.0, cluster.machines[TWO].kill)

    def lose_answer(txn: Txn) -> Fate | None:
        holds = any(put.key == "view" and put.value["held"] for put in txn.puts)
        if not holds or windows:
            return None
        windows.append(cluster.world.now)
        cluster.world.after(0.1, cut.end)
        return Fate.ANSWER_LOST

    cluster.on_step.append(at_step)
    cluster.coordinators["c1"].store.decree = lose_answer
    move(cluster)
    cluster.run(40.0)
    cluster.machines[TWO].start()
    cluster.run(20.0)
    all_is_well(cluster)
    assert windows, "no view came to hold: the story did not happen"
    return cluster


def two_nodes_join_and_a_promiser_dies() -> SimCluster:
    """Node1 is heard by node2 alone. Two nodes join, one right after the other, and node2 dies:
    the three others are a quorum of the new votes, and none of them has promised node1 anything.
    """
    cluster = lab(spares=2)
    cuts = _leans_on_node2(cluster)
    cuts += [cut_between(cluster, ONE, other) for other in cluster.unjoined()]
    for cut in cuts[-2:]:
        cut.begin()

    def joined(response: Response) -> None:
        if isinstance(response, Accepted) and not cluster.unjoined():
            cluster.machines[TWO].kill()

    for _ in range(600):
        if spares := cluster.unjoined():
            cluster.ask(JoinNode(spares[0]), joined)
        cluster.run(0.05)
    assert not cluster.unjoined(), "nobody joined: the story did not happen"
    for cut in cuts:
        cut.end()
    cluster.machines[TWO].start()
    cluster.checker.expected.update(cluster.machines)
    all_is_well(cluster)
    return cluster


def restarted_while_it_is_buried() -> SimCluster:
    """A worker dies, and its VM is stopped and started again before its memory is given back."""
    cluster = lab()
    for _ in range(40):
        owner = cluster.machines[NodeName(cluster.checker.vms[VM]["owner"])].agent
        assert owner is not None
        assert owner.vms.lose(VM)
        cluster.ask(requests.StopVm(VM))
        cluster.run(0.03)
        cluster.ask(requests.StartVm(VM))
        cluster.run(3.0)
        all_is_well(cluster)
    return cluster


def stopped_while_it_is_forked() -> SimCluster:
    """Somebody starts a VM and changes their mind before its worker is there."""
    cluster = lab()
    cluster.ask(requests.StopVm(VM))
    cluster.run(5.0)
    for _ in range(20):
        cluster.ask(requests.StartVm(VM))
        cluster.run(0.02)
        cluster.ask(requests.StopVm(VM))
        cluster.run(3.0)
        all_is_well(cluster)
    return cluster


def clocks_are_turned_down() -> SimCluster:
    """Node2 has promised something for thirty seconds when promises become shorter; then it
    and node3 are killed and come back.
    """
    cluster = lab(timing=Timing(2.0, 15, grace_s=200.0))
    cuts = _leans_on_node2(cluster)
    cluster.ask(requests.SetProperties((("SameSubnetThreshold", 3),)))
    others = [cluster.machines[TWO], cluster.machines[THREE]]
    while any(machine.disk.timing.threshold != 3 for machine in others):
        cluster.run(0.01)
    cuts.append(cut_between(cluster, ONE, TWO))
    cuts[-1].begin()
    for machine in others:
        machine.kill()
    cluster.coordinators["c1"].kill()
    cluster.run(0.2)
    cluster.coordinators["c1"].start()
    for machine in others:
        machine.start()
    cluster.run(40.0)
    for cut in cuts:
        cut.end()
    all_is_well(cluster)
    return cluster
