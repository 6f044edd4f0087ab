"""All disks of a node: a session to each portal of the target, kept alive, and what lies behind."""

import asyncio
import os
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

from agent.disks import commands
from agent.disks.errors import LoginRefused, SessionBroken
from agent.disks.login import Identity, random_isid
from agent.disks.paths import Paths
from agent.disks.session_states import Patience
from agent.disks.tasks import Task, Verdict, ending
from agent.io.disks.connection import Connection, Portal, connected
from agent.io.disks.device import IscsiLun
from agent.io.vms import boottime
from agent.volumes.errors import DiskError, MediumError, PathLost
from protocol.disks import DiskId, RegistrationKey
from protocol.iscsi.chap import Credentials
from protocol.iscsi.names import lun_field
from protocol.iscsi.negotiation import Wishes
from protocol.scsi.capacity import read_luns
from protocol.scsi.errors import BadResponse

NO_PATH_S = 3.0
"""So long a command waits for a path before it fails with `PathLost`."""

SETTLE_S = 10.0
"""So long a write waits for the end of the session over which it was sent before."""

FIRST_LOOK_S = 2.0
ASKED_REPEATS = 10

Changed = Callable[[], None]
Conflicted = Callable[[DiskId, RegistrationKey, str], None]


@dataclass(frozen=True, slots=True)
class Account:
    """Who this node is for the target."""

    initiator: str
    target: str
    credentials: Credentials | None = None


@dataclass(frozen=True, slots=True)
class Settings:
    """How the sessions are to be."""

    wishes: Wishes = field(default_factory=Wishes)
    patience: Patience = field(default_factory=Patience)
    no_path_s: float = NO_PATH_S
    settle_s: float = SETTLE_S
    unguarded: bool = False
    """Writes go without a registration, until a key is used: for disks outside of a cluster."""


class IscsiLuns:
    """All disks as `agent.io.disks.lun.Luns` wants them."""

    def __init__(
        self, portals: Sequence[Portal], account: Account, settings: Settings | None = None
    ) -> None:
        self._settings = settings or Settings()
        self._portals = tuple(portals)
        self._account = account
        self._life = os.urandom(3)
        """Part of each ISID: a path keeps its own as long as the node's life lasts. The next life
        has others, so what the target still knows of the last one is not in its way.
        """

        self.unguarded = self._settings.unguarded
        self.paths = Paths.of(len(self._portals))
        self._luns: dict[DiskId, IscsiLun] = {}
        self._connections: dict[int, Connection] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._news: asyncio.Future[None] | None = None
        self._on_change: Changed = lambda: None
        self._on_conflict: Conflicted = lambda disk, key, reason: None
        self._is_closing = False

    @property
    def luns(self) -> Mapping[DiskId, IscsiLun]:
        return MappingProxyType(self._luns)

    @property
    def why_down(self) -> str:
        return "; ".join(self.paths.reasons.values())

    def watch(self, changed: Changed, conflicted: Conflicted) -> None:
        self._on_change, self._on_conflict = changed, conflicted

    async def start(self) -> None:
        """Returns when each portal was tried once, or soon after."""
        tries = self._begin_tries()
        self._begin(self._keep())
        if tries:
            await asyncio.wait(tries, timeout=FIRST_LOOK_S)

    def _begin_tries(self) -> list["asyncio.Task[None]"]:
        return [self._begin(self._try(path)) for path in self._taken()]

    def _taken(self) -> list[int]:
        """The paths that are due; nobody else tries them now."""
        due = self.paths.due(boottime())
        for path in due:
            self.paths.try_now(path)
        return due

    async def close(self) -> None:
        """Log out where that is possible."""
        self._is_closing = True
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        leaving = [connection.leave() for connection in self._connections.values()]
        await asyncio.gather(*leaving)

    # ---- what the disks use

    def connection(self, path: int) -> Connection | None:
        return self._connections.get(path)

    def changed(self) -> None:
        news, self._news = self._news, None
        if news is not None and not news.done():
            news.set_result(None)
        self._on_change()

    def conflicted(self, disk: DiskId, key: RegistrationKey, reason: str) -> None:
        self._on_conflict(disk, key, reason)
        self.changed()

    def cut(self, path: int, reason: str) -> None:
        """End the path's session at once; it is rebuilt."""
        connection = self._connections.get(path)
        if connection is not None:
            connection.abort(reason)

    def enrol(self, lun: IscsiLun, path: int) -> None:
        connection = self._connections.get(path)
        if connection is not None:
            self._begin(lun.enrol(path, connection))

    async def path_for(self, choose: Callable[[], int | None], why: Callable[[], str]) -> int:
        """What `choose` finds, at once or when something changes. Raises `PathLost`."""
        found: int | None = None

        def chosen() -> bool:
            nonlocal found
            found = choose()
            return found is not None

        if not await self._until(chosen, self._settings.no_path_s):
            raise PathLost(why())
        assert found is not None
        return found

    async def settled(self, path: int) -> None:
        """Wait until nothing that was sent over this path's former session can arrive any more."""
        settings = self._settings
        patience_s = settings.settle_s if self.paths.up else settings.no_path_s
        if not await self._until(lambda: path not in self.paths.unsettled, patience_s):
            raise PathLost(
                "the session over which the write went may still be alive at the target, and no"
                " portal of its group lets this node end it"
            )

    async def _until(self, holds: Callable[[], bool], patience_s: float) -> bool:
        end = boottime() + patience_s
        while not holds():
            left_s = end - boottime()
            if left_s <= 0 or self._is_closing:
                return False
            if self._news is None:
                self._news = asyncio.get_running_loop().create_future()
            await asyncio.wait([self._news], timeout=left_s)
        return True

    # ---- keeping the paths

    def _begin(self, work: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _keep(self) -> None:
        """Try what is due, again and again."""
        while True:
            self._begin_tries()
            pair = self.paths.settling()
            if pair is not None:
                await self._settle(*pair)
            due = self.paths.next_at()
            wait_s = 1.0 if due is None else min(1.0, max(0.01, due - boottime()))
            if self._news is None:
                self._news = asyncio.get_running_loop().create_future()
            await asyncio.wait([self._news], timeout=wait_s)

    def _identity(self, path: int) -> Identity:
        account = self._account
        return Identity(
            initiator=account.initiator,
            target=account.target,
            isid=random_isid(self._life + path.to_bytes(2, "big")),
            credentials=account.credentials,
            wishes=self._settings.wishes,
        )

    async def _try(self, path: int) -> None:
        patience = self._settings.patience
        try:
            connection = await connected(
                self._portals[path], self._identity(path), patience, lambda _: self._ended(path)
            )
        except (SessionBroken, LoginRefused) as error:
            self.paths.lost(path, error.sentence, boottime())
            self.changed()
            return
        try:
            self._connections[path] = connection
            self.paths.unsettled.discard(path)  # this login took the place of the old session
            await self._look(path, connection)
            for lun in list(self._luns.values()):
                await lun.enrol(path, connection)
        except DiskError as error:
            connection.abort(error.sentence)
        if connection.is_up:
            self.paths.came_up(path, connection.session.portal_group)
            for lun in self._luns.values():
                if path not in lun.registration.numbers:
                    self.enrol(lun, path)  # a key came while this path was coming up
        elif self._connections.pop(path, None) is connection:
            self.paths.lost(path, connection.session.ended, boottime())
        self.changed()

    def _ended(self, path: int) -> None:
        """The session of a path is over, or the try to make one."""
        connection = self._connections.pop(path, None)
        if connection is None or self._is_closing:
            return
        self.paths.lost(path, connection.session.ended, boottime(), unanswered=True)
        self.changed()

    async def _settle(self, path: int, over: int) -> None:
        """Take the place of a broken path's session through another portal, and leave again."""
        identity = replace(self._identity(path), wishes=Wishes())
        try:
            connection = await connected(self._portals[over], identity, self._settings.patience)
        except (SessionBroken, LoginRefused):
            return
        if connection.session.portal_group == self.paths.groups.get(path):
            self.paths.settled(path)
        await connection.leave()
        self.changed()

    # ---- what lies behind

    async def _look(self, path: int, connection: Connection) -> None:
        """Ask which disks there are and who they are."""
        try:
            numbers = read_luns(
                await self._asked(connection, 0, commands.REPORT_LUNS, commands.ANSWER_BYTES)
            )
        except BadResponse as error:
            raise MediumError(error.sentence) from None
        for number in numbers:
            if number >= 0:
                unit = await self._unit(connection, number)
                if unit is not None:
                    disk = DiskId(unit.naa)
                    if disk not in self._luns:
                        self._luns[disk] = IscsiLun(self, unit)
                    self._luns[disk].seen(path, number)

    async def _unit(self, connection: Connection, number: int) -> commands.Unit | None:
        inquiry = await self._asked(connection, number, commands.INQUIRE, 255)
        if not commands.is_disk(inquiry):
            return None
        try:
            ids = await self._asked(connection, number, commands.INQUIRE_IDS, 255)
            capacity = await self._asked(connection, number, commands.READ_CAPACITY, 32)
            try:
                limits = await self._asked(connection, number, commands.INQUIRE_LIMITS, 255)
            except MediumError:
                limits = b""  # the page is optional
            return commands.unit(inquiry, ids, limits, capacity)
        except MediumError:
            return None  # one broken unit does not hide the others

    async def _asked(self, connection: Connection, number: int, cdb: bytes, most: int) -> bytes:
        target = bytearray(most)
        found = None
        for _ in range(ASKED_REPEATS):
            task = Task(lun_field(number), cdb, memoryview(target))
            if not await connection.execute(task):
                raise SessionBroken(connection.session.ended)
            found = ending(task)
            if found.verdict is Verdict.FINE:
                return bytes(target[: task.got_bytes])
            if found.verdict is Verdict.FAILED:
                break
        raise MediumError(found.error.sentence if found and found.error else "no answer")
