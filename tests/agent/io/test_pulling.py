"""Post-copy between two machines: a guest that runs before its pages are there."""

import asyncio
import contextlib
import os
import select
import socket
from pathlib import Path

import numpy as np
import pytest

from agent import pulls
from agent.actions import SendRound
from agent.events import (
    GuestPaused,
    GuestResumed,
    PeerSaid,
    RoundLanded,
    RoundSent,
    VmDestroyed,
)
from agent.guests import check_wave
from agent.io.tracker import KERNEL
from agent.pull_words import (
    MapDrawn,
    MapSent,
    MissingCounted,
    PullBroke,
    PullDone,
    PullJoined,
    PullServed,
    PunchPages,
    SendMap,
)
from protocol.codec import encode_frame
from protocol.messages import MissingPages, PagesComplete, PullGreeting
from protocol.names import AttemptId, Epoch, Hold, VmSpec, Workload
from tests.agent.io.machine import (
    CLUSTER,
    HERE,
    PATIENCE_S,
    THERE,
    TOKEN,
    TRACKER,
    VM,
    WAVE,
    A,
    E,
    Machine,
    connected,
    machines,
    spec_of,
    with_guest,
)
from tests.agent.io.test_migration import answer_to, decoded, pages, steps, until, works

NEXT = Epoch(4)
needs_kernel = pytest.mark.skipif(TRACKER != KERNEL, reason="the kernel cannot track here")


async def copied(here: Machine, there: Machine, spec: VmSpec = WAVE) -> None:
    """S3 to S6: one round, of which the guest makes much dirty again."""
    await with_guest(here, spec)
    await connected(here, there, spec)
    here.source.send_round(SendRound(A, 0))
    await here.heard(RoundSent)
    await there.heard(RoundLanded)
    if spec.workload.name != "idle":
        await works(here)


async def switched(here: Machine, there: Machine) -> int:
    """S8 and S9: the map instead of the last pages. Returns how many pages are missing."""
    here.vms.set_holds(VM, E, Hold.ATTEMPT)
    here.source.open_pull(A)
    await here.heard(GuestPaused)
    parts = (await here.heard(MapDrawn)).parts
    here.source.send_map(SendMap(A, 1))
    sent = await here.heard(MapSent)
    for part in (*parts, *sent.parts):
        here.source.say(A, part)
    for _ in (*parts, *sent.parts):
        said = (await there.heard(PeerSaid)).message
        assert isinstance(said, MissingPages)
        there.target.punch(PunchPages(A, said.first, said.bitmap))
    await there.heard(RoundLanded)
    there.target.count_missing(A)
    counted = await there.heard(MissingCounted)
    assert counted.reason == ""
    assert counted.pages == sent.missing_pages
    return counted.pages


async def resumed(here: Machine, there: Machine) -> None:
    """S12 and S14."""
    here.vms.end_guest(VM)
    there.target.pull(A)
    there.vms.set_holds(VM, NEXT, Hold.NONE)
    await there.heard(GuestResumed)


@needs_kernel
async def test_a_guest_runs_before_its_pages_are_there_and_finds_every_one_of_them(
    tmp_path: Path,
) -> None:
    async with machines(tmp_path) as (here, there):
        await copied(here, there)
        missing = await switched(here, there)
        assert missing > 100

        await resumed(here, there)
        await works(there)
        await there.heard(PullDone)

        served = (await here.heard(PullServed)).record
        assert (served.round, served.pages) == (2, missing)
        await works(there)
        there.vms.set_holds(VM, NEXT, Hold.OPERATOR)
        paused = await there.heard(GuestPaused)
        assert paused.steps > steps(here)
        assert check_wave(pages(there)) is None


@needs_kernel
async def test_all_of_a_memory_can_be_missing_but_the_registers(tmp_path: Path) -> None:
    async with machines(tmp_path) as (here, there):
        await copied(here, there, spec_of(16 << 20, Workload("wave", 80_000_000)))
        outgoing = here.source._attempts[A]
        assert outgoing.dirty is not None
        outgoing.dirty.left = outgoing.dirty.begin(0, is_last=True)  # as if no round had been sent
        missing = await switched(here, there)
        assert missing == (16 << 20) // 4096 - 1

        await resumed(here, there)
        await there.heard(PullDone)
        there.vms.set_holds(VM, NEXT, Hold.OPERATOR)
        await there.heard(GuestPaused)
        assert check_wave(pages(there)) is None


@needs_kernel
async def test_a_guest_waits_while_its_source_cannot_be_reached_and_goes_on_afterwards(
    tmp_path: Path,
) -> None:
    async with machines(tmp_path) as (here, there):
        await copied(here, there)
        await switched(here, there)
        serving = here.source._attempts[A].serving
        assert serving is not None
        assert serving._sock is not None
        gate = Gate(there)
        gate.shut()
        serving._sock.shutdown(socket.SHUT_RDWR)
        await here.heard(PullBroke)

        await resumed(here, there)
        assert (await there.heard(PullBroke)).left_pages > 100
        worker = there.vms[VM].worker
        assert worker is not None
        gate.open()

        await there.heard(PullJoined)
        await there.heard(PullDone)
        there.vms.set_holds(VM, NEXT, Hold.OPERATOR)
        await there.heard(GuestPaused)
        assert check_wave(pages(there)) is None


def is_asleep(pid: int | None) -> bool:
    """Whether a process waits in the kernel."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "SD"


class Gate:
    """Nobody is let in while it is shut."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine

    def shut(self) -> None:
        self._machine.target._strangers += 1000

    def open(self) -> None:
        self._machine.target._strangers -= 1000


@needs_kernel
async def test_a_source_that_is_lost_leaves_the_guest_waiting_and_never_with_zeros(
    tmp_path: Path,
) -> None:
    async with machines(tmp_path) as (here, there):
        await copied(here, there)
        missing = await switched(here, there)
        closing = here.source.close(A)
        assert closing is not None
        await closing

        await resumed(here, there)
        broke = await there.heard(PullBroke)
        worker = there.vms[VM].worker
        assert worker is not None
        assert broke.left_pages == missing
        closing = there.target.close(A)
        assert closing is not None
        await closing
        assert worker.pid is not None
        await until(lambda: is_asleep(worker.pid))
        held = os.fstat(worker.memory.fd).st_blocks * 512
        assert held <= worker.memory.memory_bytes - missing * 4096, "nobody was given a zero page"
        await there.vms.destroy(VM)
        await there.heard(VmDestroyed)


@needs_kernel
async def test_a_guest_that_waits_for_a_page_ends_with_its_agent(tmp_path: Path) -> None:
    async with machines(tmp_path) as (here, there):
        await copied(here, there)
        await switched(here, there)
        closing = here.source.close(A)
        assert closing is not None
        await closing
        await resumed(here, there)
        worker = there.vms[VM].worker
        assert worker is not None
        assert worker.pid is not None
        await until(lambda: is_asleep(worker.pid))
        waits = os.pidfd_open(worker.pid)

        there.warm.close()  # as the kernel does when the agent's process is gone

        assert select.select([waits], [], [], PATIENCE_S)[0], "the worker lives on"
        os.close(waits)


@needs_kernel
async def test_a_source_hears_that_a_target_gave_up(tmp_path: Path) -> None:
    async with machines(tmp_path) as (here, there):
        await copied(here, there, spec_of(256 << 20, Workload("wave", 400_000_000)))
        await switched(here, there)
        there.target.pull(A)
        await there.heard(PullJoined)
        closing = there.target.close(A)
        assert closing is not None
        await closing

        while not (broke := await here.heard(PullBroke)).is_over:
            pass
        assert "gave up" in broke.reason


async def test_an_idle_vm_gets_its_pages_without_a_worker(tmp_path: Path) -> None:
    async with machines(tmp_path) as (here, there):
        await copied(here, there, spec_of(8 << 20, Workload("idle")))
        outgoing = here.source._attempts[A]
        assert outgoing.dirty is not None
        outgoing.dirty.left = outgoing.dirty.begin(0, is_last=True)
        assert await switched(here, there) == (8 << 20) // 4096 - 1

        await resumed(here, there)
        await there.heard(PullDone)
        assert np.array_equal(pages(here), pages(there))


async def test_a_guest_that_cannot_be_held_at_a_missing_page_does_not_come(tmp_path: Path) -> None:
    async with machines(tmp_path) as (here, there):
        await copied(here, there)
        worker = there.vms[VM].worker
        assert worker is not None
        taken = worker.faults()  # as on a kernel that has no such watch
        there.target.punch(PunchPages(A, 8, b"\xff"))
        there.target.count_missing(A)

        assert "cannot hold a guest" in (await there.heard(MissingCounted)).reason
        if taken is not None:
            taken.close()


@pytest.mark.parametrize("bad", [(4, b"\xff"), (-8, b"\xff"), (0, b"\xff" * 9), (8, b"\xff" * 8)])
async def test_a_map_that_lies_is_told_and_takes_no_page(
    tmp_path: Path, bad: tuple[int, bytes]
) -> None:
    async with machines(tmp_path) as (here, there):
        await copied(here, there, spec_of(64 * 4096, Workload("wave", 1_000_000)))
        there.target.punch(PunchPages(A, *bad))
        there.target.count_missing(A)

        assert "map" in (await there.heard(MissingCounted)).reason


def batch(attempt: AttemptId = A, page: int = 9, flip: int = -1) -> bytes:
    head, payload = pulls.encode(attempt, np.array([page]), np.full((1, 512), 7, np.uint64))
    words = bytearray(head + payload.tobytes())
    if flip >= 0:
        words[flip] ^= 1
    return bytes(words)


LIES = {
    "a page that was changed": (batch(flip=-1)[:-1] + b"x", "checksum"),
    "a number that was changed": (batch(flip=pulls.HEADER_BYTES), "checksum"),
    "a page behind the last": (batch(page=64 << 20), "the VM has"),
    "another attempt": (batch(AttemptId(8)), "pages of attempt 8"),
    "no batch": (b"\x00" * pulls.HEADER_BYTES, "begins with"),
    "an end in the middle": (batch()[:-5], "ended it"),
}


@needs_kernel
@pytest.mark.parametrize(("words", "why"), LIES.values(), ids=LIES)
async def test_a_source_that_lies_brings_nothing_and_may_try_again(
    tmp_path: Path, words: bytes, why: str
) -> None:
    async with machines(tmp_path) as (here, there):
        await copied(here, there)
        missing = await switched(here, there)
        closing = here.source.close(A)
        assert closing is not None
        await closing
        await resumed(here, there)
        await there.heard(PullBroke)

        with socket.create_connection((there.address, there.target.port)) as sock:
            sock.sendall(encode_frame(GREETING))
            await there.heard(PullJoined)
            with contextlib.suppress(OSError):  # it hangs up as soon as it has seen the lie
                sock.sendall(words)
                sock.shutdown(socket.SHUT_WR)
            broke = await there.heard(PullBroke)

        assert why in broke.reason
        assert broke.left_pages == missing


GREETING = PullGreeting(CLUSTER, A, VM, E, HERE, THERE, TOKEN)
STRANGERS = {
    "wrong token": encode_frame(PullGreeting(CLUSTER, A, VM, E, HERE, THERE, "x" * 32)),
    "wrong epoch": encode_frame(PullGreeting(CLUSTER, A, VM, Epoch(4), HERE, THERE, TOKEN)),
    "no greeting": encode_frame(PagesComplete(A)),
}


@pytest.mark.parametrize("words", STRANGERS.values(), ids=STRANGERS)
async def test_a_stranger_brings_no_pages(tmp_path: Path, words: bytes) -> None:
    async with machines(tmp_path) as (here, there):
        await copied(here, there, spec_of(64 * 4096, Workload("wave", 1_000_000)))

        said = await asyncio.to_thread(answer_to, words, there)

        assert said == b"" or type(decoded(said)).__name__ == "Abandoned"
