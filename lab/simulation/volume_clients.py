"""A simulated node that uses a volume: the shipped machine, and an edge that carries its I/O."""

import collections
import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from agent import disk_words as words
from agent.volumes import ways
from agent.volumes.client import VolumeClient
from lab.simulation.disk_paths import is_conflict
from lab.simulation.net import End, Link
from lab.simulation.san import BLOCK_BYTES
from protocol.disks import VolumeAccess, VolumeStatus
from protocol.names import Epoch, Member, NetworkName, VmName, VolumeName
from protocol.scsi.commands import Read, Write
from protocol.scsi.status import Status
from san.answers import Answer

if TYPE_CHECKING:
    from lab.simulation.disk_paths import DiskPath
    from lab.simulation.disks import SimDisks

DIAL_S = 0.5
ATTACH_S = 3.0


@dataclass(eq=False, slots=True)
class Io:
    """One read or write of a guest, for as long as it takes. `done` with None: never."""

    handle: int
    offset: int
    length: int
    data: bytes | None
    stamp: Any
    done: Callable[[bytes | None], None]
    was_sent: bool = False
    is_unwanted: bool = False


@dataclass(frozen=True, slots=True)
class Wanted:
    """A file that is being opened, or is open."""

    path: str
    vm: VmName
    vm_epoch: Epoch


class SimClient:
    """One shared volume."""

    def __init__(self, disks: "SimDisks", path: "DiskPath") -> None:
        self.disks, self.path, self.agent = disks, path, disks.agent
        self.machine = VolumeClient(self.agent.incarnation)
        self.volume = VolumeName("")
        self.files: dict[int, Wanted] = {}
        self._owner: Member | None = None
        self._networks: tuple[NetworkName, ...] = ()
        self._handles = itertools.count(1)
        self._numbers = itertools.count(1)
        self._dial = 0
        self._end: End | None = None
        self._is_attached = False
        self._waiting: list[Io] = []
        self._at_owner: dict[int, tuple[int, Io]] = {}
        self._busy: collections.Counter[int] = collections.Counter()
        self._draining: int | None = None

    # ---- where it is

    def place(self, order: words.ReachVolume) -> None:
        self.volume, self._owner = order.volume, order.owner
        self._networks = order.networks or self.agent.cluster.networks
        owner = None if order.owner is None else order.owner.incarnation
        self.disk_seen()
        self._feed(ways.Placed(ways.Place(order.epoch, owner, order.mode)))

    def end(self) -> None:
        self._hang_up()
        for io in [*self._waiting]:
            io.done(None)

    def disk_seen(self) -> None:
        path = self.path
        generation = path.key[-1] if path.key else self.machine.disk.generation
        seen = ways.DiskSeen(generation, path.is_usable, path.is_lost, "The path is lost.")
        self._feed(seen)

    def _feed(self, event: ways.ClientEvent) -> None:
        for action in self.machine.handle(event):
            self._act(action)

    def _act(self, action: ways.ClientAction) -> None:
        match action:
            case ways.Reach():
                self._hang_up()
                self._dial += 1
                self._try(self._dial, 0)
            case ways.HangUp():
                self._hang_up()
            case ways.Drain(turn):
                self._draining = turn
                self.agent.later(0.0, self._look_drained)
            case ways.GiveUpKey():
                self.path.give_up()
            case ways.AskRedirect(turn, generation):
                self._send(("redirect", turn, generation))
            case ways.AskDirect(turn):
                self._send(("direct", turn))
            case ways.AskFile(handle, path, _, vm, vm_epoch):
                self._send(("open", handle, path, vm, vm_epoch))
            case ways.LookAgain(handle):
                if (file := self.files.get(handle)) is not None:
                    self._send(("open", handle, file.path, file.vm, file.vm_epoch))
            case ways.Wake():
                waiting, self._waiting = self._waiting, []
                for io in waiting:
                    self.agent.later(0.0, self.do, io)
            case ways.Show(access, reason):
                self._show(access, reason)
            case ways.ReturnGrant():
                pass  # files of this lab have no grants

    def _show(self, access: VolumeAccess, reason: str) -> None:
        status = VolumeStatus(self.path.disk, self.volume, self.machine.epoch, access, reason)
        self.disks.turned(status)

    # ---- the way to the owner

    def _hang_up(self) -> None:
        self._dial += 1
        self._is_attached = False
        if self._end is not None:
            end, self._end = self._end, None
            end.holder[0].close(end, "the client hangs up")
        lost, self._at_owner = self._at_owner, {}
        for turn, io in lost.values():
            self._ended(turn)
            self._waiting.append(io)  # the machine may not know yet that this way is gone
        if lost:
            self.agent.later(0.0, self._wake)

    def _wake(self) -> None:
        waiting, self._waiting = self._waiting, []
        for io in waiting:
            self.do(io)

    def _send(self, message: Any) -> None:
        if self._end is not None and self._is_attached:
            self._end.holder[0].send(self._end, message)

    def _try(self, dial: int, nth: int) -> None:
        if dial != self._dial or self._owner is None:
            return
        network = self._networks[nth % len(self._networks)]
        here, there = self.agent.node, self._owner.node
        cluster = self.agent.cluster
        if any([cluster.net.blocks(w) for w in ((network, here, there), (network, there, here))]):
            self.agent.later(DIAL_S, self._missed, dial, nth, "It is not reached.")
            return
        owner = cluster.machines[there].agent
        if owner is None or owner.incarnation != self._owner.incarnation or owner.disks is None:
            self.agent.later(DIAL_S, self._missed, dial, nth, "It is not there.")
            return
        mine = End(here, self._later(self._heard, dial), self._later(self._closed, dial))
        served: list[End] = []
        heard = owner.disks.knocked(self.path.disk, self.machine.epoch, self.agent, served)
        theirs = End(there, heard, _ignore)
        served.append(theirs)
        link = Link(cluster.net, network, mine, theirs)
        mine.holder.append(link)
        theirs.holder.append(link)
        self._end = mine
        link.send(mine, ("attach",))
        self.agent.later(ATTACH_S, self._not_attached, dial, nth)

    def _later(self, call: Callable[[int, Any], None], dial: int) -> Callable[[Any], None]:
        return lambda word: self.agent.soon(call, dial, word)

    def _not_attached(self, dial: int, nth: int) -> None:
        if dial == self._dial and not self._is_attached and self._end is not None:
            self._missed(dial, nth, "It did not answer.")

    def _missed(self, dial: int, nth: int, reason: str) -> None:
        if dial != self._dial:
            return
        self._hang_up()
        self._feed(ways.OwnerLost(self.machine.epoch, reason))
        again = self._dial
        self.agent.later(DIAL_S, self._try, again, nth + 1)

    def _closed(self, dial: int, reason: str) -> None:
        if dial == self._dial:
            self._end = None
            self._missed(dial, 0, reason)

    def _heard(self, dial: int, message: Any) -> None:
        if dial != self._dial:
            return
        epoch = self.machine.epoch
        match message:
            case ("attached",):
                self._is_attached = True
                self._feed(ways.OwnerReached(epoch))
            case ("agreed", "redirect", turn):
                self._feed(ways.RedirectAgreed(turn))
            case ("agreed", "direct", turn):
                self._feed(ways.DirectAgreed(turn))
            case ("disagreed", _, _, reason):
                self._missed(dial, 0, reason)
            case ("found", handle, extents):
                size = sum(extent.blocks for extent in extents) * BLOCK_BYTES
                self._feed(ways.FileFound(handle, epoch, handle, size, extents))
            case ("refused", handle, code, reason):
                self._feed(ways.FileRefused(handle, epoch, code, reason))
            case ("done" | "undone", number, *rest):
                turn, io = self._at_owner.pop(number)
                self._ended(turn)
                if rest:
                    io.done(rest[0])
                else:
                    self.agent.later(0.05, self.do, io)

    # ---- files

    def open(self, path: str, vm: VmName, vm_epoch: Epoch) -> int:
        handle = next(self._handles)
        self.files[handle] = Wanted(path, vm, vm_epoch)
        self._feed(ways.FileWanted(handle, path, True, vm, vm_epoch))
        return handle

    def close(self, handle: int) -> None:
        if self.files.pop(handle, None) is not None:
            self._feed(ways.FileLeft(handle))

    def do(self, io: Io) -> None:
        """By the way of this moment. What is not wanted any more ends here if none of it can be
        under way: when the way is open again, the owner has ended what was.
        """
        way = self.machine.way(io.handle, io.offset, io.length, io.data is not None)
        if io.is_unwanted and not (io.was_sent and isinstance(way, ways.Wait)):
            return io.done(None)
        match way:
            case ways.Straight(turn, runs):
                self._straight(io, turn, runs[0].disk_offset // BLOCK_BYTES)
            case ways.ThroughOwner(turn):
                io.was_sent = True
                wanted = self.files[io.handle]
                file = (wanted.path, str(wanted.vm), wanted.vm_epoch)
                number = next(self._numbers)
                self._busy[turn] += 1
                self._at_owner[number] = (turn, io)
                self._send(("io", number, file, io.offset, io.length, io.data, io.stamp))
            case ways.Wait():
                self._waiting.append(io)
            case ways.Ended():
                io.done(None)
            case ways.ConvertFirst():
                raise AssertionError("every block of a file of this lab was written")

    def _straight(self, io: Io, turn: int, lba: int) -> None:
        io.was_sent = True
        self._busy[turn] += 1

        def answered(answer: Answer | None) -> None:
            if answer is None:
                self._feed(ways.IoFailed(turn, "The disk did not answer."))
                self.path.lost()
            self._ended(turn)
            if answer is None:
                self.do(io)
            elif answer.status is Status.GOOD:
                io.done(bytes(answer.data))
            elif is_conflict(answer):
                self.path.conflict("A write was refused.")
                self.do(io)
            else:
                self.agent.later(0.1, self.do, io)

        blocks = io.length // BLOCK_BYTES
        command = Read(lba, blocks) if io.data is None else Write(lba, blocks, fua=True)
        self.path.command(command, io.data or b"", answered, io.stamp)

    def forget(self, io: Io) -> None:
        """Nobody wants it any more; it ends as soon as none of it can be under way."""
        io.is_unwanted = True
        if io in self._waiting and not io.was_sent:
            self._waiting.remove(io)
            io.done(None)

    def _ended(self, turn: int) -> None:
        self._busy[turn] -= 1
        self._look_drained()

    def _look_drained(self) -> None:
        turn = self._draining
        if turn is not None and not any(n for old, n in self._busy.items() if old < turn):
            self._draining = None
            self._feed(ways.Drained(turn))


def _ignore(_: str) -> None:
    pass
