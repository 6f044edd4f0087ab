import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

from lab.bench.scale import FULL, Rest, Size, in_words, topology
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

REST = Rest(FULL, (0.1, 0.2, 0.15), (0.02, 0.03), 1000, (), 0, 100 << 20)
NET, CLUSTER, TERM = NetworkName("net1"), ClusterId("c"), Term(1)
NODES = (NodeName("synthetic01"), NodeName("synthetic02"))


def test_a_cluster_at_rest_is_judged_by_its_cost_and_by_who_is_taken_for_dead() -> None:
    assert REST.trouble is None
    assert "25%" in str(replace(REST, coordinator=(0.2, 0.3)).trouble)
    assert "node1" in str(replace(REST, downs=("Node node1 was removed.",)).trouble)
    assert "quorum" in str(replace(REST, quorum_losses=1).trouble)
    assert "999 of 1000" in str(replace(REST, online=999).trouble)
    assert REST.as_data()["trouble"] is None
    assert dict(in_words(REST))["coordinator, % of a core"] == "15.0 (10.0 - 20.0)"


def test_the_real_half_of_the_cluster_is_what_the_lab_starts() -> None:
    found = topology(Size(real=3, networks=2))
    assert (list(found.nodes), list(found.networks)) == (
        ["node1", "node2", "node3"],
        ["net1", "net2"],
    )


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
