"""HTTP to the coordinator. Only what certainly had no effect is asked again."""

import asyncio
import json
import os
from collections.abc import AsyncIterator
from types import TracebackType
from typing import Any, Self

import aiohttp

from shell.errors import Inconclusive, NoApi, ShellError, declined
from shell.streams import EventReader, Heard, StreamTooLong

PREFIX = "/api/v1"
PATIENCE_S = 3.0
"""So long a coordinator may be restarting; for longer is nobody there."""

ANSWER_WITHIN_S = 75.0
"""The coordinator itself says after a minute that it does not know."""

AGAIN_AFTER_S = 0.1
MISDIRECTED = 421
NOT_HERE = (MISDIRECTED, 503)
"""Nothing was done there: another coordinator leads, or none does yet."""

SILENCE_S = 60.0
"""The event stream says at least a comment more often than that."""


class Client:
    """The API at one address. A call that changes something is sent anew only if it never
    arrived, or was answered with 'not ready, nothing was done'.
    """

    def __init__(self, url: str, *, patience_s: float = PATIENCE_S) -> None:
        self.url = url.rstrip("/").removesuffix(PREFIX)
        self.patience_s = patience_s
        self._http: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        # A connection of its own for each call: on a reused one nobody can tell whether a request
        # that met its end had arrived.
        self._http = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(force_close=True),
            timeout=aiohttp.ClientTimeout(total=ANSWER_WITHIN_S),
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._http is not None:
            await self._http.close()

    async def get(self, path: str, **query: Any) -> Any:
        params = {key: str(value) for key, value in query.items() if value is not None}
        return await self._ask("GET", path, params=params)

    async def post(self, path: str, body: dict[str, Any] | None = None) -> Any:
        return await self._ask("POST", path, body=body)

    async def put(self, path: str, body: dict[str, Any]) -> Any:
        return await self._ask("PUT", path, body=body)

    async def patch(self, path: str, body: dict[str, Any]) -> Any:
        return await self._ask("PATCH", path, body=body)

    async def delete(self, path: str) -> Any:
        return await self._ask("DELETE", path)

    async def _ask(
        self,
        method: str,
        path: str,
        *,
        params: dict[str, str] | None = None,
        body: dict[str, Any] | None = None,
    ) -> Any:
        loop = asyncio.get_running_loop()
        give_up_at = loop.time() + self.patience_s
        url = self.url
        while True:
            try:
                return await self._once(url, method, path, params, body)
            except ShellError as exc:
                status = getattr(exc, "status", None)
                if status == MISDIRECTED and url == self.url:
                    url = await self._leader()
                    if url != self.url:
                        continue
                if not (isinstance(exc, NoApi) or status in NOT_HERE) or loop.time() >= give_up_at:
                    raise
            url = self.url  # whoever led may lead no more
            await asyncio.sleep(AGAIN_AFTER_S)

    async def _leader(self) -> str:
        """Where the coordinator leads that this one follows, as far as it knows."""
        try:
            status = await self._once(self.url, "GET", "/status", None, None)
        except ShellError:
            return self.url
        return str(status.get("leader_api") or self.url).rstrip("/").removesuffix(PREFIX)

    async def _once(
        self,
        base: str,
        method: str,
        path: str,
        params: dict[str, str] | None,
        body: dict[str, Any] | None,
    ) -> Any:
        assert self._http is not None, "a client is used inside `async with`"
        url = base + PREFIX + path
        try:
            async with self._http.request(method, url, params=params, json=body) as answer:
                return self._read(base, answer.status, await answer.read())
        except (aiohttp.InvalidURL, aiohttp.NonHttpUrlClientError) as exc:
            raise NoApi(f"{base!r} is no URL: write it like http://127.0.0.1:8480") from exc
        except aiohttp.ClientConnectorError as exc:
            number = exc.os_error.errno or 0  # below zero where a name was looked up
            why = os.strerror(number) if number > 0 else exc.os_error.strerror
            raise NoApi(f"no API answers at {base}: {why}") from exc
        except (aiohttp.ClientError, TimeoutError) as exc:
            said = str(exc) or "no answer in time"
            if method == "GET":  # it has changed nothing
                raise NoApi(f"the API at {base} broke off: {said}") from exc
            raise Inconclusive(
                f"the API's answer was lost ({said}), so it may have been done: look with "
                "hvlab status before you ask again"
            ) from exc

    def _read(self, base: str, status: int, content: bytes) -> Any:
        try:
            body: Any = json.loads(content) if content else {}
        except ValueError as exc:
            raise NoApi(f"what answers at {base} is no hvlab API") from exc
        if status < 400:
            return body
        match body:
            case {"error": {"code": str(code), "message": str(message)}}:
                raise declined(status, code, message, dict(body))
            case _:
                raise NoApi(f"what answers at {base} is no hvlab API (status {status})")

    async def events(self, after: int) -> AsyncIterator[Heard]:
        """Follow the event stream; a broken or gapped one goes on where it was."""
        last = after
        loop = asyncio.get_running_loop()
        heard_at = loop.time()
        while True:
            try:
                async for heard in self._stream(last):
                    heard_at = loop.time()
                    if heard.event == "gap":
                        break
                    if heard.event == "event" and heard.id.isdecimal():
                        last = int(heard.id)
                    yield heard
            except NoApi:
                if loop.time() >= heard_at + self.patience_s:
                    raise
            await asyncio.sleep(AGAIN_AFTER_S)

    async def _stream(self, after: int) -> AsyncIterator[Heard]:
        assert self._http is not None, "a client is used inside `async with`"
        reader = EventReader()
        timeout = aiohttp.ClientTimeout(total=None, sock_read=SILENCE_S)
        headers = {"Accept": "text/event-stream", "Last-Event-ID": str(after)}
        url = f"{self.url}{PREFIX}/events"
        try:
            async with self._http.get(
                url, params={"after": str(after)}, headers=headers, timeout=timeout
            ) as answer:
                if answer.status != 200:
                    self._read(self.url, answer.status, await answer.read())
                async for piece in answer.content.iter_any():
                    for heard in reader.feed(piece):
                        yield heard
        except (aiohttp.ClientError, TimeoutError, StreamTooLong) as exc:
            raise NoApi(f"the event stream of {self.url} broke off: {exc}") from exc
