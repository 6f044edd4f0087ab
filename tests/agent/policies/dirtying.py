"""A guest that writes and a wire that sends, page by page and by chance: what policies are judged
with. Nothing in it knows a formula.
"""

import dataclasses
from dataclasses import dataclass

import numpy as np

from agent.policies import Another, Decision, Failed, Policy, Seen, ask
from protocol.messages import RoundRecord
from protocol.names import PAGE_BYTES
from protocol.travel import AS_USUAL, Marking, Travel


@dataclass(frozen=True, slots=True)
class Guest:
    """Writes `dirty_bytes_per_s` to pages that it picks at random from the first `set_pages`."""

    pages: int
    set_pages: int
    dirty_bytes_per_s: float


@dataclass(frozen=True, slots=True)
class Trip:
    """What came of a migration: its rounds, why it ended, and what was left for the pause."""

    rounds: tuple[RoundRecord, ...]
    end: Decision | Failed
    asked: tuple[Another, ...]
    wire_bytes_per_s: float

    @property
    def left_pages(self) -> int:
        return self.rounds[-1].dirty_pages_at_end

    @property
    def downtime_s(self) -> float:
        """How long what is left takes on the wire: the pause without its constant parts."""
        return self.left_pages * PAGE_BYTES / self.wire_bytes_per_s

    @property
    def sent_bytes(self) -> int:
        """Of all rounds, and of the pause."""
        return sum(record.pages for record in self.rounds) * PAGE_BYTES + (
            self.left_pages * PAGE_BYTES
        )

    @property
    def total_s(self) -> float:
        return sum(record.seconds for record in self.rounds) + self.downtime_s


def migrate(
    policy: Policy,
    guest: Guest,
    wire_bytes_per_s: float,
    *,
    travel: Travel = AS_USUAL,
    seed: int = 1,
    rounds_max: int = 500,
    **seen: float,
) -> Trip:
    """Rounds as the policy wants them, until it wants no more."""
    random = np.random.default_rng(seed)
    rounds: tuple[RoundRecord, ...] = ()
    asked: tuple[Another, ...] = ()
    todo = np.arange(guest.pages)
    first = Seen(rounds, guest.pages, travel)
    for number in range(rounds_max):
        known = dataclasses.replace(first, rounds=rounds, **seen)  # type: ignore[arg-type]
        decision = ask(policy, known)
        if not isinstance(decision, Another):
            return Trip(rounds, decision, asked, wire_bytes_per_s)
        asked += (decision,)
        rate = min(wire_bytes_per_s, decision.rate_bytes_per_s or wire_bytes_per_s)
        seconds = len(todo) * PAGE_BYTES / rate
        written = _written(guest, decision.throttle, seconds, todo, travel.marking, random)
        rounds += (
            RoundRecord(
                *(number, len(todo), 0, len(todo) * PAGE_BYTES, seconds, len(written)),
                throttle=decision.throttle,
            ),
        )
        todo = written
    raise AssertionError("the policy found no end")


def _written(
    guest: Guest,
    throttle: float,
    seconds: float,
    todo: "np.ndarray[tuple[int], np.dtype[np.int64]]",
    marking: Marking,
    random: np.random.Generator,
) -> "np.ndarray[tuple[int], np.dtype[np.int64]]":
    """The pages that are dirty when the round is over, in a random order."""
    count = int(guest.dirty_bytes_per_s * (1 - throttle) * seconds / PAGE_BYTES + random.random())
    pages = random.integers(guest.set_pages, size=count)
    if marking is Marking.SENT:
        # What is written before its page is sent goes along; the rest makes it dirty again.
        sent_at = np.full(guest.pages, -1.0)
        sent_at[todo] = np.arange(len(todo)) / max(len(todo), 1)
        pages = pages[random.random(count) > sent_at[pages]]
    written = np.unique(pages)
    random.shuffle(written)
    return written
