"""The session of a person at a terminal, or of a script behind a pipe."""

import asyncio
import contextlib
import json
import signal
import time
from collections.abc import Callable, Iterator
from typing import Any

import rich.console

from shell.io.client import Client
from shell.session import Call, Renderables

LOOK_EVERY_S = 0.1


class Presses:
    """Counts Ctrl-C, and wakes whoever rests."""

    def __init__(self) -> None:
        self.count = 0
        self.woken = asyncio.Event()

    def press(self) -> None:
        self.count += 1
        self.woken.set()


class LiveSession:
    """Speaks to one API and prints on two consoles."""

    def __init__(
        self,
        api: Client,
        call: Call,
        out: rich.console.Console,
        aloud: rich.console.Console,
        *,
        look_every_s: float = LOOK_EVERY_S,
    ) -> None:
        self.api, self.call, self.out, self.aloud = api, call, out, aloud
        self.look_every_s = look_every_s
        self._presses: Presses | None = None

    def show(self, data: Any, people: Callable[[], Renderables]) -> None:
        if self.call.as_json:
            # Not through rich, which would wrap it at the width of the terminal.
            self.out.file.write(json.dumps(data) + "\n")
            self.out.file.flush()
            return
        for part in people():
            self.out.print(part, markup=False, highlight=False, soft_wrap=isinstance(part, str))

    def now(self) -> float:
        return time.monotonic()

    def wall(self) -> float:
        return time.time()

    async def rest(self, seconds: float | None = None) -> None:
        seconds = self.look_every_s if seconds is None else seconds
        if self._presses is None:
            await asyncio.sleep(seconds)
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._presses.woken.wait()
        self._presses.woken.clear()

    @contextlib.contextmanager
    def interrupts(self) -> Iterator[Presses]:
        presses = self._presses = Presses()
        loop = asyncio.get_running_loop()
        before = signal.getsignal(signal.SIGINT)
        loop.add_signal_handler(signal.SIGINT, presses.press)
        try:
            yield presses
        finally:
            self._presses = None
            loop.remove_signal_handler(signal.SIGINT)
            signal.signal(signal.SIGINT, before)
