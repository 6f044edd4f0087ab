"""`python -m lab.exploration`: explore the stories bound by bound, as far as the time goes."""

import argparse
import pickle
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from lab.exploration.deviations import Budget
from lab.exploration.explorer import Explorer, Tally
from lab.exploration.stories import STORIES, Story

SHARE = 40
"""Executions that one process goes through before it takes more: they share what they have met."""


def named(name: str) -> Story:
    return next(story for story in STORIES if story.name == name)


def explore_share(story: str, begun: list[tuple[bytes, Budget]], until_s: float) -> Tally:
    """One process's share of the executions that begin with one deviation."""
    explorer = Explorer(named(story).is_open, lambda: time.monotonic() > until_s)
    for kept, left in begun:
        explorer.explore(pickle.loads(kept), left)
    return explorer.tally


def explore(story: Story, bound: int, until_s: float, processes: int, console: Console) -> Tally:
    """All executions with at most `bound` deviations, or as many as the time allows."""
    explorer = Explorer(story.is_open, lambda: time.monotonic() > until_s)
    begun = explorer.first(story.begin(), Budget(total=bound))
    tally = explorer.tally
    shares = [begun[at :: -(-len(begun) // SHARE)] for at in range(-(-len(begun) // SHARE))]
    bar = Progress(
        TextColumn(f"{story.name}, {bound} deviations"),
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


def rows_of(
    story: Story, bounds: Iterator[int], until_s: float, chosen: argparse.Namespace
) -> bool:
    """Explore one story under growing bounds and show a line for each; True if nothing broke."""
    console = Console()
    table = Table(
        "deviations", "complete", "states", "executions", "merged", "events", "outage max"
    )
    table.title = f"{story.name}: {story.says}"
    broken: list[tuple[str, tuple[str, ...]]] = []
    for bound in bounds:
        tally = explore(story, bound, until_s, chosen.processes, console)
        table.add_row(
            str(bound),
            "yes" if tally.is_complete else "no, time is up",
            f"{tally.states:,}",
            f"{tally.executions:,}",
            f"{tally.merged:,}",
            f"{tally.events:,}",
            f"{tally.longest_outage_s:.1f} s",
        )
        broken += tally.broken
        if broken or not tally.is_complete:
            break
    console.print(table)
    for words, trail in broken[:5]:
        console.print(f"broken: {words}", markup=False)
        for line in trail:
            console.print(f"    {line}", markup=False)
    return not broken


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m lab.exploration",
        description="Go through every execution of a short story on the shipped cores: crashes,"
        " frozen nodes, leader changes and lost, late or doubled messages at every point.",
        epilog="example: python -m lab.exploration --story hand-over --deviations 2 --minutes 10",
    )
    parser.add_argument("--story", choices=[story.name for story in STORIES], action="append")
    parser.add_argument("--deviations", type=int, default=6, help="at most, in one execution (6)")
    parser.add_argument("--minutes", type=float, default=15.0, help="for each story (15)")
    parser.add_argument("--processes", type=int, default=2)
    chosen = parser.parse_args()
    if not 0 <= chosen.deviations <= 6 or chosen.minutes <= 0 or chosen.processes < 1:
        parser.error("deviations are 0 to 6, minutes more than 0, processes at least 1")
    is_well = True
    for name in chosen.story or [story.name for story in STORIES]:
        until_s = time.monotonic() + 60 * chosen.minutes
        is_well &= rows_of(named(name), iter(range(chosen.deviations + 1)), until_s, chosen)
    return 0 if is_well else 1


if __name__ == "__main__":
    sys.exit(main())
