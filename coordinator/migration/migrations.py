"""The life of an attempt as the coordinator leads it: events in, orders out.

Nobody is told what was decided before it is written; `Deciding` is the wait for that. After a
restart of the coordinator an attempt that is open is `Reconciling`: both ends are heard, or known
to be gone, or given up waiting for, before it goes on or is decided.
"""

from dataclasses import dataclass, replace

from protocol.messages import AttemptReport, Consented
from protocol.names import Decision, Step

# ---- States


@dataclass(frozen=True, slots=True)
class Reserving:
    """S3: the target makes room."""

    until: float


@dataclass(frozen=True, slots=True)
class Travelling:
    """S4 to S10: the source copies; `heard` once it has said anything about it."""

    heard: bool = False


@dataclass(frozen=True, slots=True)
class Deciding:
    """S11: a decision is on its way into the store. Which one wins is seen when it is written."""

    commit: bool


@dataclass(frozen=True, slots=True)
class Settled:
    """The row says how it ended; both ends are told until they have cleaned up, or are gone."""

    decision: Decision
    source_ended: bool = False
    target_ended: bool = False


@dataclass(frozen=True, slots=True)
class Word:
    """What one end has said of the attempt since this coordinator leads: None, nothing at all."""

    heard: bool = False
    report: AttemptReport | None = None


@dataclass(frozen=True, slots=True)
class Reconciling:
    """A new leader has found the attempt open."""

    until: float
    source: Word = Word()
    target: Word = Word()
    consent: Consented | None = None


@dataclass(frozen=True, slots=True)
class Closed:
    """Nothing more comes of it."""


State = Reserving | Travelling | Deciding | Settled | Reconciling | Closed

# ---- Events


@dataclass(frozen=True, slots=True)
class TargetReserved:
    pass


@dataclass(frozen=True, slots=True)
class SourceProgressed:
    pass


@dataclass(frozen=True, slots=True)
class SourceConsented:
    consent: Consented


@dataclass(frozen=True, slots=True)
class EndGaveUp:
    is_source: bool
    reason: str


@dataclass(frozen=True, slots=True)
class EndLeft:
    """The end's life is in no held view any more."""

    is_source: bool
    reason: str


@dataclass(frozen=True, slots=True)
class EndReturned:
    """The end has said Hello, with this report of the attempt, or none."""

    is_source: bool
    report: AttemptReport | None


@dataclass(frozen=True, slots=True)
class TimePassed:
    """It is `now`; comes once per heartbeat period."""

    now: float


@dataclass(frozen=True, slots=True)
class DecisionWritten:
    decision: Decision


@dataclass(frozen=True, slots=True)
class CommitRefused:
    """The commit could not be written: the target may not own VMs any more."""

    reason: str


@dataclass(frozen=True, slots=True)
class EndEnded:
    """The end has carried out the decision and cleaned up."""

    is_source: bool


Event = (
    TargetReserved
    | SourceProgressed
    | SourceConsented
    | EndGaveUp
    | EndLeft
    | EndReturned
    | TimePassed
    | DecisionWritten
    | CommitRefused
    | EndEnded
)

# ---- Orders


@dataclass(frozen=True, slots=True)
class TellReserve:
    pass


@dataclass(frozen=True, slots=True)
class TellMigrate:
    pass


@dataclass(frozen=True, slots=True)
class WriteCommit:
    consent: Consented | None


@dataclass(frozen=True, slots=True)
class WriteAbort:
    reason: str


@dataclass(frozen=True, slots=True)
class TellDecided:
    is_source: bool
    decision: Decision


@dataclass(frozen=True, slots=True)
class WriteClosed:
    pass


Order = TellReserve | TellMigrate | WriteCommit | WriteAbort | TellDecided | WriteClosed


def step(state: State, event: Event) -> tuple[State, tuple[Order, ...]]:
    """What an event makes of the attempt."""
    match state:
        case Reserving():
            return _reserving(state, event)
        case Travelling():
            return _travelling(state, event)
        case Reconciling():
            return _reconciling(state, event)
        case Deciding():
            return _deciding(state, event)
        case Settled():
            return _settled(state, event)
        case Closed():
            return state, ()


def _abort(reason: str) -> tuple[State, tuple[Order, ...]]:
    return Deciding(commit=False), (WriteAbort(reason),)


def _reserving(state: Reserving, event: Event) -> tuple[State, tuple[Order, ...]]:
    match event:
        case TargetReserved():
            return Travelling(), (TellMigrate(),)
        case TimePassed(now) if now >= state.until:
            return _abort("the target did not reserve the memory in time")
        case EndReturned(is_source=False):
            return state, (TellReserve(),)  # the order may have been lost with the old link
        case _:
            return _undecided(state, event)


def _travelling(state: Travelling, event: Event) -> tuple[State, tuple[Order, ...]]:
    match event:
        case SourceProgressed():
            return Travelling(heard=True), ()
        case SourceConsented(consent):
            return Deciding(commit=True), (WriteCommit(consent),)
        case EndReturned(is_source=True, report=None):
            if state.heard:
                return _abort("the source knows nothing of it any more")
            return state, (TellMigrate(),)
        case EndReturned(is_source=True):
            return Travelling(heard=True), ()
        case EndReturned(is_source=False, report=None):
            return _abort("the target knows nothing of it any more")
        case _:
            return _undecided(state, event)


def _undecided(
    state: Reserving | Travelling | Reconciling, event: Event
) -> tuple[State, tuple[Order, ...]]:
    """What ends any attempt before the source's consent, and what changes nothing."""
    match event:
        case EndGaveUp(_, reason) | EndLeft(_, reason):
            return _abort(reason)
        case DecisionWritten(decision):
            return _settle(decision)
        case CommitRefused(reason):
            return _abort(reason)
        case _:
            return state, ()


def _deciding(state: Deciding, event: Event) -> tuple[State, tuple[Order, ...]]:
    match event:
        case DecisionWritten(decision):
            return _settle(decision)
        case CommitRefused(reason):
            return _abort(reason)
        case _:
            return state, ()  # the compare-and-set decides


def _settle(decision: Decision) -> tuple[State, tuple[Order, ...]]:
    # The one that may go on with the guest is told first.
    first = decision is Decision.ABORTED
    return Settled(decision), (TellDecided(first, decision), TellDecided(not first, decision))


def _settled(state: Settled, event: Event) -> tuple[State, tuple[Order, ...]]:
    match event:
        case EndEnded(is_source) | EndLeft(is_source, _):
            if is_source:
                after = replace(state, source_ended=True)
            else:
                after = replace(state, target_ended=True)
            done = after.source_ended and after.target_ended and after != state
            return after, (WriteClosed(),) if done else ()
        case TimePassed():
            return state, _tell_again(state)
        case EndReturned(is_source) | EndGaveUp(is_source):
            told = state.source_ended if is_source else state.target_ended
            return state, () if told else (TellDecided(is_source, state.decision),)
        case _:
            return state, ()


def _tell_again(state: Settled) -> tuple[Order, ...]:
    if state.source_ended and state.target_ended:
        return (WriteClosed(),)
    ends = ((True, state.source_ended), (False, state.target_ended))
    return tuple(TellDecided(is_source, state.decision) for is_source, ended in ends if not ended)


def _reconciling(state: Reconciling, event: Event) -> tuple[State, tuple[Order, ...]]:
    match event:
        case EndReturned(is_source, report):
            word = Word(heard=True, report=report)
            after = replace(state, source=word) if is_source else replace(state, target=word)
            return _judge(after, waited=False)
        case SourceConsented(consent):
            return _judge(replace(state, consent=consent), waited=False)
        case TimePassed(now) if now >= state.until:
            return _judge(state, waited=True)
        case _:
            return _undecided(state, event)


def _judge(state: Reconciling, waited: bool) -> tuple[State, tuple[Order, ...]]:
    """What both ends' words make of an attempt that was found open."""
    source_heard = state.source.heard or state.consent is not None
    if not waited and not (source_heard and state.target.heard):
        return state, ()
    source, target = state.source.report, state.target.report
    if source is None and state.consent is None:
        return _abort("the coordinator was restarted, and the source knows nothing of it")
    if target is None:
        return _abort("the coordinator was restarted, and the target knows nothing of it")
    if state.consent is not None or (source is not None and source.consented):
        if reached(target.step, Step.STORAGE):
            return Deciding(commit=True), (WriteCommit(state.consent),)
        return _abort("the coordinator was restarted, and the target does not have all of it")
    return Travelling(heard=True), ()


def reached(at: Step, least: Step) -> bool:
    """Whether step `at` is `least` or a later one."""
    return int(at.value[1:]) >= int(least.value[1:])
