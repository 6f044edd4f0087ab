"""The simulated target: what it takes, what it forgets, and whom it refuses."""

from collections.abc import Callable

from lab.simulation.san import BLOCK_BYTES, ZEROS, SimSan
from lab.simulation.world import World
from protocol.disks import DiskId
from protocol.scsi.commands import (
    Command,
    PersistentReserveOut,
    Read,
    SynchronizeCache,
    TestUnitReady,
    Write,
)
from protocol.scsi.persistent import Kind, OutAction, OutParameters
from protocol.scsi.status import Status
from san.answers import Answer
from san.nexus import Nexus

DISK = DiskId("6" + "0" * 31)
A, B = Nexus("iqn.2026-01.hvlab:a"), Nexus("iqn.2026-01.hvlab:b")
NODES = {A: "a", B: "b"}


def block(letter: str) -> bytes:
    return letter.encode() * BLOCK_BYTES


class Bench:
    def __init__(self, seed: int = 1) -> None:
        self.world = World(seed)
        self.san = SimSan(self.world, (DISK,), 1 << 16)
        self.log_in()

    def log_in(self) -> None:
        for nexus, node in NODES.items():
            assert self.san.log_in(node, nexus)
            self.do(nexus, TestUnitReady())  # it hears that the unit was switched on

    def send(
        self, nexus: Nexus, command: Command, data: bytes = b""
    ) -> Callable[[], list[Answer | None]]:
        found: list[Answer | None] = []
        self.san.send(NODES[nexus], nexus, DISK, command, data, found.append, "stamp")
        return lambda: found

    def do(self, nexus: Nexus, command: Command, data: bytes = b"") -> Answer | None:
        found = self.send(nexus, command, data)
        self.world.run(self.world.now + 20.0)
        assert len(found()) == 1
        return found()[0]

    def reserve(self, nexus: Nexus, action: OutAction, key: int, other: int = 0) -> Answer | None:
        command = PersistentReserveOut(action, Kind.WRITE_REGISTRANTS)
        return self.do(nexus, command, OutParameters(key, other).write())

    def read(self, lba: int) -> bytes:
        answer = self.do(A, Read(lba, 1))
        assert answer is not None
        return answer.data


def test_what_was_flushed_or_written_through_survives_a_crash_and_the_rest_may_not() -> None:
    kept = set()
    for seed in range(12):
        bench = Bench(seed)
        bench.do(A, Write(1, 1, fua=True), block("x"))
        bench.do(A, Write(2, 1), block("y"))
        bench.do(A, SynchronizeCache())
        bench.do(A, Write(3, 1), block("z"))
        bench.san.crash()
        bench.san.restart()
        bench.log_in()
        assert bench.read(1) == block("x")
        assert bench.read(2) == block("y")
        kept.add(bench.read(3))
    assert kept == {block("z"), ZEROS}


def test_a_write_that_is_under_way_when_the_target_crashes_may_be_torn() -> None:
    shapes = set()
    for seed in range(40):
        bench = Bench(seed)
        found = bench.send(A, Write(1, 3, fua=True), block("x") * 3)
        bench.world.run(bench.world.now + 0.0012)
        bench.san.crash()
        bench.world.run(bench.world.now + 1.0)
        if found() != [None]:
            continue
        bench.san.restart()
        bench.log_in()
        shapes.add(tuple(bench.read(lba) == block("x") for lba in (1, 2, 3)))
    assert (False, False, False) in shapes
    assert any(len(set(shape)) == 2 for shape in shapes)


def test_reservations_survive_a_crash_and_keep_out_whoever_was_preempted() -> None:
    bench = Bench()
    for nexus, key in ((A, 1), (B, 2)):
        bench.reserve(nexus, OutAction.REGISTER_AND_IGNORE, 0, key)
    bench.reserve(A, OutAction.RESERVE, 1)
    bench.reserve(A, OutAction.PREEMPT_AND_ABORT, 1, 2)
    bench.san.crash()
    bench.san.restart()
    bench.log_in()

    refused = bench.do(B, Write(1, 1, fua=True), block("b"))
    taken = bench.do(A, Write(1, 1, fua=True), block("a"))

    assert refused is not None
    assert refused.status is Status.RESERVATION_CONFLICT
    assert taken is not None
    assert taken.status is Status.GOOD
    assert bench.read(1) == block("a")


def test_a_preempt_and_abort_is_answered_once_nothing_of_the_preempted_is_under_way() -> None:
    took = [_preempted_while_it_writes(seed) for seed in range(30)]

    assert any(took), "in some a write had begun, and ended before the answer"


def _preempted_while_it_writes(seed: int) -> int:
    """How many writes of the preempted one were taken; none after the answer."""
    bench, writes, answered = Bench(seed), list[float](), list[float]()
    for nexus, key in ((A, 1), (B, 2)):
        bench.reserve(nexus, OutAction.REGISTER_AND_IGNORE, 0, key)
    bench.reserve(A, OutAction.RESERVE, 1)
    bench.san.is_slow = True
    bench.san.on_accepted = lambda _: writes.append(bench.world.now)
    bench.send(B, Write(1, 1, fua=True), block("b"))
    bench.world.run(bench.world.now + 0.01)
    command = PersistentReserveOut(OutAction.PREEMPT_AND_ABORT, Kind.WRITE_REGISTRANTS)
    data = OutParameters(1, 2).write()
    bench.san.send("a", A, DISK, command, data, lambda _: answered.append(bench.world.now))
    bench.world.run(bench.world.now + 20.0)
    assert answered
    assert all(at <= answered[0] for at in writes)
    return len(writes)


def test_a_cut_path_loses_answers_and_a_whole_one_is_told_of() -> None:
    bench = Bench()
    told: list[bool] = []
    bench.san.on_paths["a"] = told.append
    found = bench.send(A, Write(1, 1, fua=True), block("x"))
    bench.san.cut("a")
    bench.world.run(bench.world.now + 1.0)
    assert found() == [None]
    assert not bench.san.log_in("a", A)
    assert bench.do(B, TestUnitReady()) is not None

    bench.san.heal("a")
    bench.world.run(bench.world.now + 1.0)
    assert told == [False, True]
    assert bench.san.log_in("a", A)


def test_a_target_that_sleeps_answers_when_it_wakes_or_its_initiators_lose_patience() -> None:
    bench = Bench()
    bench.san.freeze()
    found = bench.send(A, TestUnitReady())
    bench.world.run(bench.world.now + 5.0)
    assert found() == []
    bench.san.thaw()
    bench.world.run(bench.world.now + 1.0)
    assert len(found()) == 1
    bench.san.freeze()
    assert bench.do(A, TestUnitReady()) is None
