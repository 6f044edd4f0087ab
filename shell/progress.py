"""How far migrations are: a bar for each on a terminal, a line for each round elsewhere."""

from collections.abc import Iterable, Mapping
from types import TracebackType
from typing import Any, Self

import rich.console
import rich.progress

from protocol.names import PAGE_BYTES, Step
from shell.amounts import mib, mib_per_s

STEPS = {
    Step.REQUEST: "checking",
    Step.ADMISSION: "admitting",
    Step.RESERVE: "reserving memory",
    Step.CONNECT: "connecting",
    Step.FIRST_ROUND: "round 0, all pages",
    Step.ROUND: "dirty pages",
    Step.STOP_DECISION: "stop decided",
    Step.PAUSE: "pausing the guest",
    Step.LAST_PAGES: "last pages",
    Step.STORAGE: "storage",
    Step.COMMIT: "commit",
    Step.RESUME: "resuming",
    Step.ANNOUNCE: "announcing",
    Step.PULL: "bringing the missing pages",
}
AFTER_COPYING = {"S8", "S9", "S10", "S11", "S12", "S13", "S14"}


def step_of(attempt: Mapping[str, Any]) -> str:
    """The step that an open attempt is in; empty once it has ended."""
    return str((attempt.get("live") or {}).get("step") or "")


def sent_bytes(attempt: Mapping[str, Any]) -> int:
    live = attempt.get("live") or {}
    return int(live.get("pages_sent") or 0) * PAGE_BYTES


def rate_bytes_per_s(attempt: Mapping[str, Any]) -> float | None:
    """How fast pages travel: by the rounds that have ended, else by what was seen so far."""
    rounds = attempt.get("rounds") or []
    seconds = sum(one["seconds"] for one in rounds)
    if seconds > 0:
        return float(sum(one["pages"] for one in rounds) * PAGE_BYTES / seconds)
    live = attempt.get("live") or {}
    if sent_bytes(attempt) and live.get("seconds"):
        return float(sent_bytes(attempt) / live["seconds"])
    return None


def fraction(attempt: Mapping[str, Any]) -> float | None:
    """What part of the way is done; None while nobody can say."""
    if ended(attempt):
        return 1.0
    live = attempt.get("live") or {}
    if step_of(attempt) in AFTER_COPYING:
        return 0.99
    total, sent = live.get("pages_total") or 0, live.get("pages_sent") or 0
    # Rounds of dirty pages come on top of all pages, so copying alone never reaches the end.
    return min(0.95, sent / total * 0.9) if total and sent else None


def ended(attempt: Mapping[str, Any]) -> bool:
    """Decided and cleaned up on both sides: the record is complete."""
    return attempt.get("outcome") is not None and attempt.get("ended_at", 0) is not None


def sentence(attempt: Mapping[str, Any]) -> str:
    """What an attempt is doing, on one line."""
    live = attempt.get("live") or {}
    if attempt.get("state") == "Queued":
        return f"waits: {attempt['reason']}".rstrip(".")
    step = step_of(attempt)
    known = {one.value: word for one, word in STEPS.items()}
    doing = f"{step} {known.get(step, '')}".strip() or str(attempt.get("outcome") or "waiting")
    if step == Step.ROUND.value and live.get("round") is not None:
        doing = f"{step} round {live['round']}"
    words = [doing]
    if sent := sent_bytes(attempt):
        words.append(mib(sent))
    if rate := rate_bytes_per_s(attempt):
        words.append(mib_per_s(rate))
    return ", ".join(words)


def title(attempt: Mapping[str, Any]) -> str:
    return f"{attempt['vm']} {attempt['source']} -> {attempt['target']}"


class Bars:
    """Shows attempts while they last. On a pipe or in a log, a line whenever the step changes."""

    def __init__(self, console: rich.console.Console, *, silent: bool = False) -> None:
        self._console, self._silent = console, silent
        self._live = console.is_terminal and not silent
        self._tasks: dict[Any, rich.progress.TaskID] = {}
        self._said: dict[Any, str] = {}
        self._progress = rich.progress.Progress(
            rich.progress.TextColumn("{task.description}", markup=False),
            rich.progress.BarColumn(bar_width=24),
            rich.progress.TimeElapsedColumn(),
            rich.progress.TextColumn("{task.fields[doing]}", markup=False),
            console=console,
            auto_refresh=False,
            disable=not self._live,
        )

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._progress.stop()

    def update(self, attempts: Iterable[Mapping[str, Any]]) -> None:
        for attempt in attempts:
            if self._live:
                self._draw(attempt)
            elif not self._silent:
                self._tell(attempt)
        if self._live:
            self._progress.refresh()

    def _draw(self, attempt: Mapping[str, Any]) -> None:
        key, part = attempt["attempt"], fraction(attempt)
        if key not in self._tasks:
            self._tasks[key] = self._progress.add_task(title(attempt), total=None, doing="")
        self._progress.update(
            self._tasks[key],
            total=None if part is None else 1.0,
            completed=part or 0.0,
            doing=sentence(attempt),
        )

    def _tell(self, attempt: Mapping[str, Any]) -> None:
        key, line = attempt["attempt"], f"{title(attempt)}: {sentence(attempt)}"
        if self._said.get(key) != line:
            self._said[key] = line
            self._console.print(line, markup=False, highlight=False, soft_wrap=True)
