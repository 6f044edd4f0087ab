"""The HTTP server: routes from the table, checked requests, JSON for every answer and every error.

Whoever reaches the port may operate the cluster, and a browser reaches it on behalf of any page
that it shows. So a request must name this server by an address or an allowed name (against DNS
rebinding), must not come from a page of another origin, and carries JSON or nothing.
"""

import ipaddress
import json
from collections.abc import Awaitable, Callable, Collection
from http import HTTPStatus
from typing import Any

import structlog
from aiohttp import hdrs, web
from pydantic import BaseModel, ValidationError

from coordinator.io import api_models as models
from coordinator.io.api_mistakes import sentence_of
from coordinator.io.docs_page import docs_page
from coordinator.io.feed import SUBSCRIBERS_MAX, Feed
from coordinator.io.openapi import document
from coordinator.io.routes import BASE, Call, Reply, Route, error
from protocol.errors import StoreError, StoreIndefinite

BODY_BYTES_MAX = 64 * 1024

HEADERS = {
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'",
    "Cross-Origin-Resource-Policy": "same-origin",
}

Next = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Refusal(Exception):
    """The request is not let through to its handler."""

    def __init__(self, status: int, code: str, sentence: str) -> None:
        super().__init__(sentence)
        self.reply = error(status, code, sentence)


def application(
    routes: Collection[Route], feed: Feed, allowed_names: Collection[str] = ()
) -> web.Application:
    """The server's routes; `allowed_names` are host names under which it may be addressed."""
    app = web.Application(client_max_size=BODY_BYTES_MAX, middlewares=[_answering(allowed_names)])
    for route in routes:
        app.router.add_route(route.method, BASE + route.path, _handler(route))
    described = document(routes)

    async def openapi(request: web.Request) -> web.Response:
        return _json(Reply(HTTPStatus.OK, described))

    async def docs(request: web.Request) -> web.Response:
        return web.Response(text=docs_page(described), content_type="text/html")

    async def events(request: web.Request) -> web.StreamResponse:
        query = _checked(models.FeedQuery, dict(request.query))
        if feed.full:
            sentence = f"{SUBSCRIBERS_MAX} subscribers listen already: close one of them."
            raise Refusal(HTTPStatus.SERVICE_UNAVAILABLE, "too-many-subscribers", sentence)
        return await feed.serve(request, query.after)

    async def end_streams(app: web.Application) -> None:
        feed.close()

    app.router.add_get(f"{BASE}/events", events)
    app.router.add_get("/api/openapi.json", openapi)
    app.router.add_get("/api/docs", docs)
    app.on_shutdown.append(end_streams)
    return app


def _handler(route: Route) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def handle(request: web.Request) -> web.Response:
        for name in request.match_info.values():
            _check_name(name)
        query = None
        if route.query is not None:
            query = _checked(route.query, dict(request.query))
        elif request.query:
            raise Refusal(
                HTTPStatus.UNPROCESSABLE_ENTITY,
                "bad-request",
                f"{route.path} takes no parameters: leave out what follows the question mark.",
            )
        body = await _body(request, route)
        return _json(await route.handle(Call(dict(request.match_info), body, query)))

    return handle


def _check_name(name: str) -> None:
    """What is named in a refusal, in records and in the log is bounded and can be read."""
    if len(name) > models.NAME_CHARS_MAX or not name.isprintable():
        raise Refusal(
            HTTPStatus.NOT_FOUND,
            "not-found",
            f"Nothing is called {name[: models.NAME_CHARS_MAX]!r}: names have 1 to "
            f"{models.NAME_CHARS_MAX} characters, all of them printable.",
        )


async def _body(request: web.Request, route: Route) -> BaseModel:
    """The body as its model; a route without one accepts an empty object, too."""
    content = await request.read()
    if content and request.content_type != "application/json":
        raise Refusal(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            "not-json",
            f"The body is {request.content_type}: send application/json.",
        )
    model = route.body or models.Body
    if not content and route.body_may_be_left_out:
        content = b"{}"
    checked: BaseModel = _checked(model, content)
    return checked


def _checked(model: type[BaseModel], given: bytes | dict[str, str]) -> Any:
    try:
        if isinstance(given, bytes):
            return model.model_validate_json(given)
        return model.model_validate(given)
    except ValidationError as exc:
        sentence = sentence_of(exc, model)
        raise Refusal(HTTPStatus.UNPROCESSABLE_ENTITY, "bad-request", sentence) from None


def _answering(allowed_names: Collection[str]) -> Any:
    """Every request is checked first, and every failure is answered as JSON."""
    log = structlog.get_logger(part="api")

    @web.middleware
    async def answer(request: web.Request, handler: Next) -> web.StreamResponse:
        try:
            _check_sender(request, allowed_names)
            response = await handler(request)
        except Refusal as exc:
            response = _json(exc.reply)
        except web.HTTPException as exc:
            response = _json(_of_http(request, exc))
            if hdrs.ALLOW in exc.headers:
                response.headers[hdrs.ALLOW] = exc.headers[hdrs.ALLOW]
        except (StoreError, StoreIndefinite) as exc:
            response = _json(error(HTTPStatus.SERVICE_UNAVAILABLE, "store-failed", str(exc)))
        except Exception:
            log.exception("request-failed", method=request.method, path=request.path)
            sentence = "The coordinator made a mistake: its log says which."
            response = _json(error(HTTPStatus.INTERNAL_SERVER_ERROR, "internal", sentence))
        if not response.prepared:
            response.headers.update(HEADERS)
        log.debug("request", method=request.method, path=request.path, status=response.status)
        return response

    return answer


def _check_sender(request: web.Request, allowed_names: Collection[str]) -> None:
    host = request.headers.get(hdrs.HOST, "")
    if not _is_ours(_name_in(host), allowed_names):
        raise Refusal(
            HTTPStatus.FORBIDDEN,
            "foreign-host",
            f"This server is not called {host[:100]!r}: address it by its IP address or localhost.",
        )
    origin = request.headers.get(hdrs.ORIGIN)
    if origin is not None and origin.lower() != f"{request.scheme}://{host}".lower():
        raise Refusal(
            HTTPStatus.FORBIDDEN,
            "foreign-origin",
            "Pages of another origin may not use this API: call it from a program.",
        )


def _name_in(host: str) -> str:
    """The host of a Host header: without its port, an IPv6 address without its brackets."""
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0].lower()


def _is_ours(name: str, allowed_names: Collection[str]) -> bool:
    if name == "localhost" or name in allowed_names:
        return True
    try:
        ipaddress.ip_address(name)  # a page that rebinds a name can never send an address
    except ValueError:
        return False
    return True


def _of_http(request: web.Request, exc: web.HTTPException) -> Reply:
    match exc:
        case web.HTTPMethodNotAllowed(allowed_methods=allowed):
            right = ", ".join(sorted(allowed))
            sentence = f"{request.method} does not go here: {request.path} knows {right}."
            return error(exc.status, "method-not-allowed", sentence)
        case web.HTTPNotFound():
            sentence = f"There is nothing at {request.path}: /api/docs shows what there is."
            return error(exc.status, "not-found", sentence)
        case web.HTTPRequestEntityTooLarge():
            sentence = f"The body is larger than {BODY_BYTES_MAX} bytes: send less."
            return error(exc.status, "too-large", sentence)
        case _:
            return error(exc.status, "bad-request", f"{exc.reason}.")


def _json(reply: Reply) -> web.Response:
    text = json.dumps(reply.data, separators=(",", ":"))
    return web.Response(text=text, status=reply.status, content_type="application/json")
