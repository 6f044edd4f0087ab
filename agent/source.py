"""The source of a migration, as a machine: S4 to S13 from the side that has the guest.

Until it has consented it may end the attempt alone, and its guest runs on. From the consent on it
waits, guest paused, for what the coordinator's store has decided: it asks, it never guesses.
"""

from dataclasses import replace

from agent.actions import (
    Action,
    CloseAttempt,
    Connect,
    DestroyVm,
    SayToPeer,
    SendLastPages,
    SetHolds,
    Tell,
)
from agent.events import (
    Connected,
    GuestPaused,
    GuestResumed,
    GuestSettled,
    LastPagesSent,
    PagesMoved,
    PeerLost,
    PeerSaid,
    RoundSent,
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
from agent.policies import Another, Failed, PostCopy, Stop
from agent.pull_words import AfterCommit, MapDrawn, MapSent, OpenPull, PullServed, SendMap
from agent.source_pull import committed, listing, map_sent, pause, serve
from agent.source_rounds import another, decision_on, unthrottled
from agent.source_states import (
    AwaitingState,
    BeforeConsent,
    Connecting,
    Consenting,
    Copying,
    Deciding,
    Done,
    Draining,
    Event,
    GivenUp,
    Landing,
    Leaving,
    Listing,
    Next,
    OfTheEdge,
    OpeningStorage,
    Pausing,
    Ready,
    SendingLast,
    Serving,
    State,
    Switch,
    Switching,
    Trip,
    step_of,
)
from protocol.messages import (
    Abandoned,
    Consented,
    Decided,
    DeviceState,
    Ended,
    Migrate,
    OpenStorage,
    Part,
    Progress,
    RoundEnded,
    RoundReceived,
    RoundRecord,
    StateReceived,
    StorageOpened,
)
from protocol.names import Decision, Epoch, Hold, NetworkName, Step


def begin(order: Migrate, here: Here) -> Next:
    connect = Connect(
        order.cluster,
        order.attempt,
        order.vm,
        order.epoch,
        here.incarnation,
        order.target,
        order.networks,
        order.token,
        order.travel,
    )
    return Connecting(), (_progress(order, here, Step.CONNECT, Trip(NetworkName(""))), connect)


def step(state: State, event: Event, order: Migrate, here: Here, now: float) -> Next:
    """The whole life of a source. No clock, no socket, no log."""
    match state, event:
        case Connecting(), Connected(_, network):
            return _connected(Trip(network), order, here)
        case Copying(trip), PagesMoved(_, pages):
            at = Step.ROUND if trip.rounds else Step.FIRST_ROUND
            return state, (_progress(order, here, at, trip, moved_pages=pages),)
        case Copying(trip, landed), RoundSent(_, record):
            trip = replace(trip, rounds=(*trip.rounds, record))
            ended = SayToPeer(order.attempt, RoundEnded(order.attempt, record.round, record.pages))
            if not landed:
                return Landing(trip, now), (ended,)
            after, actions = _round_landed(trip, order, here, now)
            return after, (ended, *actions)
        case Copying(trip), PeerSaid(_, RoundReceived(_, number)) if number == len(trip.rounds):
            return Copying(trip, landed=True), ()
        case Landing(trip, since_s), PeerSaid(_, RoundReceived(_, number)) if (
            number == len(trip.rounds) - 1
        ):
            return _round_landed(trip, order, here, now, now - since_s)
        case Ready(trip, since_s), LeaderHeard():
            # The guest went on writing meanwhile: one more round, so that the pause is as short as
            # was decided.
            trip = replace(trip, waited_s=trip.waited_s + now - since_s)
            return another(trip, trip.asked, order)
        case Pausing(switch), GuestPaused(steps=steps, unanswered=unanswered):
            switch = replace(switch, steps=steps)
            return (
                (Draining(switch, unanswered), ())
                if unanswered
                else _stood(switch, order, here, now)
            )
        case Draining(switch), GuestSettled():
            return _stood(switch, order, here, now)
        case SendingLast(switch), LastPagesSent(_, record, digest, verify_s):
            return _last_pages_sent(switch, record, digest, verify_s, order)
        case SendingLast(Switch(trip=Trip(post_copy=True)) as switch), MapSent() as sent:
            return map_sent(switch, sent, order)
        case Listing(), _ if (listed := listing(state, event, order, here, now)) is not None:
            return listed
        case AwaitingState(switch), PeerSaid(_, StateReceived(_, digest, verify_s)):
            return _state_received(switch, digest, verify_s, order, here, now)
        case OpeningStorage(switch), PeerSaid(_, StorageOpened()):
            switch = switch.ended(now, ("storage", now - switch.part_s))
            return _consent(switch, order, here)
        case Consenting(switch), LeaderHeard():
            return _consent(switch, order, here)
    if isinstance(state, BeforeConsent):
        return _before_consent(state, event, order, here)
    return _after_consent(state, event, order, here, now)


def _before_consent(state: BeforeConsent, event: Event, order: Migrate, here: Here) -> Next:
    """What ends the attempt: until it has consented the source can take its guest back."""
    match event:
        case PeerLost(_, reason):
            return _give_up(state, f"The target was lost: {reason}", order, here, tells_peer=False)
        case PeerSaid(_, Abandoned(_, reason)):
            return _give_up(state, f"The target gave up: {reason}", order, here, tells_peer=False)
        case PeerSaid(_, RoundReceived()) if isinstance(state, Switching):
            return state, ()  # of the last pages; what counts is that their state was received
        case PeerSaid(_, message):
            said = type(message).__name__
            return _give_up(state, f"The target said {said} out of turn.", order, here)
        case VmLost(reason):
            return _give_up(state, reason, order, here, lost=True)
        case DeadlinePassed():
            if not isinstance(state, Switching):
                return state, ()
            if isinstance(state, Draining):
                waited = f"within {here.limits.drain_max_s:g} s of the pause"
                busy = f"{state.unanswered} requests to the disk of {order.vm} were not answered"
                return _give_up(state, f"The storage is busy: {busy} {waited}.", order, here)
            waited = f"{here.limits.switch_max_s:g} s after the pause"
            return _give_up(state, f"The switch was not ready {waited}.", order, here)
        case Decided(decision=Decision.ABORTED):
            ended = carried_out(event, here, True)
            says = SayToPeer(order.attempt, Abandoned(order.attempt, event.reason))
            freed = unthrottled(state, order)
            return Done(ended), (says, *freed, *_let_go(order, here, event.epoch, False, ended))
        case GuestPaused() | GuestSettled() | GuestResumed() | VmDestroyed():
            return state, ()
        case LeaderHeard() | PagesMoved():
            return state, ()
        case _ if isinstance(event, AfterCommit | MapDrawn):
            return state, ()  # nothing that concerns missing pages counts before the commit
    raise IllegalEvent(state, event)


def _after_consent(
    state: Deciding | Serving | Leaving | GivenUp | Done,
    event: Event,
    order: Migrate,
    here: Here,
    now: float,
) -> Next:
    """The store decides, and each side says once more what may have been lost."""
    match state, event:
        case Deciding(switch), LeaderHeard():
            return state, (_consented(switch, order, here),)
        case Deciding(switch), VmLost():
            return replace(state, lost=True), ()
        case Deciding(), PullServed(_, record):
            return replace(state, served=record), ()
        case Deciding(switch, lost, served), Decided() as decided:
            waited = Part("commit", max(0.0, now - switch.part_s))
            ended = carried_out(decided, here, True, (waited,))
            if decided.decision is Decision.ABORTED:
                return Done(ended), _let_go(order, here, decided.epoch, lost, ended)
            if lost:
                return Done(ended), (CloseAttempt(order.attempt), Tell(ended))
            if switch.trip.missing:
                return committed(switch, ended, served, order, here)
            return Leaving(ended), (CloseAttempt(order.attempt), DestroyVm(order.vm, moved=True))
        case Leaving(ended), VmDestroyed():
            return Done(ended), (Tell(replace(ended, term=here.term)),)
        case GivenUp(told), LeaderHeard():
            return state, (Tell(replace(told, term=here.term)),)
        case GivenUp(told), VmLost():
            return GivenUp(told, lost=True), ()
        case GivenUp(_, lost), Decided(decision=Decision.ABORTED) as decided:
            ended = carried_out(decided, here, True)
            return Done(ended), _let_go(order, here, decided.epoch, lost, ended)
        case Done(ended), Decided(decision=decision) if decision is ended.decision:
            return state, (Tell(replace(ended, term=here.term)),)
        case Leaving(ended), Decided(decision=decision) if decision is ended.decision:
            return state, ()
        case Serving(ended), Decided(decision=decision) if decision is ended.decision:
            return state, ()

        # No other decision than the one that was carried out, and none to commit without a consent.
        case _, Decided():
            raise IllegalEvent(state, event)
        case Deciding() | Serving() | Leaving(), _ if isinstance(event, OfTheEdge):
            raise IllegalEvent(state, event)
        case Serving(), _:
            return serve(state, event, order, here, now)
    return state, ()


# ---- What the steps do


def _connected(trip: Trip, order: Migrate, here: Here) -> Next:
    """S5: all pages, as the policy wants them to travel."""
    match decision_on(trip, order, here):
        case Another() as asked:
            after, actions = another(trip, asked, order)
            return after, (_progress(order, here, Step.FIRST_ROUND, trip), *actions)
        case Failed(reason) | Stop(reason) | PostCopy(reason):
            return _give_up(Copying(trip), reason, order, here)


def _round_landed(trip: Trip, order: Migrate, here: Here, now: float, lag_s: float = 0.0) -> Next:
    """S7, after each round."""
    match decision_on(trip, order, here, lag_s):
        case Another() as asked:
            told = _progress(order, here, Step.ROUND, trip, trip.rounds[-1])
            after, actions = another(trip, asked, order)
            return after, (told, *actions)
        case Stop(reason):
            return _stopped(replace(trip, stop_reason=reason, post_copy=False), order, here, now)
        case PostCopy(reason):
            return _stopped(replace(trip, stop_reason=reason, post_copy=True), order, here, now)
        case Failed(reason):
            return _give_up(Landing(trip), reason, order, here)


def _stopped(trip: Trip, order: Migrate, here: Here, now: float) -> Next:
    """Enough has been copied. From the pause on, and while nobody could hear the consent, the
    guest's time is its own.
    """
    told = _progress(order, here, Step.STOP_DECISION, trip, trip.rounds[-1], trip.stop_reason)
    freed, calm = unthrottled(Copying(trip), order), replace(trip, throttle=0.0)
    if trip.post_copy:
        return Listing(calm, now), (told, *freed, OpenPull(order.attempt))
    if not here.linked:
        return Ready(calm, now), (told, *freed)
    after, actions = pause(calm, order, here, now)
    return after, (told, *actions, *freed)


def _stood(switch: Switch, order: Migrate, here: Here, now: float) -> Next:
    """S9: the guest stands still, and nothing of it is under way to its disk."""
    switch = switch.ended(now, ("pause", now - switch.part_s))
    number, rate = len(switch.trip.rounds), order.rate_on(switch.trip.network)
    last: Action = SendLastPages(order.attempt, number, order.verify, rate)
    if switch.trip.post_copy:
        last = SendMap(order.attempt, number)
    return SendingLast(switch), (_progress(order, here, Step.LAST_PAGES, switch.trip), last)


def _last_pages_sent(
    switch: Switch, record: RoundRecord, digest: bytes, verify_s: float, order: Migrate
) -> Next:
    trip = replace(switch.trip, rounds=(*switch.trip.rounds, record))
    state = DeviceState(order.attempt, order.vm, order.epoch, record.round, switch.steps, digest)
    says = (RoundEnded(order.attempt, record.round, record.pages), state)
    after = AwaitingState(replace(switch, trip=trip, digest=digest, verify_s=verify_s))
    return after, tuple(SayToPeer(order.attempt, message) for message in says)


def _state_received(
    switch: Switch, digest: bytes, verify_s: float, order: Migrate, here: Here, now: float
) -> Next:
    if digest != switch.digest:
        reason = "The target's memory differs from the source's; the guest runs on where it was."
        return _give_up(AwaitingState(switch), reason, order, here)
    verify_s += switch.verify_s
    last_pages = ("last pages", now - switch.part_s - verify_s)
    parts = (last_pages, ("verify", verify_s)) if digest else (last_pages,)
    switch = switch.ended(now, *parts)
    opens = SayToPeer(order.attempt, OpenStorage(order.attempt, order.epoch))
    return OpeningStorage(switch), (_progress(order, here, Step.STORAGE, switch.trip), opens)


def _consent(switch: Switch, order: Migrate, here: Here) -> Next:
    """The point of no return, if there is anybody to hear it."""
    if not here.linked:
        return Consenting(switch), ()
    return Deciding(switch), (_consented(switch, order, here),)


def _consented(switch: Switch, order: Migrate, here: Here) -> Tell:
    return Tell(
        Consented(
            here.cluster,
            here.term,
            here.incarnation,
            order.attempt,
            order.vm,
            order.epoch,
            True if switch.digest else None,
            switch.trip.waited_s,
            switch.parts,
            switch.trip.rounds,
            switch.trip.stop_reason,
        )
    )


def _give_up(
    state: BeforeConsent,
    reason: str,
    order: Migrate,
    here: Here,
    *,
    lost: bool = False,
    tells_peer: bool = True,
) -> Next:
    told = gave_up(order, here, step_of(state), reason)
    actions: list[Action] = [] if lost else [*unthrottled(state, order)]
    if Hold.ATTEMPT in here.holds and not lost:
        actions.append(SetHolds(order.vm, order.epoch, released(here.holds, Hold.ATTEMPT)))
    if tells_peer:
        actions.append(SayToPeer(order.attempt, Abandoned(order.attempt, reason)))
    actions += [CloseAttempt(order.attempt), Tell(told)]
    return GivenUp(told, lost), tuple(actions)


def _let_go(
    order: Migrate, here: Here, epoch: Epoch, lost: bool, ended: Ended
) -> tuple[Action, ...]:
    """The guest is this node's under the epoch of the abort; if it was paused it runs again."""
    close = (CloseAttempt(order.attempt), Tell(ended))
    if lost:
        return close
    return (SetHolds(order.vm, epoch, released(here.holds, Hold.ATTEMPT)), *close)


def _progress(
    order: Migrate,
    here: Here,
    at: Step,
    trip: Trip,
    record: RoundRecord | None = None,
    reason: str = "",
    moved_pages: int = 0,
) -> Tell:
    return Tell(
        Progress(
            here.cluster,
            here.term,
            here.incarnation,
            order.attempt,
            at,
            trip.network,
            here.pages_total,
            sum(done.pages for done in trip.rounds) + moved_pages,
            record,
            reason,
        )
    )
