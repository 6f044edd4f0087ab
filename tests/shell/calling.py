"""Calls of the program, and what they printed."""

import io
import json
from dataclasses import dataclass
from typing import Any

import rich.console
import uvloop

from shell.app import build
from shell.errors import ShellError
from shell.io.desk import LiveDesk, invoke

# The first loop of a process opens a pipe for all of them, which is no leak of any test.
uvloop.new_event_loop().close()


@dataclass(frozen=True)
class Said:
    code: int
    out: str
    err: str

    @property
    def data(self) -> Any:
        return json.loads(self.out)


def call(url: str, *words: str, patience_s: float = 0.0, types: str | None = None) -> Said:
    """`hvlab WORDS` against the API at `url`, on a terminal of 160 columns that is no terminal.

    `types` is what the person answers to every question; None: there is nobody to ask.
    """
    out, err = io.StringIO(), io.StringIO()

    def find_api(name: str | None) -> str:
        return url

    desk = LiveDesk(
        find_api,
        out=rich.console.Console(file=out, width=160),
        aloud=rich.console.Console(file=err, width=160),
        patience_s=patience_s,
        look_every_s=0.001,
        type_line=lambda question: types,
    )
    code = invoke(build(), words, desk, (ShellError,))
    return Said(code, out.getvalue(), err.getvalue())
