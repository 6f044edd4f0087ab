"""Seeds as people see them: a bar while they are played, the last words of one that went wrong, and
how to see it again.
"""

import multiprocessing
from collections.abc import Callable, Iterable, Iterator
from typing import Protocol, TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

LOG_LINES = 60


class SeedReport(Protocol):
    """What came of one seed, of whichever kind."""

    @property
    def seed(self) -> int: ...

    @property
    def trouble(self) -> str: ...

    @property
    def log(self) -> tuple[str, ...]: ...

    @property
    def fingerprint(self) -> str: ...

    @property
    def settled_s(self) -> float: ...

    @property
    def is_conclusive(self) -> bool: ...

    @property
    def vague(self) -> str:
        """What it was hurt by, for one that proves nothing."""


R = TypeVar("R", bound=SeedReport)


def played(play: Callable[[int], R], seeds: Iterable[int], processes: int = 2) -> Iterator[R]:
    """Reports as they come; with one process in this very one."""
    if processes == 1:
        yield from map(play, seeds)
        return
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        yield from pool.imap_unordered(play, seeds, chunksize=2)


def shown(reports: Iterable[R], total: int, words: str, console: Console) -> list[R]:
    """All `reports`, with a bar, and each that is not as it should be told at once."""
    found = []
    columns = (TextColumn("seeds"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as bar:
        task = bar.add_task("seeds", total=total)
        for report in reports:
            found.append(report)
            bar.advance(task)
            if not is_well(report):
                tell(report, words, console)
    return found


def is_well(report: SeedReport) -> bool:
    return not report.trouble and report.is_conclusive


def tell(report: SeedReport, words: str, console: Console, with_log: bool = True) -> None:
    """What is wrong with a seed, its last words, and how to see it again: by `words`."""
    if report.trouble:
        for line in report.log[-LOG_LINES:] if with_log else ():
            console.print(line, highlight=False, markup=False, soft_wrap=True)
        console.print(f"seed {report.seed}: {report.trouble}", markup=False, soft_wrap=True)
        console.print(f"replay: {words} --seed {report.seed}", markup=False)
    elif not report.is_conclusive:
        console.print(f"seed {report.seed} is inconclusive: {report.vague}")
    else:
        console.print(f"seed {report.seed}: all promises kept, log {report.fingerprint[:16]}")


def replayed(report: SeedReport, log: Iterable[str], words: str, console: Console) -> bool:
    """Show the whole log of one seed, and what came of it; True if it is well."""
    for line in log:
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    tell(report, words, console, with_log=False)
    return is_well(report)


def verdict(reports: Iterable[SeedReport]) -> list[str]:
    """The last lines of a summary."""
    known = list(reports)
    failed = sorted(report.seed for report in known if report.trouble)
    vague = sorted(r.seed for r in known if not r.trouble and not r.is_conclusive)
    return [
        f"slowest to be well again: {max((r.settled_s for r in known), default=0.0):.0f} s",
        f"broken: {failed or 'none'}; inconclusive: {vague or 'none'}",
    ]
