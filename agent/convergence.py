"""S7: when pre-copy has copied enough, or tried long enough. A decision names its reason."""

from collections.abc import Callable, Mapping, Sequence

from agent.config import Limits
from protocol import names
from protocol.messages import RoundRecord

Policy = Callable[[Sequence[RoundRecord], Limits], str | None]
"""Why the guest should be stopped after these rounds; None asks for another round."""

DEFAULT_POLICY = names.POLICIES[0]


def pages_per_s(record: RoundRecord) -> float:
    """The measured speed of a round. Zero pages hardly travel, so they count only where there was
    nothing else.
    """
    pages = record.pages - record.zero_pages or record.pages
    return pages / max(record.seconds, 1e-6)


def pages_in(rounds: Sequence[RoundRecord], seconds: float) -> int:
    """How many pages travel in `seconds` at the speed of the last round that had pages to send."""
    busy = next((record for record in reversed(rounds) if record.pages > 0), None)
    return 0 if busy is None else int(pages_per_s(busy) * seconds)


def stop_reason_2008r2(rounds: Sequence[RoundRecord], limits: Limits) -> str | None:
    """2008 R2: until what is left is small enough, or the rounds are used up; it never asks whether
    it shrinks.
    """
    left = rounds[-1].dirty_pages_at_end
    fit = pages_in(rounds, limits.blackout_max_s)
    if left <= fit:
        return (
            f"The {left} pages that are left travel within {limits.blackout_max_s * 1000:.0f} ms."
        )
    if len(rounds) >= limits.rounds_max:
        return (
            f"All {limits.rounds_max} rounds are used up and {left} pages are left, "
            f"of which {fit} travel in {limits.blackout_max_s * 1000:.0f} ms."
        )
    return None


POLICIES: Mapping[str, Policy] = {DEFAULT_POLICY: stop_reason_2008r2}


def policy_named(name: str) -> Policy | None:
    """The policy of that name, in whatever case; no name means the default."""
    return POLICIES.get(name.lower() or DEFAULT_POLICY)


def no_such_policy(name: str) -> str:
    return f"There is no migration policy {name!r}; there are {', '.join(sorted(POLICIES))}."
