"""Clark's rate adaptation (NSDI 2005): a round is sent a little faster than the guest wrote in the
one before, so that a calm guest's migration leaves the wire to others.
"""

from dataclasses import dataclass
from typing import ClassVar

from agent.policies.interface import Another, Decision, Policy, Seen, Stop, per_s

_BYTES_PER_S_IN_MBIT = 125_000.0


@dataclass(frozen=True)
class Clark(Policy):
    """R_i = last dirty rate + delta, from `low` on; ends when R would pass `high`, or so little is
    left that it does not matter.

    The rates are the paper's: 100, 50 and 500 Mbit/s. A limit of the migration's own takes the
    place of `high`.
    """

    name: ClassVar[str] = "clark"
    low_bytes_per_s: float = 100 * _BYTES_PER_S_IN_MBIT
    delta_bytes_per_s: float = 50 * _BYTES_PER_S_IN_MBIT
    high_bytes_per_s: float = 500 * _BYTES_PER_S_IN_MBIT
    enough_bytes: float = 256 * 1024.0

    def __post_init__(self) -> None:
        if not 0 < self.low_bytes_per_s <= self.high_bytes_per_s:
            raise ValueError(
                f"low_bytes_per_s is {self.low_bytes_per_s:g}; it must be more than 0 and at most"
                f" high_bytes_per_s, {self.high_bytes_per_s:g}"
            )
        if self.delta_bytes_per_s <= 0:
            raise ValueError(
                f"delta_bytes_per_s is {self.delta_bytes_per_s:g}; without more than 0 nothing"
                " shrinks"
            )

    def _high(self, seen: Seen) -> float:
        return seen.travel.rate_bytes_per_s or self.high_bytes_per_s

    def first(self, seen: Seen) -> Another:
        rate = min(self.low_bytes_per_s, self._high(seen))
        return Another(f"All pages travel once, at {per_s(rate)}.", rate)

    def decide(self, seen: Seen) -> Decision:
        if seen.left_bytes <= self.enough_bytes:
            return Stop(f"{seen.left_bytes} bytes are left, and {self.enough_bytes:g} are enough.")
        wanted, high = seen.dirty_bytes_per_s + self.delta_bytes_per_s, self._high(seen)
        if wanted > high:
            return Stop(
                f"The guest wrote {per_s(seen.dirty_bytes_per_s)}, and the next round would need"
                f" more than {per_s(high)}."
            )
        rate = min(max(wanted, self.low_bytes_per_s), high)
        return Another(f"The guest wrote {per_s(seen.dirty_bytes_per_s)}.", rate)
