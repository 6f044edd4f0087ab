"""The downtime ramp: the pause to aim at grows step by step, but only while nothing shrinks."""

from dataclasses import dataclass
from typing import ClassVar

from agent.policies.interface import Another, Decision, Policy, Seen, milliseconds
from agent.policies.stopping import short_enough, too_long


@dataclass(frozen=True)
class Ramp(Policy):
    """A calm guest gets the short pause, a busy one the shortest that ends it: the target goes up
    by its own length, at most to `steps` times, each time that `patience` rounds together have not
    brought what is left down to `shrinks` of what it was.
    """

    name: ClassVar[str] = "ramp"
    steps: int = 7
    patience: int = 2
    shrinks: float = 0.9

    def __post_init__(self) -> None:
        if self.steps < 1 or self.patience < 1 or not 0 < self.shrinks <= 1:
            raise ValueError("steps and patience must be at least 1, and shrinks 0 to 1")

    def decide(self, seen: Seen) -> Decision:
        step = self.step(seen)
        target_s = step * seen.downtime_s
        if stop := short_enough(seen, target_s):
            return stop
        if step == 1:
            return Another(too_long(seen, target_s))
        grown = f"The target has grown to {milliseconds(target_s)}, since nothing shrinks."
        return Another(f"{too_long(seen, target_s)} {grown}")

    def step(self, seen: Seen) -> int:
        """Which step the rounds have led to, from 1."""
        step, stalled, mark = 1, 0, float("inf")
        for record in seen.rounds:
            left = record.dirty_pages_at_end
            if left <= self.shrinks * mark:
                stalled, mark = 0, left
                continue
            stalled += 1
            if stalled >= self.patience:
                stalled, mark, step = 0, left, min(step + 1, self.steps)
        return step
