"""Carries out what the agent's core wants, and tells it what happens. Decides nothing."""

import asyncio
import math
import uuid
from collections.abc import Coroutine, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import structlog

from agent import actions
from agent.actions import Action
from agent.config import AgentConfig
from agent.core import AgentCore
from agent.disk_words import DiskAction
from agent.events import BeatReceived, Event, Tick
from agent.io.beats import Beats
from agent.io.control import LeasePage
from agent.io.coordinator import ControlLink
from agent.io.copies import CopyDoor
from agent.io.incoming import Target
from agent.io.kept import KeptImages
from agent.io.outgoing import Source
from agent.io.record import StateFolder
from agent.io.sampling import Sampler
from agent.io.storage import Storage
from agent.io.vms import Vms, boottime
from agent.io.warm import WarmParent
from agent.io.witness import WitnessDoor
from agent.io.witness_places import WitnessPlaces
from agent.pull_words import (
    CountMissing,
    EndGuest,
    OpenPull,
    PullAction,
    PullPages,
    PunchPages,
    SendMap,
    ServePages,
)
from protocol.errors import NotReady
from protocol.names import AttemptId, Incarnation, NetworkName, VmName

if TYPE_CHECKING:
    from agent.io.disks.disk_door import DiskDoor

NO_WARM_PARENT = "The warm parent of the VM workers has ended: this node can run no VM any more."


class Driver:
    """One agent process. `listen` takes the ports, `run` lives until it is told to stop.

    All state changes happen in `_feed`, on the event loop, one event at a time. A broken promise of
    the core (AssertionError) ends the program, and its guests with it: that is the safe way out.
    """

    def __init__(
        self,
        state: StateFolder,
        warm: WarmParent,
        tracker: str,
        addresses: dict[NetworkName, str],
        coordinators: Sequence[tuple[str, str, int]],
        *,
        source: type[Source] = Source,
        beat_log: Path | None = None,
        disks: "DiskDoor | None" = None,
        kept_bytes: int = 0,
    ) -> None:
        self._state = state
        self._log = structlog.get_logger(part="agent")
        self._group = asyncio.TaskGroup()
        self._addresses = addresses
        self._lease = LeasePage.create()
        self._disks = disks
        self._storage = (
            Storage(state.path / "vms")
            if disks is None
            else Storage(state.path / "vms", disks.volumes, disks.thread)
        )
        self._warm = warm
        self._vms = Vms(
            warm,
            self._lease,
            tracker,
            self._storage,
            self._feed,
            self._spawn,
            kept=KeptImages(kept_bytes),
        )
        self._source = source(self._vms, addresses, self._feed, self._spawn)
        self._target = Target(self._vms, self._storage, self._feed, self._spawn)
        self._sampler = Sampler(self._vms, self._feed, self._spawn)
        self._beats = Beats(lambda network, said: self._feed(BeatReceived(network, said)), beat_log)
        self._link = ControlLink(coordinators, self._feed)
        loop = asyncio.get_running_loop()
        places = WitnessPlaces(None if disks is None else disks.witnesses)
        self._witness = WitnessDoor(
            self._feed, loop.call_later, loop.call_soon_threadsafe, places.records
        )
        self._copies = CopyDoor(
            self._feed, loop.call_later, loop.call_soon_threadsafe, places.copies
        )
        self._core: AgentCore | None = None
        self._alarm: asyncio.TimerHandle | None = None
        self._alarm_s = float("inf")
        self._closing: dict[VmName, list[asyncio.Task[None]]] = {}
        self._vm_of: dict[AttemptId, VmName] = {}
        self._fault: asyncio.Future[None] | None = None
        self._jobs: set[asyncio.Task[None]] = set()
        self._is_stopping = False

    async def listen(self, heartbeat_port: int, migration_port: int) -> tuple[int, int]:
        """Take the ports on all networks; returns which they are. `Refused` if one is in use."""
        await self._beats.listen(self._addresses, heartbeat_port)
        self._target.listen(self._addresses, migration_port)
        return self._beats.port, self._target.port

    async def run(self, config: AgentConfig, stop: asyncio.Event) -> None:
        """Be the node that `config` says, until `stop` is set or something breaks."""
        self._fault = asyncio.get_running_loop().create_future()
        self._warm.watch(lambda: self._break(NotReady(NO_WARM_PARENT)))
        if self._disks is not None:
            self._disks.watch(self._break)
        try:
            async with self._group:
                self._begin(config)
                lasting = [
                    self._group.create_task(self._target.accept()),
                    self._group.create_task(self._link.run()),
                ]
                waiting = self._group.create_task(self._until(stop))
                await asyncio.wait({waiting, self._fault}, return_when=asyncio.FIRST_COMPLETED)
                self._is_stopping = True
                for task in (*lasting, waiting):
                    task.cancel()
                await self._end_all()
            if self._fault.done():
                self._fault.result()
        finally:
            if self._alarm is not None:
                self._alarm.cancel()
            self._beats.close()
            self._target.stop_listening()
            self._vms.abandon()
            self._lease.close()

    async def _until(self, stop: asyncio.Event) -> None:
        await stop.wait()

    # ---- events

    def _begin(self, config: AgentConfig) -> None:
        incarnation = Incarnation(f"{config.node}-{uuid.uuid4().hex}")
        self._core = AgentCore(config, self._state.load(), incarnation, boottime())
        self._log = structlog.get_logger(part="agent", incarnation=incarnation[-6:])
        self._log.info("incarnation-begun", full=incarnation)
        if self._disks is not None:
            self._disks.begin(incarnation, self._feed)
        self._set_alarm()

    def _feed(self, event: Event) -> None:
        """The one door. After a fault, or between two incarnations, nobody is there to hear."""
        if self._core is None:
            return
        try:
            self._perform(self._core.handle(event, boottime()))
            self._set_alarm()
        except Exception as fault:
            self._break(fault)

    def _break(self, fault: Exception) -> None:
        """End the program, and with it every guest here."""
        self._core = None
        if self._fault is not None and not self._fault.done():
            self._fault.set_exception(fault)

    def _set_alarm(self) -> None:
        if self._core is None:
            return
        wake_s = self._core.wake_at()
        if wake_s == self._alarm_s:
            return
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        self._alarm_s = wake_s
        if wake_s != float("inf"):
            # The loop counts in whole ms and cuts off the rest: too early, it would ring in vain.
            left_s = math.ceil(max(0.0, wake_s - boottime()) * 1000) / 1000
            self._alarm = asyncio.get_running_loop().call_later(left_s, self._ring)

    def _ring(self) -> None:
        self._alarm, self._alarm_s = None, float("inf")
        if self._core is not None and boottime() >= self._core.wake_at():
            self._feed(Tick())
        else:
            self._set_alarm()  # timers of the loop may ring a little early

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        job = self._group.create_task(work)
        self._jobs.add(job)
        job.add_done_callback(self._jobs.discard)
        return job

    # ---- actions

    def _perform(self, wanted: Sequence[Action]) -> None:
        for action in wanted:
            self._do(action)

    def _do(self, action: Action) -> None:
        match action:
            case actions.SendBeat(network, address, port, message):
                self._beats.send(network, address, port, message)
            case actions.SetLease(end_s):
                lapsed = self._lease.end_s <= boottime()
                self._set_lease(end_s)
                if lapsed and end_s > 0:
                    self._vms.wake_all()
            case actions.ReadWitness() | actions.WriteWitness():
                self._witness.go(action)
            case actions.StoreCopy() | actions.FetchCopy():
                self._copies.go(action)
            case actions.Tell(message):
                self._link.tell(message)
            case actions.Persist(record):
                # On the loop and not beside it: what follows must not begin before this is on
                # disk, and terms and views change seldom.
                self._state.keep(record)
            case actions.CloseLink(reason):
                self._log.info("hang-up", reason=reason)
                self._link.hang_up()
            case actions.Note(level, text, vm, node):
                where = {"vm": vm, "node": node}
                self._log.log(_LEVELS[level], text, **{k: v for k, v in where.items() if v})
            case actions.Rejoin(reason):
                self._log.warning("incarnation-over", reason=reason)
                self._set_lease(0.0)
                assert self._core is not None, "only a core leaves"
                self._group.create_task(self._rejoin(self._core.config))
            case _ if isinstance(action, DiskAction):
                if self._disks is not None:  # without a way to disks there is nothing to be done
                    self._disks.go(action)
            case _:
                self._do_with_vm(action)

    def _set_lease(self, end_s: float) -> None:
        self._lease.end_s = end_s
        if self._disks is not None:
            self._disks.lease_end_s = end_s

    def _do_with_vm(self, action: Action) -> None:
        match action:
            case actions.CreateVm(vm, epoch, spec, holds):
                self._vms.create(vm, epoch, spec, holds)
            case actions.SetHolds(vm, epoch, holds):
                self._vms.set_holds(vm, epoch, holds)
            case actions.SetThrottle(vm, share):
                self._vms.set_throttle(vm, share)
            case actions.DestroyVm(vm, moved):
                self._target.close_storage(vm)
                self._spawn(self._destroy(vm, moved, self._closing.pop(vm, [])))
            case actions.ObserveGuests():
                for seen in list(self._vms.observe()):
                    self._feed(seen)
            case actions.SampleWrites():
                self._sampler.sample(action)
            case actions.MirrorStorage():
                self._vms.mirror(action)
            case actions.LeaveMirror(vm, move):
                self._vms.leave_mirror(vm, move)
            case actions.SwitchStorage(vm, move, spec):
                self._vms.switch_storage(vm, move, spec)
            case actions.Announce(vm, epoch):
                self._log.info("announce", vm=vm, epoch=epoch)
            case _:
                self._do_with_attempt(action)

    def _do_with_attempt(self, action: Action) -> None:
        match action:
            case actions.Reserve():
                self._vm_of[action.attempt] = action.vm
                self._target.reserve(action)
            case actions.Connect():
                self._vm_of[action.attempt] = action.vm
                self._source.connect(action)
            case actions.SendRound():
                self._source.send_round(action)
            case actions.SendLastPages():
                self._source.send_last_pages(action)
            case actions.SayToPeer(attempt, message):
                for side in (self._source, self._target):
                    if side.has(attempt):
                        side.say(attempt, message)
            case actions.DigestMemory():
                self._target.digest(action)
            case actions.OpenStorage():
                self._target.open_storage(action)
            case actions.CloseStorage(vm):
                self._target.close_storage(vm)
            case actions.CloseAttempt(attempt):
                self._close(attempt)
            case _ if isinstance(action, PullAction):
                self._do_with_pull(action)
            case _:
                raise AssertionError(f"nobody carries out {type(action).__name__}")

    def _do_with_pull(self, action: PullAction) -> None:
        match action:
            case OpenPull(attempt):
                self._source.open_pull(attempt)
            case SendMap():
                self._source.send_map(action)
            case ServePages(attempt):
                self._source.serve(attempt)
            case EndGuest(vm):
                self._target.close_storage(vm)
                self._vms.end_guest(vm)
            case PunchPages():
                self._target.punch(action)
            case CountMissing(attempt):
                self._target.count_missing(attempt)
            case PullPages(attempt):
                self._target.pull(attempt)

    def _close(self, attempt: AttemptId) -> None:
        """End its streams; a VM that goes next keeps its memory until they have ended."""
        vm = self._vm_of.pop(attempt, None)
        for side in (self._source, self._target):
            closing = side.close(attempt)
            if closing is not None and vm is not None:
                self._closing.setdefault(vm, []).append(closing)
                closing.add_done_callback(partial(self._closed, vm))

    def _closed(self, vm: VmName, task: asyncio.Task[None]) -> None:
        left = [other for other in self._closing.get(vm, []) if other is not task]
        if left:
            self._closing[vm] = left
        else:
            self._closing.pop(vm, None)

    async def _destroy(self, vm: VmName, moved: bool, closing: list[asyncio.Task[None]]) -> None:
        await asyncio.gather(*closing, return_exceptions=True)
        await self._vms.destroy(vm, moved)

    # ---- ends

    async def _end_all(self) -> None:
        """Nothing of this incarnation is left afterwards: no VM, no stream, and no job of theirs
        that could still say something.
        """
        self._core = None
        self._set_lease(0.0)
        await self._source.close_all()
        await self._target.close_all()
        await self._vms.end_all()
        if self._disks is not None:
            await self._disks.end_life()
        while left := {job for job in self._jobs if job is not asyncio.current_task()}:
            await asyncio.wait(left)

    async def _rejoin(self, config: AgentConfig) -> None:
        await self._end_all()
        if not self._is_stopping:
            self._begin(config)
            self._link.hang_up()


_LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40, "critical": 50}
