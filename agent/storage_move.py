"""The files of a VM on their way to another volume, as the node sees it that runs the VM.

The store decides which of the two places counts. Until the node has given its consent it may leave
the new place by itself; from then on no write is answered that is not stable in both, and only the
decision ends that.
"""

from dataclasses import dataclass, replace

from agent.actions import LeaveMirror, MirrorStorage, Note, SwitchStorage
from agent.disk_reports import Said
from agent.events import MirrorFailed, StorageCopied, StorageStands
from protocol import messages
from protocol.messages import MoveStorage, StorageDecided
from protocol.names import Epoch, VmName


@dataclass(frozen=True, slots=True)
class Copying:
    """What the old place has is what counts; writes go to both."""

    order: MoveStorage
    copied_bytes: int = 0
    total_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Mirrored:
    """Both places have everything: either may be the one. `trouble`: the new one lags behind."""

    order: MoveStorage
    trouble: str = ""


@dataclass(frozen=True, slots=True)
class Failed:
    """The new place was left, and no consent was given: that it does not count is all there is to
    decide.
    """

    order: MoveStorage
    reason: str


State = Copying | Mirrored | Failed
Done = MirrorStorage | LeaveMirror | SwitchStorage | Note | Said


@dataclass(frozen=True, slots=True)
class Asked:
    """A leader may not have heard what was said last."""


MoveEvent = MoveStorage | StorageDecided | StorageCopied | StorageStands | MirrorFailed | Asked


def step(state: State | None, event: MoveEvent) -> tuple[State | None, tuple[Done, ...]]:
    """The whole life of a move on its node. None: no move is under way."""
    match state, event:
        case None, MoveStorage():
            return _begun(event)
        case ((Copying() | Failed()), MoveStorage(move=move)) if move > state.order.move:
            fresh, done = _begun(event)  # the store has decided about the one before
            return fresh, (*_left(state), *done)
        case ((Copying() | Mirrored() | Failed()), MoveStorage() | Asked()):
            return state, _said(state)
        case None, Asked():
            return None, ()

        case None, StorageDecided():
            return None, (_ended(event),)
        case ((Copying() | Mirrored() | Failed()), StorageDecided(move=move)) if _is_other(
            state, move
        ):
            return state, (_ended(event),) if move < state.order.move else ()
        case ((Copying() | Mirrored() | Failed()), StorageDecided(switched=False)):
            return None, (*_left(state), _ended(event))
        case Mirrored(order), StorageDecided(switched=True):
            return None, (SwitchStorage(order.vm, order.move, order.spec), _ended(event))
        case ((Copying() | Failed()), StorageDecided(switched=True)):
            text = f"Storage move {event.move} was switched, and this node gave no consent to it."
            return state, (Note("error", text, event.vm),)

        # What the edge says of a move that is over says nothing.
        case None, StorageCopied() | StorageStands() | MirrorFailed():
            return None, ()
        case (
            (Copying() | Mirrored() | Failed()),
            (StorageCopied() | StorageStands() | MirrorFailed()),
        ) if _is_other(state, event.move):
            return state, ()
        case Copying(order), StorageCopied(_, _, copied, total):
            now = Copying(order, copied, total)
            return now, _said(now)
        case Copying(order), StorageStands():
            stands = Mirrored(order)
            return stands, _said(stands)
        case Copying(order), MirrorFailed(reason=reason):
            failed = Failed(order, reason)
            return failed, (*_left(state), *_said(failed))
        case Mirrored(), MirrorFailed(reason=reason):
            late = replace(state, trouble=reason)
            return late, _said(late)
        case ((Mirrored() | Failed()), StorageCopied() | StorageStands()):
            return state, ()
        case Failed(), MirrorFailed():
            return state, ()
    raise AssertionError(f"{type(event).__name__} came to {type(state).__name__}")


def absent(order: MoveStorage | StorageDecided) -> tuple[Done, ...]:
    """The VM does not run here under that epoch, so nothing of it moves."""
    if isinstance(order, StorageDecided):
        return (_ended(order),)
    return refused(order, f"{order.vm} does not run here under epoch {order.epoch}.")


def refused(order: MoveStorage, reason: str) -> tuple[Done, ...]:
    """The move does not begin, and why."""
    return (_failed(order, reason),)


def _is_other(state: State, move: int) -> bool:
    return move != state.order.move


def _begun(order: MoveStorage) -> tuple[State, tuple[Done, ...]]:
    return Copying(order), (MirrorStorage(order.vm, order.epoch, order.move, order.spec),)


def _left(state: State) -> tuple[Done, ...]:
    if isinstance(state, Failed):
        return ()
    return (LeaveMirror(state.order.vm, state.order.move),)


def _said(state: State) -> tuple[Done, ...]:
    order = state.order
    about: tuple[VmName, Epoch, int] = order.vm, order.epoch, order.move
    match state:
        case Copying(_, copied, total):
            return (Said(messages.StorageProgress, (*about, copied, total)),)
        case Mirrored(_, trouble):
            stands = Said(messages.StorageMirrored, about)
            return (stands, _failed(order, trouble)) if trouble else (stands,)
        case Failed(_, reason):
            return (_failed(order, reason),)


def _failed(order: MoveStorage, reason: str) -> Said:
    return Said(messages.StorageMoveFailed, (order.vm, order.epoch, order.move, reason))


def _ended(decided: StorageDecided) -> Said:
    return Said(messages.StorageMoveEnded, (decided.vm, decided.epoch, decided.move))
