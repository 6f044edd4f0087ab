import os
from pathlib import Path

from lab.evidence import all_workers, cpu_s
from lab.home import LabRecord, NodeRecord
from lab.procfs import Process, stat


def test_what_a_process_has_used_only_grows_and_is_nothing_once_it_is_gone() -> None:
    here = stat(os.getpid())
    assert here is not None
    before = cpu_s(here.process)
    assert 0.0 < before <= cpu_s(here.process)
    assert cpu_s(Process(2**22 + 1, 1)) == 0.0  # above every pid that the kernel gives


def test_a_lab_whose_nodes_are_gone_has_no_workers(tmp_path: Path) -> None:
    gone = NodeRecord(name="node1", pid=2**22 + 1, start_time=1, addresses={}, argv=(), ready={})
    lab = LabRecord(
        name="lab",
        fabric="loopback",
        api="",
        state_dir=tmp_path,
        boot_id="",
        nodes=(gone,),
        coordinators=(),
    )
    assert all_workers(lab) == {}
