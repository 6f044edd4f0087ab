from dataclasses import replace

import pytest

from agent.volumes.checking import check, check_mounted
from agent.volumes.directory import Grant, Node, Quarantine
from agent.volumes.extents import BLOCK_BYTES, Extent
from agent.volumes.filesystem import Filesystem
from tests.agent.volumes.ground import (
    SMALL,
    Image,
    carry_out,
    formatted,
    mounted,
    owned,
    parts,
    put,
)


@pytest.fixture
def image() -> Image:
    image = formatted()
    filesystem = owned(image, 1)
    filesystem.make_folder("/vm")
    filesystem.create("/vm/a", 3 * BLOCK_BYTES)
    filesystem.create("/vm/b", BLOCK_BYTES)
    carry_out(image, filesystem.commit())
    return image


def kinds(image: Image) -> set[str]:
    return {finding.kind for finding in check(*parts(image)).findings}


def kept(image: Image, filesystem: Filesystem) -> None:
    """What was done to the metadata behind its back, as both checkpoints."""
    for _ in SMALL.slots:
        write = filesystem.committer.checkpoint()
        put(image, write)


def test_a_sound_volume_has_no_findings(image: Image) -> None:
    report = check(*parts(image))

    assert report.is_clean
    assert (report.files, report.folders, report.grants) == (2, 2, 0)


def first(filesystem: Filesystem, name: str) -> Node:
    return filesystem.metadata.nodes[filesystem.stat(f"/vm/{name}").file]


def double(filesystem: Filesystem) -> None:
    first(filesystem, "b").extents = (replace(first(filesystem, "a").extents[0], blocks=1),)


def outside(filesystem: Filesystem) -> None:
    first(filesystem, "b").extents = (Extent(SMALL.blocks, 1), Extent(3, 1))


def orphan(filesystem: Filesystem) -> None:
    first(filesystem, "b").parent = 99


def short(filesystem: Filesystem) -> None:
    first(filesystem, "b").size_bytes = 5 * BLOCK_BYTES


def twice(filesystem: Filesystem) -> None:
    first(filesystem, "b").name = "A"


def badly_named(filesystem: Filesystem) -> None:
    first(filesystem, "b").name = ".."


@pytest.mark.parametrize(
    ("hurt", "kind"),
    [
        (double, "double"),
        (outside, "out-of-range"),
        (orphan, "orphan"),
        (short, "wrong-size"),
        (twice, "twice"),
        (badly_named, "bad-name"),
    ],
)
def test_what_contradicts_itself_is_found_and_mounted_read_only(
    hurt: object, kind: str, image: Image
) -> None:
    filesystem = owned(image, 2)
    hurt(filesystem)  # type: ignore[operator]
    kept(image, filesystem)

    assert kind in kinds(image)
    found = mounted(image, 3)
    assert found.filesystem.read_only_because
    assert not found.transaction


def test_a_leak_is_found_and_mended_by_the_next_mount(image: Image) -> None:
    filesystem = owned(image, 2)
    lost = filesystem.committer.free.choose(2)
    filesystem.metadata.quarantine.append(Quarantine(lost, {77}))
    kept(image, filesystem)
    assert kinds(image) == {"leaked"}

    assert mounted(image, 3).repairs == ("quarantine waited for grants that nobody has",)
    filesystem = owned(image, 3)

    assert kinds(image) == set()
    assert mounted(image, 3).repairs == ()
    assert filesystem.free_bytes == owned(image, 3).free_bytes
    assert check_mounted(filesystem).is_clean


def test_blocks_that_nobody_counts_are_found_while_mounted(image: Image) -> None:
    filesystem = owned(image, 2)
    filesystem.committer.free.take(filesystem.committer.free.choose(1))

    (finding,) = check_mounted(filesystem).findings

    assert finding.sentence == "1 blocks are neither in use nor free"


def test_a_grant_to_a_folder_is_found(image: Image) -> None:
    filesystem = owned(image, 2)
    filesystem.metadata.keep(Grant(9, filesystem.stat("/vm").file, "n", True, "", 0))

    assert {finding.kind for finding in check_mounted(filesystem).findings} == {"bad-grant"}


@pytest.mark.parametrize("block", [0, 15, *SMALL.journals, *SMALL.slots])
def test_every_broken_copy_is_a_finding_that_harms_nobody(block: int, image: Image) -> None:
    image[block * BLOCK_BYTES + 50] ^= 1

    (finding,) = check(*parts(image)).findings

    assert finding.kind == "broken-copy"
    assert not finding.harmful


def test_a_disk_that_cannot_be_mounted_is_a_finding(image: Image) -> None:
    head, area, blocks = parts(image)

    (finding,) = check(bytes(len(head)), area, blocks).findings

    assert finding.kind == "not-mountable"


@pytest.mark.parametrize(
    "shape", [{"journal_blocks": 0}, {"slot_blocks": 0}, {"journal_blocks": 1 << 31}]
)
def test_a_superblock_that_divides_the_disk_as_nobody_does_is_not_believed(
    shape: dict[str, int], image: Image
) -> None:
    head, area, blocks = parts(image)
    odd = replace(SMALL, **shape).to_bytes()  # type: ignore[arg-type]

    (finding,) = check(odd + head[BLOCK_BYTES:-BLOCK_BYTES] + odd, area, blocks).findings

    assert finding.kind == "not-mountable"
    assert "divided so" in finding.sentence
