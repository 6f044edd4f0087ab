"""A policy's answer is believed only after it was looked at: whoever wrote it, it may not break the
node, keep a guest throttled, or go on for ever.
"""

import math
from dataclasses import dataclass
from typing import Any

from agent.policies.interface import (
    THROTTLE_MAX,
    Another,
    Decision,
    Policy,
    PostCopy,
    Seen,
    Stop,
)
from protocol.travel import RATE_BYTES_PER_S_MIN

REASON_MAX = 400
"""Characters that are kept of what a policy says."""


@dataclass(frozen=True, slots=True)
class Failed:
    """The policy cannot be followed: the attempt ends, and the guest stays where it is."""

    reason: str


def ask(policy: Policy, seen: Seen) -> Decision | Failed:
    """What comes next: `first` before any round, `decide` after each."""
    try:
        decision = policy.decide(seen) if seen.rounds else policy.first(seen)
        reason = _wrong(decision, seen)
    except (Exception, SystemExit) as error:  # a plug-in is somebody else's program
        after = f"after {len(seen.rounds)} rounds" if seen.rounds else "before the first round"
        said = f"{type(error).__name__}: {error}".rstrip(": .")
        return Failed(_line(f"The migration policy {policy.name!r} broke {after}: {said}."))
    if reason:
        return Failed(_line(f"The migration policy {policy.name!r} answered with {reason}."))
    return _bounded(decision, seen)


def _wrong(decision: Any, seen: Seen) -> str:
    """What no decision may be; nothing if it is one."""
    if not isinstance(decision, Another | Stop | PostCopy):
        return f"{type(decision).__name__}, which is no Another, Stop or PostCopy"
    reason: Any = decision.reason
    if not (reason and isinstance(reason, str)):
        return f"{type(decision).__name__} without a reason"
    if not isinstance(decision, Another):
        return "" if seen.rounds else f"{type(decision).__name__} before any page was sent"
    rate, throttle = decision.rate_bytes_per_s, decision.throttle
    if not (math.isfinite(rate) and (rate == 0 or rate >= RATE_BYTES_PER_S_MIN)):
        return (
            f"a rate of {rate:g} bytes per second, which must be 0 or at least"
            f" {RATE_BYTES_PER_S_MIN}"
        )
    if not 0 <= throttle <= THROTTLE_MAX:
        return f"a throttle of {throttle:g}, which must be 0 to {THROTTLE_MAX:g}"
    return ""


def _bounded(decision: Decision, seen: Seen) -> Decision:
    """The decision in plain words and numbers; the end of a policy that finds none."""
    reason = _line(decision.reason)
    match decision:
        case Stop():
            return Stop(reason)
        case PostCopy():
            return PostCopy(reason)
    left = f"and {seen.left_pages} pages are left." if seen.rounds else ""
    if len(seen.rounds) >= seen.bound_rounds:
        return Stop(f"No migration makes more than {seen.bound_rounds} rounds, {left}")
    if seen.copied_s >= seen.bound_s:
        return Stop(f"No migration copies for more than {seen.bound_s:g} s, {left}")
    return Another(reason, float(decision.rate_bytes_per_s), float(decision.throttle))


def _line(text: str) -> str:
    """One line, of which every message has room."""
    line = " ".join(text.split())
    return line if len(line) <= REASON_MAX else f"{line[: REASON_MAX - 1]}…"
