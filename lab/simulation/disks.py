"""The disks of one simulated life of a node: sessions, keys, fences, and who owns what here.

It carries out what `agent.disk_words` asks for, against the simulated SAN, as the agent's edge does
against a real one.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from agent import disk_words as words
from lab.simulation.disk_paths import DiskPath
from lab.simulation.net import End
from lab.simulation.san import SimSan
from lab.simulation.volume_clients import SimClient
from lab.simulation.volume_files import HEAD_LBA, VolumeFiles
from lab.simulation.volume_owners import SimOwner
from protocol.disks import (
    NO_KEY,
    DiskContent,
    DiskId,
    VolumeStatus,
)
from protocol.names import Epoch, Incarnation
from protocol.scsi.commands import Write
from protocol.scsi.status import Status
from san.answers import Answer

if TYPE_CHECKING:
    from lab.simulation.agent import SimAgent


class SimDisks:
    """All disks of one life."""

    def __init__(self, agent: "SimAgent", san: SimSan) -> None:
        self.agent, self.san = agent, san
        self.members: frozenset[Incarnation] = frozenset()
        self.on_write: Callable[[], None] = _nothing
        """Called when a write was decided, before it is sent: the moment for a fault."""

        self._outbox: list[Callable[[], None]] = []
        self.paths = {disk: DiskPath(self, disk) for disk in san.lun_of}
        self.owners: dict[DiskId, SimOwner] = {}
        self.clients: dict[DiskId, SimClient] = {}
        san.on_paths[agent.node] = lambda up: agent.soon(self._paths, up)

    def begin(self) -> None:
        self._report()

    def perform(self) -> dict[type[Any], Callable[[Any], None]]:
        return {
            words.UseDisk: lambda act: self.paths[act.disk].use(act.key),
            words.LetGo: lambda act: self.paths[act.disk].let_go(),
            words.AdmitDisk: lambda act: self.paths[act.disk].admit(act.registrations),
            words.RemoveLives: self._remove_lives,
            words.TakeDisk: self._take,
            words.GiveDisk: self._give,
            words.FormatVolume: self._format,
            words.LookOver: self._look_over,
            words.ReachVolume: self._reach,
            words.LeaveVolume: self._leave,
            words.SetMembers: self._set_members,
        }

    def say(self, event: words.DiskEvent) -> None:
        """A word to the agent's loop: always a moment later."""
        self.agent.later(0.0002, self.agent.feed, event)

    def knocked(
        self, disk: DiskId, epoch: Epoch, client: "SimAgent", served: list[End]
    ) -> Callable[[Any], None]:
        """Somebody connects, to whoever owns the disk here when the first word is heard."""

        def send(message: Any) -> None:
            if self.agent.alive and served[0].is_open:
                served[0].holder[0].send(served[0], message)

        def heard(message: Any) -> None:
            owner = self.owners.get(disk)
            if message != ("attach",):
                if owner is not None:
                    owner.heard(client.incarnation, send, message)
                return
            if owner is None or owner.epoch != epoch:
                why = "It does not own the disk."
            else:
                why = owner.comes_in(client.incarnation, served[0], send)
            if why:
                served[0].holder[0].close(served[0], why)
            else:
                send(("attached",))

        return lambda message: self.agent.soon(heard, message)

    def client_of(self, volume: str) -> SimClient | None:
        return next((one for one in self.clients.values() if one.volume == volume), None)

    def put_out(self, send: Callable[[], None]) -> None:
        if self.agent.frozen:
            self._outbox.append(send)
        elif self.agent.alive:
            send()

    def wake(self) -> None:
        """What lay in the sockets of a stopped process goes out before it looks at a clock."""
        outbox, self._outbox = self._outbox, []
        for send in outbox:
            send()

    # ---- what is seen

    def _paths(self, up: bool) -> None:
        for path in self.paths.values():
            path.path_is(up)

    def changed(self, path: DiskPath) -> None:
        self._report()
        if path.disk in self.clients:
            self.clients[path.disk].disk_seen()
        if path.disk in self.owners and not path.is_usable:
            self.owners[path.disk].path_lost()

    def _report(self) -> None:
        self.say(words.DisksSeen(tuple(self._seen(p) for p in self.paths.values())))

    def _seen(self, path: DiskPath) -> words.SeenDisk:
        head = VolumeFiles.read(self.san.media[self.san.lun_of[path.disk]].read(HEAD_LBA))
        return words.SeenDisk(
            path.disk,
            self.san.blocks * 4096,
            4096,
            "simulated",
            1,
            int(path.is_up),
            DiskContent.BLANK if head is None else DiskContent.OURS,
            "" if head is None else head.label,
            Epoch(0 if head is None else head.epoch),
            path.key if path.is_registered else NO_KEY,
            path.registrations,
        )

    # ---- what the core wants

    def _remove_lives(self, action: words.RemoveLives) -> None:
        """An owner first ends what it serves for them: it would write for them under its key."""
        path, owner = self.paths[action.disk], self.owners.get(action.disk)

        def removed(reason: str) -> None:
            self.say(words.LivesRemoved(action.disk, action.lives, reason))

        def served() -> None:
            path.remove(action.cluster, action.lives, removed)

        if owner is None:
            served()
        else:
            owner.fence(action.lives, served)

    def _take(self, action: words.TakeDisk) -> None:
        owner = self.owners.get(action.disk)
        if owner is not None and owner.epoch == action.epoch:
            owner.ordered(action.volume)
            return
        owner = SimOwner(self, self.paths[action.disk], action.cluster, action.epoch)
        self.owners[action.disk] = owner
        owner.begin(action.volume)

    def _give(self, action: words.GiveDisk) -> None:
        owner = self.owners.get(action.disk)
        if owner is None or owner.epoch != action.epoch:
            self.say(words.DiskGiven(action.disk, action.epoch, True))
        else:
            owner.release(action.clear)

    def _format(self, action: words.FormatVolume) -> None:
        path = self.paths[action.disk]
        files = VolumeFiles(action.label, action.epoch)
        stamp = ("head", action.disk, action.epoch, self.agent.incarnation)

        def answered(answer: Answer | None) -> None:
            good = answer is not None and answer.status is Status.GOOD
            reason = "" if good else "The disk did not take it."
            self.say(words.VolumeMade(action.disk, action.epoch, action.label, reason))
            self._report()

        path.command(Write(HEAD_LBA, 1, fua=True), files.block(), answered, stamp)

    def _look_over(self, action: words.LookOver) -> None:
        self.say(words.VolumeLookedOver(action.disk, action.epoch, action.check, 0, ()))

    def _reach(self, action: words.ReachVolume) -> None:
        client = self.clients.get(action.disk)
        if client is None:
            client = self.clients[action.disk] = SimClient(self, self.paths[action.disk])
        client.place(action)

    def _leave(self, action: words.LeaveVolume) -> None:
        if (client := self.clients.pop(action.disk, None)) is not None:
            client.end()

    def _set_members(self, action: words.SetMembers) -> None:
        self.members = action.members
        for owner in list(self.owners.values()):
            owner.members_changed(action.members)

    def turned(self, status: VolumeStatus) -> None:
        self.say(words.VolumeTurned(status))


def _nothing() -> None:
    pass
