"""What a command sees of the world: the cluster's API, two consoles, and time that passes."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Annotated, Any, Protocol

import rich.console
import typer

from shell.streams import Heard

Data = dict[str, Any]
Renderables = Sequence[rich.console.RenderableType]


@dataclass(frozen=True, slots=True)
class Call:
    """What the options say that every command has."""

    as_json: bool = False
    lab: str | None = None
    api: str | None = None


class Api(Protocol):
    """The cluster's HTTP API; each call raises a ShellError when the answer is no success."""

    async def get(self, path: str, **query: Any) -> Any: ...

    async def post(self, path: str, body: Data | None = None) -> Any: ...

    async def put(self, path: str, body: Data) -> Any: ...

    async def patch(self, path: str, body: Data) -> Any: ...

    async def delete(self, path: str) -> Any: ...

    def events(self, after: int) -> AsyncIterator[Heard]:
        """All that happens after the event of that index, for as long as somebody listens."""


class Interrupt(Protocol):
    """How often the person has pressed Ctrl-C so far."""

    @property
    def count(self) -> int: ...


class Session(Protocol):
    """One command's way to the cluster and to the person."""

    @property
    def api(self) -> Api: ...

    @property
    def call(self) -> Call: ...

    @property
    def aloud(self) -> rich.console.Console:
        """Where progress and remarks go; what the command is about goes to `show`."""

    def show(self, data: Any, people: Callable[[], Renderables]) -> None:
        """Print the answer: `data` for a script, what `people` makes of it for a person."""

    def now(self) -> float:
        """Seconds on a clock that only ever grows."""

    def wall(self) -> float:
        """Seconds since 1970, as the event log counts them."""

    async def rest(self, seconds: float | None = None) -> None:
        """Let time pass, by default as much as between two looks; Ctrl-C ends it early."""

    def interrupts(self) -> AbstractContextManager[Interrupt]:
        """Inside, Ctrl-C is counted and ends nothing."""


Command = Callable[[Session], Awaitable[int]]


class Desk(Protocol):
    """Who carries commands out: finds the lab, opens a session, ends with the exit code."""

    def run(self, call: Call, command: Command) -> None: ...

    def typed(self, call: Call, question: str) -> str | None:
        """What the person answers; None where nobody can be asked (a script, a pipe)."""


def desk_of(context: typer.Context) -> Desk:
    """The desk that the program put into its context."""
    desk: Desk = context.find_root().obj
    return desk


def examples(*lines: str) -> str:
    """The end of a command's help."""
    return "\n\n".join(("Examples:", *lines))


Json = Annotated[bool, typer.Option("--json", help="Print data for scripts.")]
Lab = Annotated[
    str | None,
    typer.Option("--name", metavar="LAB", help="Which lab; left out: the only running one."),
]
NoWait = Annotated[
    bool, typer.Option("--no-wait", help="Return once it is decided, not once it is so.")
]
ApiUrl = Annotated[
    str | None,
    typer.Option("--api", metavar="URL", help="The cluster's API; left out: $HVLAB_API, or a lab."),
]
