import dataclasses
from dataclasses import replace
from typing import Any

import pytest

from coordinator.store.book import Book
from coordinator.store.interface import pack, unpack
from coordinator.store.move_rows import StorageMove
from coordinator.store.network_rows import NetworkRow
from coordinator.store.queue_rows import QueuedRow
from coordinator.store.rows import (
    AttemptRow,
    ClusterRow,
    CounterRow,
    Dropped,
    NodeRow,
    ViewRow,
    VmRow,
    attempt_key,
    event_key,
    vm_key,
)
from protocol.messages import RoundRecord
from protocol.names import (
    AttemptId,
    ClusterId,
    Decision,
    Endpoint,
    Epoch,
    Fill,
    Incarnation,
    Member,
    NetworkName,
    NodeName,
    Outcome,
    Priority,
    Term,
    Timing,
    Verify,
    View,
    ViewNumber,
    VmName,
    VmSpec,
    VolumeName,
    VoteConfig,
    Workload,
)
from protocol.travel import Compress, Marking, Travel
from tests.coordinator.migration.told import PREDICTION

NODE = NodeName("a")
LIFE = Incarnation("a-1")
VIEW = View(
    ViewNumber(7),
    (Member(NODE, LIFE, Endpoint(((NetworkName("lan"), "127.0.0.1"),), 1, 2)),),
    VoteConfig(3, ((NODE, 1), (NodeName("b"), 1))),
)
MOVED = VmSpec(8192, Workload("idle"), Fill.FILES, 9)
MOVE = StorageMove(
    2,
    VolumeName("Volume2"),
    MOVED,
    Epoch(4),
    LIFE,
    9.0,
    Decision.ABORTED,
    Outcome.CANCELLED,
    "r",
    10.0,
    11.0,
)
VM = VmRow(
    VmName("sql01"),
    VmSpec(8192, Workload("hotspot", 5, 4096), Fill.FILES, 9),
    NODE,
    LIFE,
    Epoch(4),
    True,
    True,
    AttemptId(3),
    "f",
    "w",
    MOVE,
)
ATTEMPT = AttemptRow(
    AttemptId(3),
    VmName("sql01"),
    NODE,
    LIFE,
    NodeName("b"),
    Incarnation("b-1"),
    Epoch(4),
    "2008r2",
    Verify.SAMPLED,
    1.5,
    Decision.COMMITTED,
    Outcome.COMPLETED,
    "why",
    3.5,
    NetworkName("lan"),
    (RoundRecord(0, 1, 0, 2, 0.5, 3),),
    (("pause", 0.25),),
    True,
    2.5,
    Travel(4, Compress.AUTO, 3, 1 << 20, True, False, True, Marking.SENT, 118_000_000, 0.02),
    ((NetworkName("lan"), 200_000_000),),
    Priority.HIGH,
    7.5,
    predicted=PREDICTION,
)
QUEUED = QueuedRow(
    *(AttemptId(4), VmName("sql01"), None, "2008r2", Verify.FULL),
    *(Travel(2, rate_bytes_per_s=10**6), Priority.LOW, 1.5),
)
ROWS: list[Any] = [
    ClusterRow(ClusterId("id"), "name", Timing(0.25, 3, 0.01)),
    ViewRow(VIEW, None, Term(2), True, (Dropped(NODE, LIFE, "gone"),), (LIFE,)),
    ViewRow(VIEW, VIEW, Term(2)),
    NodeRow(NODE, 4096, True, True, 1.0, migration_rate_bytes_per_s=10**6),
    VM,
    ATTEMPT,
    QUEUED,
    replace(QUEUED, target=NODE),
    NetworkRow(NetworkName("lan"), 1, 1000, False, 118_000_000),
    CounterRow(5, 6),
]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: type(row).__name__)
def test_every_row_survives_the_store(row: Any) -> None:
    assert type(row).read(unpack(pack(row.data()))) == row


@pytest.mark.parametrize(
    ("row", "later"),
    [
        (ATTEMPT, {"travel", "rates", "priority", "queued_s"}),
        (NodeRow(NODE, 4096), {"migration_rate_bytes_per_s"}),
        (NetworkRow(NetworkName("lan")), {"migration_rate_bytes_per_s"}),
    ],
    ids=["attempt", "node", "network"],
)
def test_a_row_from_before_there_was_a_choice_reads_as_the_default(
    row: Any, later: set[str]
) -> None:
    data = {key: value for key, value in row.data().items() if key not in later}

    read = type(row).read(unpack(pack(data)))

    for field in dataclasses.fields(row):
        wanted = field.default if field.name in later else getattr(row, field.name)
        assert getattr(read, field.name) == wanted, field.name


@pytest.mark.parametrize("row", [VM, ATTEMPT], ids=["vm", "attempt"])
def test_the_samples_leave_no_field_at_its_default(row: Any) -> None:
    for field in dataclasses.fields(row):
        if field.default is not dataclasses.MISSING:
            assert getattr(row, field.name) != field.default, field.name


def test_a_view_holds_only_once_it_is_the_held_one() -> None:
    newer = dataclasses.replace(VIEW, number=ViewNumber(8))

    assert ViewRow(VIEW, VIEW, Term(1)).holds
    assert not ViewRow(newer, VIEW, Term(1)).holds
    assert not ViewRow(VIEW, None, Term(1)).holds


def test_a_book_knows_what_it_learned_and_forgets_what_was_deleted() -> None:
    book = Book()
    open_one = dataclasses.replace(ATTEMPT, ended_at=None)

    book.learn(vm_key(VM.name), 5, VM.data())
    book.learn(attempt_key(AttemptId(3)), 6, open_one.data())
    book.learn(event_key(1), 6, {"id": 1})

    assert book.vms == {VM.name: VM}
    assert (book.revision("vm/sql01"), book.revision("event/000000000001")) == (5, 0)
    assert book.unclosed == {AttemptId(3): open_one}

    book.learn(attempt_key(AttemptId(3)), 7, ATTEMPT.data())
    book.learn(vm_key(VM.name), 8, None)

    assert book.unclosed == {}
    assert book.attempts == {AttemptId(3): ATTEMPT}
    assert book.vms == {}
    assert book.revision("vm/sql01") == 0
