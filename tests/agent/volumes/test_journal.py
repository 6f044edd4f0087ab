from dataclasses import replace

from agent.volumes.extents import BLOCK_BYTES
from agent.volumes.journal import RECORD, Frame, Journal, packed, unpacked
from tests.agent.volumes.ground import SMALL

UUID = SMALL.uuid
FRAME = Frame(5, 2, 77, 3, b"payload")


def test_a_frame_is_read_as_it_was_written_and_any_broken_byte_is_found() -> None:
    content = packed(RECORD, UUID, FRAME)

    found = unpacked(RECORD, UUID, content, 0, wraps=True)

    assert found is not None
    assert replace(found, checksum=0) == FRAME
    for place in range(52 + len(FRAME.payload)):
        broken = bytearray(content)
        broken[place] ^= 4
        assert unpacked(RECORD, UUID, bytes(broken), 0, wraps=True) is None


def test_a_frame_of_another_volume_or_cut_short_is_none() -> None:
    content = packed(RECORD, UUID, FRAME)

    assert unpacked(RECORD, b"x" * 16, content, 0, wraps=True) is None
    assert unpacked(RECORD, UUID, content[:40], 0, wraps=True) is None
    assert unpacked(RECORD, UUID, content[:55], 0, wraps=False) is None


def test_a_record_goes_round_the_end_of_the_ring() -> None:
    journal = Journal(SMALL, 0, 0, position=7)

    writes = journal.record(b"z" * 5000, 1)

    first, second = SMALL.journals
    assert [write.block for write in writes] == [first + 7, first, second + 7, second]
    ring = writes[1].content + bytes(6 * BLOCK_BYTES) + writes[0].content
    found = unpacked(RECORD, UUID, ring, 7, wraps=True)
    assert found is not None
    assert found.payload == b"z" * 5000
    assert journal.position == 1


def test_two_checkpoints_never_have_more_than_the_ring_behind_them() -> None:
    journal, behind = Journal(SMALL, 0, 0, 0), 0
    for number in range(200):
        journal.record(b"x" * (number * 977 % journal.payload_bytes_max), 1)
        assert behind + journal.since <= journal.ring
        if journal.is_due:
            behind = journal.since
            journal.checkpoint(b"", 1)
