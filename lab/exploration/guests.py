"""The workers of one machine, as little of them as decides who runs."""

from dataclasses import dataclass, field

from agent.holds import may_run
from protocol.names import AttemptId, Epoch, Hold, VmName


@dataclass(slots=True)
class Guest:
    """One worker. `memory` names what its pages hold: a start from nothing makes a new one."""

    vm: VmName
    epoch: Epoch
    holds: Hold
    memory: str
    attempt: AttemptId | None = None
    is_made: bool = False
    is_taken: bool = False
    """A source has been let in; no other connection is."""


@dataclass(slots=True)
class Guests:
    """All that a machine has; they end with its agent."""

    lease_end_s: float = 0.0
    there: dict[VmName, Guest] = field(default_factory=dict)

    def is_running(self, now: float) -> bool:
        return any(self.runs(guest, now) for guest in self.there.values())

    def runs(self, guest: Guest, now: float) -> bool:
        return guest.is_made and may_run(guest.holds, self.lease_end_s, now)
