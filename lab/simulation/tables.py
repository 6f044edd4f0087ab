"""Plays whole tables of small stories: every shape of a broken network under every way to count
votes, and every step of a migration with everybody hurt at it.
"""

import multiprocessing
import time
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from lab.simulation import partition_play, step_play
from lab.simulation.partitions import failover_max_s, heal_max_s
from protocol.names import QuorumMode

T = TypeVar("T")


def play_tables(processes: int = 2, console: Console | None = None) -> bool:
    """Both tables, and what came of them; True if every story ended as it was promised."""
    console = console or Console()
    return all([play_shapes(processes, console), play_steps(processes, console)])


def play_shapes(processes: int, console: Console) -> bool:
    began = time.monotonic()
    stories = list(partition_play.all_shapes())
    played = _all("shapes", _shape, stories, processes, console)
    wrong = [one for one in played if one.trouble]
    for one in wrong:
        console.print(f"{one.name}: {one.trouble}", markup=False, soft_wrap=True)
    most = max(partition_play.SIZES)
    sizes, promised = partition_play.SIZES, sum(one.is_promised for one in played)
    console.print(
        f"{len(played)} broken networks of {', '.join(map(str, sizes))} nodes in"
        f" {len(QuorumMode)} quorum modes, {promised} with a side that must run everything,"
        f" in {time.monotonic() - began:.0f} s; broken: {len(wrong) or 'none'}",
        highlight=False,
    )
    timing = partition_play.TIMING
    for mode in QuorumMode:
        of_mode = [one for one in played if f" {mode.value}:" in one.name]
        console.print(
            f"  {mode.value}: slowest failover {max(one.failed_over_s for one in of_mode):.1f} s"
            f" (at most {failover_max_s(timing, most, mode):.1f}), slowest to be well again"
            f" {max(one.healed_s for one in of_mode):.1f} s"
            f" (at most {heal_max_s(timing, most, mode):.1f})",
            highlight=False,
        )
    return not wrong


def play_steps(processes: int, console: Console) -> bool:
    began = time.monotonic()
    played = _all("steps", step_play.play, list(step_play.cells()), processes, console)
    wrong = [one for one in played if one.trouble or not one.was_struck]
    for one in wrong:
        why = one.trouble or "the fault took no effect"
        console.print(f"{one.cell.name}: {why}", markup=False, soft_wrap=True)
    console.print(
        f"{len(played)} cells of steps S1 to S14, each with"
        f" {', '.join(step_play.ACTORS)} {', '.join(step_play.HURTS)}, in"
        f" {time.monotonic() - began:.0f} s; broken: {len(wrong) or 'none'}",
        highlight=False,
    )
    return not wrong


def _shape(story: tuple[Any, QuorumMode]) -> partition_play.Played:
    return partition_play.play(*story)


def _all(
    what: str,
    play: Callable[[Any], T],
    stories: Iterable[Any],
    processes: int,
    console: Console,
) -> list[T]:
    wanted, played = list(stories), list[T]()
    bar = Progress(
        TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), console=console
    )
    with bar, multiprocessing.get_context("spawn").Pool(processes) as pool:
        task = bar.add_task(what, total=len(wanted))
        for one in pool.imap(play, wanted, chunksize=4):
            played.append(one)
            bar.advance(task)
    return played
