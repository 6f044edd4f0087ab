"""Packing in several threads gives what packing in one gives."""

import threading

import numpy as np
import pytest

from agent.io.packers import Packers
from agent.packing import Unpacker
from tests.agent.contents import empty, half_random, random_pages, text_pages


def test_every_piece_is_packed_once_and_stands_where_it_stood() -> None:
    packers = Packers(streams=1)
    pieces = [half_random(8, seed) for seed in range(20)]
    pieces[7] = random_pages(8)
    frames = packers.pack(pieces, 1)
    assert [place for place, frame in enumerate(frames) if frame is None] == [7]
    for piece, frame in zip(pieces, frames, strict=True):
        if frame is not None:
            out = empty(8)
            Unpacker().unpack(memoryview(frame), out)
            assert np.array_equal(out, piece)


@pytest.mark.parametrize("streams", [1, 2, 16])
def test_streams_that_pack_at_the_same_time_do_not_disturb_each_other(streams: int) -> None:
    packers = Packers(streams)
    pieces = [text_pages(16, seed) for seed in range(4)]
    wanted = Packers(16).pack(pieces, 1)
    found: list[list[bytes | None]] = []
    threads = [
        threading.Thread(target=lambda: found.append(packers.pack(pieces, 1))) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [wanted] * 4


def test_nothing_to_pack_is_nothing_packed() -> None:
    assert Packers(1).pack([], 1) == []
