import json
from dataclasses import replace

import pytest

from agent.vm_configuration import configuration, is_made
from protocol.errors import Refused
from protocol.names import Epoch, Fill, VmDisk, VmName, VmSpec, VolumeName, Workload

VM = VmName("sql01")
V1 = VolumeName("Volume1")
SPEC = VmSpec(
    1 << 20, Workload("ledger"), Fill.ZERO, 7, (VmDisk(V1, "/sql01/data.vhd", 1 << 20),), V1
)


def test_a_configuration_says_what_the_vm_is_and_on_its_node_under_which_epoch() -> None:
    said = json.loads(configuration(VM, SPEC))
    assert said["disks"] == [["Volume1", "/sql01/data.vhd", 1 << 20]]
    assert "epoch" not in said
    assert json.loads(configuration(VM, SPEC, Epoch(3))) == said | {"epoch": 3}


def test_a_vm_is_made_once_its_configuration_is_there() -> None:
    assert not is_made(None, VM, SPEC)
    assert not is_made("", VM, SPEC)
    assert is_made(configuration(VM, SPEC), VM, SPEC)


@pytest.mark.parametrize("other", [(VmName("sql02"), SPEC), (VM, replace(SPEC, seed=8))])
def test_another_vms_place_is_not_taken(other: tuple[VmName, VmSpec]) -> None:
    with pytest.raises(Refused, match=r"/sql01/sql01\.json on Volume1 is of another VM"):
        is_made(configuration(*other), VM, SPEC)


@pytest.mark.parametrize("found", ["{", "[]", "7", '{"name": "sql01"}'])
def test_what_nobody_can_read_is_nobodys_to_take(found: str) -> None:
    with pytest.raises(Refused, match="cannot be read"):
        is_made(found, VM, SPEC)
