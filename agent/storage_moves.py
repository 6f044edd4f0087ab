"""Moves of storage among the VMs of a node: whose they are, and what follows for the VM."""

from agent.actions import SwitchStorage
from agent.events import MirrorEvent
from agent.storage_move import Asked, MoveEvent, absent, refused, step
from agent.vms import Outcome, Phase, Vm, Vms
from protocol.messages import MoveOrder, MoveStorage


def told(vms: Vms, order: MoveOrder) -> Outcome:
    here = vms.vms.get(order.vm)
    if here is None or here.epoch != order.epoch or here.phase is not Phase.HERE:
        return [*absent(order)]
    if isinstance(order, MoveStorage) and here.move is None:
        both = sorted(set(order.spec.volumes) & set(here.spec.volumes))
        if both:  # the files of a VM are never copied over themselves
            return [*refused(order, f"Files of {order.vm} lie on {both[0]} already.")]
    return _fed(here, order)


def happened(vms: Vms, event: MirrorEvent) -> Outcome:
    here = vms.vms.get(event.vm)
    return [] if here is None else _fed(here, event)


def again(vms: Vms) -> Outcome:
    """For a leader that may have missed something."""
    return [said for _, here in sorted(vms.vms.items()) for said in _fed(here, Asked())]


def _fed(here: Vm, event: MoveEvent) -> Outcome:
    here.move, done = step(here.move, event)
    for action in done:
        if isinstance(action, SwitchStorage):
            here.spec = action.spec
    return [*done]
