"""A node that only exists on its control link, against real sockets."""

import asyncio
from collections.abc import AsyncIterator

from lab.bench.synthetic import Place, linked
from protocol.io.link import Link, serve_links
from protocol.messages import (
    Hello,
    Message,
    Ping,
    Pong,
    ProposeView,
    StartVm,
    ViewAcked,
    VmStarted,
    Welcome,
)
from protocol.names import (
    ClusterId,
    Epoch,
    Fill,
    Incarnation,
    Member,
    NetworkName,
    NodeName,
    Term,
    Timing,
    View,
    ViewNumber,
    VmName,
    VmSpec,
    VoteConfig,
    Workload,
)

NET, CLUSTER, TERM = NetworkName("net1"), ClusterId("c"), Term(1)
NODES = (NodeName("synthetic01"), NodeName("synthetic02"))


async def asked(link: Link) -> AsyncIterator[Message]:
    """What one synthetic agent says, to a coordinator that only knows these few words."""
    hello = await link.receive()
    assert isinstance(hello, Hello)
    yield hello
    member = Member(hello.node, hello.incarnation, hello.endpoint)
    other = Member(NODES[1], Incarnation("other"), hello.endpoint)
    votes = VoteConfig(1, tuple((node, 1) for node in NODES))
    spec = VmSpec(4096, Workload("idle"), Fill.ZERO, 1)
    await link.send(Welcome(CLUSTER, TERM, hello.incarnation, Timing()))
    for order in (
        ProposeView(CLUSTER, TERM, View(ViewNumber(1), (member, other), votes)),
        StartVm(CLUSTER, TERM, hello.incarnation, VmName("vm1"), Epoch(1), spec),
        Ping(CLUSTER, TERM, 7),
    ):
        await link.send(order)
        yield await link.receive()


async def test_a_synthetic_agent_says_what_a_coordinator_needs_to_hear() -> None:
    said: list[Message] = []
    done = asyncio.Event()
    place = Place(NODES[0], {NET: "127.0.0.1"})

    async def listen(link: Link) -> None:
        said.extend([word async for word in asked(link)])
        done.set()

    async with (
        await serve_links("127.0.0.1", 0, listen) as server,
        linked((place,), {NET: (server.host, server.port)}, 1 << 30),
    ):
        await asyncio.wait_for(done.wait(), 5.0)

    hello, acked, started, pong = said
    assert isinstance(hello, Hello)
    assert hello.memory_bytes == 1 << 30
    assert isinstance(acked, ViewAcked)
    assert acked.view == 1
    assert isinstance(started, VmStarted)
    assert started.epoch == 1
    assert isinstance(pong, Pong)
    assert [report.vm for report in pong.vms] == ["vm1"]
    assert [(route.node, route.up) for route in pong.routes] == [(NODES[1], False)]
