import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.guests import Guest, Pages, guest_of
from agent.guests.database import Database
from agent.guests.disk_guest import DiskBroken
from agent.guests.sealed import RECORD, unsealed
from protocol.names import Workload
from protocol.workload import LOG_PLACES
from tests.agent.guests.disk_model import ModelDisk, settled

WORK = Workload("database")
TABLE = 12
DISK_BYTES = (LOG_PLACES + TABLE) * 4096


def booted(disk: ModelDisk, seed: int = 9) -> tuple[Guest, Pages]:
    memory = np.zeros((256, 512), np.uint64)
    guest = guest_of(WORK, memory, None, DISK_BYTES)
    guest.boot(seed)
    settled(guest, disk, memory)
    return guest, memory


def versions(disk: ModelDisk) -> dict[int, int]:
    """The newest whole image of each page, in the table or in the log."""
    newest: dict[int, int] = {}
    for block in np.frombuffer(bytes(disk.content), np.uint8).reshape(-1, 4096):
        if (found := unsealed(block, RECORD)) is not None:
            newest[found.link] = max(found.sequence, newest.get(found.link, 0))
    return newest


def test_a_database_reads_what_it_wrote() -> None:
    disk = ModelDisk(DISK_BYTES)
    guest, memory = booted(disk)
    for _ in range(300):
        guest.step(4)
        disk.serve(memory, 3)

    assert guest.steps > 300
    assert disk.writes > LOG_PLACES


@given(
    lives=st.lists(
        st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), max_size=60),
        min_size=1,
        max_size=4,
    ),
    seed=st.integers(0, 99_999),
)
@settings(max_examples=40, deadline=None)
def test_no_acknowledged_write_is_lost_wherever_the_database_crashes(
    lives: list[list[tuple[int, int]]], seed: int
) -> None:
    disk = ModelDisk(DISK_BYTES, seed)
    acked: dict[int, int] = {}
    for life in lives:
        guest, memory = booted(disk)
        expected = memory.reshape(-1)[130 * 512 :]
        for page, version in acked.items():
            assert int(expected[page]) >= version
        for budget, served in life:
            memory[:] = memory.copy()
            guest = guest_of(WORK, memory, None, DISK_BYTES)
            guest.step(budget)
            disk.serve(memory, served)
        guest.step(0)
        acked = {page: int(expected[page]) for page in range(TABLE)}
        disk.crash(memory)
        kept = versions(disk)
        assert all(kept.get(page, 0) >= version for page, version in acked.items())


def test_an_old_page_on_the_disk_is_seen() -> None:
    disk = ModelDisk(DISK_BYTES)
    guest, memory = booted(disk)
    for _ in range(100):
        guest.step(4)
        disk.serve(memory)
    guest.step(0)
    for page in range(TABLE):
        start = (LOG_PLACES + page) * 4096
        disk.content[start : start + 4096] = bytes(4096)

    with pytest.raises(DiskBroken, match=r"has version 0, and version \d+ was acknowledged"):
        for _ in range(20):
            guest.step(4)
            disk.serve(memory)


def test_a_torn_page_that_the_log_does_not_have_is_no_page_to_go_on_with() -> None:
    disk = ModelDisk(DISK_BYTES)
    disk.content[(LOG_PLACES + 3) * 4096] = 1

    with pytest.raises(DiskBroken, match="Page 3 of the database is torn"):
        booted(disk)


def test_the_set_is_how_large_the_table_is() -> None:
    memory = np.zeros((256, 512), np.uint64)
    guest = guest_of(Workload("database", set_bytes=3 * 4096), memory, None, DISK_BYTES)

    assert isinstance(guest, Database)
    assert guest.table_pages == 3
