"""How far ahead of a writer its blocks are prepared."""

from agent.volumes.preparing import AHEAD_BYTES_MAX, PIECE_BYTES, Preparing

MIB = PIECE_BYTES
SIZE = 1024 * MIB


def test_a_single_write_has_the_pieces_around_it_prepared() -> None:
    preparing = Preparing()

    assert preparing.ask(5 * MIB + 4096, 8192, SIZE) == (5 * MIB, 6 * MIB)
    assert preparing.ask(9 * MIB - 512, 1024, SIZE) == (8 * MIB, 10 * MIB)


def test_who_writes_one_piece_behind_the_other_has_ever_more_prepared_up_to_a_limit() -> None:
    preparing, at, lengths = Preparing(), 0, []
    for _ in range(8):
        low, high = preparing.ask(at, 65536, SIZE)
        preparing.answered((low, high))
        assert low == at
        lengths.append((high - low) // MIB)
        at = high

    assert lengths[:5] == [1, 2, 3, 5, 9]
    assert lengths[-1] * MIB == MIB + AHEAD_BYTES_MAX


def test_a_jump_ends_it() -> None:
    preparing = Preparing()
    for offset in (0, MIB, 3 * MIB):
        preparing.ask(offset, MIB, SIZE)

    assert preparing.ask(100 * MIB, 4096, SIZE) == (100 * MIB, 101 * MIB)


def test_nothing_past_the_end_of_the_file_is_asked_for() -> None:
    preparing = Preparing()
    preparing.ask(0, MIB, 2 * MIB + 512)

    assert preparing.ask(MIB, MIB, 2 * MIB + 512) == (MIB, 2 * MIB + 512)


def test_what_is_asked_for_already_is_waited_for() -> None:
    preparing = Preparing()
    asked = preparing.ask(0, 4096, SIZE)

    assert preparing.covers(65536, 4096)
    assert not preparing.covers(MIB - 512, 1024)
    preparing.answered(asked)
    assert not preparing.covers(65536, 4096)
