"""What a coordinator's core wants done. Orders; they are carried out in the order in which they
are returned.
"""

from dataclasses import dataclass

from coordinator.events import LinkId, RequestId, WorkId
from coordinator.requests import Response
from coordinator.store.interface import Txn
from protocol.messages import ToAgent
from protocol.names import AttemptId


@dataclass(frozen=True, slots=True)
class TakeTerm:
    """Have the store hand out a term of at least `at_least`. Ends in TermTaken or StoreFailed."""

    work: WorkId
    at_least: int


@dataclass(frozen=True, slots=True)
class Transact:
    """Ends in Answered, which may be indefinite."""

    work: WorkId
    txn: Txn


@dataclass(frozen=True, slots=True)
class ReadRows:
    """Ends in RowsRead or StoreFailed."""

    work: WorkId
    prefix: str


@dataclass(frozen=True, slots=True)
class Send:
    """Say it to the agent at the other end of `link`; lost if the link is gone."""

    link: LinkId
    message: ToAgent


@dataclass(frozen=True, slots=True)
class CloseLink:
    link: LinkId
    reason: str


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to an operator's question."""

    request: RequestId
    response: Response


@dataclass(frozen=True, slots=True)
class PublishProgress:
    """A migration has moved on: for those who watch it. Not kept; the attempt's row is what
    stays.
    """

    attempt: AttemptId


Action = TakeTerm | Transact | ReadRows | Send | CloseLink | Answer | PublishProgress
