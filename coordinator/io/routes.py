"""What the HTTP API is made of: a route says all that its handler and its documentation need."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from pydantic import BaseModel

from coordinator.requests import Accepted, Declined, Response, Unknown

BASE = "/api/v1"
EVENT_STREAM = "text/event-stream"


@dataclass(frozen=True, slots=True)
class Call:
    """One request, already checked: names from the path, the body and the query as values."""

    names: Mapping[str, str]
    body: Any = None
    query: Any = None


@dataclass(frozen=True, slots=True)
class Reply:
    status: int
    data: Any


Handle = Callable[[Call], Awaitable[Reply]]


@dataclass(frozen=True, slots=True)
class Route:
    """`answers` is the type of the answer with `status`; every error is an `Error`."""

    method: str
    path: str
    name: str
    summary: str
    answers: Any
    handle: Handle
    status: int = HTTPStatus.OK
    body: type[BaseModel] | None = None
    query: type[BaseModel] | None = None
    refusals: tuple[int, ...] = ()

    @property
    def body_may_be_left_out(self) -> bool:
        return self.body is None or not any(
            field.is_required() for field in self.body.model_fields.values()
        )


def error(status: int, code: str, sentence: str) -> Reply:
    return Reply(status, {"error": {"code": code, "message": sentence}})


def reply_to(response: Response, status: int) -> Reply:
    """HTTP's words for what the core answered."""
    match response:
        case Accepted(body):
            return Reply(status, body)
        case Declined(refused, code, sentence):
            return error(refused, code, sentence)
        case Unknown(sentence):
            return error(HTTPStatus.GATEWAY_TIMEOUT, "unknown-outcome", sentence)
