"""One disk over all its paths: reads, writes and reservations, repeated where that is safe."""

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING

from agent.disks import commands
from agent.disks.registration import Enrolment, Registration, Step
from agent.disks.tasks import NOTHING, Ending, Task, Verdict, ending, flat, pieces_of
from agent.io.disks.connection import Connection
from agent.volumes.errors import Conflict, DiskError, MediumError, OutOfRange, PathLost
from protocol.disks import KEY_BYTES, NO_KEY, DiskId, RegistrationKey
from protocol.iscsi.digests import Buffer
from protocol.iscsi.names import lun_field
from protocol.scsi.errors import BadResponse
from protocol.scsi.persistent import Keys, Reservation

if TYPE_CHECKING:
    from agent.io.disks.targets import IscsiLuns

REPEATS_MAX = 50
BUSY_FIRST_S, BUSY_MAX_S = 0.01, 0.5
PIECE_BYTES = 4 << 20
"""A longer transfer is several commands, which go side by side."""


class Unanswered(Exception):
    """The session ended before the command was answered."""

    def __init__(self, path: int) -> None:
        self.path = path


class IscsiLun:
    """A disk as `agent.io.disks.lun.Lun` wants it."""

    def __init__(self, pool: "IscsiLuns", unit: commands.Unit) -> None:
        self.disk = DiskId(unit.naa)
        self.product = unit.product
        self.block_bytes = unit.capacity.block_bytes
        self.blocks = unit.capacity.blocks
        self.reason = ""
        self.registration = Registration()
        self._pool = pool
        self._piece_blocks = PIECE_BYTES // self.block_bytes
        if unit.transfer_blocks_max:
            self._piece_blocks = min(self._piece_blocks, unit.transfer_blocks_max)
        self._fields: dict[int, int] = {}
        """The disk's number as it stands in headers, for each path over which it was seen."""

        self._fit: tuple[int, ...] = ()
        self._let_go = False
        self._era = 0
        """Grows when the disk is let go: what began before ends then, whatever comes after."""

        self._under_way: dict[Task, int] = {}
        self._enrolling = asyncio.Lock()

    # ---- what it is, and how it stands

    @property
    def paths(self) -> int:
        return len(self._fields)

    @property
    def paths_up(self) -> int:
        return len(self._up())

    @property
    def key(self) -> RegistrationKey:
        registration = self.registration
        if registration.key and not registration.lost and registration.covers(self._up()):
            return _key(registration.key)
        return NO_KEY

    @property
    def registrations(self) -> int:
        return self.registration.count

    @property
    def is_usable(self) -> bool:
        return any(self.registration.may_write(path) for path in self._up())

    def use(self, key: RegistrationKey) -> None:
        if self.registration.use(int.from_bytes(key, "big")):
            self._let_go = False
            for path in self._up():
                self._pool.enrol(self, path)

    def let_go(self) -> None:
        self.registration.let_go()
        self._let_go = True
        self._era += 1
        # The buffers are their owners' again, so nothing of them may be sent any more.
        for path in set(self._under_way.values()):
            self._pool.cut(path, "the disk was let go")
        self._pool.changed()

    def admit(self, registrations: int) -> None:
        self.registration.admit(registrations)
        self._pool.changed()

    # ---- reads and writes

    async def read_into(self, lba: int, target: memoryview) -> None:
        view = flat(target)
        blocks = self._checked(lba, len(view))
        if blocks <= self._piece_blocks:
            await self._read(lba, blocks, view)
            return
        size = self.block_bytes
        parts = [
            self._read(lba + at, count, view[at * size : (at + count) * size])
            for at, count in self._parts(blocks)
        ]
        for result in await asyncio.gather(*parts, return_exceptions=True):
            if result is not None:  # all have ended: nothing is read into the buffer any more
                raise result

    async def write(
        self, lba: int, buffers: Sequence[bytes | memoryview], fua: bool = False
    ) -> None:
        pieces = pieces_of(buffers)
        blocks = self._checked(lba, sum(map(len, pieces)))
        if blocks <= self._piece_blocks:
            await self._write(lba, blocks, pieces, fua)
            return
        size = self.block_bytes
        whole = Task(0, b"", NOTHING, pieces)
        for at, count in self._parts(blocks):
            cut = whole.cut(at * size, count * size, count * size)
            await self._write(lba + at, count, tuple(piece for _, piece in cut), fua)

    async def flush(self) -> None:
        await self._transfer(commands.SYNCHRONIZE, NOTHING, (), writes=True)

    async def _read(self, lba: int, blocks: int, view: memoryview) -> None:
        await self._transfer(commands.read_cdb(lba, blocks), view, (), writes=False)

    async def _write(
        self, lba: int, blocks: int, pieces: tuple[memoryview, ...], fua: bool
    ) -> None:
        await self._transfer(commands.write_cdb(lba, blocks, fua), NOTHING, pieces, writes=True)

    def _checked(self, lba: int, length: int) -> int:
        blocks, rest = divmod(length, self.block_bytes)
        if rest or not blocks or lba < 0 or lba + blocks > self.blocks:
            raise OutOfRange(
                f"{length} bytes at block {lba} are not whole blocks of {self.block_bytes} bytes"
                f" within the disk's {self.blocks}"
            )
        return blocks

    def _parts(self, blocks: int) -> list[tuple[int, int]]:
        most = self._piece_blocks
        return [(at, min(most, blocks - at)) for at in range(0, blocks, most)]

    async def _transfer(
        self, cdb: bytes, target: memoryview, pieces: tuple[memoryview, ...], writes: bool
    ) -> None:
        """Once for certain: over whichever path, until an answer says how it ended."""
        era = self._era
        for repeat in range(REPEATS_MAX):
            if era != self._era:
                raise PathLost("the key was given up while the command was under way")
            path = self._choose(writes)
            if path is None:
                path = await self._pool.path_for(lambda: self._choose(writes), self._why_not)
                if era != self._era:
                    continue
            task = Task(self._fields[path], cdb, target, pieces)
            try:
                found = await self._execute(path, task)
            except Unanswered:
                if writes and era == self._era:
                    await self._pool.settled(path)
                continue
            if found.verdict is Verdict.FINE:
                if task.got_bytes != len(target):
                    raise MediumError(f"{task.got_bytes} bytes came where {len(target)} were asked")
                return
            if found.is_attention and path not in self.registration.numbers:
                continue  # of a former key: this path is not yet registered under the present one
            self._raise_unless_again(found)
            if found.verdict is Verdict.LATER:
                await asyncio.sleep(min(BUSY_MAX_S, BUSY_FIRST_S * 2 ** min(repeat, 8)))
        raise PathLost(f"{REPEATS_MAX} tries of one command came to nothing")

    def _raise_unless_again(self, found: Ending) -> None:
        if found.verdict is Verdict.PREEMPTED:
            assert found.error is not None
            self._lose(found.error.sentence)
            raise found.error
        if found.verdict is Verdict.FAILED:
            assert found.error is not None
            raise found.error

    def _choose(self, writes: bool) -> int | None:
        """A path, or None if one may come. Raises where waiting is in vain."""
        registration = self.registration
        if registration.lost:
            raise Conflict(registration.lost)
        if self._let_go:
            raise PathLost("the disk was let go")
        if not writes:
            return self._pool.paths.for_read(self._fit)
        if self._pool.unguarded and not registration.key:
            return self._pool.paths.for_write(self._fields)
        return self._pool.paths.for_write(
            [path for path in self._fit if registration.may_write(path)]
        )

    def _why_not(self) -> str:
        if self.paths_up:
            return f"no path to disk {self.disk} is registered and admitted"
        return f"no path to disk {self.disk} is up: {self._pool.why_down}"

    async def _execute(self, path: int, task: Task) -> Ending:
        """Over this path, once. Raises `Unanswered`."""
        connection = self._pool.connection(path)
        if connection is None:
            raise Unanswered(path)
        self._under_way[task] = path
        try:
            answered = await connection.execute(task)
        except asyncio.CancelledError:
            # Who asked gets its buffers back, so the session may not touch them any more.
            if task.waiter.cancelled():
                connection.abort("a command was cancelled")
            raise
        finally:
            del self._under_way[task]
        if not answered:
            raise Unanswered(path)
        return ending(task)

    # ---- reservations

    async def keys(self) -> tuple[RegistrationKey, ...]:
        path = await self._pool.path_for(lambda: self._choose(False), self._why_not)
        return tuple(_key(number) for number in await self._keys(path))

    async def holder(self) -> RegistrationKey | None:
        path = await self._pool.path_for(lambda: self._choose(False), self._why_not)
        data = await self._ask(path, commands.READ_RESERVATION, 255)
        try:
            found = Reservation.read(data)
        except BadResponse as error:
            raise MediumError(error.sentence) from None
        return None if found.kind is None else _key(found.key)

    async def reserve(self) -> None:
        await self._change(commands.reserve(self.registration.key))

    async def preempt(self, key: RegistrationKey, abort: bool) -> None:
        if key not in await self.keys():
            return
        victim = int.from_bytes(key, "big")
        await self._change(commands.preempt(self.registration.key, victim, abort), key)

    async def clear(self) -> None:
        await self._change(commands.clear(self.registration.key))
        self.registration.let_go()
        self._pool.changed()

    async def _change(
        self, request: tuple[bytes, bytes], victim: RegistrationKey | None = None
    ) -> None:
        """A PERSISTENT RESERVE OUT under the own key; each of them may be repeated. A conflict
        means that the own key is gone, that there is no `victim` any more, or another's hold.
        """
        registered = self.registration.numbers

        def choose() -> int | None:
            self._choose(False)
            return self._pool.paths.for_write(registered)

        for _ in range(REPEATS_MAX):
            path = await self._pool.path_for(choose, self._why_not)
            try:
                found = await self._command(path, request[0], b"", request[1])
            except Unanswered:
                continue
            if found.verdict is Verdict.FINE:
                return
            if found.verdict is not Verdict.PREEMPTED:
                raise found.error or MediumError("the reservation was refused")
            keys = await self.keys()
            mine = _key(self.registration.key)
            if mine not in keys:
                self._lose("its key is not among those that the disk knows any more")
                raise Conflict(self.registration.lost)
            if victim is not None and victim not in keys:
                return
            if victim is None:
                raise MediumError(f"somebody else holds the reservation of disk {self.disk}")
        raise PathLost("a change of the reservation was not answered, however often it was asked")

    async def _keys(self, path: int) -> tuple[int, ...]:
        data = await self._ask(path, commands.READ_KEYS, commands.KEYS_BYTES)
        try:
            return Keys.read(data).keys
        except BadResponse as error:
            raise MediumError(error.sentence) from None

    async def _ask(self, path: int, cdb: bytes, most: int) -> bytes:
        target = bytearray(most)
        try:
            task, found = await self._asked(path, cdb, target, b"")
        except Unanswered:
            raise PathLost("the session ended before the disk answered") from None
        if found.verdict is not Verdict.FINE:
            raise found.error or MediumError("the disk does not answer the question")
        return bytes(target[: task.got_bytes])

    async def _command(self, path: int, cdb: bytes, target: Buffer, out: Buffer) -> Ending:
        return (await self._asked(path, cdb, target, out))[1]

    async def _asked(
        self, path: int, cdb: bytes, target: Buffer, out: Buffer
    ) -> tuple[Task, Ending]:
        """One command over this path; what is only news of the past is passed over."""
        for _ in range(REPEATS_MAX):
            pieces = pieces_of([out]) if len(out) else ()
            task = Task(self._fields[path], cdb, memoryview(target), pieces)
            found = await self._execute(path, task)
            if found.verdict is Verdict.LATER:
                await asyncio.sleep(BUSY_FIRST_S)
            elif found.verdict is not Verdict.AGAIN and not found.is_attention:
                break
        return task, found

    # ---- paths

    def _up(self) -> tuple[int, ...]:
        up = self._pool.paths.up
        return tuple(path for path in self._fields if path in up)

    def seen(self, path: int, lun: int) -> None:
        """The path is up, and the disk has this number there."""
        self._fields[path] = lun_field(lun)
        self._fit = tuple(sorted(self._fields))

    async def enrol(self, path: int, connection: Connection) -> None:
        """Register this path, and see whether the key is still there."""
        async with self._enrolling:
            registration = self.registration
            if not registration.key or registration.lost:
                return
            enrolment = Enrolment(registration, path)
            try:
                while not enrolment.is_over and connection.is_up:
                    await self._enrol_step(path, enrolment)
            except (Unanswered, DiskError) as error:
                if isinstance(error, DiskError):
                    self.reason = error.sentence
                return
            if enrolment.step is Step.LOST and registration.key == enrolment.key:
                self._lose(enrolment.reason)
            self.reason = registration.lost
            self._pool.changed()

    async def _enrol_step(self, path: int, enrolment: Enrolment) -> None:
        match enrolment.step:
            case Step.COLLECT:
                task = Task(self._fields[path], commands.TEST_UNIT_READY)
                enrolment.ended((await self._execute(path, task)).verdict)
            case Step.READ_KEYS:
                enrolment.ended(Verdict.FINE, await self._keys(path))
            case _:
                keys = (enrolment.replaced_key, enrolment.key)
                cdb, data = commands.register(*keys, await self._can_persist(path))
                found = await self._command(path, cdb, b"", data)
                if found.error is not None and found.verdict is not Verdict.PREEMPTED:
                    raise found.error
                enrolment.ended(found.verdict)

    async def _can_persist(self, path: int) -> bool:
        try:
            data = await self._ask(path, commands.READ_CAPABILITIES, 255)
        except MediumError:
            return False  # it does not know the question
        return commands.can_persist(data)

    def _lose(self, reason: str) -> None:
        registration = self.registration
        if not registration.key:
            return
        key = _key(registration.key)
        if registration.lose(reason):
            self.reason = reason
            self._pool.conflicted(self.disk, key, reason)


def _key(number: int) -> RegistrationKey:
    return RegistrationKey(number.to_bytes(KEY_BYTES, "big"))
