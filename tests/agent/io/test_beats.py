import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from agent.io.beats import Beats
from protocol.codec import encode
from protocol.errors import Refused
from protocol.messages import Heartbeat, HeartbeatAnswer, HeartbeatMessage
from protocol.names import ClusterId, Incarnation, NetworkName, NodeName, ViewNumber

PATIENCE_S = 10.0
LAN, CSV = NetworkName("lan"), NetworkName("csv")
HERE = {LAN: "127.88.2.1", CSV: "127.88.3.1"}
THERE = {LAN: "127.88.2.2", CSV: "127.88.3.2"}
NODE, LIFE = NodeName("node1"), Incarnation("node1-a")


def beat(seq: int) -> Heartbeat:
    return Heartbeat(ClusterId("c"), NODE, LIFE, NodeName("node2"), seq, True, ViewNumber(1))


class End:
    """One node's heartbeats, and what it heard."""

    def __init__(self, log: Path | None = None) -> None:
        self.heard: asyncio.Queue[tuple[NetworkName, HeartbeatMessage]] = asyncio.Queue()
        self.beats = Beats(lambda network, said: self.heard.put_nowait((network, said)), log)

    async def next(self) -> tuple[NetworkName, HeartbeatMessage]:
        return await asyncio.wait_for(self.heard.get(), PATIENCE_S)


@contextlib.asynccontextmanager
async def two_ends(log: Path | None = None) -> AsyncIterator[tuple[End, End]]:
    here, there = End(), End(log)
    try:
        await here.beats.listen(HERE, 0)
        await there.beats.listen(THERE, 0)
        yield here, there
    finally:
        here.beats.close()
        there.beats.close()
        await asyncio.sleep(0)  # transports close in the next turn of the loop


async def test_a_heartbeat_is_heard_on_the_network_that_it_was_sent_on() -> None:
    async with two_ends() as (here, there):
        for network in (LAN, CSV):
            here.beats.send(network, THERE[network], there.beats.port, beat(1))
            assert await there.next() == (network, beat(1))


async def test_whatever_is_no_heartbeat_is_not_heard() -> None:
    async with two_ends() as (here, there):
        garbage = (b"", b"\xc1", b"x" * 1400, b"\xdd\xff\xff\xff\xff", encode(beat(1))[:-1])
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
            for data in garbage:
                stranger.sendto(data, (THERE[LAN], there.beats.port))
        here.beats.send(LAN, THERE[LAN], there.beats.port, beat(2))

        assert await there.next() == (LAN, beat(2))


async def test_a_peer_that_is_not_there_costs_nothing() -> None:
    async with two_ends() as (here, there):
        for seq in range(3):
            here.beats.send(LAN, "127.88.2.9", 9, beat(seq))
        here.beats.send(NetworkName("none"), THERE[LAN], there.beats.port, beat(3))
        answer = HeartbeatAnswer(
            *(ClusterId("c"), NODE, LIFE, NodeName("node2"), Incarnation("b"), 4, ViewNumber(1)),
            votes_index=1,
            support_s=1.25,
        )
        here.beats.send(LAN, THERE[LAN], there.beats.port, answer)

        assert await there.next() == (LAN, answer)


async def test_a_port_in_use_is_refused_by_name() -> None:
    async with two_ends() as (here, _):
        second = End()
        with pytest.raises(Refused, match=r"127\.88\.2\.1 UDP port .* --heartbeat-port"):
            await second.beats.listen(HERE, here.beats.port)


async def test_each_heartbeat_that_arrives_is_a_line_of_the_log(tmp_path: Path) -> None:
    log = tmp_path / "beats"
    async with two_ends(log) as (here, there):
        for seq in range(2):
            here.beats.send(CSV, THERE[CSV], there.beats.port, beat(seq))
            await there.next()

    lines = [line.split() for line in log.read_text().splitlines()]
    assert [line[1:] for line in lines] == [["csv", "node1"]] * 2
    assert float(lines[0][0]) <= float(lines[1][0])
