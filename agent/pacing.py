"""How fast bytes may leave: a bucket that all streams of a sender draw from together."""

LATENESS_S = 0.01
"""A stream that wakes up this much too late catches up; what is later than that is lost, so no
pause is ever followed by a burst.
"""


class TokenBucket:
    """At most `rate_bytes_per_s`, from `began_at` on; a rate of 0 is no limit.

    What was sent is spent afterwards, so a stream may send whenever nothing is owed. Its sums are
    exact: a wait that took longer than asked for shortens the next one.
    """

    def __init__(self, rate_bytes_per_s: int, began_at: float) -> None:
        assert rate_bytes_per_s >= 0, "no rate is below none"
        self._rate_bytes_per_s = rate_bytes_per_s
        self._paid_at = began_at

    def spend(self, now: float, sent_bytes: int) -> None:
        """These bytes have left."""
        if self._rate_bytes_per_s:
            begun = max(self._paid_at, now - LATENESS_S)
            self._paid_at = begun + sent_bytes / self._rate_bytes_per_s

    def wait_s(self, now: float) -> float:
        """How long until nothing is owed any more."""
        if not self._rate_bytes_per_s:
            return 0.0
        return max(0.0, self._paid_at - now)


def batch_pages(rate_bytes_per_s: int, page_bytes: int, most: int) -> int:
    """Pages to send at once, so that what is sent at once takes about a hundredth of a second."""
    if not rate_bytes_per_s:
        return most
    return max(min(16, most), min(most, rate_bytes_per_s // (100 * page_bytes)))
