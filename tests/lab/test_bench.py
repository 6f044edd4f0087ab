"""The benchmark's own pieces; its figures are not tests."""

import asyncio
import queue
import socket
from contextlib import closing

import numpy as np
import pytest
import typer

from agent.io.memory import VmMemory
from agent.io.pages import Arrival, PageReceiver, RoundReceived
from agent.runs import Runs
from lab.bench import ATTEMPT, send_round_on_loop, size_of
from protocol.names import PAGE_BYTES


def test_the_control_sends_the_same_round_as_the_product() -> None:
    arrivals: queue.Queue[Arrival] = queue.Queue()
    here, there = socket.socketpair()
    here.setblocking(False)
    with (
        closing(VmMemory.create("source", 64 * PAGE_BYTES)) as source,
        closing(VmMemory.create("target", 64 * PAGE_BYTES)) as target,
        here,
    ):
        source.array[:] = np.arange(64 * 512, dtype=np.uint64).reshape(64, 512)
        fresh = np.ones(64, dtype=np.bool_)
        receiver = PageReceiver(there, target, ATTEMPT, on_arrival=arrivals.put, fresh=fresh)
        receiver.start()
        runs = Runs(np.array([0, 40]), np.array([32, 2]))

        # A loop of its own: the tests' usual loop pretends time, this one moves real bytes.
        with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
            runner.run(send_round_on_loop(here, source, ATTEMPT, 0, runs))

        assert isinstance(arrivals.get(timeout=20), RoundReceived)
        receiver.close()
        numbers = runs.numbers()
        assert np.array_equal(target.array[numbers], source.array[numbers])
        assert not np.delete(target.array, numbers, axis=0).any()


@pytest.mark.parametrize(("text", "size"), [("1GiB", 1 << 30), ("512MiB", 1 << 29)])
def test_sizes_are_read_as_people_write_them(text: str, size: int) -> None:
    assert size_of(text) == size


@pytest.mark.parametrize("text", ["", "1GB", "-1MiB", "0MiB", "4KiB", "lots"])
def test_a_size_that_makes_no_sense_is_refused(text: str) -> None:
    with pytest.raises(typer.BadParameter):
        size_of(text)
