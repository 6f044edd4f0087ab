import asyncio
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from agent.actions import FetchCopy, StoreCopy
from agent.copy_record import CopyPort, DatabaseCopy
from agent.events import CopyEvent, CopyFailed, CopyFetched, CopyStored
from agent.io.copies import ANSWER_MAX_S, CopyDoor, CopyFolder
from agent.io.witness import WitnessFolder
from protocol.errors import NotReady, PeerUnreachable
from protocol.names import Witness, WitnessKind
from tests.agent.copy_port import CopyPortContract, Ways, copy_of
from tests.agent.witness_port import record


class TestFolder(CopyPortContract):
    @pytest.fixture
    def copies(self, tmp_path: Path) -> Ways:
        return lambda: CopyFolder(tmp_path)


# ---- the folder


def names(path: Path) -> set[str]:
    return {found.name for found in path.iterdir()}


def test_older_copies_go_and_the_witnesss_own_records_stay(tmp_path: Path) -> None:
    assert WitnessFolder(tmp_path).write_if(0, record("a#1"))
    (tmp_path / f".fresh-copy-1-1-{'0' * 32}").write_bytes(b"of a writer that died")
    for revision in range(1, 5):
        CopyFolder(tmp_path).keep(copy_of(3, revision))

    assert names(tmp_path) == {"record-1", "copy-3-4"}
    assert WitnessFolder(tmp_path).read() == (1, record("a#1"))


class LateRename(CopyFolder):
    """A writer that is frozen between its look and its renaming: `meanwhile` happens then."""

    def __init__(self, path: Path, meanwhile: Callable[[], None]) -> None:
        super().__init__(path)
        self.meanwhile = meanwhile

    def _put(self, path: Path, content: bytes) -> None:
        super()._put(path, content)
        self.meanwhile()


def test_a_writer_that_was_frozen_replaces_nothing(tmp_path: Path) -> None:
    late = LateRename(tmp_path, lambda: CopyFolder(tmp_path).keep(copy_of(4, 1)))
    with pytest.raises(PeerUnreachable):
        late.keep(copy_of(3, 9))

    assert CopyFolder(tmp_path).newest() == copy_of(4, 1)
    assert names(tmp_path) == {"copy-4-1"}


class Full(CopyFolder):
    def _put(self, path: Path, content: bytes) -> None:
        super()._put(path, content[:10])
        raise OSError(28, "No space left on device")


def test_a_full_disk_keeps_the_copy_that_it_has(tmp_path: Path) -> None:
    CopyFolder(tmp_path).keep(copy_of(3, 1))

    with pytest.raises(PeerUnreachable, match="No space left"):
        Full(tmp_path).keep(copy_of(3, 2))

    assert CopyFolder(tmp_path).newest() == copy_of(3, 1)
    assert names(tmp_path) == {"copy-3-1"}


def test_a_damaged_newest_copy_is_a_failure_and_not_an_older_one(tmp_path: Path) -> None:
    CopyFolder(tmp_path).keep(copy_of(3, 1))
    path = tmp_path / "copy-3-1"
    content = path.read_bytes()
    for at in range(len(content)):
        damaged = bytearray(content)
        damaged[at] ^= 0x40
        path.write_bytes(damaged)
        with pytest.raises(NotReady, match="cannot be read"):
            CopyFolder(tmp_path).newest()
    path.write_bytes(content[:-1])
    with pytest.raises(NotReady):
        CopyFolder(tmp_path).newest()


def test_a_folder_that_is_away_is_said_to_be_wanted(tmp_path: Path) -> None:
    folder = CopyFolder(tmp_path / "away")

    with pytest.raises(PeerUnreachable, match="must be there"):
        folder.keep(copy_of(1, 1))
    with pytest.raises(PeerUnreachable):
        folder.newest()


# ---- the way to it


class Slow:
    """A port that answers when it is told to."""

    def __init__(self, path: Path) -> None:
        self.folder = CopyFolder(path)
        self.may_answer = threading.Event()

    def keep(self, copy: DatabaseCopy) -> None:
        self.may_answer.wait(20.0)
        self.folder.keep(copy)

    def newest(self) -> DatabaseCopy | None:
        self.may_answer.wait(20.0)
        return self.folder.newest()


class Way:
    """A door on the test's own loop, and what came through it."""

    def __init__(self, path: Path, port: Callable[[Path], CopyPort] = CopyFolder) -> None:
        self.witness = Witness("w", WitnessKind.DISK, str(path))
        self.events: asyncio.Queue[CopyEvent] = asyncio.Queue()
        self.timers: list[Callable[[], None]] = []
        loop = asyncio.get_running_loop()
        self.door = CopyDoor(
            self.events.put_nowait,
            lambda _, call: self.timers.append(call),
            loop.call_soon_threadsafe,
            port,
        )

    async def next(self) -> CopyEvent:
        return await asyncio.wait_for(self.events.get(), 20.0)


async def test_a_copy_goes_there_and_comes_back(tmp_path: Path) -> None:
    way = Way(tmp_path)
    store, fetch = StoreCopy(way.witness, copy_of(3, 1), 1.0), FetchCopy(way.witness, 2.0)

    way.door.go(fetch)
    assert await way.next() == CopyFetched(fetch, None)
    way.door.go(store)
    assert await way.next() == CopyStored(store)
    way.door.go(fetch)
    assert await way.next() == CopyFetched(fetch, copy_of(3, 1))
    for ring in way.timers:
        ring()
    assert way.events.empty(), "what was answered does not fail afterwards"


async def test_a_disk_that_is_away_is_a_failure_with_its_reason(tmp_path: Path) -> None:
    way = Way(tmp_path / "away")
    way.door.go(FetchCopy(way.witness, 1.0))

    failed = await way.next()
    assert isinstance(failed, CopyFailed)
    assert "must be" in failed.reason


async def test_a_disk_that_hangs_fails_in_time_and_its_late_answer_is_nobodys(
    tmp_path: Path,
) -> None:
    slow = Slow(tmp_path)
    way = Way(tmp_path, lambda _: slow)
    store, fetch = StoreCopy(way.witness, copy_of(3, 1), 1.0), FetchCopy(way.witness, 2.0)
    way.door.go(store)

    way.timers[0]()
    failed = await way.next()
    assert isinstance(failed, CopyFailed)
    assert failed.order is store
    assert f"did not answer for {ANSWER_MAX_S:g} s" in failed.reason
    way.door.go(fetch)
    again = await way.next()
    assert isinstance(again, CopyFailed)
    assert again.order is fetch, "one at a time"

    slow.may_answer.set()
    while threads := [thread for thread in threading.enumerate() if thread.name == "copy"]:
        await asyncio.to_thread(threads[0].join)
    await asyncio.sleep(0)
    assert way.events.empty()
    way.door.go(fetch)
    assert await way.next() == CopyFetched(fetch, copy_of(3, 1)), "it was done, and is seen"
