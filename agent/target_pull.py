"""S14, the target: the guest runs here, and what it lacks is asked for from the source.

The commit is behind both: who has the VM is not in question any more. What is, is its memory. A
source that is gone takes the missing pages along, and with them the VM, which is said.
"""

from dataclasses import replace

from agent.actions import Action, Announce, CloseAttempt, SayToPeer, Tell
from agent.moves import DeadlinePassed, Here, VmLost
from agent.pull_words import CountMissing, LoseVm, PeerLeft, PullBroke, PullDone, PullJoined
from agent.target_states import Done, Event, Next, Pull, Pulling, Punching, Received, Resuming
from protocol.messages import DeviceState, Ended, Part, Reserve, StateReceived


def count(device: DeviceState, order: Reserve) -> Next:
    """S9: all that travelled is here; as many pages as the source said must be out of memory."""
    return Punching(device), (CountMissing(order.attempt),)


def why_not_counted(device: DeviceState, pages: int, reason: str) -> str | None:
    """Why the guest cannot go on here without these pages; None if it can."""
    if reason:
        return why_not_missing(reason)
    if pages != device.missing_pages:
        return f"The source counted {device.missing_pages} missing pages, and it named {pages}."
    return None


def why_not_missing(reason: str) -> str:
    return f"Missing pages cannot be served here: {reason}"


def counted(device: DeviceState, order: Reserve) -> Next:
    said = StateReceived(order.attempt, b"", 0.0)
    return Received(device.missing_pages), (SayToPeer(order.attempt, said),)


def resumed(state: Resuming, order: Reserve, here: Here, now: float) -> Next:
    """S12 is over; the attempt goes on until the last page is here."""
    parts = (Part("resume", max(0.0, now - state.since_s)),)
    ended = replace(state.ended, term=here.term, parts=parts)
    announce = Announce(order.vm, state.epoch)
    if state.pull is not None and not state.pull.is_done:
        return Pulling(ended, state.epoch, state.pull), (announce,)
    after, actions = _over(ended, order)
    return after, (announce, *actions)


def pull(state: Resuming | Pulling, event: Event, order: Reserve, here: Here, now: float) -> Next:
    """What happens between the commit and the last page."""
    ended, pulled = replace(state.ended, term=here.term), state.pull
    if isinstance(event, VmLost):
        return _over(ended, order)
    if pulled is None or pulled.is_done:
        return state, ()
    match event:
        case PullDone() if isinstance(state, Resuming):
            return replace(state, pull=replace(pulled, is_done=True)), ()
        case PullDone():
            return _over(ended, order)
        case PullJoined():
            return replace(state, pull=replace(pulled, broken_s=None)), ()
        case PullBroke(_, reason, is_over, left):
            since_s = now if pulled.broken_s is None else pulled.broken_s
            pulled = Pull(left, since_s, pulled.has_left)
            if is_over or pulled.has_left:
                return _lose(state, pulled, reason, ended, order)
            return replace(state, pull=pulled), ()
        case PeerLeft(reason):
            # It may be alive and cut off from the coordinator alone: what it still sends is good.
            pulled = replace(pulled, has_left=True)
            if pulled.broken_s is not None:
                return _lose(state, pulled, reason, ended, order)
            return replace(state, pull=pulled), ()
        case DeadlinePassed() if pulled.broken_s is not None:
            reason = f"it could not be reached for {here.limits.pull_grace_s:g} s."
            return _lose(state, pulled, reason, ended, order)
    return state, ()


def _over(ended: Ended, order: Reserve, *actions: Action) -> Next:
    return Done(ended), (CloseAttempt(order.attempt), *actions, Tell(ended))


def _lose(
    state: Resuming | Pulling, pulled: Pull, reason: str, ended: Ended, order: Reserve
) -> Next:
    """Nobody has the pages any more. The guest must not go on without them."""
    why = (
        f"The source was lost with {pulled.left_pages} pages that had not come ({reason})"
        f" The memory of {order.vm} is gone."
    )
    return _over(ended, order, LoseVm(order.vm, state.epoch, why))
