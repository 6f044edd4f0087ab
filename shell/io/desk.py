"""Carries commands out: finds the API, opens a session, and turns all that ends one into a code."""

import asyncio
import json
import os
import sys
import traceback
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, TypeVar

import rich.console
import typer
import typer.exceptions
import uvloop

from shell.errors import FAILED, OFF, Interrupted, NoApi, ShellError, as_data
from shell.io.client import PATIENCE_S, Client
from shell.io.session import LOOK_EVERY_S, LiveSession
from shell.session import Call, Command

T = TypeVar("T")

INTERRUPTED = 130

FindApi = Callable[[str | None], str]
"""The URL of the lab of that name, or of the only one; raises when there is none."""


def no_labs(name: str | None) -> str:
    """How a shell without a lab beside it finds an API: not at all."""
    asked = "no API is given" if name is None else f"lab {name!r} is unknown here"
    raise NoApi(f"{asked}: say --api URL, or set HVLAB_API")


def typed_line(question: str) -> str | None:
    """A line from the terminal; None where there is none, so that no script waits for ever."""
    if not sys.stdin.isatty():
        return None
    sys.stderr.write(f"{question} ")
    sys.stderr.flush()
    return sys.stdin.readline().strip()


class LiveDesk:
    """The desk of a real program."""

    def __init__(
        self,
        find_api: FindApi = no_labs,
        *,
        out: rich.console.Console | None = None,
        aloud: rich.console.Console | None = None,
        patience_s: float = PATIENCE_S,
        look_every_s: float = LOOK_EVERY_S,
        type_line: Callable[[str], str | None] = typed_line,
    ) -> None:
        self.find_api = find_api
        self.type_line = type_line
        self.out = out or rich.console.Console()
        self.aloud = aloud or rich.console.Console(stderr=True)
        self.patience_s, self.look_every_s = patience_s, look_every_s

    def api_for(self, call: Call) -> str:
        """What was said counts more than the environment, and that more than what runs."""
        if call.api is not None:
            return call.api
        if call.lab is None and (url := os.environ.get("HVLAB_API")):
            return url
        return self.find_api(call.lab)

    def session(self, client: Client, call: Call) -> LiveSession:
        return LiveSession(client, call, self.out, self.aloud, look_every_s=self.look_every_s)

    def typed(self, call: Call, question: str) -> str | None:
        return None if call.as_json else self.type_line(question)

    def run(self, call: Call, command: Command) -> None:
        url = self.api_for(call)

        async def live() -> int:
            async with Client(url, patience_s=self.patience_s) as client:
                return await command(self.session(client, call))

        raise typer.Exit(run(live()))


def run(work: Coroutine[Any, Any, T]) -> T:
    """Do it on the loop of the programs; Ctrl-C cancels it and lets it end in order."""
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(work)
    except (KeyboardInterrupt, asyncio.CancelledError) as exc:
        raise Interrupted("stopped before it was done") from exc


def invoke(
    app: typer.Typer,
    words: Sequence[str],
    desk: LiveDesk,
    known: tuple[type[Exception], ...] = (ShellError,),
) -> int:
    """Carry out one call of the program and return its exit code; nothing ends in a traceback.

    `known` errors have a sentence of their own and, as `exit_code`, the code to end with.
    """
    try:
        code = app(args=list(words), prog_name="hvlab", standalone_mode=False, obj=desk)
        # Typer's own code for Ctrl-C is none of those that scripts are promised.
        return FAILED if code == INTERRUPTED else int(code or 0)
    except known as exc:
        return _say(desk, words, exc, getattr(exc, "exit_code", FAILED))
    except typer.exceptions.TyperException as exc:
        return _say(desk, words, BadCall(exc), OFF)
    except Exception as exc:
        if os.environ.get("HVLAB_DEBUG"):
            traceback.print_exc()
        sentence = f"hvlab has a fault of its own ({type(exc).__name__}: {exc})"
        hint = "set HVLAB_DEBUG=1 to see where"
        return _say(desk, words, ShellError(f"{' '.join(sentence.split())}: {hint}"), FAILED)


class BadCall(ShellError):
    """What typer has to say about the words of a call, as one sentence."""

    exit_code = OFF
    code = "bad-words"

    def __init__(self, error: Exception) -> None:
        said = error.format_message() if hasattr(error, "format_message") else str(error)
        context = getattr(error, "ctx", None)
        where = context.command_path if context is not None else "hvlab"
        for words, instead in (("Value error, ", ""), (". Did you mean", ", did you mean")):
            said = said.replace(words, instead)
        sentence = " ".join(said.split()).rstrip(".?")
        super().__init__(f"{sentence or 'a command is missing'}: see {where} --help")


def _say(desk: LiveDesk, words: Sequence[str], error: Exception, code: int) -> int:
    if "--json" in words:
        desk.out.file.write(json.dumps(as_data(error)) + "\n")
        desk.out.file.flush()
    else:
        desk.aloud.print(f"hvlab: {error}", markup=False, highlight=False, soft_wrap=True)
    return code


def main(app: typer.Typer, desk: LiveDesk, known: tuple[type[Exception], ...]) -> None:
    """The end of a console script."""
    sys.exit(invoke(app, sys.argv[1:], desk, known))
