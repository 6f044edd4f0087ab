"""What a disk promises, against a target that we did not write and against our own."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, ExitStack, asynccontextmanager

import pytest

from agent.disks.login import Identity
from agent.disks.session_states import Patience
from agent.io.disks.connection import Portal, connected
from agent.io.disks.targets import Account, IscsiLuns, Settings
from agent.volumes.errors import Conflict, OutOfRange, PathLost
from lab.tgtd import TARGET
from protocol.disks import RegistrationKey
from protocol.iscsi.chap import Credentials
from protocol.iscsi.negotiation import Wishes
from tests.agent.io.disks.ground import (
    DISK_BYTES,
    KEY_A,
    KEY_B,
    SECRET,
    Relay,
    Target,
    foreign,
    only,
    own,
    read,
    until,
)

Begun = Callable[..., AbstractAsyncContextManager[list[IscsiLuns]]]


Running = Callable[[bool, bool], Target]


@pytest.fixture(scope="module", params=[foreign, own], ids=["tgtd", "san"])
def running(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Running]:
    """One target of each kind for all tests."""
    foreigners = [(False, False), (True, False), (False, True)]
    kinds = foreigners if request.param is foreign else foreigners[:2]
    with ExitStack() as stack:
        found = {}
        for kind in kinds:
            folder = tmp_path_factory.mktemp("target")
            found[kind] = stack.enter_context(request.param(folder, *kind))

        yield lambda chap, digests: found.get((chap, digests)) or found[chap, False]


@pytest.fixture
def begun(running: Running) -> Begun:
    """A target with one disk, and the disks of as many nodes as are wanted."""

    @asynccontextmanager
    async def begin(
        nodes: int = 1,
        portals: int = 1,
        chap: Credentials | None = None,
        digests: bool = False,
        unguarded: bool = True,
        through: "Relay | None" = None,
    ) -> AsyncIterator[list[IscsiLuns]]:
        ports = list(running(chap is not None, digests).ports[:portals])
        if through is not None:
            ports[0] = await through.listen(ports[0])
        crc = ("CRC32C",)
        wishes = Wishes(header_digest=crc, data_digest=crc) if digests else Wishes()
        nodes_luns = []
        for node in range(nodes):
            account = Account(f"iqn.2026-01.test:node{node}", TARGET, chap)
            places = [Portal("127.0.0.1", port) for port in ports]
            luns = IscsiLuns(places, account, Settings(wishes, no_path_s=1.0, unguarded=unguarded))
            await luns.start()
            nodes_luns.append(luns)
        try:
            yield nodes_luns
        finally:
            for lun in (lun for luns in nodes_luns for lun in luns.luns.values()):
                if lun.key and lun.key in await lun.keys():
                    await lun.clear()  # the next test begins with a disk that nobody holds
            for luns in nodes_luns:
                await luns.close()
            if through is not None:
                await through.close()

    return begin


async def test_what_was_written_is_read_in_all_sizes(begun: Begun) -> None:
    generator = random.Random(1)
    async with begun() as (luns,):
        lun = only(luns)
        assert (lun.block_bytes, lun.blocks) == (512, DISK_BYTES // 512)
        assert lun.paths_up == 1

        for blocks in (1, 3, 17, 128, 129, 2048, 2049, 20000):
            data = generator.randbytes(blocks * 512)
            third = blocks // 3 * 512
            lba = generator.randrange(lun.blocks - blocks)
            await lun.write(lba, [data[:third], data[third:]], fua=blocks % 2 == 0)

            assert await read(lun, lba, blocks) == data
        await lun.flush()


async def test_many_commands_are_under_way_at_once(begun: Begun) -> None:
    async with begun() as (luns,):
        lun = only(luns)
        pages = [bytes([number % 251]) * 4096 for number in range(400)]

        await asyncio.gather(*(lun.write(8 * n, [page]) for n, page in enumerate(pages)))
        found = await asyncio.gather(*(read(lun, 8 * n, 8) for n in range(len(pages))))

        assert found == pages


async def test_a_range_past_the_end_or_in_half_blocks_is_refused(begun: Begun) -> None:
    async with begun() as (luns,):
        lun = only(luns)

        for lba, length in ((lun.blocks, 512), (-1, 512), (0, 511), (0, 0)):
            with pytest.raises(OutOfRange):
                await lun.read_into(lba, memoryview(bytearray(length)))
            with pytest.raises(OutOfRange):
                await lun.write(lba, [bytes(length)])


async def test_digests_guard_both_directions(begun: Begun) -> None:
    async with begun(digests=True) as (luns,):
        lun = only(luns)
        agreed = luns.connection(0)
        assert agreed is not None
        assert agreed.session.agreed.header_digest
        assert agreed.session.agreed.data_digest

        data = random.Random(2).randbytes(1 << 20)
        await lun.write(5, [data])

        assert await read(lun, 5, 2048) == data


async def test_the_right_secret_of_chap_lets_in(begun: Begun) -> None:
    async with begun(chap=SECRET) as (luns,):
        assert only(luns).paths_up == 1


async def test_a_wrong_secret_of_chap_is_told_in_a_sentence(begun: Begun) -> None:
    async with begun(chap=Credentials(SECRET.name, b"another secret of it")) as (luns,):
        assert not luns.luns
        (reason,) = luns.paths.reasons.values()
        assert "refuses the login" in reason


async def test_a_preempted_node_writes_no_more_and_the_fencer_goes_on(
    begun: Begun, request: pytest.FixtureRequest
) -> None:
    aborts = "tgtd" not in request.node.name  # which knows PREEMPT only
    async with begun(nodes=2, unguarded=False) as (one, two):
        a, b = only(one), only(two)
        lost: list[tuple[str, RegistrationKey]] = []
        one.watch(lambda: None, lambda disk, key, reason: lost.append((disk, key)))
        for lun, key in ((a, KEY_A), (b, KEY_B)):
            lun.use(key)
            await until(lambda lun=lun, key=key: lun.key == key, "registered")  # type: ignore[misc]
            assert not lun.is_usable
            lun.admit(lun.registrations)
            assert lun.is_usable
        await a.reserve()
        assert await b.holder() == KEY_A
        assert set(await b.keys()) == {KEY_A, KEY_B}
        await a.write(0, [b"a" * 512])

        await b.preempt(KEY_A, abort=aborts)

        assert await b.holder() == KEY_B
        assert set(await b.keys()) == {KEY_B}
        with pytest.raises(Conflict):
            await a.write(0, [b"z" * 512])
        await b.write(1, [b"b" * 512])
        assert await read(b, 0, 2) == b"a" * 512 + b"b" * 512
        assert lost == [(a.disk, KEY_A)]
        assert a.registration.lost
        a.use(KEY_A)
        assert set(await b.keys()) == {KEY_B}
        await b.preempt(KEY_A, abort=aborts)  # there is no such key any more: no error


async def test_an_unregistered_node_waits_in_vain_and_writes_nothing(begun: Begun) -> None:
    async with begun(unguarded=False) as (luns,):
        lun = only(luns)
        before = await read(lun, 0, 1)

        with pytest.raises(PathLost):
            await lun.write(0, [bytes(byte ^ 255 for byte in before)])

        assert await read(lun, 0, 1) == before


async def test_a_key_that_was_let_go_gives_way_to_the_next(begun: Begun) -> None:
    async with begun(unguarded=False) as (luns,):
        lun = only(luns)
        lun.use(KEY_A)
        await until(lambda: lun.key == KEY_A, "registered")
        lun.admit(lun.registrations)
        await lun.write(0, [b"a" * 512])

        lun.let_go()
        with pytest.raises(PathLost):
            await lun.write(0, [b"z" * 512])
        lun.use(KEY_B)
        await until(lambda: lun.key == KEY_B, "registered again")
        assert not lun.is_usable
        lun.admit(lun.registrations)

        await lun.write(1, [b"b" * 512])
        assert await lun.keys() == (KEY_B,)


async def test_a_lost_path_costs_no_write_and_no_read(begun: Begun) -> None:
    relay = Relay()
    async with begun(portals=2, through=relay) as (luns,):
        lun = only(luns)
        assert (lun.paths, lun.paths_up) == (2, 2)

        async def work(number: int) -> None:
            for turn in range(40):
                data = bytes([number, turn]) * 2048
                await lun.write(number * 8, [data])
                assert await read(lun, number * 8, 8) == data
                if number == 3 and turn == 10:
                    relay.cut()

        await asyncio.gather(*(work(number) for number in range(8)))

        assert lun.paths_up == 1
        relay.is_cut = False
        await until(lambda: lun.paths_up == 2, "the path is back")


async def test_a_write_without_an_answer_is_repeated_once_its_session_is_surely_dead(
    begun: Begun,
) -> None:
    relay = Relay()
    async with begun(portals=2, through=relay) as (luns,):
        lun = only(luns)
        relay.holds_answers = True
        writing = asyncio.create_task(lun.write(0, [b"w" * 4096]))
        other = asyncio.create_task(read(lun, 64, 8))
        await until(lambda: relay.held > 0, "an answer is held back")

        relay.cut()
        await asyncio.gather(writing, other)

        assert not luns.paths.unsettled
        assert luns.paths.up == [1]
        assert await read(lun, 0, 8) == b"w" * 4096


async def test_without_any_path_it_is_told_that_nobody_knows(begun: Begun) -> None:
    relay = Relay()
    async with begun(through=relay) as (luns,):
        lun = only(luns)
        relay.cut()

        with pytest.raises(PathLost):
            await lun.write(0, [b"x" * 512])

        relay.is_cut = False
        await until(lambda: lun.paths_up == 1, "the path is back")
        await lun.write(0, [b"y" * 512])
        assert await read(lun, 0, 1) == b"y" * 512


async def test_a_cancelled_read_leaves_the_buffer_alone(begun: Begun) -> None:
    async with begun() as (luns,):
        lun = only(luns)
        await lun.write(0, [b"w" * (1 << 20)])
        target = bytearray(1 << 20)
        reading = asyncio.create_task(lun.read_into(0, memoryview(target)))
        await asyncio.sleep(0)

        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)
        before = bytes(target)

        assert await read(lun, 0, 2048) == b"w" * (1 << 20)
        assert bytes(target) == before


async def test_a_path_that_comes_back_is_registered_again(begun: Begun) -> None:
    relay = Relay()
    async with begun(portals=2, unguarded=False, through=relay) as (luns,):
        lun = only(luns)
        lun.use(KEY_A)
        await until(lambda: lun.key == KEY_A, "registered on both paths")
        assert lun.registrations == 2
        lun.admit(2)

        relay.cut()
        await until(lambda: lun.paths_up == 1, "one path is lost")
        await lun.write(0, [b"x" * 512])
        relay.is_cut = False
        await until(lambda: lun.paths_up == 2 and lun.key == KEY_A, "both are registered")

        assert set(await lun.keys()) == {KEY_A}
        lun.admit(lun.registrations)
        await lun.write(1, [b"y" * 512])


async def test_a_second_login_under_the_same_name_ends_the_first(begun: Begun) -> None:
    async with begun() as (luns,):
        first = luns.connection(0)
        assert first is not None
        again = Identity(first.session.identity.initiator, TARGET, first.session.identity.isid)
        peer = first._transport.get_extra_info("peername")  # type: ignore[union-attr]
        second = await connected(Portal(peer[0], peer[1]), again, Patience())

        await until(lambda: bool(first.session.ended), "the first session is over")

        await second.leave()
