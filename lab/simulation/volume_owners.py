"""A simulated node that owns a disk: the shipped machine, and an edge that serves other nodes."""

import collections
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from agent import disk_words as words
from agent.volumes import owning
from agent.volumes.owner import OwnerPhase, VolumeOwner
from lab.simulation.disk_paths import is_conflict
from lab.simulation.net import End
from lab.simulation.san import BLOCK_BYTES
from lab.simulation.volume_files import HEAD_LBA, VolumeFiles
from protocol.disks import KEY_BYTES, NO_KEY, FencedLife, RegistrationKey
from protocol.messages import WriteFile
from protocol.names import ClusterId, Epoch, Incarnation, VolumeName
from protocol.scsi.commands import PersistentReserveIn, Read, Write
from protocol.scsi.persistent import InAction, OutAction, Reservation
from protocol.scsi.status import Status
from san.answers import Answer

if TYPE_CHECKING:
    from lab.simulation.disk_paths import DiskPath
    from lab.simulation.disks import SimDisks

AGAIN_S = 0.02
Reply = Callable[..., None]


class SimOwner:
    """One disk under one epoch."""

    def __init__(
        self, disks: "SimDisks", path: "DiskPath", cluster: ClusterId, epoch: Epoch
    ) -> None:
        self.disks, self.path, self.cluster, self.epoch = disks, path, cluster, epoch
        self.agent = disks.agent
        self.machine = VolumeOwner(cluster, self.agent.incarnation, path.key, epoch, disks.members)
        self.files: VolumeFiles | None = None
        self.served: collections.Counter[Incarnation] = collections.Counter()
        """Writes of each client that are under way to the disk."""

        self._links: dict[Incarnation, Callable[[Any], None]] = {}
        self._closers: dict[Incarnation, Callable[[str], None]] = {}
        self._asked: dict[int, tuple[str, int, Callable[[Any], None]]] = {}
        self._tokens = 0
        self._saving = False
        self._unsaved: list[Callable[[], None]] = []

    @property
    def _key(self) -> int:
        return int.from_bytes(self.machine.key, "big")

    @property
    def _stamp(self) -> tuple[Any, ...]:
        return ("head", self.path.disk, self.epoch, self.agent.incarnation)

    # ---- the machine

    def begin(self, volume: VolumeName) -> None:
        for action in self.machine.begin(volume):
            self._act(action)

    def ordered(self, volume: VolumeName) -> None:
        self._feed(owning.OwnOrdered(volume))

    def release(self, clear: bool) -> None:
        self._feed(owning.ReleaseOrdered(clear))

    def path_lost(self) -> None:
        if self.machine.phase is not OwnerPhase.OVER:
            self._feed(owning.Faulted("The owner's path to the disk is lost."))

    def members_changed(self, members: frozenset[Incarnation]) -> None:
        self._feed(owning.MembersChanged(members))

    def fence(self, lives: Iterable[FencedLife], done: Callable[[], None]) -> None:
        """`done` once nothing is written for them any more."""
        lives = tuple(lives)
        self._feed(owning.LivesFenced(lives))
        out = {life.incarnation for life in lives}

        def look() -> None:
            if any(self.served[life] for life in out):
                self.agent.later(AGAIN_S, look)
            else:
                done()

        look()

    def _feed(self, event: owning.OwnerEvent) -> None:
        for action in self.machine.handle(event):
            self._act(action)

    def _act(self, action: owning.OwnerAction) -> None:
        match action:
            case owning.LookAtReservation():
                self._look_at_reservation()
            case owning.Reserve():
                self.path.reserve(OutAction.RESERVE, self._key, 0, self._reserved)
            case owning.TakeReservation(holder):
                number = int.from_bytes(holder, "big")
                self.path.reserve(OutAction.PREEMPT, self._key, number, self._reserved)
            case owning.Mount():
                self.path.command(Read(HEAD_LBA, 1), b"", self._head_read)
            case owning.RemoveKeys(incarnation, generation, token):
                self._remove_keys(incarnation, generation, token)
            case owning.Quiesce():
                self._quiesce()
            case owning.Unmount(clear):
                self._unmount(clear)
            case owning.Answer(token, reason):
                self._answer(token, reason)
            case owning.Drop(incarnation, reason):
                self._links.pop(incarnation, None)
                if (close := self._closers.pop(incarnation, None)) is not None:
                    close(reason)
            case owning.SayTaken(reason):
                self._said_taken(reason)
            case owning.SayGiven(is_clean, reason):
                self._said_given(is_clean, reason)
            case owning.ForgetHolder():
                pass  # files of this lab have no grants: each is one extent for ever

    def _said_taken(self, reason: str) -> None:
        if not reason and self.machine.is_mounted:
            checks = self.agent.cluster.storage_checks
            checks.serves(self.path.disk, self.agent.incarnation, self.epoch)
        self.disks.say(words.DiskTaken(self.path.disk, self.epoch, reason))

    def _said_given(self, is_clean: bool, reason: str) -> None:
        checks = self.agent.cluster.storage_checks
        checks.serves_no_more(self.path.disk, self.agent.incarnation)
        self.disks.say(words.DiskGiven(self.path.disk, self.epoch, is_clean, reason))

    # ---- reservation and mount

    def _look_at_reservation(self) -> None:
        held: list[RegistrationKey | None] = []

        def read(answer: Answer | None) -> None:
            if not self._is_good(answer):
                return self._faulted(answer)
            assert answer is not None
            key = Reservation.read(bytes(answer.data)).key
            held.append(RegistrationKey(key.to_bytes(KEY_BYTES, "big")) if key else None)
            self.path.keys(keyed)

        def keyed(keys: tuple[int, ...] | None) -> None:
            if keys is None:
                return self._faulted(None)
            all_keys = tuple(RegistrationKey(key.to_bytes(KEY_BYTES, "big")) for key in keys)
            self._feed(owning.ReservationSeen(held[0], all_keys))

        self.path.command(PersistentReserveIn(InAction.READ_RESERVATION), b"", read)

    def _reserved(self, answer: Answer | None) -> None:
        if self._is_good(answer):
            self._feed(owning.Reserved())
        else:
            self._faulted(answer)

    def _head_read(self, answer: Answer | None) -> None:
        if not self._is_good(answer):
            return self._faulted(answer)
        assert answer is not None
        files = VolumeFiles.read(bytes(answer.data))
        if files is None or files.epoch > self.epoch:
            why = "The volume is not there, or a newer owner's."
            return self._feed(owning.Faulted(why, is_refusal=True))
        files.epoch = self.epoch
        self.files = files
        self.save(lambda: self._feed(owning.Mounted(())))

    def save(self, done: Callable[[], None]) -> None:
        """The head goes to the disk, one write at a time; several changes may share one."""
        self._unsaved.append(done)
        if not self._saving:
            self._save()

    def _save(self) -> None:
        assert self.files is not None
        waiting, self._unsaved, self._saving = self._unsaved, [], True

        def answered(answer: Answer | None) -> None:
            self._saving = False
            if not self._is_good(answer):
                return self._faulted(answer)
            for done in waiting:
                done()
            if self._unsaved:
                self._save()

        command = Write(HEAD_LBA, 1, fua=True)
        self.path.command(command, self.files.block(), answered, self._stamp)

    def _is_good(self, answer: Answer | None) -> bool:
        return answer is not None and answer.status is Status.GOOD

    def _faulted(self, answer: Answer | None) -> None:
        if answer is None:
            self._feed(owning.Faulted("The disk did not answer."))
            self.path.lost()
            return
        self._feed(owning.Faulted("The disk refused it."))
        if is_conflict(answer) and self.path.key == self.machine.key != NO_KEY:
            self.path.conflict("Its key is not good any more.")

    def _quiesce(self) -> None:
        if self._saving or self.served.total():
            self.agent.later(AGAIN_S, self._quiesce)
        else:
            self._feed(owning.Quiesced())

    def _unmount(self, clear: bool) -> None:
        def cleared(answer: Answer | None) -> None:
            if self._is_good(answer):
                self._feed(owning.Unmounted())
            else:
                self._faulted(answer)

        if clear:
            self.path.reserve(OutAction.CLEAR, self._key, 0, cleared)
        else:
            self._feed(owning.Unmounted())

    def _remove_keys(self, incarnation: Incarnation, generation: int, token: int) -> None:
        def removed(reason: str) -> None:
            if reason:
                self._feed(owning.KeysStayed(incarnation, token, reason))
            else:
                self._feed(owning.KeysRemoved(incarnation, generation, token))

        self.path.remove(self.cluster, [FencedLife(incarnation, generation)], removed)

    # ---- clients

    def comes_in(self, incarnation: Incarnation, end: End, send: Callable[[Any], None]) -> str:
        """Why not; empty if the client is let in."""
        denied = self.machine.comes_in(incarnation)
        if denied is not None:
            return denied.reason
        self._links[incarnation] = send
        self._closers[incarnation] = lambda reason: end.holder[0].close(end, reason)
        self._feed(owning.ClientCame(incarnation))
        return ""

    def heard(self, incarnation: Incarnation, send: Callable[[Any], None], message: Any) -> None:
        if self._links.get(incarnation) is not send:
            return
        match message:
            case ("redirect", turn, generation):
                token = self._token("redirect", turn, send)
                self._feed(owning.RedirectWanted(incarnation, generation, token))
            case ("direct", turn):
                self._feed(owning.DirectWanted(incarnation, self._token("direct", turn, send)))
            case ("open", handle, path, vm, vm_epoch):
                self._open(send, handle, path, vm, vm_epoch)
            case ("io", number, file, offset, length, data, stamp):
                self._io(incarnation, send, number, file, offset, length, data, stamp)

    def _token(self, what: str, turn: int, send: Callable[[Any], None]) -> int:
        self._tokens += 1
        self._asked[self._tokens] = (what, turn, send)
        return self._tokens

    def _answer(self, token: int, reason: str) -> None:
        what, turn, send = self._asked.pop(token)
        send(("agreed", what, turn) if not reason else ("disagreed", what, turn, reason))

    def _open(
        self, send: Callable[[Any], None], handle: int, path: str, vm: str, vm_epoch: int
    ) -> None:
        files = self.files
        if files is None or self.machine.phase is not OwnerPhase.OWNED:
            return
        if why := files.why_not_open(path, vm, vm_epoch):
            return send(("refused", handle, "stale-epoch", why))
        file = files.opened(path, vm, vm_epoch)
        self.save(lambda: send(("found", handle, file.extents)))

    def _io(
        self,
        incarnation: Incarnation,
        send: Callable[[Any], None],
        number: int,
        file: tuple[str, str, int],
        offset: int,
        length: int,
        data: bytes | None,
        stamp: Any,
    ) -> None:
        agent, (path, vm, vm_epoch) = self.agent, file
        has_lease = agent.lease.end_s > agent.machine.clock.now
        request = WriteFile(number, 0, offset, True, length)
        denied = self.machine.admits(incarnation, request, has_lease)
        if denied is not None or self.files is None or path not in self.files.files:
            return send(("undone", number))
        if self.files.why_not_open(path, vm, vm_epoch):
            return send(("undone", number))
        lba = self.files.files[path].extents[0].start + offset // BLOCK_BYTES
        self.served[incarnation] += 1

        def answered(answer: Answer | None) -> None:
            self.served[incarnation] -= 1
            if not self._is_good(answer):
                send(("undone", number))
                return self._faulted(answer)
            assert answer is not None
            send(("done", number, answer.data))

        blocks = length // BLOCK_BYTES
        command = Read(lba, blocks) if data is None else Write(lba, blocks, fua=True)
        self.path.command(command, data or b"", answered, stamp)
