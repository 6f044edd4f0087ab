"""The driver carries out what the core wants, tells it all that happens, and decides nothing."""

import asyncio
from typing import Any

import pytest
import structlog

from coordinator.io.driver import UNSENT_MESSAGES_MAX
from coordinator.store.interface import Result, Txn
from lab.simulation.store import InstantStore
from protocol.errors import StoreError, StoreIndefinite
from protocol.io.link import open_link
from protocol.messages import Ping, Welcome
from protocol.names import ClusterId, Term
from tests.coordinator.io.scripted import PATIENCE_S, ScriptedAgent, coordinator


class Shaky(InstantStore):
    """Says for some transactions that it does not know, or that it could not."""

    def __init__(self, *troubles: Exception | None, lost: bool = False) -> None:
        super().__init__()
        self.troubles = list(troubles)
        self.lost = lost
        self.sent: list[Txn] = []

    async def transact(self, txn: Txn) -> Result:
        self.sent.append(txn)
        trouble = self.troubles.pop(0) if self.troubles else None
        if trouble is None:
            return await super().transact(txn)
        if not self.lost:
            await super().transact(txn)
        raise trouble

    async def take_term(self, at_least: int, leader: str) -> int:
        if self.troubles and isinstance(self.troubles[0], StoreError):
            raise self.troubles.pop(0)  # type: ignore[misc]
        return await super().take_term(at_least, leader)


@pytest.mark.parametrize("lost", [True, False])
@pytest.mark.parametrize("trouble", [StoreIndefinite("no answer"), StoreError("disk full")])
async def test_a_transaction_without_a_clear_answer_is_sent_again_as_it_was(
    trouble: Exception, lost: bool
) -> None:
    store = Shaky(lost=lost)
    async with coordinator(store) as bench:
        await bench.form(ScriptedAgent("node1"))
        first = len(store.sent)
        store.troubles = [trouble]

        status, _ = await bench.post("/vms", name="sql01", memory=4096, start=False)

        assert status == 201
        assert store.sent[first] == store.sent[first + 1]
        assert [vm["name"] for vm in await bench.get("/vms")] == ["sql01"]


async def test_a_term_that_could_not_be_had_is_asked_for_again() -> None:
    async with coordinator(Shaky(StoreError("busy"))) as bench:
        assert (await bench.until("/status", leader="here"))["term"] >= 1


async def test_an_agent_that_leaves_is_missed_and_welcomed_back() -> None:
    async with coordinator() as bench:
        agent = ScriptedAgent("node1")
        await bench.form(agent)
        assert agent.link is not None
        await agent.link.close()
        while (await bench.get("/nodes"))[0]["connected"]:
            pass

        await bench.join(agent)

        assert sum(isinstance(message, Welcome) for message in agent.heard) == 2


async def test_a_second_link_of_a_node_ends_the_first() -> None:
    async with coordinator() as bench:
        agent = ScriptedAgent("node1")
        await bench.join(agent)
        first = agent
        again = ScriptedAgent("node1")
        bench.group.create_task(again.live(*bench.control))

        async with asyncio.timeout(PATIENCE_S):
            await first.closed.wait()

        assert (await bench.get("/status"))["available"] == ["node1"]


async def test_what_only_a_coordinator_says_ends_the_link_that_says_it() -> None:
    async with coordinator() as bench:
        async with await open_link(*bench.control) as link:
            await link.send(Ping(ClusterId("lab"), Term(1), 1))

            async with asyncio.timeout(PATIENCE_S):
                assert [message async for message in link] == []

        assert (await bench.get("/status"))["available"] == []


async def test_an_agent_that_does_not_read_is_hung_up_on_and_nobody_waits_for_it() -> None:
    async with coordinator() as bench:
        await bench.form(ScriptedAgent("node1"))
        outbox = next(iter(bench.driver._outboxes))
        ping = Ping(ClusterId("lab"), Term(1), 1)

        for _ in range(UNSENT_MESSAGES_MAX + 1):
            bench.driver._send(outbox, ping)

        while (await bench.get("/nodes"))[0]["connected"]:
            pass
        assert bench.driver._outboxes == {}


async def test_an_error_of_the_core_ends_the_driver() -> None:
    with pytest.raises(BaseExceptionGroup) as caught:
        async with coordinator() as bench:

            def contradict(*_: Any) -> Any:
                raise AssertionError("two leaders")

            bench.driver.core.handle = contradict  # type: ignore[assignment,method-assign]
            status, said = await bench.post("/nodes", node="node1")
            assert (status, said["error"]["code"]) == (500, "internal")
            await asyncio.Event().wait()

    assert caught.value.subgroup(AssertionError) is not None


async def test_a_message_that_no_frame_can_hold_ends_its_own_link_and_no_other() -> None:
    async with coordinator() as bench:
        first, second = ScriptedAgent("node1"), ScriptedAgent("node2")
        await bench.form(first, second)
        outbox = next(iter(bench.driver._outboxes))
        too_long = Ping(ClusterId("x" * 10_000), Term(1), 1)

        with structlog.testing.capture_logs() as lines:
            bench.driver._send(outbox, too_long)
            async with asyncio.timeout(PATIENCE_S):
                await first.closed.wait()

        assert "message-not-sendable" in [line["event"] for line in lines]
        assert not second.closed.is_set()
        assert (await bench.get("/status"))["leader"] == "here"
