"""How much to pack pages: off, a little or more, by what the wire and the processor turn out to do.

A page costs a second of whichever is slower, packing it or sending what is left of it, and part of
the other one too, as far as they do not overlap. The wire is measured while pages travel, packing
by trying a level now and then on a few pages, which may take a small share of the time only.
All of it is measured by the clock on the wall, so that a processor that has others to serve is slow
here as well.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

LEVELS = (-3, 1, 3, 6, 9)
OFF = 0
"""The choice not to pack; it stands before all levels, each of which is a choice by its place."""

FIRST_TRY = 2
TRYING_SHARE = 0.01
"""Of the time, what trying levels may take; the first try is on credit."""

CREDIT_S = 0.005
LEFT_ALONE_BATCHES = 8
SLOW_WIRE_S = 5e-9
HIDDEN = 0.25
"""What a try counts on a wire that takes longer than this for a byte: it has work meanwhile."""

NO_USE = 0.99
HOPELESS = 4
"""How many times less often pages are tried that did not become smaller."""

MEMORY_S = 0.1
"""How long a measurement of the wire counts: what fills a socket's buffer moves at no time."""

MEMORY_BATCHES = 12
SETTLE_S = 0.02
SETTLE_BATCHES = 4
APART = 0.1
"""How much of the shorter one of packing and sending is not hidden behind the other, at first."""

GAIN = 0.95
"""Another choice must cost less than this share of the present one: figures tremble."""

GAIN_AGAIN = 0.99
GAIN_MIN = 0.85
"""With every change the next one must promise a little more, so that they come to an end."""

PACE_WEIGHT = 0.2
REST_S = 0.25
REST_S_MAX = 16.0
"""Without packing after it was slower than expected, at first and at most: twice as long each time.
"""

ALIKE = 1.03
"""Choices whose costs are this close are equals, and the one that packs less is taken."""

LOOK_AGAIN_S = 5.0
LOOK_AGAIN_S_MAX = 60.0
STARVED_SHARE = 0.2
"""With less of the time spent on sending, the wire waits for the packing, and nobody knows how
fast it is.
"""


@dataclass(slots=True)
class _Pace:
    """What a level does to these pages: seconds to pack a byte, and what is left of it."""

    s_per_byte: float
    share: float
    known: int = 0

    def learn(self, s_per_byte: float, share: float) -> None:
        """A mean of the last ones; the very first, in cold memory, is replaced by the second."""
        self.known += 1
        weight = max(1 / self.known, PACE_WEIGHT)
        self.s_per_byte += weight * (s_per_byte - self.s_per_byte)
        self.share += weight * (share - self.share)


@dataclass(slots=True)
class _Window:
    """What went out lately under one choice; what is older counts less and less."""

    raw_bytes: float = 0.0
    wire_bytes: float = 0.0
    pack_s: float = 0.0
    send_s: float = 0.0
    total_s: float = 0.0
    batches: int = 0

    def add(self, raw_bytes: int, wire_bytes: int, pack_s: float, send_s: float) -> None:
        took_s = pack_s + send_s
        # However slow the wire, a few batches are looked at together.
        left = max(math.exp(-took_s / MEMORY_S), 1 - 1 / MEMORY_BATCHES)
        self.raw_bytes = self.raw_bytes * left + raw_bytes
        self.wire_bytes = self.wire_bytes * left + wire_bytes
        self.pack_s = self.pack_s * left + pack_s
        self.send_s = self.send_s * left + send_s
        self.total_s += took_s
        self.batches += 1

    def is_settled(self, least_s: float) -> bool:
        return self.batches >= SETTLE_BATCHES and self.total_s >= least_s

    @property
    def is_starved(self) -> bool:
        return self.send_s < STARVED_SHARE * (self.send_s + self.pack_s)


class Compression:
    """The choice for one stream. `rate_bytes_per_s`: what it may send, 0 if nothing limits it."""

    def __init__(self, rate_bytes_per_s: float = 0.0, levels: Sequence[int] = LEVELS) -> None:
        self._levels = tuple(levels)
        self._paces: dict[int, _Pace] = {}
        self._choice = OFF
        self._has_switched = False
        self._window = _Window()
        self._wire_s_least = 1 / rate_bytes_per_s if rate_bytes_per_s else 0.0
        self._wire_s: float | None = self._wire_s_least or None
        self._busy_wire_s = self._wire_s_least
        self._apart = APART
        self._gain = GAIN
        self._credit_s = CREDIT_S
        self._left_alone = 0
        self._rest_s = 0.0
        self._next_rest_s = REST_S
        self._unsure_s = 0.0
        self._look_again_s = LOOK_AGAIN_S

    def begin(self, round_no: int) -> None:
        """Short rounds are left alone: the last one, with the guest paused, is none to learn in."""
        self._left_alone = LEFT_ALONE_BATCHES if round_no else 0

    @property
    def level(self) -> int | None:
        """What to pack the next batch with, None for not at all."""
        return self._levels[self._choice - 1] if self._choice else None

    def to_try(self) -> int | None:
        """A level to pack a few pages of the next batch with, to learn what it does to them."""
        if self._credit_s <= 0 or self._left_alone > 0:
            return None
        place = self._next_try()
        return self._levels[place - 1] if place else None

    def packed(self, level: int, raw_bytes: int, packed_bytes: int, seconds: float) -> None:
        """So it was with `level`; `packed_bytes` are `raw_bytes` where packing was no use."""
        place = self._levels.index(level) + 1
        s_per_byte, share = seconds / raw_bytes, packed_bytes / raw_bytes
        if (pace := self._paces.get(place)) is None:
            self._paces[place] = _Pace(s_per_byte, share)
        else:
            pace.learn(s_per_byte, share)
        if place != self._choice:
            price = HOPELESS if share > NO_USE else 1.0
            if self._wire_s is not None and self._wire_s > SLOW_WIRE_S:
                price *= HIDDEN
            self._credit_s -= seconds * price

    def sent(self, raw_bytes: int, wire_bytes: int, pack_s: float, send_s: float) -> None:
        """A batch has left; the choice for the next one may be another."""
        self._left_alone -= 1
        if self._has_switched:
            # Most of what it waited for was the batch before it, which was packed otherwise.
            self._has_switched = False
            return
        self._window.add(raw_bytes, wire_bytes, pack_s, send_s)
        self._credit_s = min(CREDIT_S, self._credit_s + (pack_s + send_s) * TRYING_SHARE)
        self._measure_wire()
        if self._window.is_settled(0.0 if self._wire_s_least else SETTLE_S):
            self._choose(pack_s + send_s)

    # ---- what is measured

    def _measure_wire(self) -> None:
        """The wire took no longer than sending and packing together, and no less than sending."""
        window = self._window
        least_s = window.send_s / window.wire_bytes
        most_s = (window.send_s + window.pack_s) / window.wire_bytes
        if self._wire_s is None or self._choice == OFF:
            self._wire_s = least_s
        self._wire_s = max(min(max(self._wire_s, least_s), most_s), self._wire_s_least)
        self._busy_wire_s = self._wire_s
        if self._choice != OFF and not window.is_starved:
            self._busy_wire_s = max(most_s - self._apart * (most_s - least_s), self._wire_s_least)

    def _cost_now(self) -> float:
        return (self._window.pack_s + self._window.send_s) / self._window.raw_bytes

    def _parts(self, place: int, wire_s: float) -> tuple[float, float]:
        """What packing and sending take, the shorter one first."""
        pace = self._paces[place]
        packing_s, sending_s = pace.s_per_byte, pace.share * wire_s
        return min(packing_s, sending_s), max(packing_s, sending_s)

    def _cost(self, place: int) -> float:
        """Seconds for a byte of pages, as far as can be told."""
        assert self._wire_s is not None
        if place == OFF:
            return self._wire_s
        less_s, more_s = self._parts(place, self._busy_wire_s)
        return more_s + self._apart * less_s

    def _be_disappointed(self) -> None:
        """Packing costs more than it should: so much of it does not overlap with sending."""
        assert self._wire_s is not None
        less_s, more_s = self._parts(self._choice, self._wire_s)
        if less_s > 0:
            self._apart = min(max((self._cost_now() - more_s) / less_s, self._apart), 1.0)
        self._rest_s = self._next_rest_s
        self._next_rest_s = min(self._next_rest_s * 2, REST_S_MAX)

    # ---- what follows from it

    def _choose(self, took_s: float) -> None:
        if self._look_again(took_s):
            self._switch(OFF)
            return
        self._rest_s -= took_s
        if self._rest_s > 0:
            return
        costs = {place: self._cost(place) for place in (OFF, *self._paces)}
        if self._choice != OFF and (expected_s := costs[self._choice]) > 0:
            # What is slower than expected with this level would be so with any other.
            worse = max(1.0, self._cost_now() / expected_s)
            costs = {place: cost_s * (worse if place else 1) for place, cost_s in costs.items()}
        best_s = min(costs.values())
        best = min(place for place, cost_s in costs.items() if cost_s <= best_s * ALIKE)
        now_s = self._cost_now() if self._choice else costs[OFF]
        if best != self._choice and (costs[best] <= now_s * self._gain or self._is_no_use()):
            if best == OFF and not self._is_no_use():
                self._be_disappointed()
            self._switch(best)

    def _is_no_use(self) -> bool:
        """Packing these pages saves nothing at all, so that even a small price is too much."""
        pace = self._paces.get(self._choice)
        return pace is not None and pace.share > NO_USE

    def _switch(self, choice: int) -> None:
        self._choice = choice
        self._has_switched = True
        self._gain = max(self._gain * GAIN_AGAIN, GAIN_MIN)
        self._window = _Window()
        self._unsure_s = 0.0

    def _look_again(self, took_s: float) -> bool:
        """Whether it is time to send pages as they are, to see how fast the wire is by now."""
        if self._choice == OFF:
            return False
        self._unsure_s = self._unsure_s + took_s if self._window.is_starved else 0.0
        limited = self._wire_s_least and self._cost(self._choice) < self._wire_s_least
        if limited or self._unsure_s < self._look_again_s:
            return False
        self._look_again_s = min(self._look_again_s * 2, LOOK_AGAIN_S_MAX)
        return True

    def _next_try(self) -> int:
        """The place of the level that it would be best to know more of, OFF if there is none."""
        if not self._paces:
            return min(FIRST_TRY, len(self._levels))
        if self._choice == OFF:
            return min(self._paces, key=self._cost_or_share)
        near = self._choice - 1 if self._window.is_starved else self._choice + 1
        return near if 0 < near <= len(self._levels) else OFF

    def _cost_or_share(self, place: int) -> float:
        return self._paces[place].share if self._wire_s is None else self._cost(place)
