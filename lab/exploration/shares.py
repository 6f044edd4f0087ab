"""Shares one exploration among processes."""

import functools
import pickle
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from lab.exploration.deviations import Budget
from lab.exploration.explorer import Explorer, Tally
from lab.exploration.stories import STORIES, Story

SHARE = 20
"""Executions that one process goes through before it takes more."""


def named(name: str) -> Story:
    return next(story for story in STORIES if story.name == name)


@functools.cache
def _explorer(story: str, until_s: float) -> Explorer:
    """One for all shares of a process: what one has met leads nowhere new in the next."""
    return Explorer(named(story).is_open, lambda: time.monotonic() > until_s)


def explore_share(story: str, begun: list[tuple[bytes, Budget]], until_s: float) -> Tally:
    """One process's share of the executions that begin with one deviation."""
    explorer = _explorer(story, until_s)
    explorer.tally = Tally()
    for kept, left in begun:
        explorer.explore(pickle.loads(kept), left)
    return explorer.tally


def explore(
    story: Story, budget: Budget, until_s: float, processes: int, console: Console
) -> Tally:
    """All executions within the budget, or as many as the time allows."""
    explorer = Explorer(story.is_open, lambda: time.monotonic() > until_s)
    begun = explorer.first(story.begin(), budget)
    tally = explorer.tally
    shares = [begun[at :: -(-len(begun) // SHARE)] for at in range(-(-len(begun) // SHARE))]
    bar = Progress(
        TextColumn(f"{story.name}, {budget.total} deviations"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console,
    )
    with bar, ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        task = bar.add_task("", total=len(shares))
        jobs = [pool.submit(explore_share, story.name, share, until_s) for share in shares]
        for job in as_completed(jobs):
            tally.add(job.result())
            bar.advance(task)
    return tally
