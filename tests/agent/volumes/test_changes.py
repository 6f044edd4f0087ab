import msgpack  # type: ignore[import-untyped]
import pytest

from agent.volumes import changes, checkpoint
from agent.volumes.changes import KINDS, decode, encode
from agent.volumes.directory import Metadata
from agent.volumes.errors import Damaged
from agent.volumes.extents import Extent

EXTENTS = (Extent(40, 2), Extent(50, 3))
LIFE = [
    changes.FolderMade(2, 1, "VM1"),
    changes.FileMade(3, 2, "disk", 5 * 4096, EXTENTS),
    changes.Granted(1, 3, "n1", True, "vm1", 4),
    changes.BecameWritten(3, 0, 3),
    changes.Grown(3, 6 * 4096, (Extent(60, 1),)),
    changes.Truncated(3, 4096),
    changes.Moved(3, 1, "Disk", 0),
    changes.FileMade(4, 1, "x", 0, ()),
    changes.Deleted(4),
    changes.FolderMade(5, 1, "other"),
    changes.Granted(2, 3, "n2", False, "", 0),
    changes.Returned(2),
]
REST = [changes.Fenced("n1"), changes.LeaksMended()]


def test_every_kind_of_change_is_read_as_it_was_written() -> None:
    assert {type(change) for change in LIFE + REST} == set(KINDS)

    assert decode(b"".join(map(encode, LIFE + REST))) == LIFE + REST


@pytest.mark.parametrize(
    "values",
    [[], [99], [0, 1], [0, -1, 1, "x"], [0, 1, 1, 7], [1, 1, 1, "x", 0, [1]], {}, ["x"], [8, True]],
)
def test_what_is_no_change_is_damage(values: object) -> None:
    with pytest.raises(Damaged):
        decode(msgpack.packb(values))


def test_a_checkpoint_holds_everything_and_is_never_larger_than_was_counted() -> None:
    metadata = Metadata()
    for change in LIFE:
        metadata.apply(change)
        assert len(checkpoint.encode(metadata)) <= metadata.cost_bytes

        again = checkpoint.decode(checkpoint.encode(metadata))

        assert again.nodes == metadata.nodes
        assert again.children == metadata.children
        assert again.grants == metadata.grants
        assert again.quarantine == metadata.quarantine
        assert again.cost_bytes == metadata.cost_bytes
        assert (again.next_file, again.next_grant) == (metadata.next_file, metadata.next_grant)
    assert metadata.quarantine


@pytest.mark.parametrize("content", [b"", b"\xc1", msgpack.packb([1, 2, 3]), msgpack.packb(5)])
def test_what_is_no_checkpoint_is_damage(content: bytes) -> None:
    with pytest.raises(Damaged):
        checkpoint.decode(content)


@pytest.mark.parametrize(
    "wrong",
    [
        changes.FolderMade(2, 1, "again"),
        changes.FolderMade(9, 77, "x"),
        changes.FolderMade(9, 1, "OTHER"),
        changes.Deleted(77),
        changes.Deleted(1),
        changes.Grown(2, 1, ()),
        changes.Granted(1, 3, "n", True, "", 0),
        changes.Returned(9),
        changes.Moved(3, 77, "x", 0),
    ],
)
def test_a_record_that_does_not_fit_what_is_there_is_damage(wrong: changes.Change) -> None:
    metadata = Metadata()
    for change in LIFE:
        metadata.apply(change)

    with pytest.raises(Damaged):
        metadata.apply(wrong)
