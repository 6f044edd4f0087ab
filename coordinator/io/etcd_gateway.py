"""etcd over HTTP: its v3 JSON gateway, several endpoints, and whether a failed call may have acted.

Keys and values travel in base64, 64-bit numbers as text, and a field that is zero is left out.
"""

import base64
import json
from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from protocol.errors import StoreError, StoreIndefinite

Data = dict[str, Any]

CONNECT_S = 0.5
ANSWER_S = 2.0
"""A healthy etcd answers in milliseconds, one that elects its leader within about a second."""

DEFINITE = (
    "too many requests",
    "database space exceeded",
    "request is too large",
    "too many operations",
    "duplicate key given",
    "requested lease not found",
    "key is not provided",
    "permission denied",
    "required revision",
    "illegal base64",
)
"""What etcd says before it has done anything; after all else a change may have happened."""

ENDPOINTS_MAX = 16


def check_endpoint(url: str) -> str:
    """`url` without its last slash; ValueError says how to write one."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.path.strip("/"):
        raise ValueError(f"{url!r} is no endpoint of etcd: write http://ADDRESS:PORT")
    return url.rstrip("/")


def coded(text: str | bytes) -> str:
    return base64.b64encode(text.encode() if isinstance(text, str) else text).decode()


def decoded(text: str) -> bytes:
    return base64.b64decode(text)


class _NotSent(Exception):
    """This endpoint has not even got the request."""


class Gateway:
    """Calls of etcd by any of its members: the one that answered last is asked first."""

    def __init__(self, endpoints: Sequence[str]) -> None:
        if not 1 <= len(endpoints) <= ENDPOINTS_MAX:
            raise ValueError(f"{len(endpoints)} endpoints of etcd: name 1 to {ENDPOINTS_MAX}")
        self._endpoints = [check_endpoint(url) for url in endpoints]
        self._at = 0
        self._listening_at = 0
        """Apart from `_at`: a silent stream says nothing against the member that answers calls."""
        # trust_env stays off: a proxy of the environment is for other programs.
        self._session = aiohttp.ClientSession()

    async def close(self) -> None:
        await self._session.close()

    @property
    def closed(self) -> bool:
        return self._session.closed

    async def read(self, path: str, body: Mapping[str, Any]) -> Data:
        """Ask what changes nothing, of each member until one answers; StoreError if none does."""
        why = ""
        for _ in self._endpoints:
            try:
                return await self._call(path, body)
            except (_NotSent, StoreIndefinite) as exc:
                why = str(exc)
                self._turn()
        raise StoreError(f"etcd does not answer: {why}")

    async def change(self, path: str, body: Mapping[str, Any], answer_s: float = ANSWER_S) -> Data:
        """Ask for a change, of the next member only if this one never got it."""
        why = ""
        for _ in self._endpoints:
            try:
                return await self._call(path, body, answer_s)
            except _NotSent as exc:
                why = str(exc)
                self._turn()
            except StoreIndefinite:
                self._turn()
                raise
        raise StoreError(f"no member of etcd can be reached: {why}")

    async def stream(
        self, path: str, body: Mapping[str, Any], silence_s: float
    ) -> AsyncGenerator[Data, None]:
        """What one member streams; ends when it breaks, or has said nothing for so long."""
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_S, sock_read=silence_s)
        # A member without a leader ends the stream instead of staying silent for ever.
        headers = {"Grpc-Metadata-hasleader": "true"}
        try:
            async with self._session.post(
                self._url(path, self._listening_at), json=body, timeout=timeout, headers=headers
            ) as response:
                left = b""
                async for piece in response.content.iter_any():
                    *lines, left = (left + piece).split(b"\n")
                    for line in lines:
                        if line.strip():
                            yield _result(json.loads(line))
        except (aiohttp.ClientError, OSError, ValueError):
            pass  # whoever listens begins anew behind what it has seen
        self._listening_at = (self._listening_at + 1) % len(self._endpoints)

    def _url(self, path: str, at: int) -> str:
        if self.closed:
            raise StoreError("the store is closed")
        return f"{self._endpoints[at]}/v3/{path}"

    def _turn(self) -> None:
        self._at = (self._at + 1) % len(self._endpoints)

    async def _call(self, path: str, body: Mapping[str, Any], answer_s: float = ANSWER_S) -> Data:
        url = self._url(path, self._at)
        timeout = aiohttp.ClientTimeout(total=answer_s, sock_connect=CONNECT_S)
        try:
            async with self._session.post(url, json=body, timeout=timeout) as response:
                content = await response.read()
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as exc:
            raise _NotSent(f"{url}: {exc}") from exc
        except (TimeoutError, aiohttp.ClientError, OSError) as exc:
            reason = str(exc) or "it took too long"
            raise StoreIndefinite(f"{url} did not answer: {reason}") from exc
        try:
            said = json.loads(content)
            if not isinstance(said, dict):
                raise ValueError("no object")
        except ValueError as exc:
            raise StoreIndefinite(f"{url} answered {content[:100]!r}, which is not etcd's") from exc
        if response.status == 200 and "error" not in said:
            return _result(said)
        reason = str(said.get("error", content[:100]))
        if any(words in reason for words in DEFINITE):
            raise StoreError(f"etcd refused: {reason}")
        raise StoreIndefinite(f"etcd did not confirm: {reason}")


def _result(said: Data) -> Data:
    """Streaming calls wrap each answer once more."""
    inner = said.get("result", said)
    return inner if isinstance(inner, dict) else said
