import itertools

import pytest

from agent.volumes.errors import BatchFull
from agent.volumes.filesystem import Filesystem
from agent.volumes.removal import remove_folder
from protocol.names import Epoch, VmName
from tests.agent.volumes.ground import Image, carry_out, formatted, owned

VM = VmName("sql01")


def test_a_folder_goes_with_all_that_is_in_it_and_nothing_beside_it() -> None:
    filesystem = owned(formatted(), 1)
    for folder in ("/sql01", "/sql01/old", "/sql010"):
        filesystem.make_folder(folder)
    for file in ("/sql01/data.vhd", "/sql01/old/data.vhd", "/sql010/data.vhd"):
        filesystem.create(file, 4096)

    remove_folder(filesystem, "/sql01", VM, Epoch(1))
    remove_folder(filesystem, "/sql01", VM, Epoch(1))
    assert [entry.name for entry in filesystem.list("/")] == ["sql010"]
    assert filesystem.exists("/sql010/data.vhd")


def test_what_is_open_goes_as_well_and_its_blocks_wait_for_the_grant() -> None:
    filesystem = owned(formatted(), 1)
    filesystem.make_folder("/sql01")
    filesystem.create("/sql01/data.vhd", 4096)
    grant = filesystem.open("/sql01/data.vhd", "n1", True, VM, 3).grant
    free_bytes = filesystem.free_bytes

    remove_folder(filesystem, "/sql01", VM, Epoch(3))
    assert not filesystem.exists("/sql01")
    assert filesystem.free_bytes == free_bytes
    filesystem.close(grant)


def test_what_a_newer_vm_of_the_name_has_opened_stays() -> None:
    filesystem = owned(formatted(), 1)
    filesystem.make_folder("/sql01")
    filesystem.create("/sql01/data.vhd", 4096)
    filesystem.open("/sql01/data.vhd", "n1", True, VM, 4)

    remove_folder(filesystem, "/sql01", VM, Epoch(3))
    assert filesystem.exists("/sql01/data.vhd")


def test_a_file_of_the_name_is_no_folder_of_the_vm() -> None:
    filesystem = owned(formatted(), 1)
    filesystem.create("/sql01", 4096)
    remove_folder(filesystem, "/sql01", VM, Epoch(1))
    assert filesystem.exists("/sql01")


def test_what_one_record_has_no_room_for_goes_with_the_next() -> None:
    image: Image = formatted()
    filesystem = owned(image, 1)
    filesystem.make_folder("/sql01")
    filesystem.create("/other")
    for number in range(20):
        filesystem.create(f"/sql01/{number:02}.vhd")
    for length in (200, 1):
        with pytest.raises(BatchFull):
            fill_the_record(filesystem, length)

    with pytest.raises(BatchFull):
        remove_folder(filesystem, "/sql01", VM, Epoch(1))
    assert 0 < len(filesystem.list("/sql01")) < 20
    carry_out(image, filesystem.commit())
    remove_folder(filesystem, "/sql01", VM, Epoch(1))
    carry_out(image, filesystem.commit())
    assert not owned(image, 2).exists("/sql01")


def fill_the_record(filesystem: Filesystem, length: int) -> None:
    """With names of this length, until nothing as long has room."""
    (name,) = (entry.name for entry in filesystem.list("/") if not entry.is_folder)
    for letter in itertools.cycle("ab"):
        filesystem.rename(f"/{name}", f"/{letter * length}")
        name = letter * length
