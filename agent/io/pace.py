"""How the streams of one sender wait for their turn."""

import threading
import time

from agent.pacing import TokenBucket

SLICE_S = 0.05
"""How long a wait may take to notice that nobody wants its pages any more."""


class Pace:
    """One bucket that several threads draw from, each of them when nothing is owed."""

    def __init__(self, rate_bytes_per_s: int) -> None:
        self.rate_bytes_per_s = rate_bytes_per_s
        self._bucket = TokenBucket(rate_bytes_per_s, time.monotonic())
        self._lock = threading.Lock()
        self._released = False

    def wait(self, stop: threading.Event) -> None:
        """Return when more may be sent, and early when `stop` is set or nobody is to wait."""
        if not self.rate_bytes_per_s:
            return
        while not self._released:
            with self._lock:
                left_s = self._bucket.wait_s(time.monotonic())
            if left_s <= 0 or stop.wait(min(left_s, SLICE_S)):
                return

    def spend(self, sent_bytes: int) -> None:
        if self.rate_bytes_per_s:
            with self._lock:
                self._bucket.spend(time.monotonic(), sent_bytes)

    def release(self) -> None:
        """Nobody waits any more."""
        self._released = True
