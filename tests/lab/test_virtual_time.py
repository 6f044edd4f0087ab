"""These tests run on the jumping loop themselves: tests/conftest.py hands it out."""

import asyncio
import socket
import time

import pytest

from lab.virtual_time import JumpingSelector, VirtualTimeLoop


async def test_an_hour_of_sleep_takes_no_time() -> None:
    loop = asyncio.get_running_loop()
    virtual, real = loop.time(), time.monotonic()

    await asyncio.sleep(3600)

    assert 3600 <= loop.time() - virtual < 3601
    assert time.monotonic() - real < 1


async def test_timers_fire_in_the_order_of_their_deadlines() -> None:
    fired: list[int] = []

    async def wait(delay_s: int) -> None:
        await asyncio.sleep(delay_s)
        fired.append(delay_s)

    await asyncio.gather(*(wait(delay_s) for delay_s in (900, 30, 5, 3600, 60)))

    assert fired == [5, 30, 60, 900, 3600]


async def test_a_deadline_is_met_to_the_millisecond() -> None:
    loop = asyncio.get_running_loop()
    began = loop.time()

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(1800):
            await asyncio.Event().wait()

    assert loop.time() - began == pytest.approx(1800, abs=0.1)


async def test_bytes_that_are_there_come_before_a_jump() -> None:
    loop = asyncio.get_running_loop()
    left, right = socket.socketpair()
    with left, right:
        left.setblocking(False)
        right.setblocking(False)
        began = loop.time()

        reading = asyncio.create_task(loop.sock_recv(right, 16))
        await loop.sock_sendall(left, b"page")

        assert await asyncio.wait_for(reading, 3600) == b"page"
        assert loop.time() - began < 1


def test_patience_waits_for_bytes_before_it_jumps() -> None:
    with JumpingSelector(patience_s=0.001) as selector:
        began = time.monotonic()

        assert selector.select(60) == []

        assert time.monotonic() - began >= 0.001
        assert selector.skipped_s == pytest.approx(60 - 0.001)


def test_a_ready_file_moves_no_clock() -> None:
    left, right = socket.socketpair()
    with left, right, JumpingSelector() as selector:
        selector.register(right, 1)
        left.send(b"x")

        assert len(selector.select(60)) == 1
        assert selector.skipped_s == 0


def test_a_timeout_of_the_past_does_not_turn_the_clock_back() -> None:
    with JumpingSelector() as selector:
        assert selector.select(-5) == []
        assert selector.skipped_s == 0


def test_every_loop_has_a_clock_of_its_own() -> None:
    first, second = VirtualTimeLoop(), VirtualTimeLoop()
    try:
        first.run_until_complete(asyncio.sleep(600))
        assert first.time() - second.time() > 599
    finally:
        first.close()
        second.close()
