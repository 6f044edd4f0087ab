"""When a guest may run: the one rule that the VM worker and the simulation both obey."""

from protocol.names import Hold

ALL_HOLDS = Hold.OPERATOR | Hold.LEASE | Hold.ATTEMPT | Hold.FAULT


def may_run(holds: Hold, lease_end_s: float, now_s: float) -> bool:
    """Whether a guest may take its next step: nothing holds it, and its node's lease has not ended.

    A lease end that is not a number compares as ended, so a torn or missing value stops the guest.
    """
    return not holds and now_s < lease_end_s


def held(holds: Hold, by: Hold) -> Hold:
    """The holds after `by` has set its own; setting it twice is setting it once."""
    assert by & ALL_HOLDS, f"{by!r} is no hold that somebody can set"
    return holds | by


def released(holds: Hold, by: Hold) -> Hold:
    """The holds after `by` has released its own; what others set stays."""
    assert by & ALL_HOLDS, f"{by!r} is no hold that somebody can release"
    return holds & ~by
