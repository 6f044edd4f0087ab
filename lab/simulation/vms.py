"""The VMs of a simulated agent, with the timing of the program: a fork that is under way cannot be
called back, words to a worker keep their order, and that a worker has died is told once its memory
is given back.
"""

import collections
import functools
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from agent import actions, events
from agent.events import Event
from lab.simulation.guest import SimWorker
from lab.simulation.ledger import Ledger
from protocol.names import Hold, Step, VmName

if TYPE_CHECKING:
    from lab.simulation.agent import SimAgent

FORK_S = (0.02, 0.08)
FILL_S = (0.001, 0.02)
OBEY_S = (0.0001, 0.002)
GIVE_BACK_S = ((0.001, 0.005), (0.001, 0.005), (0.001, 0.005), (0.02, 0.3), (0.3, 1.0))
"""How long it takes to end a worker and to give its memory back; much memory takes longer."""

LOOK_AGAIN_S = 0.05
"""How often a process that sleeps is looked at."""


@dataclass(slots=True)
class SimVm:
    """One VM that is here, or on its way, or going."""

    order: actions.CreateVm | actions.Reserve
    worker: SimWorker | None = None
    is_made: bool = False
    is_ending: bool = False
    is_unwanted: bool = False
    """It was told to go: that it has gone is said in that way, and in no other."""

    obeys_at: float = 0.0
    words: collections.deque[tuple[actions.SetHolds, float]] = field(
        default_factory=collections.deque
    )
    """What the worker has not yet obeyed, and how long each word takes to be seen."""

    ledger: Ledger | None = None
    """Its disk, if it has one."""


class SimVms:
    """Makes, holds and ends the workers of one agent."""

    def __init__(self, agent: "SimAgent") -> None:
        self._agent = agent
        self._machine = agent.machine
        self._cluster = agent.cluster
        self._world = agent.cluster.world
        self._random = agent.machine.random
        self._vms: dict[VmName, SimVm] = {}

    def workers(self) -> Iterator[SimWorker]:
        """All that live, also those that are on their way out."""
        for vm in list(self._vms.values()):
            if vm.worker is not None and vm.worker.alive:
                yield vm.worker

    def worker(self, name: VmName) -> SimWorker | None:
        """The worker of a VM that stays, if it lives."""
        vm = self._vms.get(name)
        if vm is None or vm.is_ending or vm.worker is None or not vm.worker.alive:
            return None
        return vm.worker

    def ledger(self, name: VmName) -> Ledger | None:
        vm = self._vms.get(name)
        return None if vm is None else vm.ledger

    # ---- making

    def make(self, order: actions.CreateVm | actions.Reserve) -> None:
        vm = self._vms[order.vm] = SimVm(order)
        self._world.after(self._random.uniform(*FORK_S), self._forked, vm)

    def _forked(self, vm: SimVm) -> None:
        """Another process forks: also while the agent sleeps, for a VM that is not wanted any more,
        and for an agent that has just died.
        """
        agent = self._agent
        if agent.frozen and self._machine.workers_frozen:
            self._world.after(LOOK_AGAIN_S, self._forked, vm)
            return
        vm.worker = self._machine.new_worker(agent, vm.order)
        if isinstance(vm.order, actions.Reserve):
            vm.worker.is_cold, vm.worker.attempt = False, vm.order.attempt
        if not agent.alive:
            vm.worker.look()
            self._machine.orphan(vm.worker)
            return
        self._world.after(self._random.uniform(*FILL_S), self._filled, vm, vm.worker)

    def _filled(self, vm: SimVm, worker: SimWorker) -> None:
        if worker.alive:
            worker.look()
        self._agent.soon(self._ready, vm, worker)

    def _ready(self, vm: SimVm, worker: SimWorker) -> None:
        if vm.is_ending:
            return  # whoever ends it says so
        if not worker.alive:
            self._end(vm, _not_made(vm.order))
            return
        if vm.order.spec.disks:
            vm.ledger = Ledger(self._agent, worker, vm.order.spec)
        if isinstance(vm.order, actions.Reserve):
            vm.is_made = True
            self._agent.reserved(vm.order, worker)
        elif vm.ledger is not None:
            vm.ledger.boot(vm.order.epoch, lambda why: self._booted(vm, why))
        else:
            self._booted(vm, "")

    def _booted(self, vm: SimVm, why: str) -> None:
        if vm.is_ending:
            return
        if why:
            self._end(vm, events.VmFailed(vm.order.vm, why))
            return
        vm.is_made = True
        self._agent.feed(events.VmCreated(vm.order.vm))

    # ---- ending

    def destroy(self, name: VmName) -> None:
        """Ends in VmDestroyed, also when there is nothing."""
        vm = self._vms.get(name)
        if vm is None:
            self._agent.later(0.001, self._agent.feed, events.VmDestroyed(name))
            return
        vm.is_unwanted = True
        self._end(vm, events.VmDestroyed(name))

    def lose(self, name: VmName) -> bool:
        """A worker dies by itself; False if there is none that could."""
        vm = self._vms.get(name)
        if vm is None or vm.is_ending or vm.worker is None or not vm.worker.alive:
            return False
        self._machine.end(vm.worker)
        self._agent.soon(self._died, vm)
        return True

    def _died(self, vm: SimVm) -> None:
        if vm.is_made and not vm.is_ending:
            self._end(vm, events.VmFailed(vm.order.vm, "its worker died"))

    def _end(self, vm: SimVm, word: Event) -> None:
        vm.is_ending = True
        if vm.worker is None:  # the fork is waited for: a worker that nobody knows ends by nobody
            self._agent.later(0.005, self._end, vm, word)
            return
        if vm.ledger is not None and not vm.ledger.stop():
            self._agent.later(0.02, self._end, vm, word)  # its I/O may still be under way
            return
        takes_s = self._random.uniform(*self._random.choice(GIVE_BACK_S))
        self._agent.later(takes_s / 2, self._machine.end, vm.worker)
        self._agent.later(takes_s, self._ended, vm, word)

    def _ended(self, vm: SimVm, word: Event) -> None:
        if self._vms.get(vm.order.vm) is vm:
            del self._vms[vm.order.vm]
        if isinstance(word, events.VmDestroyed) or not vm.is_unwanted:
            self._agent.feed(word)

    # ---- holding and watching

    def set_holds(self, action: actions.SetHolds) -> None:
        """A word in memory that worker and agent share: never seen before the one that it follows,
        and ended in GuestPaused or GuestResumed.
        """
        vm = self._vms.get(action.vm)
        if vm is None or vm.worker is None or vm.is_ending:
            return
        delay_s = self._random.uniform(*OBEY_S)
        vm.words.append((action, delay_s))
        vm.obeys_at = max(vm.obeys_at, self._world.now + delay_s)
        self._world.at(vm.obeys_at, self._boundary, vm, vm.worker)
        step = Step.PAUSE if action.holds & Hold.ATTEMPT else Step.RESUME
        self._cluster.reached(step, self._cluster.attempt_of(action.vm))

    def _boundary(self, vm: SimVm, worker: SimWorker) -> None:
        if not worker.alive:
            return
        if worker.frozen:
            self._world.after(LOOK_AGAIN_S, self._boundary, vm, worker)
            return
        order, after_s = vm.words.popleft()
        was = worker.holds
        if was and not order.holds:
            worker.on_begin = functools.partial(self._resumed, worker, self._world.now)
        elif order.holds:
            worker.on_begin = None
        worker.obey(order.epoch, order.holds)
        if order.holds and not was:
            self._cluster.checker.guest_paused(worker)
            unanswered = 0 if vm.ledger is None else vm.ledger.unanswered
            self._agent.feed(events.GuestPaused(worker.vm, worker.steps, after_s, unanswered))

    def _resumed(self, worker: SimWorker, since: float) -> None:
        self._agent.feed(events.GuestResumed(worker.vm, self._world.now - since))

    def set_throttle(self, action: actions.SetThrottle) -> None:
        """Of what goes nobody asks any more."""
        worker = self.worker(action.vm)
        if worker is not None:
            worker.slow(action.share)

    def observe(self) -> Iterator[events.GuestObserved]:
        for name, vm in self._vms.items():
            worker = self.worker(name)
            if worker is not None and vm.is_made:
                worker.advance()
                running = worker.is_running()
                yield events.GuestObserved(name, running, worker.steps, worker.rate * 4096.0)


def _not_made(order: actions.CreateVm | actions.Reserve) -> Event:
    reason = "the worker died while it was made"
    if isinstance(order, actions.Reserve):
        return events.ReserveFailed(order.attempt, reason)
    return events.VmFailed(order.vm, reason)
