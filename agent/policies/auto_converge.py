"""Auto-converge, after QEMU: a guest that writes too fast gets less and less time to do so."""

from dataclasses import dataclass
from typing import ClassVar

from agent.policies.interface import (
    THROTTLE_MAX,
    Another,
    Decision,
    Policy,
    Seen,
    travelled,
)
from agent.policies.stopping import short_enough, too_long


@dataclass(frozen=True)
class AutoConverge(Policy):
    """Every `patience` rounds that left more than `threshold` of what they sent, the throttle goes
    up: to `initial` first, then by `step`, to `most` at the end.
    """

    name: ClassVar[str] = "auto-converge"
    initial: float = 0.2
    step: float = 0.1
    most: float = THROTTLE_MAX
    threshold: float = 0.5
    patience: int = 2

    def __post_init__(self) -> None:
        if not 0 < self.initial <= self.most <= THROTTLE_MAX or self.step <= 0:
            raise ValueError(
                f"initial {self.initial:g}, step {self.step:g} and most {self.most:g} must be more"
                f" than 0, initial at most most, and most at most {THROTTLE_MAX:g}"
            )
        if self.threshold <= 0 or self.patience < 1:
            raise ValueError("threshold must be more than 0, and patience at least 1 round")

    def decide(self, seen: Seen) -> Decision:
        if stop := short_enough(seen, seen.downtime_s):
            return stop
        share = self.throttle(seen)
        left = too_long(seen, seen.downtime_s)
        if not share:
            return Another(left)
        return Another(f"{left} The guest loses {share * 100:.0f} % of its time.", throttle=share)

    def throttle(self, seen: Seen) -> float:
        """Follows from the rounds alone, told one after the other. A round that was calm does not
        make up for one that was not, as in QEMU.
        """
        share, too_many = 0.0, 0
        for record in seen.rounds:
            too_many += record.dirty_pages_at_end > self.threshold * travelled(record)
            if too_many >= self.patience:
                too_many = 0
                share = min(self.most, round(share + self.step, 9) if share else self.initial)
        return share
