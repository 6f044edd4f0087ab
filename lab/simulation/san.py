"""The SAN of a simulated lab: the shipped logical units and reservations on media that forget.

A command travels, is decided by the unit, does its deeds one after the other, and is answered. Each
takes its time, so many are under way at once. A path can be cut, the target can sleep, and it can
crash: then what was not on stable storage is lost or not, block by block, and a write that was
under way is torn.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from lab.simulation.world import World
from protocol.disks import DiskId
from protocol.scsi.commands import Command
from san import medium
from san.answers import Answer, Work
from san.logical_unit import LogicalUnit, UnitFacts, is_ordered
from san.nexus import Nexus
from san.reservation_record import ReservationRecord
from san.units import Units

BLOCK_BYTES = 4096
ZEROS = bytes(BLOCK_BYTES)
TRAVEL_S = (0.0001, 0.001)
SERVICE_S = (0.0002, 0.004)
SLOW_SERVICE_S = (0.05, 0.6)
RESET_S = 0.02
"""After which an initiator knows that its connection was reset, or that nobody answers."""

PATIENCE_S = 15.0
"""After which an initiator takes a command without an answer for lost."""

Answered = Callable[[Answer | None], None]
"""None: nobody knows what became of the command."""


@dataclass(frozen=True, slots=True)
class Accepted:
    """A write that the disk took: what the san's own log says of it, and whose it was."""

    disk: DiskId
    nexus: Nexus
    key: int
    lba: int
    data: tuple[bytes, ...]
    stamp: Any


@dataclass(eq=False, slots=True)
class Task:
    """A command at the target."""

    nexus: Nexus
    lun: int
    command: Command
    data: bytes
    answered: Answered
    stamp: Any = None
    is_aborted: bool = False
    write: medium.WriteMedium | None = None
    """What is being written at this moment."""


@dataclass(slots=True)
class Medium:
    """One LUN's blocks: what is safe, and what is only in a cache."""

    disk: DiskId
    stable: dict[int, bytes] = field(default_factory=dict)
    cached: dict[int, bytes] = field(default_factory=dict)
    record: ReservationRecord = field(default_factory=ReservationRecord)

    def read(self, lba: int) -> bytes:
        found = self.cached.get(lba)
        return self.stable.get(lba, ZEROS) if found is None else found

    def write(self, lba: int, pieces: Iterable[bytes], is_safe: bool) -> None:
        for at, piece in enumerate(pieces, start=lba):
            if is_safe:
                self.stable[at] = piece
                self.cached.pop(at, None)
            else:
                self.cached[at] = piece

    def flush(self) -> None:
        self.stable.update(self.cached)
        self.cached.clear()


class SimSan:
    """The target, its LUNs, and the ways to it from each node."""

    def __init__(self, world: World, disks: tuple[DiskId, ...], blocks: int) -> None:
        self.world = world
        self.random = world.stream("san")
        self.media = {lun: Medium(disk) for lun, disk in enumerate(disks)}
        self.lun_of = {disk: lun for lun, disk in enumerate(disks)}
        self.blocks = blocks
        self.is_running, self.is_frozen, self.is_slow = True, False, False
        self.lost = 0
        """How many commands or answers went nowhere: the proof that a fault took effect."""

        self.slowed = 0
        self.on_accepted: Callable[[Accepted], None] = _ignore
        self.on_paths: dict[str, Callable[[bool], None]] = {}
        """By node: told when its paths go, and when they are back."""

        self._cuts: set[str] = set()
        self._nexuses: dict[Nexus, str] = {}
        self._waiting: list[Callable[[], None]] = []
        self._tasks: list[Task] = []
        self._under_way: dict[Task, str] = {}
        """Commands whose initiators wait for an answer, and on which nodes."""

        self.units = self._units()

    def _units(self) -> Units:
        return Units(
            {
                lun: LogicalUnit(UnitFacts(kept.disk, self.blocks, BLOCK_BYTES), kept.record)
                for lun, kept in self.media.items()
            }
        )

    # ---- paths

    def reaches(self, node: str) -> bool:
        return self.is_running and node not in self._cuts

    def log_in(self, node: str, nexus: Nexus) -> bool:
        if not self.reaches(node):
            return False
        self._nexuses[nexus] = node
        self.units.arrived(nexus)
        return True

    def cut(self, node: str) -> None:
        self._cuts.add(node)
        self._break([node])

    def heal(self, node: str) -> None:
        self._cuts.discard(node)
        if self.reaches(node):
            self._tell([node], True)

    def _break(self, nodes: Iterable[str]) -> None:
        """Connections are reset: whoever waits for an answer never gets it."""
        hit = set(nodes)
        for task, node in list(self._under_way.items()):
            if node in hit:
                self._lose(task)
        self._tell(sorted(hit), False)

    def _tell(self, nodes: Iterable[str], is_up: bool) -> None:
        for node in nodes:
            if node in self.on_paths:
                delay_s = self.random.uniform(RESET_S, 3 * RESET_S)
                self.world.after(delay_s, self._told, node, is_up)

    def _told(self, node: str, is_up: bool) -> None:
        if self.reaches(node) is is_up:
            self.on_paths[node](is_up)

    def _lose(self, task: Task) -> None:
        if self._under_way.pop(task, None) is not None:
            self.lost += 1
            self.world.after(RESET_S, task.answered, None)

    # ---- the program

    def freeze(self) -> None:
        self.is_frozen = True

    def thaw(self) -> None:
        self.is_frozen = False
        waiting, self._waiting = self._waiting, []
        for call in waiting:
            self._soon(call)

    def crash(self) -> None:
        """SIGKILL, or the power goes: caches are lost, each block or not."""
        self.is_running = self.is_frozen = False
        self._waiting.clear()
        for task in self._tasks:
            if task.write is not None:
                self._tear(task, task.write)
        self._tasks.clear()
        for kept in self.media.values():
            for lba, piece in kept.cached.items():
                if self.random.random() < 0.5:
                    kept.stable[lba] = piece
            kept.cached.clear()
        nodes = {*self.on_paths, *self._nexuses.values()}
        self._nexuses.clear()
        self._break(nodes)

    def restart(self) -> None:
        """The same LUNs, and the reservations that were kept."""
        if not self.is_running:
            self.is_running = True
            self.units = self._units()
            self._tell([node for node in sorted(self.on_paths) if self.reaches(node)], True)

    def _tear(self, task: Task, write: medium.WriteMedium) -> None:
        pieces = _pieces(write)
        done = [(at, piece) for at, piece in enumerate(pieces) if self.random.random() < 0.5]
        for at, piece in done:
            self.media[task.lun].write(write.lba + at, [piece], is_safe=True)
        if len(done) == len(pieces):
            self._accept(task, write, pieces)

    # ---- commands

    def send(
        self,
        node: str,
        nexus: Nexus,
        disk: DiskId,
        command: Command,
        data: bytes,
        answered: Answered,
        stamp: Any = None,
    ) -> None:
        """From `node`. `stamp` is for whoever checks: on whose behalf, under which epoch."""
        task = Task(nexus, self.lun_of[disk], command, data, answered, stamp)
        self._under_way[task] = node
        if not self.reaches(node) or self._nexuses.get(nexus) != node:
            self._lose(task)
            return
        self.world.after(PATIENCE_S, self._lose, task)
        self.world.after(self.random.uniform(*TRAVEL_S), self._soon, lambda: self._arrive(task))

    def _soon(self, call: Callable[[], None]) -> None:
        if self.is_frozen:
            self.lost += 1
            self._waiting.append(call)
        elif self.is_running:
            call()

    def _arrive(self, task: Task) -> None:
        if task not in self._under_way:
            return  # its connection was reset before it came
        if is_ordered(task.command) and any(
            other.nexus == task.nexus and other.lun == task.lun for other in self._tasks
        ):
            self.world.after(0.001, self._soon, lambda: self._arrive(task))
            return
        found = self.units.execute(task.nexus, task.lun, task.command, [task.data])
        if isinstance(found, Answer):
            self._answer(task, found)
            return
        self._tasks.append(task)
        self._next(task, found, 0)

    def _next(self, task: Task, work: Work, number: int) -> None:
        if task.is_aborted or number == len(work.deeds):
            self._ended(task, work.answer)
            return
        deed = work.deeds[number]
        if isinstance(deed, medium.AbortTasks):
            for other in self._tasks:
                if other.nexus in deed.nexuses and other.lun == task.lun and other is not task:
                    other.is_aborted = True
        if isinstance(deed, medium.WriteMedium):
            task.write = deed
        low, high = SLOW_SERVICE_S if self.is_slow else SERVICE_S
        self.slowed += self.is_slow
        takes_s = self.random.uniform(low, high)
        self.world.after(takes_s, self._soon, lambda: self._do(task, work, number))

    def _do(self, task: Task, work: Work, number: int) -> None:
        if task not in self._tasks:
            return  # it was under way when the target crashed
        kept, deed = self.media[task.lun], work.deeds[number]
        match deed:
            case medium.ReadMedium(lba, blocks):
                data = b"".join(kept.read(lba + at) for at in range(blocks))
                work = Work(work.deeds, Answer(work.answer.status, data))
            case medium.WriteMedium(lba, _, _, fua):
                task.write, pieces = None, _pieces(deed)
                kept.write(lba, pieces, fua)
                self._accept(task, deed, pieces)
            case medium.FlushMedium():
                kept.flush()
            case medium.SaveReservations(record):
                if record.number >= kept.record.number:
                    kept.record = record
            case medium.AbortTasks() | medium.AwaitAborted() if not task.is_aborted:
                if any(t.is_aborted and t.lun == task.lun and t is not task for t in self._tasks):
                    self.world.after(0.001, self._soon, lambda: self._do(task, work, number))
                    return
        self._next(task, work, number + 1)

    def _accept(self, task: Task, write: medium.WriteMedium, pieces: list[bytes]) -> None:
        disk = self.media[task.lun].disk
        seen = Accepted(disk, task.nexus, write.key, write.lba, tuple(pieces), task.stamp)
        self.on_accepted(seen)

    def _ended(self, task: Task, answer: Answer) -> None:
        self._tasks.remove(task)
        if task.is_aborted:
            self.units.cleared(task.lun, [task.nexus])
            self._lose(task)
        else:
            self._answer(task, answer)

    def _answer(self, task: Task, answer: Answer) -> None:
        self.world.after(self.random.uniform(*TRAVEL_S), self._arrives_back, task, answer)

    def _arrives_back(self, task: Task, answer: Answer) -> None:
        if self._under_way.pop(task, None) is not None:
            task.answered(answer)


def _pieces(write: medium.WriteMedium) -> list[bytes]:
    whole = b"".join(write.buffers)
    return [whole[at : at + BLOCK_BYTES] for at in range(0, len(whole), BLOCK_BYTES)]


def _ignore(_: Accepted) -> None:
    pass
