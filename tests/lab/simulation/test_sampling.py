"""The question what a guest writes goes through a simulated cluster as through a real one."""

from coordinator.forecast_requests import EstimateDrain, EstimateVm
from coordinator.requests import Accepted, CreateVm, Response
from lab.simulation.cluster import Setting, SimCluster
from lab.simulation.operators import wave_vm
from protocol.names import PAGE_BYTES, NodeName, VmName

ONE, TWO = NodeName("node1"), NodeName("node2")
VM = VmName("vm1")


def lab() -> SimCluster:
    cluster = SimCluster(5, Setting())
    cluster.start()
    cluster.ask(CreateVm(VM, wave_vm(60, pages=64), ONE, start=True))
    cluster.run(8.0)
    return cluster


def test_an_estimate_sees_what_a_wave_writes() -> None:
    cluster, answers = lab(), list[Response]()

    assert cluster.ask(EstimateVm(VM, TWO, "2008r2"), answers.append)
    cluster.run(5.0)

    (told,) = answers
    assert isinstance(told, Accepted)
    assert [row["policy"] for row in told.body["policies"]] == ["2008r2"]
    last = told.body["curve"][-1]
    assert last["bytes"] == 64 * PAGE_BYTES, "the wave has gone over all of its pages"
    assert cluster.settle(10.0) == []


def test_a_drain_is_foretold_there_too() -> None:
    cluster, answers = lab(), list[Response]()

    assert cluster.ask(EstimateDrain(ONE), answers.append)
    cluster.run(5.0)

    (told,) = answers
    assert isinstance(told, Accepted)
    assert told.body["order"] == [VM]
