"""Source and target wired back to back, with a guest that works: what arrives, and what is left
when the connection is lost.
"""

import asyncio
import socket
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from agent.actions import DigestMemory, OpenStorage, SendLastPages, SendRound
from agent.events import (
    Connected,
    GuestPaused,
    GuestResumed,
    LastPagesSent,
    MemoryDigested,
    PeerLost,
    PeerSaid,
    ReserveDone,
    ReserveFailed,
    RoundLanded,
    RoundSent,
    StorageDone,
    StorageFailed,
    VmDestroyed,
    VmFailed,
)
from agent.guests import Pages, check_wave
from agent.io import greeting
from protocol.codec import LENGTH, decode, encode_frame
from protocol.messages import Abandoned, Greeted, Greeting, RoundEnded
from protocol.names import AttemptId, Epoch, Hold, Verify, VmName, Workload
from tests.agent.io.machine import (
    CLUSTER,
    HERE,
    PATIENCE_S,
    THERE,
    TOKEN,
    VM,
    A,
    E,
    Machine,
    connect_order,
    connected,
    machines,
    reserve_order,
    spec_of,
    with_guest,
)

RATE_BYTES_PER_S = 50e6
NEXT = Epoch(4)


async def rounds(here: Machine, there: Machine, count: int) -> None:
    for number in range(count):
        here.source.send_round(SendRound(A, number))
        await here.heard(RoundSent)
        assert (await there.heard(RoundLanded)).round == number


async def switched(here: Machine, there: Machine, number: int) -> LastPagesSent:
    """S8 and S9."""
    here.vms.set_holds(VM, E, Hold.ATTEMPT)
    await here.heard(GuestPaused)
    here.source.send_last_pages(SendLastPages(A, number, Verify.FULL))
    sent = await here.heard(LastPagesSent)
    await there.heard(RoundLanded)
    return sent


def pages(machine: Machine) -> Pages:
    memory = machine.vms[VM].memory
    assert memory is not None
    return memory.array


def steps(machine: Machine) -> int:
    worker = machine.vms[VM].worker
    assert worker is not None
    return worker.steps


async def until(happened: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not happened():  # noqa: ASYNC110 - workers set no event of this loop
            await asyncio.sleep(0)


async def works(machine: Machine) -> None:
    before = steps(machine)
    await until(lambda: steps(machine) > before)


async def test_memory_arrives_byte_identical_under_a_guest_that_writes_50_mb_a_second(
    tmp_path: Path,
) -> None:
    async with machines(tmp_path) as (here, there):
        await with_guest(here)
        list(here.vms.observe())
        await connected(here, there)

        await rounds(here, there, 4)
        (seen,) = here.vms.observe()
        sent = await switched(here, there, 4)
        there.target.digest(DigestMemory(A, Verify.FULL))
        digested = await there.heard(MemoryDigested)

        assert seen.dirty_bytes_per_s >= RATE_BYTES_PER_S
        assert sent.record.dirty_pages_at_end == 0
        assert digested.digest == sent.digest
        assert np.array_equal(pages(here), pages(there))
        assert check_wave(pages(there)) is None

        there.vms.set_holds(VM, NEXT, Hold.NONE)
        await there.heard(GuestResumed)
        await works(there)
        there.vms.set_holds(VM, NEXT, Hold.OPERATOR)
        paused = await there.heard(GuestPaused)
        assert paused.steps > steps(here)
        assert check_wave(pages(there)) is None


async def test_both_ends_hear_each_other_on_the_conversation(tmp_path: Path) -> None:
    async with machines(tmp_path) as (here, there):
        await with_guest(here)
        await connected(here, there)

        here.source.say(A, RoundEnded(A, 0, 5))
        there.target.say(A, Abandoned(A, "no more"))

        assert (await there.heard(PeerSaid)).message == RoundEnded(A, 0, 5)
        assert (await here.heard(PeerSaid)).message == Abandoned(A, "no more")


@pytest.mark.parametrize("rounds_before", [0, 1, 3])
@pytest.mark.parametrize("lost", ["source", "target"])
async def test_a_peer_that_is_lost_is_reported_once_and_the_guest_works_on(
    tmp_path: Path, rounds_before: int, lost: str
) -> None:
    async with machines(tmp_path) as (here, there):
        await with_guest(here)
        await connected(here, there)
        await rounds(here, there, rounds_before)
        gone, left = (here.source, there) if lost == "source" else (there.target, here)

        gone.close(A)

        assert (await left.heard(PeerLost)).attempt == A
        await works(here)
        here.source.close(A)
        there.target.close(A)
        await there.vms.destroy(VM)
        await there.heard(VmDestroyed)
        assert there.vms.get(VM) is None


async def test_a_target_that_leaves_in_the_middle_of_a_round_ends_it(tmp_path: Path) -> None:
    async with machines(tmp_path) as (here, there):
        await with_guest(here, spec_of(256 << 20, Workload("wave", 80_000_000)))
        await connected(here, there, here.vms[VM].spec)

        here.source.send_round(SendRound(A, 0))
        await until(lambda: bool(pages(there)[:, 511].any()))
        there.target.close(A)

        await here.heard(PeerLost)
        assert not any(isinstance(event, RoundSent) for event in here.events)
        await works(here)
        here.vms.set_holds(VM, E, Hold.ATTEMPT)
        await here.heard(GuestPaused)
        assert check_wave(pages(here)) is None


async def test_a_guest_that_dies_in_the_middle_of_a_round_costs_the_attempt_and_no_more(
    tmp_path: Path,
) -> None:
    async with machines(tmp_path) as (here, there):
        await with_guest(here, spec_of(256 << 20, Workload("wave", 80_000_000)))
        await connected(here, there, here.vms[VM].spec)
        worker = here.vms[VM].worker
        assert worker is not None
        assert worker.pid is not None

        here.source.send_round(SendRound(A, 0))
        await until(lambda: bool(pages(there)[:, 511].any()))
        here.warm.kill(worker.pid)

        assert "killed by SIGKILL" in (await here.heard(VmFailed)).reason
        here.source.send_round(SendRound(A, 1))
        lost = (await here.heard(PeerLost)).reason
        assert lost.startswith(("the guest's writes cannot be found", "the VM is gone"))


async def test_nobody_there_is_a_lost_peer_that_names_every_network(tmp_path: Path) -> None:
    async with machines(tmp_path) as (here, there):
        await with_guest(here)
        order = connect_order(there)
        nobody = replace(order.target.endpoint, migration_port=1)
        here.source.connect(replace(order, target=replace(order.target, endpoint=nobody)))

        lost = await here.heard(PeerLost)
        assert lost.reason.startswith("no connection to node2 (migration: ")


async def test_closing_while_connecting_leaves_nothing_open(tmp_path: Path) -> None:
    async with machines(tmp_path) as (here, there):
        await with_guest(here)
        there.target.reserve(reserve_order())
        await there.heard(ReserveDone)
        for _ in range(5):
            here.source.connect(connect_order(there))
            await asyncio.sleep(0)
            closing_it = here.source.close(A)
            assert closing_it is not None
            await closing_it
        assert not here.source.has(A)


# ---- strangers

GREETING = Greeting(CLUSTER, A, VM, E, HERE, THERE, TOKEN, 0, 2, 0, greeting.CAPABILITIES)
STRANGERS = {
    "wrong token": encode_frame(replace(GREETING, token="x" * 32)),
    "wrong epoch": encode_frame(replace(GREETING, epoch=Epoch(4))),
    "unknown attempt": encode_frame(replace(GREETING, attempt=AttemptId(99))),
    "another vm": encode_frame(replace(GREETING, vm=VmName("web01"))),
    "a stream that is there": encode_frame(GREETING),
    "no greeting": encode_frame(Abandoned(A, "hello")),
    "garbage": b"\x00\x00\x00\x10" + b"\xc1" * 16,
    "4 GiB": LENGTH.pack(2**32 - 1) + b"x" * 1000,
    "half a frame": encode_frame(GREETING)[:-3],
    "nothing": b"",
}


@pytest.mark.parametrize("words", STRANGERS.values(), ids=STRANGERS)
async def test_a_stranger_at_the_port_disturbs_no_migration(tmp_path: Path, words: bytes) -> None:
    async with machines(tmp_path) as (here, there):
        await with_guest(here, spec_of(8 << 20, Workload("wave", 80_000_000)))
        await connected(here, there, here.vms[VM].spec)
        await rounds(here, there, 1)

        said = await asyncio.to_thread(answer_to, words, there)

        assert said == b"" or isinstance(decoded(said), Abandoned)
        here.source.send_round(SendRound(A, 1))
        await here.heard(RoundSent)
        await there.heard(RoundLanded)
        await switched(here, there, 2)
        assert np.array_equal(pages(here), pages(there))
        assert not any(isinstance(event, PeerLost) for event in (*here.events, *there.events))


async def test_a_source_that_lost_its_way_may_come_again_on_another(tmp_path: Path) -> None:
    async with machines(tmp_path) as (here, there):
        await with_guest(here)
        there.target.reserve(reserve_order())
        await there.heard(ReserveDone)
        for stream in (0, 1):
            words = encode_frame(replace(GREETING, stream=stream))
            await asyncio.to_thread(greet_and_leave, words, there)

        async with asyncio.timeout(PATIENCE_S):
            while True:  # until the target has noticed
                here.source.connect(connect_order(there))
                if isinstance(await either(here), Connected):
                    break
                here.source.close(A)

        await rounds(here, there, 2)
        assert not any(isinstance(event, PeerLost) for event in there.events)


async def either(machine: Machine) -> object:
    ended = [asyncio.create_task(machine.heard(kind)) for kind in (Connected, PeerLost)]
    done, left = await asyncio.wait(ended, return_when=asyncio.FIRST_COMPLETED)
    for task in left:
        task.cancel()
    await asyncio.gather(*left, return_exceptions=True)
    return done.pop().result()


def greet_and_leave(words: bytes, machine: Machine) -> None:
    with closing(socket.create_connection((machine.address, machine.target.port))) as sock:
        sock.sendall(words)
        assert isinstance(decoded(sock.recv(4096)), Greeted)


def answer_to(words: bytes, machine: Machine) -> bytes:
    with closing(socket.create_connection((machine.address, machine.target.port))) as sock:
        sock.settimeout(PATIENCE_S)
        said = b""
        try:
            sock.sendall(words)
            sock.shutdown(socket.SHUT_WR)
            while part := sock.recv(4096):
                said += part
        except OSError:  # hung up on, which may come before all was said
            return b""
        return said


def decoded(said: bytes) -> object:
    return decode(said[LENGTH.size :])


# ---- what cannot be done on the target


async def test_a_target_without_room_says_so_and_keeps_nothing(tmp_path: Path) -> None:
    async with machines(tmp_path) as (_, there):
        there.target.reserve(reserve_order(spec_of(1 << 50, Workload("idle"))))

        failed = await there.heard(ReserveFailed)

        assert "more memory than this machine has free" in failed.reason
        assert there.vms.get(VM) is None
        assert not there.target.has(A)


async def test_a_reservation_that_is_not_wanted_any_more_is_given_back(tmp_path: Path) -> None:
    async with machines(tmp_path) as (_, there):
        there.target.reserve(reserve_order(spec_of(1 << 30, Workload("wave"))))
        await asyncio.sleep(0)
        there.target.close(A)
        await there.vms.destroy(VM)

        assert there.vms.get(VM) is None
        assert not any(isinstance(event, ReserveDone) for event in there.events)


async def test_storage_that_cannot_be_opened_is_reported_with_its_reason(tmp_path: Path) -> None:
    async with machines(tmp_path) as (here, there):
        await with_guest(here)
        await connected(here, there)
        there.target.open_storage(OpenStorage(A, VM, E))
        await there.heard(StorageDone)

        there.storage.unregister(VM)
        (tmp_path / "b" / "vms").rmdir()
        (tmp_path / "b" / "vms").write_text("not a folder")
        there.target.open_storage(OpenStorage(A, VM, E))

        assert VM in (await there.heard(StorageFailed)).reason
        there.target.close_storage(VM)
        await works(here)
