"""What the demonstration says while it goes on, and what it hands to scripts."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import rich.console
import rich.markup

from lab.demo.checks import Check
from shell import tables
from shell.errors import DONE, FAILED, INCONCLUSIVE

SIGNS = {True: "[green]✓[/]", False: "[red]✗[/]", None: "[yellow]?[/]"}


@dataclass(frozen=True, slots=True)
class Result:
    """A step of the demonstration, its verdict and the facts behind it."""

    name: str
    check: Check
    seconds: float
    facts: dict[str, Any] = field(default_factory=dict)

    def data(self) -> dict[str, Any]:
        return {
            "step": self.name,
            "ok": self.check.ok,
            "verdict": self.check.sentence,
            "seconds": self.seconds,
            **self.facts,
        }


def exit_code(results: Sequence[Result], wanted: int) -> int:
    """Done only if every step that should be shown was shown."""
    verdicts = [result.check.ok for result in results]
    if False in verdicts:
        return FAILED
    if None in verdicts:
        return INCONCLUSIVE
    return DONE if len(verdicts) == wanted else FAILED


def as_data(lab: str, results: Sequence[Result], code: int, seconds: float) -> dict[str, Any]:
    return {
        "lab": lab,
        "ok": code == DONE,
        "seconds": seconds,
        "steps": [result.data() for result in results],
    }


class Report:
    """Speaks to a person; for a script it is silent until the end."""

    def __init__(self, console: rich.console.Console, *, silent: bool) -> None:
        self.console, self.silent = console, silent

    def title(self, number: int, title: str) -> None:
        if not self.silent:
            self.console.print(f"\n[bold]{number}. {title}[/]")

    def note(self, line: str) -> None:
        if not self.silent:
            self.console.print(f"   {line}", markup=False, highlight=False, soft_wrap=True)

    def record(self, record: dict[str, Any]) -> None:
        """The rounds, the blackout in parts, throughput and verdict of a migration."""
        if self.silent:
            return
        for part in tables.record(record):
            flowing = isinstance(part, str)
            self.console.print(part, highlight=False, markup=False, soft_wrap=flowing)

    def verdict(self, result: Result) -> None:
        if not self.silent:
            sentence = rich.markup.escape(result.check.sentence)
            self.console.print(
                f"   {SIGNS[result.check.ok]} {sentence}", highlight=False, soft_wrap=True
            )

    def end(self, code: int, seconds: float, logs: str) -> None:
        if self.silent:
            return
        words = {
            DONE: "Every step did what it should",
            FAILED: "A step did not do what it should",
            INCONCLUSIVE: "A step could not be shown",
        }
        more = f" (logs: {logs})" if logs else ""
        self.console.print(
            f"\n{words[code]}, in {seconds:.0f} s{more}.", highlight=False, soft_wrap=True
        )
