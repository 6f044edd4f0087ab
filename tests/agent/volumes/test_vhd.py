import pytest

from agent.volumes.errors import BadRange, Damaged
from agent.volumes.vhd import SIZE_BYTES_MAX, footer, geometry, parse

UUID = b"0123456789abcdef"


def test_what_was_built_is_read_again() -> None:
    content = footer(10 << 30, UUID, 1_700_000_000.9)

    assert len(content) == 512
    assert content[:8] == b"conectix"
    found = parse(content)
    assert (found.size_bytes, found.uuid, found.created_s) == (10 << 30, UUID, 1_700_000_000)
    assert (found.cylinders, found.heads, found.sectors) == geometry(10 << 30)


@pytest.mark.parametrize("size_mib", [1, 3, 40, 127, 504, 1024, 8192, 65536, 2040 * 1024])
def test_no_geometry_is_larger_than_its_disk_or_than_its_fields(size_mib: int) -> None:
    cylinders, heads, sectors = geometry(size_mib << 20)

    assert 0 < cylinders <= 65535
    assert 4 <= heads <= 16
    assert cylinders * heads * sectors <= (size_mib << 20) // 512


def test_any_broken_byte_is_found_or_says_nothing() -> None:
    content = footer(1 << 20, UUID, 0)
    for place in range(512):
        broken = bytearray(content)
        broken[place] ^= 0x55
        with pytest.raises(Damaged):
            parse(bytes(broken))


def test_other_kinds_and_other_files_are_refused() -> None:
    with pytest.raises(Damaged, match="does not end with"):
        parse(bytes(512))
    with pytest.raises(Damaged, match="does not end with"):
        parse(b"conectix")


@pytest.mark.parametrize("size", [0, -512, 511, SIZE_BYTES_MAX + 512])
def test_sizes_that_no_virtual_disk_has_are_refused(size: int) -> None:
    with pytest.raises(BadRange, match="whole sectors"):
        footer(size, UUID, 0)
