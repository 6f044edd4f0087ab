"""One simulated life's way to one disk: its sessions, its key, its commands, and fences by it."""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from agent import disk_words as words
from protocol.disks import (
    KEY_BYTES,
    NO_KEY,
    DiskId,
    FencedLife,
    RegistrationKey,
    key_of_life,
)
from protocol.names import ClusterId
from protocol.scsi import sense
from protocol.scsi.commands import (
    Command,
    PersistentReserveIn,
    PersistentReserveOut,
    Write,
)
from protocol.scsi.persistent import InAction, Keys, Kind, OutAction, OutParameters
from protocol.scsi.sense import SenseKey
from protocol.scsi.status import Status
from san.answers import Answer
from san.nexus import Nexus

if TYPE_CHECKING:
    from lab.simulation.disks import SimDisks

PREEMPTED = (sense.RESERVATIONS_PREEMPTED.code, sense.REGISTRATIONS_PREEMPTED.code)
QUEUE_S = 0.0008
REDIAL_S = 0.3
FENCE_ROUNDS_MAX = 10

Done = Callable[[Answer | None], None]


def is_conflict(answer: Answer) -> bool:
    """The target says that this nexus has no right to what it asked for any more."""
    if answer.status is Status.RESERVATION_CONFLICT:
        return True
    return answer.sense is not None and answer.sense.code in PREEMPTED


class DiskPath:
    """One life's way to one disk. Each key has a session, and so a nexus, of its own."""

    def __init__(self, disks: "SimDisks", disk: DiskId) -> None:
        self.disks, self.disk = disks, disk
        self.agent, self.san = disks.agent, disks.san
        self.key: RegistrationKey = NO_KEY
        self.is_up = self.is_registered = self.is_lost = False
        self.registrations = self.admitted = 0
        self._session = 0
        self._pending: dict[int, Done] = {}
        self._number = 0
        self._open_session()

    @property
    def is_usable(self) -> bool:
        return self.is_up and self.is_registered and self.registrations <= self.admitted

    def _open_session(self) -> None:
        """What the old one still waited for it will never hear of."""
        self._session += 1
        self.is_registered = False
        lives = self.agent.machine.lives
        name = f"iqn.2026-01.hvlab:{self.agent.node}"
        self.nexus = Nexus(name, f"{lives:06x}{self._session:06x}")
        self.is_up = self.san.log_in(self.agent.node, self.nexus)
        pending, self._pending = self._pending, {}
        for done in pending.values():
            self.agent.later(0.0, done, None)

    # ---- what the core wants

    def use(self, key: RegistrationKey) -> None:
        self.key = key
        self._open_session()
        self._register()

    def let_go(self) -> None:
        self.key, self.admitted = NO_KEY, 0
        self._open_session()
        self.disks.changed(self)

    def give_up(self) -> None:
        key, self.key = self.key, NO_KEY
        self._open_session()
        self.disks.changed(self)
        self.disks.say(words.KeyGivenUp(self.disk, key))

    def admit(self, registrations: int) -> None:
        self.admitted = registrations
        self.disks.changed(self)

    def _register(self) -> None:
        if not self.is_up or self.key == NO_KEY or self.is_registered:
            return
        nexus, key = self.nexus, int.from_bytes(self.key, "big")

        def answered(answer: Answer | None) -> None:
            if self.nexus != nexus:
                return
            if answer is None:
                self.lost()
            elif answer.status is Status.GOOD:
                self.is_registered = True
                self.registrations += 1
                self.disks.changed(self)

        self.reserve(OutAction.REGISTER_AND_IGNORE, 0, key, answered)

    # ---- the path

    def path_is(self, up: bool) -> None:
        if up and not self.is_up:
            self.is_up = self.san.log_in(self.agent.node, self.nexus)
            self._register()
        elif not up:
            self.is_up = False
        self.disks.changed(self)

    def lost(self) -> None:
        """No answer came: the connection is made anew."""
        if self.is_up:
            self.path_is(False)
            self.agent.later(REDIAL_S, self._redial)

    def _redial(self) -> None:
        if not self.is_up and self.san.reaches(self.agent.node):
            self.path_is(True)
        elif not self.is_up:
            self.agent.later(REDIAL_S, self._redial)

    def conflict(self, reason: str) -> None:
        if not self.is_lost and self.key != NO_KEY:
            self.is_lost = True
            self.disks.say(words.DiskConflicted(self.disk, self.key, reason))
            self.disks.changed(self)

    # ---- commands

    def command(self, command: Command, data: bytes, done: Done, stamp: Any = None) -> None:
        """`done` gets the answer, or None if nobody knows what became of it."""
        nexus = self.nexus
        self._number += 1
        number = self._number
        self._pending[number] = done

        def answered(answer: Answer | None) -> None:
            if self._pending.pop(number, None) is None:
                return
            told = None if answer is None else answer.sense
            is_attention = told is not None and told.key is SenseKey.UNIT_ATTENTION
            if is_attention and answer is not None and not is_conflict(answer):
                if self.nexus == nexus:
                    return self.command(command, data, done, stamp)
                answer = None
            done(answer)

        def later(answer: Answer | None) -> None:
            self.agent.soon(answered, answer)

        def send() -> None:
            if number in self._pending:
                self.san.send(self.agent.node, nexus, self.disk, command, data, later, stamp)

        # Between the decision and the socket a process may be stopped for any time.
        self.agent.cluster.world.after(QUEUE_S, self.disks.put_out, send)
        if isinstance(command, Write):
            self.disks.on_write()

    def reserve(self, action: OutAction, key: int, action_key: int, done: Done) -> None:
        parameters = OutParameters(key, action_key).write()
        self.command(PersistentReserveOut(action, Kind.WRITE_REGISTRANTS), parameters, done)

    def keys(self, done: Callable[[tuple[int, ...] | None], None]) -> None:
        def answered(answer: Answer | None) -> None:
            if answer is None or answer.status is not Status.GOOD:
                done(None)
            else:
                done(Keys.read(bytes(answer.data)).keys)

        self.command(PersistentReserveIn(InAction.READ_KEYS), b"", answered)

    # ---- fences

    def remove(
        self,
        cluster: ClusterId,
        lives: Iterable[FencedLife],
        done: Callable[[str], None],
        rounds: int = FENCE_ROUNDS_MAX,
    ) -> None:
        """PREEMPT AND ABORT every key of these lives, until none is seen; `done` with why not."""
        wanted = {key_of_life(cluster, life.incarnation): life.generation for life in lives}
        own = int.from_bytes(self.key, "big")

        def seen(keys: tuple[int, ...] | None) -> None:
            if keys is None:
                self.lost()
                return done("The disk did not answer.")
            if own not in keys:
                self.conflict("Its key is not there any more.")
                return done("This node is not registered any more.")
            found = [key for key in keys if _is_of(key, wanted)]
            if not found:
                return done("")
            if rounds == 0:
                return done("Keys came back again and again.")
            self.reserve(OutAction.PREEMPT_AND_ABORT, own, found[0], preempted)

        def preempted(answer: Answer | None) -> None:
            if answer is None:
                self.lost()
                return done("The disk did not answer.")
            self.remove(cluster, lives, done, rounds - 1)

        if not self.is_registered:
            return done("This node is not registered with the disk.")
        self.keys(seen)


def _is_of(key: int, wanted: dict[bytes, int]) -> bool:
    whole = key.to_bytes(KEY_BYTES, "big")
    return whole[-1] <= wanted.get(whole[:-1], -1)
