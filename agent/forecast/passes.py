"""Plays the passes of pre-copy in numbers: what each would send and leave, until the policy stops.

A pass that begins with T' seconds of writes behind it sends u(T') pages. What is left after it
depends on when a page that is sent stops counting as dirty:

* when the pass begins: u(T) pages are written in its T seconds, whatever was sent;
* the same, but pages written again before their turn stay behind: of two neighbouring windows
  u(T') + u(s) - u(T' + s) pages are written in both, so that many are left out at moment s;
* when the page is sent: what is written after a page's own turn, by classes of pages.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from agent.forecast.curve import Curve
from agent.forecast.mixture import Numbers
from agent.policies import Another, Failed, Policy, PostCopy, Seen, ask
from protocol.errors import Refused
from protocol.messages import RoundRecord
from protocol.names import PAGE_BYTES
from protocol.travel import Marking

STEADY = 4
"""So many passes alike are a plateau."""

GAP_S = 0.001
"""From the end of a pass to the beginning of the next the guest goes on writing."""

EVERYWHERE = tuple((place + 0.5) / 12 for place in range(12))
_MOMENTS = np.array(EVERYWHERE)
_TURNS = 24


@dataclass(frozen=True, slots=True)
class Load:
    """What is to travel: of `pages` there are `zero_pages`; the others shrink to `share`.

    `places`: where in the memory the guest writes, 0 to 1, so when in the first pass those pages
    have their turn.
    """

    pages: int
    zero_pages: int
    share: float
    marking: Marking
    places: tuple[float, ...] = EVERYWHERE


@dataclass(frozen=True, slots=True)
class Speed:
    """How it travels: bytes on the wire a second, and what a pass costs besides."""

    wire_bytes_per_s: float
    pass_s: float


@dataclass(frozen=True, slots=True)
class Played:
    """The passes, the last one with the guest stopped; in post-copy (`pulls`) it is what follows
    the guest.
    """

    rounds: tuple[RoundRecord, ...]
    reason: str
    pulls: bool = False
    bounded: bool = False

    @property
    def wire_bytes(self) -> int:
        return sum(record.wire_bytes for record in self.rounds)

    @property
    def copying_s(self) -> float:
        return sum(record.seconds for record in self.rounds[:-1]) + GAP_S * len(self.rounds)

    @property
    def last_s(self) -> float:
        return self.rounds[-1].seconds


def play(load: Load, speed: Speed, curve: Curve, policy: Policy, seen: Seen) -> Played:
    """All passes until the policy names a reason to stop, and the last one. `Refused` if the
    policy breaks.
    """
    dirt = Dirt(load, curve)
    decision, before = ask(policy, seen), None
    while isinstance(decision, Another):
        if before is not None and _is_like(before, decision) and _is_steady(seen.rounds):
            record = replace(seen.rounds[-1], round=len(seen.rounds))
        else:
            record = dirt.travel(len(seen.rounds), speed, decision)
        before = decision
        seen = replace(seen, rounds=(*seen.rounds, record))
        decision = ask(policy, seen)
        dirt.wait(GAP_S, record.throttle)
    if isinstance(decision, Failed):
        raise Refused(decision.reason)
    bounded = len(seen.rounds) >= seen.bound_rounds or seen.copied_s >= seen.bound_s
    last = dirt.rest(len(seen.rounds), speed)
    pulls = isinstance(decision, PostCopy)
    return Played((*seen.rounds, last), decision.reason, pulls, bounded)


def _is_like(one: Another, other: Another) -> bool:
    return (one.rate_bytes_per_s, one.throttle) == (other.rate_bytes_per_s, other.throttle)


def _is_steady(rounds: Sequence[RoundRecord]) -> bool:
    """On its plateau one pass is like the other, and need not be worked out anew."""
    if len(rounds) < STEADY:
        return False
    pages = [record.dirty_pages_at_end for record in rounds[-STEADY:]]
    return max(pages) - min(pages) <= 0.002 * max(pages)


class Dirt:
    """Which pages count as dirty, in expectation. Time is the guest's: a throttled guest's passes
    more slowly.
    """

    def __init__(self, load: Load, curve: Curve) -> None:
        self._load = load
        self._curve = curve
        self._window_s: float | None = None  # of the guest's time; None: every page is to be sent
        self._shares: Numbers = np.ones(len(curve.rates))
        """Of each class the share that is dirty: only where marks go with the sending."""

    @property
    def pages(self) -> float:
        if self._window_s is None:
            return float(self._load.pages)
        if self._load.marking is Marking.SENT:
            return float(self._curve.sizes @ self._shares)
        return self._curve.pages_in(self._window_s)

    def wait(self, seconds: float, throttle: float) -> None:
        """Time passes between two passes."""
        if self._window_s is not None:
            self._window_s += seconds * (1 - throttle)
        clean = np.exp(-self._curve.rates * seconds * (1 - throttle))
        self._shares = 1 - (1 - self._shares) * clean

    def travel(self, number: int, speed: Speed, asked: Another) -> RoundRecord:
        """One pass while the guest runs."""
        speed = _limited(speed, asked)
        pace = 1 - asked.throttle
        first = self._window_s is None
        zeros = self._load.zero_pages if first else 0
        pages = self.pages
        page_s = PAGE_BYTES * self._share / speed.wire_bytes_per_s
        seconds = speed.pass_s + max(0.0, pages - zeros) * page_s
        left = 0.0
        if self._load.marking is Marking.PEEK:
            seconds, left = self._without_left(pages - zeros, speed.pass_s, page_s, pace)
        self._after(seconds * pace)
        sent = max(0.0, pages - left)
        return self._record(number, sent, zeros, seconds, self.pages, left, asked.throttle)

    def rest(self, number: int, speed: Speed) -> RoundRecord:
        """The last pass, which nobody writes into."""
        pages = self.pages
        seconds = speed.pass_s + pages * PAGE_BYTES * self._share / speed.wire_bytes_per_s
        return self._record(number, pages, 0, seconds, 0.0, 0.0, 0.0)

    @property
    def _share(self) -> float:
        return self._load.share

    def _record(
        self,
        number: int,
        pages: float,
        zeros: int,
        seconds: float,
        dirty: float,
        left: float,
        throttle: float,
    ) -> RoundRecord:
        full = max(0.0, pages - zeros)
        return RoundRecord(
            number,
            round(pages),
            zeros,
            round(full * PAGE_BYTES * self._share),
            seconds,
            round(dirty),
            left_pages=round(left),
            throttle=throttle,
        )

    def _without_left(
        self, pages: float, pass_s: float, page_s: float, pace: float
    ) -> tuple[float, float]:
        """How long the pass takes without what is left out, and how many pages that is. The longer
        it takes the more is left out, so there is one answer between the extremes.
        """
        least, most = pass_s, pass_s + max(0.0, pages) * page_s
        seconds, left = most, 0.0
        for _ in range(_TURNS):
            seconds = (least + most) / 2
            left = min(self._written_before_sent(seconds * pace), max(0.0, pages))
            if pass_s + (pages - left) * page_s > seconds:
                least = seconds
            else:
                most = seconds
            if most - least < 1e-3 * most + 1e-6:
                break
        return seconds, left

    def _written_before_sent(self, seconds: float) -> float:
        """Of the pages to be sent, how many are written again before their turn."""
        u, moments = self._curve.unique, seconds * _MOMENTS
        if self._window_s is None:
            return float(u(seconds * np.array(self._load.places)).mean())
        both = u(self._window_s) + u(moments) - u(self._window_s + moments)
        return float(np.maximum(both, 0.0).mean())

    def _after(self, seconds: float) -> None:
        """A pass of so many seconds of the guest's time is over."""
        if self._window_s is None:
            after = np.outer(self._curve.rates * seconds, 1 - np.array(self._load.places))
            self._window_s, self._shares = seconds, -np.expm1(-after).mean(axis=1)
            return
        self._window_s = seconds
        turns = np.maximum(self._curve.rates * seconds, 1e-12)
        written = -np.expm1(-turns)
        rewritten = 1 - written / turns
        self._shares = self._shares * rewritten + (1 - self._shares) * written


def _limited(speed: Speed, asked: Another) -> Speed:
    if not asked.rate_bytes_per_s:
        return speed
    return Speed(min(speed.wire_bytes_per_s, asked.rate_bytes_per_s), speed.pass_s)
