"""The attempts that this node takes part in: as many that move as the coordinator allows, and those
whose end is not told yet.
"""

import collections
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from agent import source, source_states, target, target_states
from agent.actions import Action, DestroyVm, SetHolds, Tell
from agent.config import Limits
from agent.moves import Here, LeaderHeard, carried_out, gave_up
from agent.pull_words import LoseVm, PeerLeft, Superseded
from agent.vms import Outcome, Phase, Vms
from protocol.messages import AttemptReport, Decided, Ended, Migrate, Reserve
from protocol.names import AttemptId, Decision, Epoch, Step, View, VmName, VmSpec

ENDED_MAX = 64
"""How many ended attempts can be told again; the coordinator asks for one at a time."""


@dataclass(slots=True)
class SourceSide:
    """This node has the VM and sends it."""

    order: Migrate
    state: source_states.State


@dataclass(slots=True)
class TargetSide:
    """This node gets the VM."""

    order: Reserve
    state: target_states.State


Side = SourceSide | TargetSide


@dataclass(frozen=True, slots=True)
class Memory:
    """How an attempt ended here. `epoch` is the one that it was to move the VM from."""

    vm: VmName
    epoch: Epoch
    told: Ended

    def is_of(self, decided: Decided) -> bool:
        same = (self.vm, self.epoch + 1, self.told.decision)
        return same == (decided.vm, decided.epoch, decided.decision)


SideEvent = source_states.Event | target_states.Event


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a story: what happened to an attempt, and what it changed."""

    at_s: float
    attempt: AttemptId
    was: str
    event: str
    now: str

    def __str__(self) -> str:
        return f"{self.at_s:10.3f}  attempt {self.attempt}: {self.was} + {self.event} -> {self.now}"


class Attempts:
    """Feeds each machine what concerns it, and keeps the books of what it does to its VM."""

    def __init__(
        self, vms: Vms, memory_bytes: int, limits: Limits, here: Callable[[VmName], Here]
    ) -> None:
        self.sides: dict[AttemptId, Side] = {}
        self.story: collections.deque[Line] = collections.deque(maxlen=256)
        self._ended: dict[AttemptId, Memory] = {}
        self._vms = vms
        self._memory_bytes = memory_bytes
        self._limits = limits
        self._here = here

    # ---- orders

    def reserve(self, order: Reserve, now: float) -> Outcome:
        """S3. What cannot be done is given up at once, and told until the coordinator has aborted
        it.
        """
        if self._is_known(order):
            return self._told_again(order.attempt, now)
        here = self._here(order.vm)
        if reason := self._why_no_place(order):
            told = gave_up(order, here, Step.RESERVE, reason)
            self.sides[order.attempt] = TargetSide(order, target_states.GivenUp(told, cleared=True))
            return [Tell(told)]
        self._vms.reserve(order.vm, order.epoch, order.spec)
        state, actions = target.begin(order, here)
        self.sides[order.attempt] = TargetSide(order, state)
        return list(actions)

    def migrate(self, order: Migrate, now: float) -> Outcome:
        """S4. As for `reserve`."""
        if self._is_known(order):
            return self._told_again(order.attempt, now)
        here = self._here(order.vm)
        if reason := self._why_no_start(order) or here.policies.why_not(order.policy):
            told = gave_up(order, here, Step.CONNECT, reason)
            # A VM that is not here, or moves in another attempt, is not this attempt's to hold or
            # release.
            lost = order.vm not in self._vms.vms or self.moves(order.vm)
            self.sides[order.attempt] = SourceSide(order, source_states.GivenUp(told, lost))
            return [Tell(told)]
        self._vms.see(order.vm, order.epoch)
        state, actions = source.begin(order, here)
        self.sides[order.attempt] = SourceSide(order, state)
        return list(actions)

    def decided(self, decided: Decided, now: float) -> Outcome:
        """The decision ends the attempt, here too; one that was never heard of, or has ended, is
        confirmed.
        """
        if decided.attempt in self.sides:
            return self.feed(decided.attempt, decided, now)
        known = self._ended.get(decided.attempt)
        if known is not None and known.is_of(decided):
            return self._told_again(decided.attempt, now)
        vm = self._vms.vms.get(decided.vm)
        is_source = vm is not None and vm.phase is Phase.HERE
        here = self._here(decided.vm)
        stays = is_source == (decided.decision is Decision.ABORTED)
        ended = carried_out(decided, here, stays)
        self._remember(Memory(decided.vm, Epoch(decided.epoch - 1), ended))
        if vm is None or not ended.is_source or decided.epoch <= vm.epoch or self.moves(vm.vm):
            return [Tell(ended)]
        return [*self._carried([SetHolds(vm.vm, decided.epoch, vm.holds)]), Tell(ended)]

    def _why_no_place(self, order: Reserve) -> str | None:
        if self._vms.is_stale(order.vm, order.epoch):
            return f"Epoch {order.epoch} of {order.vm} is over: this node has seen a newer one."
        if busy := self._busy(order.at_once):
            return f"This node takes part in attempt {busy} already; try again when it has ended."
        if order.vm in self._vms.vms:
            return f"This node still has a {order.vm}; try again when it is gone."
        free = self._memory_bytes - sum(vm.spec.memory_bytes for vm in self._vms.vms.values())
        if order.spec.memory_bytes > free:
            return (
                f"{order.vm} needs {order.spec.memory_bytes} bytes, and this node has {free} left."
            )
        return None

    def _why_no_start(self, order: Migrate) -> str | None:
        vm = self._vms.vms.get(order.vm)
        if self._vms.is_stale(order.vm, order.epoch):
            return f"Epoch {order.epoch} of {order.vm} is over: this node has seen a newer one."
        if busy := self._busy(order.at_once):
            return f"This node takes part in attempt {busy} already; try again when it has ended."
        if self.moves(order.vm):
            return f"Another attempt moves {order.vm}; try again when it has ended."
        if vm is None or vm.phase is not Phase.HERE or vm.epoch != order.epoch:
            return f"This node has no {order.vm} under epoch {order.epoch} that could be moved."
        return None

    def _busy(self, at_once: int) -> AttemptId | None:
        """The first of those that leave no place for another."""
        moving = [attempt for attempt, side in self.sides.items() if _is_moving(side)]
        return moving[0] if len(moving) >= max(at_once, 1) else None

    def moves(self, vm: VmName) -> bool:
        """Whether an attempt that has not given up holds the VM's fate."""
        return any(side.order.vm == vm and _is_moving(side) for side in self.sides.values())

    # ---- events

    def feed(self, attempt: AttemptId, event: SideEvent, now: float) -> Outcome:
        """One event for one machine. What comes for an attempt that has ended came too late and
        says nothing.
        """
        side = self.sides.get(attempt)
        if side is None:
            return []
        here, was = self._here(side.order.vm), side.state
        actions: Iterable[Action]
        try:
            match side:
                case SourceSide(order, state):
                    assert isinstance(event, source_states.Event)
                    side.state, actions = source.step(state, event, order, here, now)
                case TargetSide(order, place):
                    assert isinstance(event, target_states.Event)
                    side.state, actions = target.step(place, event, order, here, now)
        except AssertionError as bug:
            bug.add_note("\n".join(map(str, self.story)))
            raise
        self._write_down(now, attempt, was, event, side.state)
        if isinstance(side.state, source_states.Done | target_states.Done):
            del self.sides[attempt]
            self._remember(Memory(side.order.vm, side.order.epoch, side.state.ended))
        return self._carried(actions)

    def feed_vm(self, vm: VmName, event: SideEvent, now: float) -> Outcome:
        """What happened to a VM concerns every attempt that it takes or took part in."""
        attempts = [attempt for attempt, side in self.sides.items() if side.order.vm == vm]
        return [action for attempt in attempts for action in self.feed(attempt, event, now)]

    def start(self, vm: VmName, epoch: Epoch, spec: VmSpec, now: float) -> Outcome:
        """The VM starts here. What is kept for a target of an older epoch nobody will ask for."""
        over = [
            attempt
            for attempt, side in self.sides.items()
            if side.order.vm == vm and epoch > side.order.epoch + 1
        ]
        out = [action for each in over for action in self.feed(each, Superseded(), now)]
        return [*out, *self._vms.start(vm, epoch, spec, self.moves(vm))]

    def live_by(self, view: View, now: float) -> Outcome:
        """The view that this node lives by has changed: other ends may have left."""
        out: Outcome = []
        members = {member.incarnation for member in view.members}
        for attempt, side in list(self.sides.items()):
            peer = side.order.target if isinstance(side, SourceSide) else side.order.source
            if peer.incarnation not in members:
                reason = f"node {peer.node} was removed from the cluster."
                out += self.feed(attempt, PeerLeft(reason), now)
        return out

    def feed_all(self, event: SideEvent, now: float) -> Outcome:
        return [action for attempt in list(self.sides) for action in self.feed(attempt, event, now)]

    def _told_again(self, attempt: AttemptId, now: float) -> Outcome:
        if attempt in self.sides:
            return self.feed(attempt, LeaderHeard(), now)
        ended = self._ended[attempt].told
        return [Tell(replace(ended, term=self._here(VmName("")).term))]

    def _is_known(self, order: Reserve | Migrate) -> bool:
        """The attempt has begun here. One that ended is never ordered under a later term: then the
        store was put back from a backup, and has given its id to another.
        """
        if order.attempt in self.sides:
            return True
        ended = self._ended.get(order.attempt)
        if ended is not None and ended.told.term < order.term:
            del self._ended[order.attempt]
        return order.attempt in self._ended

    def _carried(self, actions: Iterable[Action]) -> Outcome:
        out: Outcome = []
        for action in actions:
            if isinstance(action, LoseVm):
                out += self._vms.lose(action.vm, action.epoch, action.reason)
                continue
            out.append(action)
            if isinstance(action, SetHolds | DestroyVm):
                out += self._vms.carry(action)
        return out

    def _remember(self, ended: Memory) -> None:
        self._ended[ended.told.attempt] = ended
        if len(self._ended) > ENDED_MAX:
            del self._ended[next(iter(self._ended))]

    def _write_down(
        self, now: float, attempt: AttemptId, was: object, event: object, state: object
    ) -> None:
        names = (type(was).__name__, type(event).__name__, type(state).__name__)
        self.story.append(Line(now, attempt, *names))

    # ---- time and reports

    def next_deadline_s(self) -> float:
        return min((self._deadline_s(side) for side in self.sides.values()), default=float("inf"))

    def overdue(self, now: float) -> list[AttemptId]:
        return [attempt for attempt, side in self.sides.items() if self._deadline_s(side) <= now]

    def _deadline_s(self, side: Side) -> float:
        match side:
            case SourceSide(state=state):
                return source_states.deadline_s(state, self._limits)
            case TargetSide(state=place):
                return target_states.deadline_s(place, self._limits)

    def reports(self) -> tuple[AttemptReport, ...]:
        return tuple(
            AttemptReport(
                attempt,
                side.order.vm,
                side.order.epoch,
                isinstance(side, SourceSide),
                _step_of(side),
                isinstance(side.state, source_states.AfterConsent),
            )
            for attempt, side in sorted(self.sides.items())
        )


def _is_moving(side: Side) -> bool:
    return not isinstance(side.state, source_states.GivenUp | target_states.GivenUp)


def _step_of(side: Side) -> Step:
    match side:
        case SourceSide(state=state):
            return source_states.step_of(state)
        case TargetSide(state=place):
            return target_states.step_of(place)
