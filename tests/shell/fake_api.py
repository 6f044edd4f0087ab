"""A coordinator as far as a shell can see it: canned answers over real HTTP, and what was asked."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

PREFIX = "/api/v1"


@dataclass
class FakeApi:
    """`answers` by "METHOD /path": (status, body), the last one for ever, the others once each."""

    answers: dict[str, list[tuple[int, Any]]] = field(default_factory=dict)
    streams: list[bytes] = field(default_factory=list)
    asked: list[tuple[str, Any]] = field(default_factory=list)
    url: str = ""

    def say(self, question: str, *answers: tuple[int, Any]) -> None:
        self.answers[question] = list(answers)

    def bodies(self, question: str) -> list[Any]:
        return [body for asked, body in self.asked if asked == question]

    async def answer(self, request: web.Request) -> web.StreamResponse:
        path = request.path.removeprefix(PREFIX)
        question = f"{request.method} {path}"
        body = await request.json() if request.body_exists else dict(request.query)
        self.asked.append((question, body))
        if path == "/events" and self.streams:
            return await self.stream(request)
        answers = self.answers.get(question, [(404, error("unknown", f"no {question} here."))])
        status, said = answers.pop(0) if len(answers) > 1 else answers[0]
        if status == 0:  # the connection breaks before there is an answer
            assert request.transport is not None
            request.transport.abort()
        return web.json_response(said, status=status or 200)

    async def stream(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        await response.write(self.streams.pop(0))
        return response


def error(code: str, message: str) -> dict[str, Any]:
    return {"error": {"code": code, "message": message}}


@contextmanager
def serving(api: FakeApi) -> Iterator[FakeApi]:
    """Serve in a thread, since the program under test has a loop of its own."""
    loop = asyncio.new_event_loop()
    ready, done = threading.Event(), asyncio.Event()

    async def live() -> None:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", api.answer)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        host, port = runner.addresses[0][:2]
        api.url = f"http://{host}:{port}"
        ready.set()
        await done.wait()
        await runner.cleanup()

    thread = threading.Thread(target=lambda: loop.run_until_complete(live()))
    thread.start()
    try:
        assert ready.wait(10)
        yield api
    finally:
        loop.call_soon_threadsafe(done.set)
        thread.join()
        loop.close()
