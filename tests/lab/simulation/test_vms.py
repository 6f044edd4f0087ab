"""A simulated agent's VMs have the timing of the program's."""

from collections.abc import Callable
from typing import Any

from agent import actions, events
from coordinator.requests import CreateVm
from lab.simulation.agent import SimAgent
from lab.simulation.cluster import SimCluster
from lab.simulation.operators import wave_vm
from protocol.names import Epoch, Hold, NodeName, VmName

ONE = NodeName("node1")
VM, OTHER = VmName("vm1"), VmName("vm2")


def a_lab() -> tuple[SimCluster, SimAgent, list[Any]]:
    """A calm lab whose node1 has a running VM, and what its agent hears of VMs from now on."""
    cluster = SimCluster(5)
    cluster.start()
    cluster.ask(CreateVm(VM, wave_vm(10), ONE, start=True))
    cluster.run(8.0)
    agent = cluster.machines[ONE].agent
    assert agent is not None
    heard: list[Any] = []
    agent.feed = listening(agent.feed, heard)  # type: ignore[method-assign, assignment]
    return cluster, agent, heard


def listening(feed: Callable[[Any], None], heard: list[Any]) -> Callable[[Any], None]:
    def both(event: Any) -> None:
        if isinstance(event, events.VmFailed | events.VmDestroyed | events.VmCreated):
            heard.append(event)
        feed(event)

    return both


def test_words_to_a_worker_are_obeyed_in_their_order() -> None:
    cluster, agent, _ = a_lab()
    worker = agent.vms.worker(VM)
    assert worker is not None
    for _ in range(100):
        agent.vms.set_holds(actions.SetHolds(VM, Epoch(1), Hold.ATTEMPT))
        agent.vms.set_holds(actions.SetHolds(VM, Epoch(1), Hold.NONE))
        cluster.run(0.01)
        assert worker.holds is Hold.NONE


def test_words_keep_their_order_while_the_worker_sleeps() -> None:
    cluster, agent, _ = a_lab()
    worker = agent.vms.worker(VM)
    assert worker is not None
    for pause_s in (0.01, 0.051, 0.074, 0.099):
        agent.vms.set_holds(actions.SetHolds(VM, Epoch(1), Hold.ATTEMPT))
        worker.freeze()
        cluster.run(pause_s)
        agent.vms.set_holds(actions.SetHolds(VM, Epoch(1), Hold.NONE))
        cluster.run(pause_s / 2)
        worker.thaw()
        cluster.run(0.2)
        assert worker.holds is Hold.NONE


def test_a_dead_worker_is_told_of_once_and_the_vm_starts_anew() -> None:
    cluster, agent, heard = a_lab()

    assert agent.vms.lose(VM)
    assert not agent.vms.lose(VM)
    assert heard == []
    cluster.run(10.0)

    assert sum(isinstance(event, events.VmFailed) for event in heard) == 1
    assert cluster.settle(30.0) == []
    assert cluster.checker.vms[VM]["epoch"] == 2


def test_what_is_destroyed_while_its_worker_is_buried_is_only_told_as_destroyed() -> None:
    cluster, agent, heard = a_lab()

    agent.vms.lose(VM)
    agent.vms.destroy(VM)
    cluster.run(1.0)

    assert {type(event) for event in heard} == {events.VmDestroyed}


def test_a_fork_under_way_is_waited_for_when_its_vm_is_destroyed() -> None:
    cluster, agent, heard = a_lab()

    agent.vms.make(actions.CreateVm(OTHER, Epoch(1), wave_vm(10), Hold.ATTEMPT))
    agent.vms.destroy(OTHER)
    cluster.run(0.015)
    assert heard == []
    cluster.run(1.0)

    assert heard == [events.VmDestroyed(OTHER)]
    assert [worker.vm for worker in cluster.machines[ONE].workers] == [VM]


def test_a_fork_under_way_when_the_agent_dies_leaves_a_worker_for_a_moment_only() -> None:
    cluster, agent, _ = a_lab()
    machine = cluster.machines[ONE]
    agent.vms.make(actions.CreateVm(OTHER, Epoch(1), wave_vm(10), Hold.ATTEMPT))
    machine.kill()

    seen = []
    for _ in range(200):
        cluster.run(0.001)
        seen.append([worker.vm for worker in machine.workers])

    assert [OTHER] in seen
    assert seen.count([OTHER]) < 10
    assert seen[-1] == []
