"""What can happen to a coordinator. Facts, in the past tense."""

from dataclasses import dataclass
from typing import NewType

from coordinator.requests import Request
from coordinator.store.interface import Result, Row
from protocol.messages import FromAgent

LinkId = NewType("LinkId", int)
"""One connection of one agent, never used twice in the life of a coordinator."""

RequestId = NewType("RequestId", int)
"""One question of an operator."""

WorkId = NewType("WorkId", int)
"""One piece of work that the core gave to the store."""


@dataclass(frozen=True, slots=True)
class Tick:
    """Time has passed."""


@dataclass(frozen=True, slots=True)
class LinkClosed:
    """The connection is gone; what was said last may or may not have arrived."""

    link: LinkId
    reason: str


@dataclass(frozen=True, slots=True)
class Said:
    """The agent at the other end of `link` said `message`."""

    link: LinkId
    message: FromAgent


@dataclass(frozen=True, slots=True)
class TermTaken:
    """The store handed out `term`; no older one can write any more."""

    work: WorkId
    term: int


@dataclass(frozen=True, slots=True)
class Answered:
    """What became of a transaction."""

    work: WorkId
    result: Result


@dataclass(frozen=True, slots=True)
class RowsRead:
    """All rows under a prefix, read linearizably."""

    work: WorkId
    rows: tuple[Row, ...]


@dataclass(frozen=True, slots=True)
class StoreFailed:
    """A read or a term could not be had; nothing was changed by it."""

    work: WorkId
    reason: str


@dataclass(frozen=True, slots=True)
class Asked:
    """An operator asks. The answer is an `Answer` action with the same id."""

    request: RequestId
    body: Request


Event = Tick | LinkClosed | Said | TermTaken | Answered | RowsRead | StoreFailed | Asked
