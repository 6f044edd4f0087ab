"""Unit attentions: what each nexus must be told before its next command is done (SAM-5, 5.14)."""

from protocol.scsi.sense import NEXUS_LOSS, POWER_ON, UNIT_RESET, Sense
from san.nexus import Nexus

RESETS = (POWER_ON, UNIT_RESET)


class Attentions:
    """A queue per nexus; the same attention waits only once."""

    def __init__(self) -> None:
        self._waiting: dict[Nexus, list[Sense]] = {}
        self._known: set[Nexus] = set()

    def arrived(self, nexus: Nexus) -> None:
        """The first time it is told that the unit was switched on, later that it was away."""
        self.add(nexus, NEXUS_LOSS if nexus in self._known else POWER_ON)
        self._known.add(nexus)

    def known(self) -> tuple[Nexus, ...]:
        return tuple(sorted(self._known, key=repr))

    def add(self, nexus: Nexus, sense: Sense) -> None:
        """A reset makes what waited before it pointless."""
        waiting = self._waiting.setdefault(nexus, [])
        if sense in RESETS:
            waiting.clear()
        if sense not in waiting:
            waiting.append(sense)

    def is_waiting(self, nexus: Nexus) -> bool:
        return bool(self._waiting) and nexus in self._waiting

    def take(self, nexus: Nexus) -> Sense | None:
        """The oldest; it has then been told."""
        waiting = self._waiting.get(nexus)
        if not waiting:
            return None
        sense = waiting.pop(0)
        if not waiting:
            del self._waiting[nexus]
        return sense
