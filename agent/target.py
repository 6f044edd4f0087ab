"""The target of a migration, as a machine: S3 to S13 from the side that gets the guest.

Until it has said that the disks are open it may give up alone. From then on the source may have
consented, so only the coordinator's decision ends it.
"""

from dataclasses import replace

from agent import actions as deeds
from agent.actions import (
    Action,
    CloseAttempt,
    CloseStorage,
    DestroyVm,
    DigestMemory,
    SayToPeer,
    SetHolds,
    Tell,
)
from agent.events import (
    GuestPaused,
    GuestResumed,
    GuestSettled,
    MemoryDigested,
    PeerLost,
    PeerSaid,
    ReserveDone,
    ReserveFailed,
    RoundLanded,
    SourceConnected,
    StorageDone,
    StorageFailed,
    VmDestroyed,
)
from agent.holds import released
from agent.moves import (
    DeadlinePassed,
    Here,
    IllegalEvent,
    LeaderHeard,
    VmLost,
    carried_out,
    gave_up,
)
from agent.pull_words import AfterCommit, CountMissing, MissingCounted, PullPages, PunchPages
from agent.target_pull import (
    count,
    counted,
    pull,
    resumed,
    why_not_counted,
    why_not_missing,
)
from agent.target_states import (
    BeforePrepared,
    Clearing,
    Digesting,
    Done,
    Event,
    Gathering,
    GivenUp,
    Listening,
    Next,
    Opening,
    Prepared,
    Pull,
    Pulling,
    Punching,
    Received,
    Receiving,
    Reserving,
    Resuming,
    State,
    step_of,
)
from protocol.messages import (
    Abandoned,
    Decided,
    DeviceState,
    MissingNamed,
    MissingPages,
    MissingTaken,
    OpenStorage,
    Reserve,
    Reserved,
    RoundEnded,
    RoundReceived,
    StateReceived,
    StorageOpened,
)
from protocol.names import Decision, Epoch, Hold, Verify

OfTheEdge = (
    ReserveDone
    | ReserveFailed
    | SourceConnected
    | RoundLanded
    | MemoryDigested
    | StorageDone
    | StorageFailed
)
"""What only an order of an earlier state ends in."""


def begin(order: Reserve, here: Here) -> Next:
    reserve = deeds.Reserve(
        order.cluster,
        order.attempt,
        order.vm,
        order.epoch,
        order.spec,
        order.source.incarnation,
        here.incarnation,
        order.token,
    )
    return Reserving(), (reserve,)


def step(state: State, event: Event, order: Reserve, here: Here, now: float) -> Next:
    """The whole life of a target. No clock, no socket, no log."""
    match state, event:
        case Reserving(), ReserveDone():
            return Listening(now), (_reserved(order, here),)
        case Listening(), LeaderHeard():
            return state, (_reserved(order, here),)
        case Listening(), SourceConnected():
            return Receiving(), ()
        case Receiving(), RoundLanded(_, number, pages):
            return Receiving(number), (_round_received(order, number, pages),)
        case Receiving(landed), PeerSaid(_, DeviceState() as device):
            return _gathered(device, order) if landed >= device.round else (Gathering(device), ())
        case Gathering(device), RoundLanded(_, number, pages):
            if number < device.round:
                return state, (_round_received(order, number, pages),)
            after, actions = _gathered(device, order)
            return after, (_round_received(order, number, pages), *actions)
        case Receiving(), PeerSaid(_, MissingPages(_, first, bitmap)):
            return state, (PunchPages(order.attempt, first, bitmap),)
        case Receiving(), PeerSaid(_, MissingNamed()):
            return state, (CountMissing(order.attempt),)
        case Receiving(), MissingCounted(_, pages, reason):
            if reason:
                return _give_up(state, why_not_missing(reason), order, here)
            return state, (SayToPeer(order.attempt, MissingTaken(order.attempt, pages)),)
        case Punching(device), MissingCounted(_, pages, reason):
            if why := why_not_counted(device, pages, reason):
                return _give_up(state, why, order, here)
            return counted(device, order)
        case Digesting(), MemoryDigested(_, digest, verify_s):
            said = StateReceived(order.attempt, digest, verify_s)
            return Received(), (SayToPeer(order.attempt, said),)
        case Received(missing), PeerSaid(_, OpenStorage()):
            # The epoch that every end of the attempt leads to, from here on.
            epoch = Epoch(order.epoch + 1)
            return Opening(missing), (deeds.OpenStorage(order.attempt, order.vm, epoch),)
        case Opening(missing), StorageDone():
            opened = SayToPeer(order.attempt, StorageOpened(order.attempt))
            return Prepared(missing_pages=missing), (opened,)
    if isinstance(state, BeforePrepared):
        return _before_prepared(state, event, order, here)
    return _after_prepared(state, event, order, here, now)


def _before_prepared(state: BeforePrepared, event: Event, order: Reserve, here: Here) -> Next:
    """What ends the attempt: until it has said that the disks are open the target can always give
    up.
    """
    match event:
        case ReserveFailed(_, reason) if isinstance(state, Reserving):
            return _give_up(state, reason, order, here, cleared=True)
        case StorageFailed(_, reason) if isinstance(state, Opening):
            why = f"The disks of {order.vm} could not be opened here: {reason}"
            return _give_up(state, why, order, here)
        case PeerLost(_, reason):
            return _give_up(state, f"The source was lost: {reason}", order, here, tells_peer=False)
        case PeerSaid(_, Abandoned(_, reason)):
            return _give_up(state, f"The source gave up: {reason}", order, here, tells_peer=False)
        case PeerSaid(_, RoundEnded()):
            return state, ()  # it lands when all its pages have, which the streams know
        case PeerSaid(_, message):
            said = type(message).__name__
            return _give_up(state, f"The source said {said} out of turn.", order, here)
        case VmLost(reason):
            return _give_up(state, reason, order, here, cleared=True)
        case DeadlinePassed():
            if not isinstance(state, Listening):
                return state, ()
            waited = f"within {here.limits.listen_max_s:g} s"
            return _give_up(state, f"No source connected {waited}.", order, here)
        case Decided(decision=Decision.ABORTED):
            return _clear(event, order, here, opened=isinstance(state, Opening))
        case GuestPaused() | GuestSettled() | GuestResumed() | VmDestroyed() | LeaderHeard():
            return state, ()
        case _ if isinstance(event, AfterCommit | MissingCounted):
            return state, ()  # counted for a source that did not wait for it
    raise IllegalEvent(state, event)


def _after_prepared(
    state: Prepared | Resuming | Pulling | GivenUp | Clearing | Done,
    event: Event,
    order: Reserve,
    here: Here,
    now: float,
) -> Next:
    """The store decides; nothing that the source says or that befalls it changes that."""
    match state, event:
        case Prepared(), VmLost():
            return replace(state, lost=True), ()
        case Prepared(lost, missing), Decided() as decided:
            if decided.decision is Decision.ABORTED:
                return _clear(decided, order, here, opened=True, cleared=lost)
            ended = carried_out(decided, here, False)
            if lost:
                return Done(ended), (CloseAttempt(order.attempt), Tell(ended))
            release = SetHolds(order.vm, decided.epoch, released(here.holds, Hold.ATTEMPT))
            if missing:
                resuming = Resuming(ended, decided.epoch, now, Pull(missing))
                return resuming, (PullPages(order.attempt), release)
            return Resuming(ended, decided.epoch, now), (release,)
        case Resuming(), GuestResumed():
            return resumed(state, order, here, now)
        case GivenUp(told), VmDestroyed() | VmLost():
            return GivenUp(told, cleared=True), ()
        case GivenUp(told), LeaderHeard():
            return state, (Tell(replace(told, term=here.term)),)
        case GivenUp(_, cleared), Decided(decision=Decision.ABORTED) as decided:
            ended = carried_out(decided, here, False)
            return (Done(ended), (Tell(ended),)) if cleared else (Clearing(ended), ())
        case Clearing(ended), VmDestroyed():
            ended = replace(ended, term=here.term)
            return Done(ended), (Tell(ended),)
        case Done(ended), Decided(decision=decision) if decision is ended.decision:
            return state, (Tell(replace(ended, term=here.term)),)
        case ((Resuming(ended) | Pulling(ended)), Decided(decision=decision)) if (
            decision is ended.decision
        ):
            return state, ()
        case Clearing(ended), Decided(decision=decision) if decision is ended.decision:
            return state, ()

        # No other decision than the one that was carried out, and none to commit what was given up.
        case _, Decided():
            raise IllegalEvent(state, event)
        case ((Prepared() | Resuming() | Pulling()), _) if isinstance(event, OfTheEdge):
            raise IllegalEvent(state, event)
        case ((Resuming() | Pulling()), _):
            return pull(state, event, order, here, now)
    return state, ()


# ---- What the steps do


def _reserved(order: Reserve, here: Here) -> Tell:
    return Tell(
        Reserved(here.cluster, here.term, here.incarnation, order.attempt, order.vm, order.epoch)
    )


def _round_received(order: Reserve, number: int, pages: int) -> SayToPeer:
    return SayToPeer(order.attempt, RoundReceived(order.attempt, number, pages))


def _gathered(device: DeviceState, order: Reserve) -> Next:
    """Pages and state are all here: prove it, if the source did."""
    if device.missing_pages:
        return count(device, order)
    if order.verify is Verify.OFF or not device.digest:
        return Received(), (SayToPeer(order.attempt, StateReceived(order.attempt, b"", 0.0)),)
    return Digesting(), (DigestMemory(order.attempt, order.verify),)


def _give_up(
    state: BeforePrepared,
    reason: str,
    order: Reserve,
    here: Here,
    *,
    cleared: bool = False,
    tells_peer: bool = True,
) -> Next:
    told = gave_up(order, here, step_of(state), reason)
    actions: list[Action] = []
    if tells_peer:
        actions.append(SayToPeer(order.attempt, Abandoned(order.attempt, reason)))
    if isinstance(state, Opening):
        actions.append(CloseStorage(order.vm, order.attempt))
    actions.append(CloseAttempt(order.attempt))
    if not cleared:
        actions.append(DestroyVm(order.vm))
    return GivenUp(told, cleared), (*actions, Tell(told))


def _clear(
    decided: Decided, order: Reserve, here: Here, *, opened: bool, cleared: bool = False
) -> Next:
    """The attempt was aborted: nothing of it stays here."""
    ended = carried_out(decided, here, False)
    actions: tuple[Action, ...] = (CloseStorage(order.vm, order.attempt),) if opened else ()
    actions = (*actions, CloseAttempt(order.attempt))
    if cleared:
        return Done(ended), (*actions, Tell(ended))
    return Clearing(ended), (*actions, DestroyVm(order.vm))
