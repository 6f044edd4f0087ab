"""Carries out what the owner of a disk wants: reservation, mount, keys, last words."""

import asyncio
import itertools
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any, Protocol

from agent.io.disks.lun import Lun
from agent.io.disks.mount import Mount
from agent.io.disks.service import Reply, Service
from agent.volumes import owning
from agent.volumes.errors import DiskError, PathLost, VolumeError
from agent.volumes.owner import NOT_OWNER, OwnerPhase, VolumeOwner, keys_of_lives
from agent.volumes.owning import OwnerAction, OwnerEvent
from protocol import messages as say
from protocol.disks import FencedLife
from protocol.messages import VolumeRequest
from protocol.names import ClusterId, Incarnation, VolumeName

QUIESCE_WITHIN_S = 10.0
"""After this a planned release is an unclean one."""

FENCE_ROUNDS = 2
"""A key may be registered anew while the first ones are removed."""


class Peer(Protocol):
    """A client's connection; the node's own client has one without a network."""

    def drop(self, reason: str) -> None: ...
    async def ended(self) -> None:
        """Once nothing that came from it is under way; nothing more is read from it."""


class Ownership:
    """One disk under one epoch. `said` hears SayTaken and SayGiven, the latter once."""

    def __init__(
        self,
        owner: VolumeOwner,
        lun: Lun,
        has_lease: Callable[[], bool],
        said: Callable[[owning.SayTaken | owning.SayGiven], None],
    ) -> None:
        self.owner = owner
        self.lun = lun
        self.service: Service | None = None
        self._has_lease = has_lease
        self._said = said
        self._peers: dict[Incarnation, Peer] = {}
        self._asked: dict[int, asyncio.Future[str]] = {}
        self._tokens = itertools.count(1)
        self._jobs: set[asyncio.Task[None]] = set()
        self._settled = asyncio.Event()
        self._inbox: deque[OwnerEvent] = deque()
        self._leaving: set[Peer] = set()
        """Dropped; something of them may still be under way."""

    # ---- the door

    def begin(self, volume: VolumeName, is_private: bool = False) -> None:
        for action in self.owner.begin(volume, is_private):
            self._do(action)

    def feed(self, event: OwnerEvent) -> None:
        """One event after the other, also where carrying out one brings the next."""
        self._inbox.append(event)
        if len(self._inbox) > 1:
            return
        while self._inbox:
            try:
                for action in self.owner.handle(self._inbox[0]):
                    self._do(action)
            finally:
                self._inbox.popleft()

    def _do(self, action: OwnerAction) -> None:
        match action:
            case owning.Answer(token, reason):
                asked = self._asked.pop(token, None)
                if asked is not None and not asked.done():
                    asked.set_result(reason)
            case owning.Drop(incarnation, reason):
                if (peer := self._peers.pop(incarnation, None)) is not None:
                    peer.drop(reason)
                    self._leaving.add(peer)
                    self._job(self._leave(peer))
            case owning.ForgetHolder(holder):
                if self.service is not None:
                    self._job(self._forget(self.service.mount, holder))
            case owning.SayTaken(reason):
                self._settled.set()
                if reason:
                    self.service = None
                self._said(action)
            case owning.SayGiven():
                self._settled.set()
                self.service = None
                self._said(action)
            case _:
                self._job(self._work(action))

    def _job(self, work: Coroutine[Any, Any, None]) -> None:
        job = asyncio.get_running_loop().create_task(work)
        self._jobs.add(job)
        job.add_done_callback(self._jobs.discard)

    async def _work(self, action: OwnerAction) -> None:
        try:
            match action:
                case owning.LookAtReservation():
                    event: OwnerEvent = owning.ReservationSeen(
                        await self.lun.holder(), await self.lun.keys()
                    )
                case owning.Reserve():
                    await self.lun.reserve()
                    event = owning.Reserved()
                case owning.TakeReservation(holder):
                    await self.lun.preempt(holder, abort=True)
                    event = owning.Reserved()
                case owning.Mount():
                    event = await self._mount()
                case owning.Quiesce():
                    await self._quiesce()
                    event = owning.Quiesced()
                case owning.Unmount(clear):
                    if clear:
                        await self.lun.clear()
                    event = owning.Unmounted()
                case owning.RemoveKeys(incarnation, generation, token):
                    event = await self._remove(incarnation, generation, token)
                case _:
                    raise AssertionError(f"nobody carries out {type(action).__name__}")
        except VolumeError as error:
            event = owning.Faulted(str(error), is_refusal=True)
        except (DiskError, TimeoutError) as error:
            event = owning.Faulted(str(error) or "Its requests did not end in time.")
        self.feed(event)

    async def _mount(self) -> OwnerEvent:
        mount, _ = await Mount.begin(self.lun, self.owner.epoch, self._mount_faulted)
        self.service = Service(self.owner, mount, self._has_lease)
        return owning.Mounted(tuple(str(holder) for holder in mount.filesystem.holders()))

    def _mount_faulted(self, reason: str) -> None:
        self.feed(owning.Faulted(reason))

    async def _quiesce(self) -> None:
        service = self.service
        if service is None:
            return
        async with asyncio.timeout(QUIESCE_WITHIN_S):
            while service.under_way:
                service.idle.clear()
                await service.idle.wait()
            await service.mount.flush()
            await service.mount.end()
        self.service = None

    async def _forget(self, mount: Mount, holder: str) -> None:
        try:
            await mount.change(lambda fs: fs.fence(holder))
        except (DiskError, VolumeError):
            pass  # the mount's end was told; the next one takes them back

    async def _remove(self, incarnation: Incarnation, generation: int, token: int) -> OwnerEvent:
        try:
            left = await remove_keys(
                self.lun, self.owner.cluster, (FencedLife(incarnation, generation),)
            )
        except DiskError as error:
            left = str(error)
            if isinstance(error, PathLost):
                self.feed(owning.Faulted(left))  # an owner without its disk serves nobody
        if left:
            return owning.KeysStayed(incarnation, token, left)
        return owning.KeysRemoved(incarnation, generation, token)

    # ---- clients

    def refuses(self, hello: say.Attach) -> str:
        """Why it is not let in; empty if it is."""
        owner = self.owner
        if (hello.cluster, hello.epoch) != (owner.cluster, owner.epoch):
            return f"This node owns the disk under epoch {owner.epoch}, not {hello.epoch}."
        denied = owner.comes_in(hello.incarnation)
        return "" if denied is None else denied.reason

    async def admit(self, client: Incarnation, peer: Peer) -> None:
        before = self._peers.get(client)
        if before is not None and before is not peer:
            before.drop("The same node connected again.")
            await before.ended()
        self._peers[client] = peer
        self.feed(owning.ClientCame(client))

    async def serve(
        self, client: Incarnation, request: VolumeRequest, payload: memoryview | None
    ) -> Reply:
        service = self.service
        if service is None:
            return say.Failed(request.request, NOT_OWNER, "It is not mounted here.", True), None
        if isinstance(request, say.Redirect | say.GoDirect):
            return await self._agree(client, request), None
        return await service.serve(client, request, payload)

    async def _agree(
        self, client: Incarnation, request: say.Redirect | say.GoDirect
    ) -> say.Done | say.Failed:
        token = next(self._tokens)
        asked = asyncio.get_running_loop().create_future()
        self._asked[token] = asked
        match request:
            case say.Redirect(_, generation):
                self.feed(owning.RedirectWanted(client, generation, token))
            case say.GoDirect():
                self.feed(owning.DirectWanted(client, token))
        reason = await asked
        if reason:
            return say.Failed(request.request, NOT_OWNER, reason, True)
        return say.Done(request.request)

    async def left_behind(self) -> None:
        """Until nothing is under way of those who were dropped."""
        for peer in list(self._leaving):
            await self._leave(peer)

    async def _leave(self, peer: Peer) -> None:
        await peer.ended()
        self._leaving.discard(peer)

    async def settled(self) -> bool:
        """Once it is owned or over: whether it is owned."""
        await self._settled.wait()
        return self.owner.phase is OwnerPhase.OWNED

    async def end(self) -> None:
        """The node ends: nothing more is done, and nothing is told."""
        self._said = lambda _: None
        self.feed(owning.Faulted("The node ends."))
        for job in list(self._jobs):
            job.cancel()
        if self._jobs:
            await asyncio.wait(set(self._jobs))


async def remove_keys(lun: Lun, cluster: ClusterId, lives: tuple[FencedLife, ...]) -> str:
    """PREEMPT AND ABORT every key of these lives; says which is left, empty if none."""
    for _ in range(FENCE_ROUNDS):
        if not (left := keys_of_lives(cluster, lives, await lun.keys())):
            return ""
        for key in left:
            await lun.preempt(key, abort=True)
    left = keys_of_lives(cluster, lives, await lun.keys())
    return f"Key {left[0].hex()} is still registered." if left else ""
