"""`python -m lab.exploration`: explore the stories bound by bound, as far as the time goes."""

import argparse
import sys
import time
from collections.abc import Iterator
from dataclasses import replace

from rich.console import Console
from rich.table import Table

from lab.exploration.deviations import Budget
from lab.exploration.shares import explore, named
from lab.exploration.stories import STORIES, Story


def rows_of(
    story: Story, bounds: Iterator[int], until_s: float, chosen: argparse.Namespace
) -> bool:
    """Explore one story under growing bounds and show a line for each; True if nothing broke."""
    console = Console()
    table = Table("deviations", "complete", "states", "executions", "events", "outage max")
    table.title = f"{story.name}: {story.says}"
    broken: list[tuple[str, tuple[str, ...]]] = []
    for bound in bounds:
        budget = replace(Budget(total=bound), **dict.fromkeys(chosen.without, 0))
        tally = explore(story, budget, until_s, chosen.processes, console)
        table.add_row(
            str(bound),
            "yes" if tally.is_complete else "no, time is up",
            f"{tally.states:,}",
            f"{tally.executions + tally.merged:,}",
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
    parser.add_argument(
        "--without",
        action="append",
        default=[],
        choices=["crashes", "messages", "expiries", "leaders"],
        help="leave out deviations of a kind, to come further with the others",
    )
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
