"""When a throttled guest may run: of each short period the share that it keeps, counted exactly.

A step of a guest cannot be cut short. What it takes too much is taken off what follows, and what
it waits too long is given back, so that over many periods the share is right to the microsecond.
"""

PERIOD_S = 0.01
_SLEPT_MAX_S = 2 * PERIOD_S
"""Of a longer gap nobody knows who had the processor: it does not count as the guest's."""


class Turns:
    """Opens and closes. While it is open `credit_s` falls by what the guest loses of that time, and
    while it is closed it grows by what the guest keeps.
    """

    def __init__(self, now_ns: int) -> None:
        self.is_open = True
        self._last_ns = now_ns
        self._share = 0.0
        self._credit_s = 0.0
        self._full_s = 0.0

    def passed(self, now_ns: int, share: float) -> float:
        """Go on to `now_ns` with a guest that loses `share` of its time. Returns how much of the
        time since the last look was the guest's own, in seconds.
        """
        elapsed_s = min((now_ns - self._last_ns) / 1e9, _SLEPT_MAX_S)
        self._last_ns = now_ns
        own_s = elapsed_s if self.is_open else 0.0
        if share != self._share:
            self._share, self._full_s = share, share * (1 - share) * PERIOD_S
            self._credit_s = min(self._credit_s, self._full_s)
        if not share:
            self.is_open, self._credit_s = True, 0.0
        elif self.is_open:
            self._credit_s -= elapsed_s * share
            self.is_open = self._credit_s > 0
        else:
            self._credit_s += elapsed_s * (1 - share)
            self.is_open = self._credit_s >= self._full_s
        return own_s

    @property
    def opens_in_s(self) -> float:
        """How long a closed one stays so."""
        if self.is_open:
            return 0.0
        return (self._full_s - self._credit_s) / (1 - self._share)
