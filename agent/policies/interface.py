"""What a policy is: what it may know, what it may answer, and the two questions it is asked."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from protocol.messages import RoundRecord
from protocol.names import PAGE_BYTES
from protocol.travel import AS_USUAL, Travel

THROTTLE_MAX = 0.99
"""A guest from which more is taken stands still, and that is a pause."""


@dataclass(frozen=True, slots=True)
class Another:
    """One more round. `rate_bytes_per_s`: the most that it may send, 0 for what the migration is
    allowed anyway. `throttle`: the share of its time that is taken from the guest meanwhile.
    """

    reason: str
    rate_bytes_per_s: float = 0
    throttle: float = 0.0


@dataclass(frozen=True, slots=True)
class Stop:
    """Pause the guest, send what is left, and switch."""

    reason: str


@dataclass(frozen=True, slots=True)
class PostCopy:
    """Switch now, and let the target fetch what is left while the guest runs there."""

    reason: str


Decision = Another | Stop | PostCopy


@dataclass(frozen=True, slots=True)
class Seen:
    """Everything that a policy may know of a migration.

    `rounds`: those that have landed, oldest first. `pages`: of the VM. `travel`: what whoever asked
    for the migration chose. `pause_max_s`: the node's own pause to aim at, `rounds_max`: how many
    rounds 2008 R2 makes. `bound_rounds` and `bound_s`: where every policy is ended. `lag_s`: how
    long the last round was on its way after it was sent.
    """

    rounds: Sequence[RoundRecord]
    pages: int
    travel: Travel = AS_USUAL
    pause_max_s: float = 0.05
    rounds_max: int = 10
    bound_rounds: int = 200
    bound_s: float = 3600.0
    lag_s: float = 0.0

    @property
    def downtime_s(self) -> float:
        """The pause to aim at: the one that was asked for, or else the node's own."""
        return self.travel.downtime_s or self.pause_max_s

    @property
    def last(self) -> RoundRecord:
        return self.rounds[-1]

    @property
    def left_pages(self) -> int:
        """Written while the last round travelled: what is still to be sent."""
        return self.last.dirty_pages_at_end

    @property
    def left_bytes(self) -> int:
        return self.left_pages * PAGE_BYTES

    @property
    def dirty_bytes_per_s(self) -> float:
        """How fast pages became dirty in the last round, each counted once."""
        return self.left_bytes / max(self.last.seconds, 1e-6)

    @property
    def goodput_bytes_per_s(self) -> float:
        """The bandwidth to reckon with: that of the last round which had pages to send."""
        return self.pages_in(1.0) * PAGE_BYTES

    @property
    def copied_s(self) -> float:
        """How long all rounds but the first have taken; that one takes what it takes."""
        return sum(record.seconds for record in self.rounds[1:])

    def pages_in(self, seconds: float) -> int:
        """How many pages travel in `seconds`, within the limit that was asked for: a short round
        may have slipped through in one burst.
        """
        busy = next((record for record in reversed(self.rounds) if record.pages > 0), None)
        if busy is None:
            return 0
        pages = pages_per_s(busy)
        if limit := self.travel.rate_bytes_per_s:
            pages = min(pages, limit * travelled(busy) / max(busy.wire_bytes, 1))
        return int(pages * seconds)

    def fits(self, seconds: float) -> bool:
        """Whether what is left travels in `seconds`. What the guest has written while the last
        round was on its way, and nobody has counted yet, is left, too.
        """
        uncounted = self.dirty_bytes_per_s / PAGE_BYTES * self.lag_s
        return self.left_pages + uncounted <= self.pages_in(seconds)


class Policy(ABC):
    """Answers after every round what comes next.

    Subclasses are frozen dataclasses, whose fields are the numbers that may be chosen with the
    name. An object is made for each question, so it cannot remember anything.
    """

    name: ClassVar[str]

    def first(self, seen: Seen) -> Another:
        """How all pages travel, before anything is known; `seen.rounds` is empty."""
        return Another("All pages travel once.")

    @abstractmethod
    def decide(self, seen: Seen) -> Decision:
        """What follows the round that has just landed."""


def travelled(record: RoundRecord) -> int:
    """The pages of a round that took time on the wire: what is zero, or on the target, hardly does,
    and counts only where there was nothing else.
    """
    return record.pages - record.zero_pages - record.kept_pages or record.pages


def pages_per_s(record: RoundRecord) -> float:
    return travelled(record) / max(record.seconds, 1e-6)


def milliseconds(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms"


def per_s(rate_bytes_per_s: float) -> str:
    """A rate as people read it."""
    return f"{rate_bytes_per_s / 1e6:.1f} MB/s"
