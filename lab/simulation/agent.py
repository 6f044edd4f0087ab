"""A simulated agent process: the real core, and an edge that acts in the simulated world."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from agent import actions, events
from agent.copy_record import DatabaseCopy
from agent.core import AgentCore
from agent.events import Event
from lab.simulation.disks import SimDisks
from lab.simulation.guest import LeasePage, SimWorker
from lab.simulation.ledger import take_over
from lab.simulation.migration import SourceStreams, Streams, TargetStreams, digest
from lab.simulation.net import End, Link
from lab.simulation.pulling import SimPulls
from lab.simulation.sampling import sampled
from lab.simulation.vms import SimVms
from lab.simulation.witness import Failed, Seen
from protocol.messages import Consented, Progress
from protocol.names import AttemptId, Incarnation, NetworkName, Step

if TYPE_CHECKING:
    from lab.simulation.node import SimMachine

SOCKET_BUFFER = 100
"""Datagrams that wait for a frozen agent; more are lost."""

REDIAL_S = 0.4


@dataclass(slots=True)
class Waiting:
    """What a frozen process finds when it wakes."""

    calls: list[tuple[Callable[..., None], tuple[Any, ...]]]
    datagrams: int = 0


class SimAgent:
    """One agent process: the real core, and an edge that acts in the world."""

    def __init__(self, machine: "SimMachine", incarnation: Incarnation) -> None:
        self.machine = machine
        self.cluster = machine.cluster
        self.node = machine.node
        self.incarnation = incarnation
        self.alive = True
        self.frozen = False
        self.lease = LeasePage()
        self.vms = SimVms(self)
        self.streams: dict[AttemptId, Streams] = {}
        self.pulls = SimPulls(self)
        self.core = AgentCore(machine.config, machine.disk, incarnation, machine.clock.now)
        self._link: tuple[Link, End] | None = None
        self._dials = machine.lives
        self._waiting = Waiting([])
        self._wakes_at = float("inf")
        self._perform: dict[type[Any], Callable[[Any], None]] = {
            actions.Persist: self._persist,
            actions.Tell: self._tell,
            actions.CloseLink: self._close_link,
            actions.SendBeat: self._send_beat,
            actions.SetLease: self._set_lease,
            actions.ReadWitness: self._read_witness,
            actions.WriteWitness: self._write_witness,
            actions.StoreCopy: self._store_copy,
            actions.FetchCopy: self._fetch_copy,
            actions.CreateVm: self.vms.make,
            actions.SetHolds: self.vms.set_holds,
            actions.SetThrottle: self.vms.set_throttle,
            actions.DestroyVm: self._destroy,
            actions.ObserveGuests: self._observe,
            actions.SampleWrites: self._sample,
            actions.Connect: self._connect,
            actions.SendRound: self._send_round,
            actions.SendLastPages: self._send_last,
            actions.SayToPeer: self._say_to_peer,
            actions.Reserve: self._reserve,
            actions.DigestMemory: self._digest,
            actions.OpenStorage: self._open_storage,
            actions.CloseStorage: self._close_storage,
            actions.CloseAttempt: self._close_attempt,
            actions.Announce: self._announce,
            actions.Rejoin: self._rejoin,
            actions.Note: self._note,
            **self.pulls.perform(),
        }
        san = self.cluster.san
        self.disks: SimDisks | None = None if san is None else SimDisks(self, san)
        if self.disks is not None:
            self._perform.update(self.disks.perform())

    # ---- its life

    def begin(self) -> None:
        self.later(0.01, self._dial)
        if self.disks is not None:
            self.disks.begin()
        self._schedule()

    def die(self) -> None:
        self.alive = False
        if self._link is not None:
            self._link[0].close(self._link[1], "the agent is gone")
        self.pulls.die()
        for streams in list(self.streams.values()):
            streams.close("the other end is gone")

    def thaw(self) -> None:
        """Go on with what waited. Half of the time it notices that it slept before it looks at
        anything else.
        """
        self.frozen = False
        if self.disks is not None:
            self.disks.wake()
        calls, self._waiting = self._waiting.calls, Waiting([])
        if self.machine.random.random() < 0.5:
            self.feed(events.Tick())
        for call, args in calls:
            self.soon(call, *args)
        self._schedule()

    def soon(self, call: Callable[..., None], *args: Any) -> None:
        """Let this process do it: now, when it is thawed, or never."""
        if not self.alive:
            return
        if not self.frozen:
            call(*args)
            return
        if call == self._beat:
            self._waiting.datagrams += 1
            if self._waiting.datagrams > SOCKET_BUFFER:
                return
        self._waiting.calls.append((call, args))
        self.cluster.held_up[self.node] += 1

    def later(self, delay_s: float, call: Callable[..., None], *args: Any) -> None:
        self.cluster.world.after(delay_s, self.soon, call, *args)

    # ---- events and time

    def feed(self, event: Event) -> None:
        if not self.alive:
            return
        if self.frozen:
            self.soon(self.feed, event)
            return
        perform = self._perform
        for action in self.core.handle(event, self.machine.clock.now):
            perform[type(action)](action)
            if not self.alive:
                return  # a crash may come between any two actions
        self._schedule()

    def datagram(self, network: NetworkName, message: Any) -> None:
        self.soon(self._beat, network, message)

    def _beat(self, network: NetworkName, message: Any) -> None:
        self.feed(events.BeatReceived(network, message))

    def _schedule(self) -> None:
        at = self.core.wake_at()
        if at < self._wakes_at:
            self._wakes_at = at
            when = self.machine.clock.in_world(at) + 1e-6
            self.cluster.world.at(when, self.soon, self._tick, at)

    def _tick(self, planned: float) -> None:
        if planned == self._wakes_at:
            self._wakes_at = float("inf")
            self.feed(events.Tick())

    # ---- the control link

    def _dial(self) -> None:
        if self._link is None:
            self._dials += 1
            self.cluster.dial(self, self._dials)

    def linked(self, link: Link, end: End) -> None:
        self._link = (link, end)
        self.feed(events.LinkUp())

    def not_linked(self) -> None:
        self.later(REDIAL_S, self._dial)

    def unlinked(self, link: Link, reason: str) -> None:
        if self._link is not None and self._link[0] is link:
            self._link = None
            self.feed(events.LinkDown(reason))
            self.not_linked()

    def heard(self, message: Any) -> None:
        self.feed(events.Told(message))

    def control_end(self) -> End:
        """An end for a link that is being made; what comes in is this process's to do."""
        holder: list[Link] = []
        end = End(
            self.node,
            lambda message: self.soon(self._heard_on, holder, message),
            lambda reason: self.soon(self._closed_on, holder, reason),
        )
        end.holder = holder
        return end

    def _heard_on(self, holder: list[Link], message: Any) -> None:
        if self._link is not None and holder and self._link[0] is holder[0]:
            self.heard(message)

    def _closed_on(self, holder: list[Link], reason: str) -> None:
        if holder:
            self.unlinked(holder[0], reason)

    def _tell(self, action: actions.Tell) -> None:
        message = action.message
        self.cluster.agent_says(self, message)
        if self._link is not None and self.alive:
            self._link[0].send(self._link[1], self.cluster.wire(message))
        if isinstance(message, Progress):
            self.cluster.reached(message.step, message.attempt)
        elif isinstance(message, Consented):
            self.cluster.reached(Step.COMMIT, message.attempt)

    def _close_link(self, action: actions.CloseLink) -> None:
        if self._link is not None:
            link, end = self._link
            link.close(end, action.reason)
            # What the core says now it says to nobody; it hears of the end when its turn is over.
            self.cluster.world.after(0.0, self.soon, self.unlinked, link, action.reason)

    # ---- node

    def _persist(self, action: actions.Persist) -> None:
        self.cluster.checker.persisted(self.node, self.machine.disk, action.record)
        self.machine.disk = action.record

    def _send_beat(self, action: actions.SendBeat) -> None:
        receiver = self.cluster.node_at(action.address)
        message = self.cluster.wire(action.message)
        self.cluster.net.send(action.network, self.node, receiver, message)

    def _set_lease(self, action: actions.SetLease) -> None:
        for worker in self.vms.workers():
            worker.advance()
        self.lease.end_s = action.end_s
        for worker in self.vms.workers():
            worker.look()

    def _read_witness(self, action: actions.ReadWitness) -> None:
        def answered(answer: Seen | Failed) -> None:
            match answer:
                case Seen(version, record):
                    self.feed(events.WitnessRead(version, record, action.begun_at))
                case Failed(reason):
                    self.feed(events.WitnessFailed(reason, action.begun_at))

        witness = self.cluster.witnesses[action.witness.path]
        witness.read(self.node, lambda answer: self.soon(answered, answer))

    def _write_witness(self, action: actions.WriteWitness) -> None:
        def answered(answer: bool | Failed) -> None:
            if isinstance(answer, Failed):
                self.feed(events.WitnessFailed(answer.reason, action.begun_at))
            else:
                self.feed(events.WitnessWritten(action.version, answer, action.begun_at))

        witness = self.cluster.witnesses[action.witness.path]
        witness.write_if(
            self.node, action.version, action.record, lambda answer: self.soon(answered, answer)
        )

    def _store_copy(self, action: actions.StoreCopy) -> None:
        def answered(answer: Failed | None) -> None:
            if answer is None:
                self.feed(events.CopyStored(action))
            else:
                self.feed(events.CopyFailed(action, answer.reason))

        witness = self.cluster.witnesses[action.witness.path]
        witness.keep_copy(self.node, action.copy, lambda answer: self.soon(answered, answer))

    def _fetch_copy(self, action: actions.FetchCopy) -> None:
        def answered(answer: DatabaseCopy | Failed | None) -> None:
            if isinstance(answer, Failed):
                self.feed(events.CopyFailed(action, answer.reason))
            else:
                self.feed(events.CopyFetched(action, answer))

        witness = self.cluster.witnesses[action.witness.path]
        witness.newest_copy(self.node, lambda answer: self.soon(answered, answer))

    def _rejoin(self, action: actions.Rejoin) -> None:
        self.cluster.tell(f"{self.incarnation} is out: {action.reason}")
        self.machine.kill()
        self.cluster.world.after(0.2, self.machine.start)

    def _note(self, action: actions.Note) -> None:
        self.cluster.detail(f"{self.incarnation}: {action.text}")

    # ---- VMs

    def _destroy(self, action: actions.DestroyVm) -> None:
        self.vms.destroy(action.vm)

    def _sample(self, action: actions.SampleWrites) -> None:
        told = sampled(action, self.vms.worker(action.order.vm))
        self.later(action.order.longest_s, self.feed, events.WritesSampled(told))

    def _observe(self, _: actions.ObserveGuests) -> None:
        for seen in self.vms.observe():
            self.core.handle(seen, self.machine.clock.now)

    # ---- migrations

    def _connect(self, action: actions.Connect) -> None:
        worker = self.vms.worker(action.vm)
        if worker is None:
            gone = events.PeerLost(action.attempt, f"{action.vm} is gone from this node")
            self.later(0.01, self.feed, gone)
            return
        streams = SourceStreams(self, action.attempt, worker)
        self.streams[action.attempt] = streams
        self.pulls.connects(action)
        streams.connect(action)

    def _send_round(self, action: actions.SendRound) -> None:
        streams = self.streams.get(action.attempt)
        if isinstance(streams, SourceStreams):
            self.cluster.reached(Step.ROUND if action.round else Step.FIRST_ROUND, action.attempt)
            streams.send_round(action.round, action.rate_bytes_per_s)

    def _send_last(self, action: actions.SendLastPages) -> None:
        streams = self.streams.get(action.attempt)
        if isinstance(streams, SourceStreams):
            streams.send_last(action.round, action.verify, action.rate_bytes_per_s)

    def _say_to_peer(self, action: actions.SayToPeer) -> None:
        streams = self.streams.get(action.attempt)
        if streams is not None:
            streams.say(action.message)

    def _reserve(self, action: actions.Reserve) -> None:
        self.cluster.reached(Step.RESERVE, action.attempt)
        self.vms.make(action)

    def reserved(self, order: actions.Reserve, worker: SimWorker) -> None:
        self.streams[order.attempt] = TargetStreams(self, order, worker)
        self.feed(events.ReserveDone(order.attempt))

    def greeted(self, order: actions.Connect, network: NetworkName, source: SourceStreams) -> None:
        """A source knocks, on all its connections at once."""
        streams = self.streams.get(order.attempt)
        world = self.cluster.world
        if (
            not isinstance(streams, TargetStreams)
            or order.target.incarnation != self.incarnation
            or not streams.admits(order)
        ):
            world.after(0.002, source.agent.soon, source.broken, "the target refused the greeting")
            return
        streams.is_taken = True
        streams.join(network, source)
        self.feed(events.SourceConnected(order.attempt))
        world.after(0.002, source.agent.soon, source.accepted, network)

    def _digest(self, action: actions.DigestMemory) -> None:
        streams = self.streams.get(action.attempt)
        if streams is not None and streams.worker.alive:
            proof = digest(streams.worker, action.verify)
            done = events.MemoryDigested(action.attempt, proof, 0.001)
            self.later(0.001, self.feed, done)

    def _open_storage(self, action: actions.OpenStorage) -> None:
        self.cluster.reached(Step.STORAGE, action.attempt)
        self.later(self.machine.random.uniform(0.001, 0.02), self._storage, action)

    def _storage(self, action: actions.OpenStorage) -> None:
        if self.machine.fails_storage:
            self.machine.fails_storage -= 1
            self.machine.storage_failed += 1
            self.feed(events.StorageFailed(action.attempt, "the LUN is in use"))
        elif (ledger := self.vms.ledger(action.vm)) is not None:
            take_over(self, ledger, action)
        elif action.attempt in self.streams:
            self.feed(events.StorageDone(action.attempt))

    def _close_storage(self, _: actions.CloseStorage) -> None:
        """The disks of this lab are opened and closed by words alone."""

    def _close_attempt(self, action: actions.CloseAttempt) -> None:
        self.pulls.close(action.attempt)
        streams = self.streams.pop(action.attempt, None)
        if streams is not None:
            streams.close()

    def _announce(self, action: actions.Announce) -> None:
        self.cluster.reached(Step.ANNOUNCE, self.cluster.attempt_of(action.vm))
