"""The OpenAPI document, made from the table of routes and the models: it cannot lag behind them."""

import re
from collections.abc import Collection
from http import HTTPStatus
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import JsonSchemaMode, models_json_schema

from coordinator.io.api_answers import Error
from coordinator.io.api_models import FeedQuery
from coordinator.io.routes import BASE, EVENT_STREAM, Route

REFS = "#/components/schemas/{model}"
ALWAYS_POSSIBLE = (
    HTTPStatus.FORBIDDEN,
    HTTPStatus.UNPROCESSABLE_ENTITY,
    HTTPStatus.SERVICE_UNAVAILABLE,
)
CHANGES = (
    HTTPStatus.MISDIRECTED_REQUEST,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    HTTPStatus.GATEWAY_TIMEOUT,
)

MEANINGS = {
    HTTPStatus.OK: "It is so, or done",
    HTTPStatus.CREATED: "It is there",
    HTTPStatus.ACCEPTED: "It is decided and written; it takes effect from now on",
    HTTPStatus.FORBIDDEN: "Not from there: a foreign host name or origin",
    HTTPStatus.NOT_FOUND: "There is none of that name",
    HTTPStatus.CONFLICT: "The rules refuse it as things are now; nothing was done",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "The body is too large",
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE: "The body is not application/json",
    HTTPStatus.MISDIRECTED_REQUEST: "Another coordinator leads: ask that one; nothing was done",
    HTTPStatus.UNPROCESSABLE_ENTITY: "The request is off; the sentence names the field",
    HTTPStatus.SERVICE_UNAVAILABLE: "Nothing can be decided now; nothing was done",
    HTTPStatus.GATEWAY_TIMEOUT: "It may or may not have been done: look before you ask again",
}

ABOUT = (
    "What a person or a script can see of the cluster and do to it. An error's body is"
    ' {"error": {"code", "message"}}, where the code is stable and the message a sentence for'
    " people. Fields may be added to answers; none is renamed. Sizes are in bytes, times in"
    " seconds, `at` and `..._at` in seconds since 1970."
)

FEED = (
    "Server-sent events: `event` (a line of the log, its index as id), `progress` (an attempt with"
    " its live state, at most 10 a second), `state` (the status, when it has changed) and `gap`"
    " (the stream ends here: come back after `after`). Last-Event-ID, or `after`, resumes without a"
    " loss, however long ago. Slow readers are told the newest progress and status only."
)


def document(routes: Collection[Route]) -> dict[str, Any]:
    """OpenAPI 3.1."""
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        paths.setdefault(BASE + route.path, {})[route.method.lower()] = _operation(route)
    paths[f"{BASE}/events"] = {"get": _feed()}
    return {
        "openapi": "3.1.0",
        "info": {"title": "hvlab coordinator", "version": "1", "description": ABOUT},
        "paths": paths,
        "components": {"schemas": _schemas(routes)},
    }


def _operation(route: Route) -> dict[str, Any]:
    statuses = {*ALWAYS_POSSIBLE, *route.refusals, *(CHANGES if route.method != "GET" else ())}
    described: dict[str, Any] = {
        "operationId": route.name,
        "summary": route.summary,
        "parameters": _in_path(route.path) + _in_query(route.query),
        "responses": {
            str(int(route.status)): _answer(route.status, _schema_of(route.answers)),
            **{str(int(s)): _answer(s, _schema_of(Error)) for s in sorted(statuses)},
        },
    }
    if route.body is not None:
        described["requestBody"] = {
            "required": not route.body_may_be_left_out,
            "content": {"application/json": {"schema": _schema_of(route.body)}},
        }
    return described


def _feed() -> dict[str, Any]:
    return {
        "operationId": "events",
        "summary": "Follow what happens",
        "description": FEED,
        "parameters": _in_query(FeedQuery),
        "responses": {
            "200": {
                "description": "The stream",
                "content": {EVENT_STREAM: {"schema": {"type": "string"}}},
            },
            **{str(int(s)): _answer(s, _schema_of(Error)) for s in ALWAYS_POSSIBLE},
        },
    }


def _answer(status: int, schema: dict[str, Any]) -> dict[str, Any]:
    return {
        "description": MEANINGS[HTTPStatus(status)],
        "content": {"application/json": {"schema": schema}},
    }


def _in_path(path: str) -> list[dict[str, Any]]:
    return [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in re.findall(r"{(\w+)}", path)
    ]


def _in_query(query: type[BaseModel] | None) -> list[dict[str, Any]]:
    if query is None:
        return []
    return [
        {
            "name": name,
            "in": "query",
            "required": False,
            "description": schema.pop("description", ""),
            "schema": schema,
        }
        for name, schema in query.model_json_schema()["properties"].items()
    ]


def _schema_of(kind: Any) -> dict[str, Any]:
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return {"$ref": REFS.format(model=kind.__name__)}
    (item,) = kind.__args__
    return {"type": "array", "items": _schema_of(item)}


def _schemas(routes: Collection[Route]) -> dict[str, Any]:
    used: dict[tuple[type[BaseModel], JsonSchemaMode], None] = {(Error, "serialization"): None}
    for route in routes:
        if route.body is not None:
            used[route.body, "validation"] = None
        kind = route.answers
        used[kind if isinstance(kind, type) else kind.__args__[0], "serialization"] = None
    _, schemas = models_json_schema(list(used), ref_template=REFS)
    defined: dict[str, Any] = schemas["$defs"]
    return defined
