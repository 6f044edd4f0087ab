"""Post-copy, the source: what will be missing, and S14, in which the target asks for it.

From the commit on this node never runs the guest again: its worker is ended, its disks are closed,
and only the pages stay, until the target has them all or will never ask again.
"""

from dataclasses import replace

from agent.actions import CloseAttempt, DestroyVm, SayToPeer, SetHolds, Tell
from agent.events import PeerSaid, VmDestroyed
from agent.holds import held
from agent.moves import DeadlinePassed, Here, LeaderHeard, VmLost
from agent.pull_words import (
    EndGuest,
    MapDrawn,
    MapSent,
    PeerLeft,
    PullBroke,
    PullJoined,
    PullServed,
    ServePages,
    Superseded,
)
from agent.source_states import (
    AwaitingState,
    Done,
    Event,
    Leaving,
    Listing,
    Next,
    Pausing,
    Serving,
    Switch,
    Trip,
)
from protocol.messages import (
    DeviceState,
    Ended,
    Migrate,
    MigrationMessage,
    MissingNamed,
    MissingTaken,
    Progress,
    RoundEnded,
    RoundRecord,
)
from protocol.names import Hold, Step, Verify


def pause(trip: Trip, order: Migrate, here: Here, now: float) -> Next:
    """S8, in whatever migration."""
    hold = SetHolds(order.vm, order.epoch, held(here.holds, Hold.ATTEMPT))
    return Pausing(Switch(trip, now, now)), (hold,)


def listing(state: Listing, event: Event, order: Migrate, here: Here, now: float) -> Next | None:
    """S7: what is dirty already goes out of the target's memory before the guest is paused. None:
    it is as in every state before the consent.
    """
    match event:
        case MapDrawn(_, parts):
            named: tuple[MigrationMessage, ...] = (*parts, MissingNamed(order.attempt))
            return state, tuple(SayToPeer(order.attempt, message) for message in named)
        case PeerSaid(_, MissingTaken()) if here.linked:
            return pause(state.trip, order, here, now)
        case PeerSaid(_, MissingTaken()):
            return replace(state, taken=True), ()
        case LeaderHeard() if state.taken:
            waited_s = state.trip.waited_s + now - state.since_s
            return pause(replace(state.trip, waited_s=waited_s), order, here, now)
    return None


def map_sent(switch: Switch, sent: MapSent, order: Migrate) -> Next:
    """S9: instead of the last pages the target hears which ones it has not."""
    record = sent.record
    trip = replace(switch.trip, rounds=(*switch.trip.rounds, record), missing=sent.missing_pages)
    state = DeviceState(
        order.attempt,
        order.vm,
        order.epoch,
        record.round,
        switch.steps,
        b"",
        sent.missing_pages,
    )
    ended = RoundEnded(order.attempt, record.round, record.pages)
    says: tuple[MigrationMessage, ...] = (*sent.parts, ended, state)
    after = AwaitingState(replace(switch, trip=trip))
    return after, tuple(SayToPeer(order.attempt, message) for message in says)


def committed(
    switch: Switch, ended: Ended, served: RoundRecord | None, order: Migrate, here: Here
) -> Next:
    """S11 is over and the VM is the target's, without all of its pages."""
    state = Serving(ended, switch.trip)
    if served is not None:
        return _served(state, served, order, here)
    told = _progress(state.trip, None, order, here)
    return state, (EndGuest(order.vm), ServePages(order.attempt), told)


def serve(state: Serving, event: Event, order: Migrate, here: Here, now: float) -> Next:
    """Until the target has all, or can be known to ask no more. The guest stays where it is."""
    match event:
        case PullServed(_, record):
            return _served(state, record, order, here)
        case PullJoined():
            return replace(state, broken_s=None), ()
        case PullBroke(is_over=True) | Superseded() | DeadlinePassed():
            return _leave(state, order)
        case PullBroke():
            if state.has_left:
                return _leave(state, order)
            return (state if state.broken_s is not None else replace(state, broken_s=now)), ()
        case PeerLeft():
            # It may be cut off from the coordinator alone: as long as it asks it is given.
            gone = replace(state, has_left=True)
            return (gone, ()) if state.broken_s is None else _leave(gone, order)
        case VmLost():
            ended = replace(state.ended, term=here.term)
            return Done(ended), (CloseAttempt(order.attempt), Tell(ended))
        case VmDestroyed():
            return state, ()
    return state, ()


def _served(state: Serving, record: RoundRecord, order: Migrate, here: Here) -> Next:
    trip = replace(state.trip, rounds=(*state.trip.rounds, record))
    proven = order.verify is not Verify.OFF and order.travel.checked
    state = replace(state, trip=trip, ended=replace(state.ended, verified=proven or None))
    after, actions = _leave(state, order)
    return after, (_progress(trip, record, order, here), *actions)


def _leave(state: Serving, order: Migrate) -> Next:
    return Leaving(state.ended), (CloseAttempt(order.attempt), DestroyVm(order.vm, moved=True))


def _progress(trip: Trip, record: RoundRecord | None, order: Migrate, here: Here) -> Tell:
    return Tell(
        Progress(
            here.cluster,
            here.term,
            here.incarnation,
            order.attempt,
            Step.PULL,
            trip.network,
            here.pages_total,
            sum(done.pages for done in trip.rounds),
            record,
            "",
        )
    )
