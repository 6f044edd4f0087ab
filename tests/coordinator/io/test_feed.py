"""Subscribers lose no event, however slow they are or however long they were away."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from coordinator.io import api_answers as answers
from coordinator.io import attempt_answers
from coordinator.io.feed import KEPT_EVENTS, PAGE_EVENTS, SUBSCRIBERS_MAX
from coordinator.io.sqlite import SqliteStore
from coordinator.store.interface import Put, Txn
from coordinator.store.rows import COUNTER, event_key
from lab.simulation.store import InstantStore, MemoryStore
from protocol.errors import StoreError
from protocol.messages import Migrate
from protocol.names import VmName
from tests.coordinator.io.scripted import ScriptedAgent, Stream, coordinator


def line(text: str) -> dict[str, Any]:
    nobody = dict.fromkeys(("node", "group", "epoch", "incarnation", "vm", "attempt"))
    return {"at": 1.0, "id": 1, "level": "info", "text": text, "term": 1, **nobody}


def transactions(term: int, events: int, text: str = "") -> Iterator[Txn]:
    """That many events as an earlier coordinator has left them."""
    for first in range(1, events + 1, 100):
        last = min(first + 99, events)
        puts = [Put(event_key(i), line(f"event {i}{text}")) for i in range(first, last + 1)]
        yield Txn(term, puts=(*puts, Put(COUNTER, {"events": last, "attempts": 0})))


def store_with(events: int) -> InstantStore:
    truth = MemoryStore()
    for txn in transactions(truth.take_term(1, "earlier"), events):
        truth.apply(txn)
    return InstantStore(truth)


async def indexes(stream: Stream, until: int) -> list[int]:
    seen: list[int] = []
    while not seen or seen[-1] < until:
        seen.append((await stream.next("event"))["index"])
    return seen


async def test_a_subscriber_is_told_of_what_happens_from_now_on() -> None:
    async with coordinator(store_with(5)) as bench, bench.events() as stream:
        assert (await stream.next("state"))["cluster"] is None

        await bench.form(ScriptedAgent("node1"))

        while (event := await stream.next("event"))["id"] != 1061:
            pass
        answers.LogEvent.model_validate(event)
        assert event["index"] > 5
        while (state := await stream.next("state"))["cluster"] != "lab":
            answers.Status.model_validate(state)


async def test_who_comes_back_goes_on_behind_the_last_event_it_has_seen() -> None:
    many = KEPT_EVENTS + 2 * PAGE_EVENTS + 1
    async with coordinator(store_with(many)) as bench:
        await bench.until("/status", leader="here")
        newest = (await bench.get("/log?limit=1"))[0]["index"]

        async with bench.events(**{"Last-Event-ID": "3"}) as stream:
            assert await indexes(stream, newest) == list(range(4, newest + 1))
        async with bench.events(f"?after={newest - 2}") as stream:
            assert await indexes(stream, newest) == [newest - 1, newest]


async def test_events_of_many_transactions_come_in_order_and_once_to_all() -> None:
    async with coordinator() as bench:
        async with bench.events("?after=0") as one, bench.events("?after=0") as other:
            await bench.form(ScriptedAgent("node1"))
            for number in range(20):
                said = await bench.post("/vms", name=f"vm{number}", memory=4096, start=False)
                assert said[0] == 201, said
            newest = (await bench.get("/log?limit=1"))[0]["index"]

            assert await indexes(one, newest) == list(range(1, newest + 1))
            assert await indexes(other, newest) == list(range(1, newest + 1))


async def test_a_subscriber_that_reads_nothing_holds_up_nobody_and_loses_no_event(
    tmp_path: Path,
) -> None:
    store = await SqliteStore.open(tmp_path / "store.sqlite")
    # More than the sockets' buffers hold.
    for txn in transactions(await store.take_term(1, "earlier"), 6000, " " * 4000):
        await store.transact(txn)
    async with coordinator(store) as bench:
        await bench.form(ScriptedAgent("node1"))
        async with bench.events("?after=0") as slow, bench.events() as quick:
            for number in range(30):
                said = await bench.post("/vms", name=f"vm{number}", memory=4096, start=False)
                assert said[0] == 201, said
            newest = (await bench.get("/log?limit=1"))[0]["index"]
            assert (await indexes(quick, newest))[-1] == newest

            assert await indexes(slow, newest) == list(range(1, newest + 1))
    await store.close()


async def test_progress_is_told_with_the_live_state_of_its_attempt() -> None:
    async with coordinator() as bench:
        source, target = ScriptedAgent("node1", consents=False), ScriptedAgent("node2")
        await bench.form(source, target)
        await bench.post("/vms", name="sql01", memory="1MiB", node="node1")
        await bench.until("/vms/sql01", state="Online")
        async with bench.events() as stream:
            await bench.post("/vms/sql01/migrate")

            progress = await stream.next("progress")

            attempt_answers.Attempt.model_validate(progress)
            assert progress["live"]["pages_total"] == 100
            assert progress["rounds"][0]["dirty_pages_at_end"] == 5
            order = next(m for m in source.heard if isinstance(m, Migrate))
            assert order.vm == VmName("sql01")
            await source.give_up(order, "the link broke")
            while (event := await stream.next("event"))["id"] != 21502:
                pass
            assert "the link broke" in event["text"]


async def test_progress_that_comes_faster_than_it_is_told_is_told_as_it_is_at_last() -> None:
    async with coordinator() as bench:
        source = ScriptedAgent("node1", consents=False)
        await bench.form(source, ScriptedAgent("node2"))
        await bench.post("/vms", name="sql01", memory="1MiB", node="node1")
        await bench.until("/vms/sql01", state="Online")
        async with bench.events() as stream:
            await bench.post("/vms/sql01/migrate")
            await stream.next("progress")
            order = next(m for m in source.heard if isinstance(m, Migrate))
            for sent in range(500):
                await source.report(order, sent)

            told = [(await stream.next("progress"))["live"]["pages_sent"]]
            while told[-1] != 499:
                told.append((await stream.next("progress"))["live"]["pages_sent"])

    assert len(told) < 50
    assert told == sorted(told)


async def test_one_subscriber_too_many_is_refused() -> None:
    async with coordinator() as bench, asyncio.TaskGroup() as group:
        done = asyncio.Event()

        async def listen() -> None:
            async with bench.events() as stream:
                await stream.next("state")
                listening.release()
                await done.wait()

        listening = asyncio.Semaphore(0)
        for _ in range(SUBSCRIBERS_MAX):
            group.create_task(listen())
        for _ in range(SUBSCRIBERS_MAX):
            await listening.acquire()

        status, said = await bench.call("GET", "/events")
        done.set()

    assert (status, said["error"]["code"]) == (503, "too-many-subscribers")


class Unreadable(InstantStore):
    """A store whose ranges fail from some moment on."""

    broken = False

    async def range(self, prefix: str, after_key: str = "", limit: int = 1000) -> Any:
        if self.broken:
            raise StoreError("the disk is gone")
        return await super().range(prefix, after_key, limit)


async def test_a_log_that_cannot_be_read_ends_the_stream_with_where_to_resume() -> None:
    store = Unreadable(store_with(3).truth)
    async with coordinator(store) as bench:
        await bench.until("/status", leader="here")
        store.broken = True

        async with bench.events("?after=2") as stream:
            gap = await stream.next("gap")
            status, said = await bench.call("GET", "/log?after=0")

    assert gap == {"after": 2}
    assert (status, said["error"]["code"]) == (503, "store-failed")


async def test_every_stream_ends_when_the_server_does() -> None:
    async with coordinator() as bench:
        async with bench.events() as stream:
            await stream.next("state")
            bench.feed.close()

            kinds = [kind async for kind, _ in stream]

    assert "gap" not in kinds
