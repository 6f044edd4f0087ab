from pathlib import Path

import pytest

from agent.io.copies import CopyFolder
from agent.io.witness import WitnessFolder
from agent.io.witness_places import DiskPort, WitnessPlaces
from protocol.disks import DiskId, witness_path
from protocol.errors import NotReady

DISK = DiskId("6000000000000001")


class Asked:
    """Says which disks were asked for."""

    def __init__(self) -> None:
        self.disks: list[DiskId] = []

    def at(self, disk: DiskId) -> DiskPort:
        self.disks.append(disk)
        raise NotReady("this is all that it does")


def test_a_path_from_the_root_is_a_folder_also_where_there_is_a_san(tmp_path: Path) -> None:
    for places in (WitnessPlaces(None), WitnessPlaces(Asked())):
        assert isinstance(places.records(tmp_path), WitnessFolder)
        assert isinstance(places.copies(tmp_path), CopyFolder)


def test_a_disk_is_asked_of_the_san() -> None:
    asked = Asked()
    places = WitnessPlaces(asked)

    for port in (places.records, places.copies):
        with pytest.raises(NotReady):
            port(Path(witness_path(DISK)))

    assert asked.disks == [DISK, DISK]


def test_without_a_san_a_disk_is_out_of_reach_and_says_so() -> None:
    with pytest.raises(NotReady, match="no way to a SAN"):
        WitnessPlaces(None).records(Path(witness_path(DISK)))
