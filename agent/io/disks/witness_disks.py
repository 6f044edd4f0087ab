"""Disk witnesses on LUNs of the SAN: for each a session of its own, which needs no cluster.

The session has one nexus for each node and disk, whatever the portal: so who logs in anew ends
what was under way before, at the target, and the node keeps what it holds.
"""

import asyncio
import contextlib
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import TimeoutError as NotInTime
from dataclasses import dataclass
from typing import Any, TypeVar

import xxhash

from agent.copy_record import DatabaseCopy
from agent.disks import commands, witness_copies
from agent.disks.errors import LoginRefused, SessionBroken
from agent.disks.login import Identity, random_isid
from agent.disks.session_states import Patience
from agent.disks.tasks import Task, pieces_of
from agent.disks.witness_register import Ask, Talk, WitnessRegister, asked, told
from agent.io.disks.connection import Connection, Portal, connected
from agent.io.disks.loop import DiskLoop
from agent.io.disks.targets import Account
from agent.volumes.errors import DiskError, MediumError
from agent.witness_record import WitnessRecord
from protocol.disks import WITNESS_BYTES_MIN, DiskId
from protocol.errors import NotReady, PeerUnreachable
from protocol.iscsi.names import lun_field
from protocol.names import Incarnation
from protocol.scsi.capacity import read_luns
from protocol.scsi.errors import BadResponse

PATIENCE = Patience(login_s=1.0, quiet_s=1.0, answer_s=1.0, command_s=3.0)
CONNECT_S = 1.0
RECORD_S = 3.5
"""For a look or a write: less than the agent waits for one, so that its thread comes back."""

COPY_S = 9.0
LEAVE_S = 1.0
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _Session:
    """A login over one of the portals, and what the disk is called there."""

    connection: Connection
    lun: int
    block_bytes: int

    async def carry_out(self, talk: Talk[T]) -> T:
        """Each command of the talk, and the answer back into it. Raises `SessionBroken`."""
        try:
            ask = next(talk)
            while True:
                ask = talk.send(told(await self._done(ask)))
        except StopIteration as end:
            result: T = end.value
            return result

    async def _done(self, ask: Ask) -> Task:
        pieces = pieces_of([ask.out]) if ask.out else ()
        task = Task(self.lun, ask.cdb, memoryview(bytearray(ask.in_bytes)), pieces)
        if not await self.connection.execute(task):
            raise SessionBroken(self.connection.session.ended)
        return task


class WitnessLun:
    """One life's way to the witness on one disk: the port of its records, and of its copies. Its
    methods are called in threads, and end in time.
    """

    def __init__(
        self,
        me: Incarnation,
        disk: DiskId,
        thread: DiskLoop,
        portals: Sequence[Portal],
        account: Account,
    ) -> None:
        self.disk = disk
        self._me = me
        self._thread = thread
        self._portals = tuple(portals)
        self._account = account
        self._first = 0
        """The portal that is tried first."""

        self._session: _Session | None = None
        self._register: WitnessRegister | None = None
        self._logging_in = asyncio.Lock()
        self._records = asyncio.Lock()
        self._copies = asyncio.Lock()
        self._is_over = False

    # ---- the ports

    def read(self) -> tuple[int, WitnessRecord | None]:
        return self._wait(self._talk(self._records, lambda r: r.read()), RECORD_S)

    def write_if(self, version: int, record: WitnessRecord) -> bool:
        talk = self._talk(self._records, lambda r: r.write_if(version, record))
        return self._wait(talk, RECORD_S)

    def keep(self, copy: DatabaseCopy) -> None:
        self._wait(self._talk(self._copies, lambda r: witness_copies.keep(r, copy)), COPY_S)

    def newest(self) -> DatabaseCopy | None:
        return self._wait(self._talk(self._copies, witness_copies.newest), COPY_S)

    def _wait(self, work: Coroutine[Any, Any, T], within_s: float) -> T:
        try:
            waiter = asyncio.run_coroutine_threadsafe(
                self._in_time(work, within_s), self._thread.loop
            )
        except RuntimeError:
            work.close()
            raise NotReady("this node is ending") from None
        try:
            return waiter.result(within_s + 0.2)
        except NotInTime:
            waiter.cancel()
            raise self._hangs(within_s) from None

    # ---- on the disk loop

    async def _in_time(self, work: Coroutine[Any, Any, T], within_s: float) -> T:
        """Whatever does not end well ends the session, so that nothing of it is done later: the
        next login waits at the target for the end of what was sent.
        """
        try:
            async with asyncio.timeout(within_s):
                return await work
        except TimeoutError:
            self._cut("the disk witness did not answer in time")
            raise self._hangs(within_s) from None
        except (SessionBroken, LoginRefused) as error:
            self._cut(error.sentence)
            raise PeerUnreachable(
                f"the disk witness {self.disk} is not reached: {error.sentence}"
            ) from error
        except asyncio.CancelledError:
            self._cut("nobody waits for the disk witness any more")
            raise

    def _hangs(self, within_s: float) -> PeerUnreachable:
        return PeerUnreachable(f"the disk witness {self.disk} did not answer for {within_s:g} s")

    async def _talk(self, turn: asyncio.Lock, begin: Callable[[WitnessRegister], Talk[T]]) -> T:
        async with turn:
            session = await self._reached()
            if self._register is None:
                self._register = WitnessRegister(self._me, session.block_bytes)
            return await session.carry_out(begin(self._register))

    async def _reached(self) -> _Session:
        async with self._logging_in:
            if self._is_over:
                raise NotReady("this life of the node is over")
            session = self._session
            if session is None or not session.connection.is_up:
                session = self._session = await self._login()
            return session

    async def _login(self) -> _Session:
        why: SessionBroken | LoginRefused | None = None
        for turn in range(len(self._portals)):
            number = (self._first + turn) % len(self._portals)
            try:
                connection = await connected(
                    self._portals[number], self._identity(), PATIENCE, None, CONNECT_S
                )
            except (SessionBroken, LoginRefused) as error:
                why = error
                continue
            try:
                found = await self._found(connection)
            except BaseException:
                connection.abort("the witness was not found over this session")
                raise
            self._first = number
            return found
        raise why or SessionBroken("no portal is known")

    def _identity(self) -> Identity:
        """Always the same for one node and disk, so that each life ends the sessions of the one
        before, and has its registration.
        """
        account = self._account
        words = f"witness {account.initiator} {self.disk}".encode()
        isid = random_isid(xxhash.xxh64_digest(words)[:5])
        return Identity(account.initiator, account.target, isid, account.credentials)

    async def _found(self, connection: Connection) -> _Session:
        """The disk by its id. What it has to tell a new session is heard here."""
        target = _Session(connection, lun_field(0), 0)
        try:
            for number in read_luns(
                await _data(target, commands.REPORT_LUNS, commands.ANSWER_BYTES)
            ):
                unit = None if number < 0 else await _unit(connection, number)
                if unit is None or unit.naa != self.disk:
                    continue
                size_bytes = unit.capacity.blocks * unit.capacity.block_bytes
                if size_bytes < WITNESS_BYTES_MIN:
                    raise NotReady(
                        f"disk {self.disk} has {size_bytes} bytes, and a witness needs"
                        f" {WITNESS_BYTES_MIN}: take a larger LUN"
                    )
                return _Session(connection, lun_field(number), unit.capacity.block_bytes)
        except BadResponse as error:
            raise MediumError(error.sentence) from None
        raise NotReady(f"the SAN shows this node no disk {self.disk}, where the witness is to lie")

    def _cut(self, reason: str) -> None:
        session, self._session = self._session, None
        if session is not None:
            session.connection.abort(reason)
        self._first += 1  # another portal may answer

    async def end(self) -> None:
        """Nothing of it goes to the disk afterwards."""
        self._is_over = True
        session, self._session = self._session, None
        if session is not None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LEAVE_S):
                    await session.connection.leave()
            session.connection.abort("the life of the node is over")


async def _unit(connection: Connection, number: int) -> commands.Unit | None:
    """One broken unit does not hide the others."""
    session = _Session(connection, lun_field(number), 0)
    try:
        inquiry = await _data(session, commands.INQUIRE, 255)
        if not commands.is_disk(inquiry):
            return None
        ids = await _data(session, commands.INQUIRE_IDS, 255)
        capacity = await _data(session, commands.READ_CAPACITY, 32)
        return commands.unit(inquiry, ids, b"", capacity)
    except DiskError as error:
        if isinstance(error, SessionBroken):
            raise
        return None


async def _data(session: _Session, cdb: bytes, most: int) -> bytes:
    return await session.carry_out(asked(Ask(cdb, b"", most))) or b""


class WitnessDisks:
    """Makes the ways to witnesses for the node's present life."""

    def __init__(self, thread: DiskLoop, portals: Sequence[Portal], account: Account) -> None:
        self._thread = thread
        self._portals = portals
        self._account = account
        self._me: Incarnation | None = None
        self._luns: dict[DiskId, WitnessLun] = {}

    def begin(self, me: Incarnation) -> None:
        self._me = me

    def at(self, disk: DiskId) -> WitnessLun:
        """Called in threads; two of them may ask for one disk at once."""
        if self._me is None:
            raise NotReady("this node has no life that could use a disk witness")
        new = WitnessLun(self._me, disk, self._thread, self._portals, self._account)
        return self._luns.setdefault(disk, new)

    async def end(self) -> None:
        """On the disk loop: this life uses no witness any more."""
        self._me = None
        luns, self._luns = self._luns, {}
        for lun in luns.values():
            await lun.end()
