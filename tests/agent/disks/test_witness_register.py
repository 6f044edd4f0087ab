"""Several nodes at one disk witness, with the san's own units between them: every command of every
node may come before or after every other one, be aborted, or be lost with its session.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.disks import witness_copies
from agent.disks.witness_area import (
    RECORDS_BYTES,
    SLOT_BYTES,
    WITNESS_BYTES,
    newest_of,
    sealed,
    slot_at,
)
from agent.disks.witness_register import Ask, Outcome, Talk, Told, WitnessRegister
from agent.volumes.errors import DiskError
from agent.witness_record import WitnessRecord
from protocol.errors import ClusterError, NotReady, Refused
from protocol.names import Incarnation
from protocol.scsi.cdbs import read_command
from protocol.scsi.commands import Read, Write
from protocol.scsi.errors import IllegalRequest
from protocol.scsi.persistent import Kind
from protocol.scsi.status import Status
from san.answers import Answer, Work
from san.logical_unit import LogicalUnit, UnitFacts
from san.medium import AbortTasks, ReadMedium, SaveReservations, WriteMedium
from san.nexus import Nexus
from san.reservation_record import ReservationRecord
from san.units import Units
from tests.agent.copy_port import copy_of
from tests.agent.witness_port import record

BLOCK = 512


class Disk:
    """A unit of the san and its medium; writes take a while, in which they may be aborted."""

    def __init__(self, chance: Random) -> None:
        self.chance = chance
        self.bytes = bytearray(WITNESS_BYTES)
        self.facts = UnitFacts("3" * 16, WITNESS_BYTES // BLOCK, BLOCK)
        self.units = Units({0: LogicalUnit(self.facts)})
        self.kept: ReservationRecord | None = None
        self.under_way: dict[Nexus, WriteMedium] = {}
        self.aborted: set[Nexus] = set()

    def arrived(self, nexus: Nexus) -> None:
        """A login: what the session before had under way has ended, one way or the other."""
        self._end(nexus)
        self.units.arrived(nexus)

    def restart(self) -> None:
        for nexus in list(self.under_way):
            self._end(nexus)
        self.units = Units({0: LogicalUnit(self.facts, self.kept)})

    def begin(self, nexus: Nexus, ask: Ask) -> Told | None:
        """The answer; None while a write is under way."""
        command = read_command(ask.cdb)
        try:
            outcome = self.units.admit(nexus, 0, command) or self.units.execute(
                nexus, 0, command, [ask.out] if ask.out else ()
            )
        except IllegalRequest as error:
            raise AssertionError(error.sentence) from error
        if isinstance(outcome, Answer):
            return _told(outcome)
        if isinstance(command, Write):
            (deed,) = outcome.deeds
            assert isinstance(deed, WriteMedium)
            self.under_way[nexus] = deed
            return None
        return self._carried_out(outcome, command)

    def _carried_out(self, work: Work, command: object) -> Told:
        data: bytes | bytearray = bytes(work.answer.data)
        for deed in work.deeds:
            match deed:
                case ReadMedium(lba, blocks):
                    assert isinstance(command, Read)
                    data = self.bytes[lba * BLOCK : (lba + blocks) * BLOCK]
                case SaveReservations(kept):
                    self.kept = kept
                case AbortTasks(nexuses):
                    for nexus in nexuses:
                        if nexus in self.under_way:
                            self._end(nexus)
                            self.aborted.add(nexus)
        fine = work.answer.status is Status.GOOD
        return Told(Outcome.DONE, bytes(data)) if fine else _told(work.answer)

    def end(self, nexus: Nexus) -> Told:
        """The write of this nexus is answered."""
        if nexus in self.aborted:
            self.aborted.discard(nexus)
            return Told(Outcome.ABORTED)
        self._write(self.under_way.pop(nexus))
        return Told(Outcome.DONE)

    def _end(self, nexus: Nexus) -> None:
        """Done, not done, or torn."""
        deed = self.under_way.pop(nexus, None)
        self.aborted.discard(nexus)
        if deed is not None and self.chance.random() < 0.7:
            self._write(deed, self.chance.random() < 0.3)

    def _write(self, deed: WriteMedium, torn: bool = False) -> None:
        content = b"".join(bytes(buffer) for buffer in deed.buffers)
        if torn:
            content = content[: BLOCK * self.chance.randrange(len(content) // BLOCK)]
        self.bytes[deed.lba * BLOCK : deed.lba * BLOCK + len(content)] = content


def _told(answer: Answer) -> Told:
    if answer.status is Status.RESERVATION_CONFLICT:
        return Told(Outcome.CONFLICT)
    if answer.sense is not None:
        return Told(Outcome.NEWS if answer.sense.key == 6 else Outcome.FAILED)
    return Told(Outcome.DONE, bytes(answer.data))


@dataclass
class Node:
    """One node's life and what it is about to say to the disk."""

    name: str
    disk: Disk
    register: WitnessRegister = field(init=False)
    nexus: Nexus = field(init=False)
    life: int = 0
    talk: Talk[object] | None = None
    ask: Ask | None = None
    writes: tuple[int, WitnessRecord] | None = None
    version: int = 0
    is_in: bool = False

    def __post_init__(self) -> None:
        self.nexus = Nexus(f"iqn.2026-11.lab:{self.name}")
        self.live()

    def live(self) -> None:
        """Another life of the node, over the same nexus."""
        self.life += 1
        self.register = WitnessRegister(Incarnation(f"{self.name}#{self.life}"), BLOCK)
        self.cut()

    def cut(self) -> None:
        if self.talk is not None:
            self.talk.close()
        self.talk = self.ask = self.writes = None
        self.is_in = False

    def begin(self, talk: Talk[object]) -> None:
        if not self.is_in:
            self.disk.arrived(self.nexus)
            self.is_in = True
        self.talk, self.ask = talk, next(talk)


class Story:
    """What was written, by its own account, must be what everybody reads ever after."""

    def __init__(self, chance: Random, nodes: int) -> None:
        self.chance = chance
        self.disk = Disk(chance)
        self.nodes = [Node(f"n{number}", self.disk) for number in range(nodes)]
        self.done: dict[int, WitnessRecord] = {}
        self.void: list[WitnessRecord] = []
        self.seen = 0
        self.tokens = 0

    def step(self) -> None:
        node, dice = self.chance.choice(self.nodes), self.chance.random()
        if dice < 0.003:
            self.disk.restart()
            for other in self.nodes:
                other.cut()
        elif dice < 0.015:
            node.live() if self.chance.random() < 0.3 else node.cut()
        elif node.talk is None:
            self._begin(node)
        else:
            self._go_on(node)

    def _begin(self, node: Node) -> None:
        if self.chance.random() < 0.3:
            node.begin(node.register.read())
            return
        self.tokens += 1
        if self.chance.random() < 0.8:
            node.version = self.seen
        fresh = record(f"{node.name}#{node.life}", self.tokens)
        node.writes = (node.version, fresh)
        node.begin(node.register.write_if(node.version, fresh))

    def _go_on(self, node: Node) -> None:
        assert node.talk is not None
        assert node.ask is not None
        waits = node.nexus in self.disk.under_way or node.nexus in self.disk.aborted
        answer = self.disk.end(node.nexus) if waits else self.disk.begin(node.nexus, node.ask)
        if answer is None:
            return
        try:
            node.ask = node.talk.send(answer)
        except StopIteration as end:
            self._ended(node, end.value)
        except (DiskError, ClusterError):
            node.version = self.chance.randrange(self.seen + 2)
            node.cut()

    def _ended(self, node: Node, result: object) -> None:
        wrote, node.writes, node.talk, node.ask = node.writes, None, None, None
        if wrote is None:
            assert isinstance(result, tuple)
            version, found = result
            node.version = version
            assert found not in self.void, "what was said to be void is read"
            if version in self.done:
                assert found == self.done[version]
        elif result:
            version = wrote[0] + 1
            assert version not in self.done, "one version was written twice"
            self.done[version] = wrote[1]
            node.version = version
        else:
            self.void.append(wrote[1])
        self._look()

    def _look(self) -> None:
        version, _ = newest_of(self.disk.bytes[:RECORDS_BYTES])
        assert version >= max(self.done, default=0), "what was written is lost"
        self.seen = max(self.seen, version)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(2, 4))
def test_nobody_writes_a_version_that_another_has_written(seed: int, nodes: int) -> None:
    story = Story(Random(seed), nodes)
    for _ in range(700):
        try:
            story.step()
        except NotReady:
            break  # the very first write was torn: nothing was ever written
    assert all(record not in story.void for record in story.done.values())


def drive(disk: Disk, nexus: Nexus, talk: Talk[object]) -> object:
    try:
        ask = next(talk)
        while True:
            answer = disk.begin(nexus, ask)
            ask = talk.send(disk.end(nexus) if answer is None else answer)
    except StopIteration as end:
        return end.value


@pytest.fixture
def pair() -> Sequence[Node]:
    disk = Disk(Random(1))
    return [Node(name, disk) for name in ("a", "b")]


def held_by(disk: Disk) -> tuple[Nexus | None, Kind | None]:
    reservations = disk.units.units[0].reservations
    return reservations.holder, reservations.kind


def test_from_the_first_hold_on_the_disk_is_never_without_a_holder(pair: Sequence[Node]) -> None:
    a, b = pair
    assert drive(a.disk, a.nexus, a.register.write_if(0, record("a#1")))
    assert held_by(a.disk) == (a.nexus, Kind.WRITE_EXCLUSIVE)

    assert drive(a.disk, a.nexus, a.register.write_if(1, record("")))
    assert held_by(a.disk) == (a.nexus, Kind.WRITE_EXCLUSIVE), "also when it is set free"

    assert drive(a.disk, b.nexus, b.register.write_if(2, record("b#1")))
    assert held_by(a.disk) == (b.nexus, Kind.WRITE_EXCLUSIVE)


def test_who_names_an_old_version_does_not_take_the_disk_from_its_holder(
    pair: Sequence[Node],
) -> None:
    a, b = pair
    assert drive(a.disk, a.nexus, a.register.write_if(0, record("a#1")))

    assert not drive(a.disk, b.nexus, b.register.write_if(0, record("b#1")))

    assert held_by(a.disk)[0] == a.nexus


def test_a_holder_that_renewed_in_between_keeps_its_record(pair: Sequence[Node]) -> None:
    a, b = pair
    assert drive(a.disk, a.nexus, a.register.write_if(0, record("a#1")))
    talk = b.register.write_if(1, record("b#1"))
    answer = a.disk.begin(b.nexus, next(talk))  # its look
    assert drive(a.disk, a.nexus, a.register.write_if(1, record("a#1", 2)))

    assert answer is not None
    ask = talk.send(answer)
    with pytest.raises(StopIteration) as end:
        while True:
            answer = a.disk.begin(b.nexus, ask)
            assert answer is not None, "nothing was written"
            ask = talk.send(answer)

    assert end.value.value is False
    assert drive(a.disk, a.nexus, a.register.read()) == (2, record("a#1", 2))
    assert not drive(a.disk, a.nexus, a.register.write_if(0, record("a#1")))
    assert drive(a.disk, a.nexus, a.register.write_if(2, record("a#1", 3))), "it takes it back"


def test_a_copy_that_another_holder_interrupted_is_not_finished(pair: Sequence[Node]) -> None:
    a, b = pair
    assert drive(a.disk, a.nexus, a.register.write_if(0, record("a#1")))
    drive(a.disk, a.nexus, witness_copies.keep(a.register, copy_of(1, 1)))
    talk = witness_copies.keep(a.register, copy_of(1, 2, b"x" * 1_000_000))
    ask = next(talk)
    for _ in range(5):
        answer = a.disk.begin(a.nexus, ask)
        ask = talk.send(a.disk.end(a.nexus) if answer is None else answer)
    assert drive(a.disk, b.nexus, b.register.write_if(1, record("b#1")))
    drive(a.disk, b.nexus, witness_copies.keep(b.register, copy_of(2, 1)))
    assert drive(a.disk, a.nexus, a.register.write_if(2, record("a#1")))

    with pytest.raises(NotReady, match="does not hold"):
        while True:
            answer = a.disk.begin(a.nexus, ask)
            ask = talk.send(a.disk.end(a.nexus) if answer is None else answer)

    assert drive(a.disk, b.nexus, witness_copies.newest(b.register)) == copy_of(2, 1)


@pytest.mark.parametrize("cut", range(0, 4096, BLOCK))
def test_a_torn_record_leaves_the_one_before(cut: int) -> None:
    records = bytearray(RECORDS_BYTES)
    for version, body in ((4, b"old" * 300), (5, b"new" * 300)):
        content = sealed(version, body)[: cut if version == 5 else None]
        records[slot_at(version) : slot_at(version) + len(content)] = content

    found, whole = newest_of(records), cut > 932
    assert found == ((5, b"new" * 300) if whole else (4, b"old" * 300))


def test_a_record_that_is_too_long_is_refused_before_anything_is_written() -> None:
    with pytest.raises(Refused, match="does not fit"):
        sealed(1, bytes(SLOT_BYTES))
