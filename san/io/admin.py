"""How a lab hurts the san: one JSON object a line on a socket in its state folder."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from san.io.target import Target

Words = dict[str, Any]


class Admin:
    """Answers each line with one: `cut`, `heal`, `slow`, `show`."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._server: asyncio.Server | None = None

    async def listen(self, path: Path) -> None:
        _clear(path)
        self._server = await asyncio.start_unix_server(self._serve, path)

    def close(self) -> None:
        if self._server is not None:
            self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while line := await reader.readline():
                writer.write(json.dumps(self.answer(line)).encode() + b"\n")
                await writer.drain()
        except (ConnectionError, ValueError):
            pass  # it left, or sent a line without an end: there is nobody to answer
        finally:
            writer.close()

    def answer(self, line: bytes) -> Words:
        deeds: dict[object, Callable[[Words], Words]] = {
            "cut": self._cut,
            "heal": self._heal,
            "slow": self._slow,
            "show": self._show,
        }
        try:
            words = json.loads(line)
            return deeds[words["do"]](words)
        except (ValueError, TypeError, KeyError) as error:
            return {"error": f"not understood ({error!r}): do cut, heal, slow or show"}

    def _cut(self, words: Words) -> Words:
        source, portal = str(words["from"]), words.get("portal")
        self._target.cut.add((source, portal))
        closed = 0
        for connection in list(self._target.connections.values()):
            if connection.peer == source and portal in (None, connection.portal):
                connection.abort()
                closed += 1
        return {"closed": closed}

    def _heal(self, words: Words) -> Words:
        self._target.cut.discard((str(words["from"]), words.get("portal")))
        return {"closed": 0}

    def _slow(self, words: Words) -> Words:
        self._target.delay_s = max(0.0, float(words["delay_s"]))
        return {"delay_s": self._target.delay_s}

    def _show(self, words: Words) -> Words:
        initiators = dict(self._target.core.sessions)
        return {
            "connections": [
                {
                    "from": connection.peer,
                    "portal": connection.portal,
                    "initiator": initiators.get(connection.number),
                }
                for connection in self._target.connections.values()
            ],
            "cut": [{"from": source, "portal": portal} for source, portal in self._target.cut],
        }


def _clear(path: Path) -> None:
    """What an earlier life has left, which did not end in order."""
    path.unlink(missing_ok=True)
