"""Waiting for something outside that may never come."""

from dataclasses import dataclass


@dataclass(slots=True)
class Patience:
    """A wait that began at `since_s`.

    Who slept through the end of it was frozen itself, and has not waited: what it waited for may
    have come and lie unread. For such a one the wait begins anew.
    """

    since_s: float

    def is_over(self, end_s: float, now: float, slack_s: float) -> bool:
        if now <= end_s + slack_s:
            return now >= end_s
        self.since_s = now
        return False
