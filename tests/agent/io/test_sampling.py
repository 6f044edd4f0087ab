"""Watching a real guest's writes, with the tracker that migrations use."""

import asyncio
from pathlib import Path

from agent.actions import SampleWrites, SendRound
from agent.config import Limits
from agent.events import Connected, ReserveDone, RoundSent, WritesSampled
from agent.io.sampling import Sampler
from agent.policies import BUILT_IN
from protocol import messages
from protocol.messages import Spread, WayAhead, Window
from protocol.names import ClusterId, Epoch, Fill, Incarnation, Term, VmName, Workload
from protocol.travel import AS_USUAL, Compress, Travel
from tests.agent.io.machine import (
    VM,
    A,
    E,
    Machine,
    connect_order,
    machines,
    reserve_order,
    spec_of,
    with_guest,
)

MB = 1_000_000
WAY = WayAhead(
    Spread(1000 * MB, 900 * MB, 1100 * MB),
    Spread(0.001, 0.0, 0.002),
    Spread(0.1, 0.05, 0.2),
    Spread(0.005, 0.002, 0.02),
    "test",
)
WRITER = spec_of(64 << 20, Workload("uniform", 40 * MB, 16 << 20))


def order(longest_s: float = 0.3, vm: VmName = VM, travel: Travel = AS_USUAL) -> SampleWrites:
    asked = messages.SampleWrites(
        *(ClusterId("c"), Term(1), Incarnation("a"), 7, vm, Epoch(E), (), WAY, longest_s, travel)
    )
    return SampleWrites(asked, Limits(), BUILT_IN)


async def sampled(one: Machine, action: SampleWrites) -> messages.WritesForecast:
    Sampler(one.vms, one.feed, one.spawn).sample(action)
    return (await one.heard(WritesSampled)).answer


def at(windows: tuple[Window, ...], seconds: float) -> Window:
    return min(windows, key=lambda window: abs(window.seconds - seconds))


async def test_a_guest_is_seen_to_write_what_it_writes(tmp_path: Path) -> None:
    async with machines(tmp_path) as (one, _):
        await with_guest(one, WRITER)

        told = await sampled(one, order())

        assert not told.reason
        seen = at(told.windows, 0.1)
        # 40 MB/s for 0.1 s over 4096 pages: 976 writes on 868 pages; a busy machine paces less.
        expected = 4096 * (1 - 2.718281828 ** (-40 * MB / 4096 * seen.seconds / 4096))
        assert 0.3 * expected < seen.pages.likely < 1.5 * expected
        assert told.windows[-1].pages.likely > told.windows[0].pages.likely
        assert {forecast.policy for forecast in told.forecasts} == set(BUILT_IN.known)
        assert 0 <= told.cost_s < 1


async def test_a_guest_that_is_idle_writes_nothing(tmp_path: Path) -> None:
    async with machines(tmp_path) as (one, _):
        await with_guest(one, spec_of(1 << 20, Workload("idle"), Fill.ZERO))

        told = await sampled(one, order())

        assert [window.pages.most for window in told.windows] == [0.0]
        assert told.zero_share > 0.9
        assert all(forecast.rounds.likely <= 2 for forecast in told.forecasts)


async def test_pages_that_are_text_shrink_and_random_ones_do_not(tmp_path: Path) -> None:
    async with machines(tmp_path) as (one, other):
        packs = Travel(compress=Compress.ZSTD)
        await with_guest(one, spec_of(4 << 20, Workload("idle"), Fill.RANDOM))
        await with_guest(other, spec_of(4 << 20, Workload("idle"), Fill.FILES))

        noise = await sampled(one, order(travel=packs))
        text = await sampled(other, order(travel=packs))

        assert noise.packed_share > 0.95
        assert text.packed_share < 0.7


async def test_a_migration_ends_the_watch_and_has_the_tracker_to_itself(tmp_path: Path) -> None:
    """Pages that a watch found would be missing in the migration."""
    async with machines(tmp_path) as (one, other):
        await with_guest(one, WRITER)
        other.target.reserve(reserve_order(WRITER))
        await other.heard(ReserveDone)
        Sampler(one.vms, one.feed, one.spawn).sample(order(longest_s=20.0))
        one.source.connect(connect_order(other))
        await one.heard(Connected)

        one.source.send_round(SendRound(A, 0))
        told = (await one.heard(WritesSampled)).answer
        await one.heard(RoundSent)

        assert told.windows, "what was seen until then is told"
        assert told.windows[-1].seconds < 15
        assert not one.vms[VM].watches


async def test_a_vm_that_goes_ends_its_watch(tmp_path: Path) -> None:
    async with machines(tmp_path) as (one, _):
        await with_guest(one, WRITER)
        Sampler(one.vms, one.feed, one.spawn).sample(order(longest_s=20.0))

        async with asyncio.timeout(5):
            await one.vms.destroy(VM)

            assert (await one.heard(WritesSampled)).answer.reason


async def test_what_is_not_there_is_not_watched(tmp_path: Path) -> None:
    async with machines(tmp_path) as (one, _):
        told = await sampled(one, order(vm=VmName("ghost")))

        assert told.reason == "ghost is gone from this node."
