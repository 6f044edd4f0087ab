"""The VMs of this node: which are here, under which epoch, why they are held, and what is refused
as stale.
"""

import enum
from dataclasses import dataclass

from agent import disk_reports as reports
from agent.actions import Action, CreateVm, DestroyVm, Note, SetHolds
from agent.disk_reports import Said
from agent.events import (
    DiskFlows,
    DiskGone,
    DiskRefused,
    DiskStuck,
    GuestObserved,
    GuestPaused,
    GuestResumed,
)
from agent.holds import held, released
from agent.storage_move import State as MoveState
from protocol.messages import VmReport
from protocol.names import Epoch, Hold, VmName, VmSpec


class Phase(enum.Enum):
    """How far a VM is. Only what is `HERE` is this node's to report and to migrate."""

    CREATING = "its memory is being made"
    HERE = "it is this node's, and runs when nothing holds it"
    RESERVED = "an attempt fills it; it is another node's until the commit"
    LEAVING = "its worker and memory are going"


@dataclass(slots=True)
class Vm:
    """One VM on this node."""

    vm: VmName
    epoch: Epoch
    spec: VmSpec
    phase: Phase
    holds: Hold = Hold.NONE
    running: bool = False
    steps: int = 0
    dirty_bytes_per_s: float = 0.0
    move: MoveState | None = None
    """Its files are on their way to another volume."""


@dataclass(frozen=True, slots=True)
class Started:
    """It is here under this epoch."""

    vm: VmName
    epoch: Epoch


@dataclass(frozen=True, slots=True)
class Stopped:
    """It is not here, and under this epoch never will be."""

    vm: VmName
    epoch: Epoch
    reason: str = ""


Word = Started | Stopped
"""What the coordinator has to hear of a VM."""

Outcome = list[Action | Word | Said]
DiskTurn = DiskStuck | DiskFlows | DiskGone | DiskRefused


class Vms:
    """Every VM of this incarnation. `seen` is the highest epoch heard of each; what names an older
    one is stale.
    """

    def __init__(self) -> None:
        self.vms: dict[VmName, Vm] = {}
        self.seen: dict[VmName, Epoch] = {}
        self._then: dict[VmName, Word | tuple[Epoch, VmSpec]] = {}
        """What follows once a VM that leaves is gone: its stop is told, or it starts anew."""

    def is_stale(self, vm: VmName, epoch: Epoch) -> bool:
        return epoch < self.seen.get(vm, Epoch(0))

    def see(self, vm: VmName, epoch: Epoch) -> None:
        self.seen[vm] = max(epoch, self.seen.get(vm, Epoch(0)))

    @property
    def has_guests(self) -> bool:
        """Whether any VM is this node's; one that an attempt fills is still another's."""
        return any(vm.phase is not Phase.RESERVED for vm in self.vms.values())

    # ---- what the coordinator orders

    def start(self, vm: VmName, epoch: Epoch, spec: VmSpec, in_attempt: bool = False) -> Outcome:
        """Start a VM, once for each epoch: what was stopped under an epoch is not started under it
        again.

        A VM that takes part in an attempt waits for the attempt's end, which may make it this
        node's by itself.
        """
        here, seen = self.vms.get(vm), self.seen.get(vm, Epoch(0))
        if epoch < seen:
            return [Stopped(vm, epoch, f"Epoch {epoch} of {vm} is over; epoch {seen} was seen.")]
        if epoch == seen:
            return self._start_again(here, vm, epoch)
        self.see(vm, epoch)
        if here is None:
            return self._create(vm, epoch, spec)
        self._then[vm] = (epoch, spec)
        if in_attempt or here.phase in (Phase.LEAVING, Phase.RESERVED):
            return []  # it starts when what is here has gone
        return self._destroy(here)

    def _start_again(self, here: Vm | None, vm: VmName, epoch: Epoch) -> Outcome:
        if here is not None and here.epoch == epoch and here.phase is Phase.HERE:
            return [Started(vm, epoch)]
        if here is not None and here.epoch == epoch and here.phase is Phase.CREATING:
            return []  # it will be told when it is there
        then = self._then.get(vm)
        if isinstance(then, tuple) and then[0] == epoch:
            return []
        if isinstance(then, Stopped) and then.epoch == epoch:
            return []  # its guest may still run: that it has stopped is told when it is gone
        return [Stopped(vm, epoch, f"{vm} ran here under epoch {epoch} and is gone.")]

    def _create(self, vm: VmName, epoch: Epoch, spec: VmSpec) -> Outcome:
        self.vms[vm] = Vm(vm, epoch, spec, Phase.CREATING)
        return [CreateVm(vm, epoch, spec, Hold.NONE)]

    def stop(self, vm: VmName, epoch: Epoch, reason: str = "") -> Outcome:
        """Stop what is here under `epoch` or an older one, and say so in any case.

        With a `reason` it ends as a failure, whichever way it would have ended.
        """
        here = self.vms.get(vm)
        stays = here is not None and here.epoch > epoch
        waits = self._then.get(vm)
        if isinstance(waits, tuple) and waits[0] > epoch:
            stays = True
        self.see(vm, epoch)
        if here is None or stays:
            return [Stopped(vm, epoch, reason)]
        self._then[vm] = Stopped(vm, epoch, reason)
        return [] if here.phase is Phase.LEAVING else self._destroy(here)

    def _destroy(self, here: Vm) -> Outcome:
        here.phase, here.running = Phase.LEAVING, False
        return [DestroyVm(here.vm)]

    # ---- what attempts do with VMs

    def reserve(self, vm: VmName, epoch: Epoch, spec: VmSpec) -> None:
        """Keep a place for what an attempt brings; it is not this node's before the commit."""
        assert vm not in self.vms, f"{vm} is here already"
        self.see(vm, epoch)
        self.vms[vm] = Vm(vm, epoch, spec, Phase.RESERVED, Hold.ATTEMPT)

    def carry(self, action: SetHolds | DestroyVm) -> Outcome:
        """Keep the books of what an attempt does to its VM, and say what follows from it.

        When the attempt's hold goes the VM is this node's, under the epoch that the decision named.
        """
        here = self.vms.get(action.vm)
        if here is None:
            return []
        if isinstance(action, DestroyVm):
            here.phase, here.running = Phase.LEAVING, False
            return []
        here.holds, here.epoch = action.holds, action.epoch
        self.see(action.vm, action.epoch)
        if here.holds & Hold.ATTEMPT:
            return []
        if here.phase is Phase.RESERVED:
            here.phase = Phase.HERE
        then = self._then.get(action.vm)
        if not isinstance(then, tuple):
            return []
        if then[0] > action.epoch:
            return self._destroy(here)  # it shall start anew under a newer epoch
        del self._then[action.vm]  # the attempt's end has brought what was to be started
        return []

    # ---- what happens to VMs

    def created(self, vm: VmName) -> Outcome:
        here = self.vms.get(vm)
        if here is None or here.phase is not Phase.CREATING:
            return []
        here.phase = Phase.HERE
        return [Started(vm, here.epoch)]

    def failed(self, vm: VmName, reason: str) -> Outcome:
        """Worker and memory are gone by themselves. Of what leaves anyway only the end is heard."""
        here = self.vms.get(vm)
        if here is None or here.phase is Phase.LEAVING:
            return []
        del self.vms[vm]
        if (follows := self._follow(vm)) is not None:
            return follows
        # What an attempt was still filling is the attempt's to tell.
        return [] if here.phase is Phase.RESERVED else [Stopped(vm, here.epoch, reason)]

    def destroyed(self, vm: VmName) -> Outcome:
        """Worker and memory are gone on order; what was put off until then follows."""
        here = self.vms.get(vm)
        if here is None or here.phase is not Phase.LEAVING:
            return []
        del self.vms[vm]
        return self._follow(vm) or []

    def _follow(self, vm: VmName) -> Outcome | None:
        match self._then.pop(vm, None):
            case None:
                return None
            case (epoch, spec):
                return self._create(vm, epoch, spec)
            case told:
                return [told]

    def is_leaving(self, vm: VmName) -> bool:
        here = self.vms.get(vm)
        return here is not None and here.phase is Phase.LEAVING

    def paused(self, event: GuestPaused) -> None:
        if here := self.vms.get(event.vm):
            here.running, here.steps = False, event.steps

    def resumed(self, event: GuestResumed) -> None:
        if here := self.vms.get(event.vm):
            here.running = True

    def disk_turned(self, event: DiskTurn, moves: bool = False) -> Outcome:
        """A guest stands still while its disk does not answer: it sees a delay, and no error. Of a
        disk that never will again it is the end, once no attempt `moves` it any more.
        """
        here, stuck = self.vms.get(event.vm), not isinstance(event, DiskFlows)
        if isinstance(event, DiskRefused):
            text = f"A request ({event.deed}) was refused: the guest stands for an attempt."
            told = reports.request_refused(event.vm, event.epoch, event.deed)
            return [Note("error", text, event.vm), told]
        if isinstance(event, DiskGone) and here and here.phase is Phase.HERE and not moves:
            return self._disk_gone(here, event.reason)
        if here is None or here.phase is not Phase.HERE or (Hold.FAULT in here.holds) == stuck:
            return []
        here.holds = (held if stuck else released)(here.holds, Hold.FAULT)
        text = "The disk answers again: the guest goes on."
        if not isinstance(event, DiskFlows):
            text = f"The disk does not answer, and the guest waits: {event.reason}"
        note = Note("warning" if stuck else "info", text, event.vm)
        return [note, SetHolds(event.vm, here.epoch, here.holds)]

    def _disk_gone(self, here: Vm, reason: str) -> Outcome:
        """It ends as a failure, so that its group starts it again or elsewhere."""
        reason = f"its disk is lost here: {reason}"
        self._then.setdefault(here.vm, Stopped(here.vm, here.epoch, reason))
        return [Note("error", f"The guest is ended: {reason}", here.vm), *self._destroy(here)]

    def lose(self, vm: VmName, epoch: Epoch, reason: str) -> Outcome:
        """Its memory is lost: it ends as a failure, so that its group starts it again or
        elsewhere.
        """
        here = self.vms.get(vm)
        if here is None or here.phase is not Phase.HERE or here.epoch != epoch:
            return []
        self._then.setdefault(vm, Stopped(vm, epoch, reason))
        return [Note("error", f"The guest is ended: {reason}", vm), *self._destroy(here)]

    def observed(self, event: GuestObserved) -> Outcome:
        if here := self.vms.get(event.vm):
            here.running, here.steps = event.running, event.steps
            here.dirty_bytes_per_s = event.dirty_bytes_per_s
        return []

    # ---- reports

    def reports(self, has_lease: bool) -> tuple[VmReport, ...]:
        """What this node has and may call its own; what an attempt is still filling is not."""
        return tuple(
            VmReport(
                here.vm,
                here.epoch,
                here.running,
                here.holds if has_lease else held(here.holds, Hold.LEASE),
                here.steps,
                here.dirty_bytes_per_s,
            )
            for _, here in sorted(self.vms.items())
            if here.phase is not Phase.RESERVED
        )
