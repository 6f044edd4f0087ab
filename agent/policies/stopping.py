"""The policies that only choose the moment: after so many rounds, or once the pause is short
enough.
"""

from dataclasses import dataclass
from typing import ClassVar

from agent.policies.interface import (
    Another,
    Decision,
    Policy,
    PostCopy,
    Seen,
    Stop,
    milliseconds,
)


def short_enough(seen: Seen, downtime_s: float) -> Stop | None:
    """The end that every policy welcomes."""
    if not seen.fits(downtime_s):
        return None
    left = seen.left_pages
    return Stop(f"The {left} pages that are left travel within {milliseconds(downtime_s)}.")


def too_long(seen: Seen, downtime_s: float) -> str:
    fit = seen.pages_in(downtime_s)
    return f"{seen.left_pages} pages are left, of which {fit} travel in {milliseconds(downtime_s)}."


@dataclass(frozen=True)
class Windows2008R2(Policy):
    """Until what is left is small enough, or the rounds are used up; it never asks whether it
    shrinks.
    """

    name: ClassVar[str] = "2008r2"

    def decide(self, seen: Seen) -> Decision:
        target_s = seen.downtime_s
        if stop := short_enough(seen, target_s):
            return stop
        if len(seen.rounds) >= seen.rounds_max:
            return Stop(f"All {seen.rounds_max} rounds are used up and {too_long(seen, target_s)}")
        return Another(too_long(seen, target_s))


@dataclass(frozen=True)
class Downtime(Policy):
    """Until what is left travels in the target downtime at the bandwidth that was measured."""

    name: ClassVar[str] = "downtime"

    def decide(self, seen: Seen) -> Decision:
        target_s = seen.downtime_s
        return short_enough(seen, target_s) or Another(too_long(seen, target_s))


@dataclass(frozen=True)
class PostCopyAfter(Policy):
    """After so many rounds the guest goes on at the target, and what is left follows it."""

    name: ClassVar[str] = "post-copy"
    rounds: int = 1

    def __post_init__(self) -> None:
        if self.rounds < 1:
            raise ValueError(f"rounds is {self.rounds}; at least 1 comes before post-copy")

    def decide(self, seen: Seen) -> Decision:
        if stop := short_enough(seen, seen.downtime_s):
            return stop
        if len(seen.rounds) >= self.rounds:
            rounds = "1 round is" if self.rounds == 1 else f"{self.rounds} rounds are"
            return PostCopy(f"{rounds} over and {too_long(seen, seen.downtime_s)}")
        return Another(too_long(seen, seen.downtime_s))
