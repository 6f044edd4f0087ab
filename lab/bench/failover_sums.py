"""How long a failover may take: the sum of docs/protocol.md, for each case that is measured.

The sum is of clocks alone and reaches up to where a VM is told to start. What comes then takes the
machine its time: an allowance for a guest's process, and one for each VM, as they are written to
the store one after the other.
"""

import enum
from dataclasses import dataclass

from protocol.names import QuorumMode, Timing

BEGIN_S = 0.5
"""From being told to start until the guest runs."""

EACH_S = 0.03
"""What each VM takes besides: its transaction, and its share of two cores."""


class Dies(enum.Enum):
    """Which node is killed; it has all the VMs."""

    ANY = "a node"
    HOLDER = "the witness's holder"
    OTHER = "another node"


@dataclass(frozen=True, slots=True)
class Case:
    """A cluster, and the node of it that dies."""

    mode: QuorumMode
    nodes: int
    dies: Dies

    @property
    def has_witness(self) -> bool:
        return self.mode is not QuorumMode.NODE_MAJORITY

    @property
    def arbitrates(self) -> bool:
        """The dead node took a vote with it that the others need: that of the witness."""
        each = 0 if self.mode is QuorumMode.DISK_ONLY else 1
        needed = (each * self.nodes + self.has_witness) // 2 + 1
        return self.dies is Dies.HOLDER and each * (self.nodes - 1) < needed

    def __str__(self) -> str:
        return f"{self.mode.value}, {self.nodes} nodes: {self.dies.value}"


MODES = (
    (QuorumMode.NODE_MAJORITY, 3),
    (QuorumMode.NODE_AND_DISK, 2),
    (QuorumMode.NODE_AND_SHARE, 4),
    (QuorumMode.DISK_ONLY, 2),
)


def cases(mode: QuorumMode, nodes: int) -> tuple[Case, ...]:
    if mode is QuorumMode.NODE_MAJORITY:
        return (Case(mode, nodes, Dies.ANY),)
    return (Case(mode, nodes, Dies.OTHER), Case(mode, nodes, Dies.HOLDER))


def parts(case: Case, timing: Timing) -> dict[str, float]:
    """The summands, from the death of the node until its VMs are told to start elsewhere."""
    drift = (1 + timing.drift_rate) / (1 - timing.drift_rate)
    if case.arbitrates:
        first = {
            "arbitration": timing.delay_s + timing.witness_hold_s * drift,
            "leading again": 2 * timing.delay_s,
        }
    else:
        first = {
            "detection": timing.support_s + timing.delay_s,
            "promises": timing.outlast_s - timing.support_s,
        }
    # A node that nobody hears is no broken link, so there is no regroup; and nothing is fenced.
    return {**first, "view": timing.delay_s, "start": timing.delay_s}


def until_view_s(case: Case, timing: Timing) -> float:
    """When a view without the dead node holds, at the latest."""
    return sum(seconds for part, seconds in parts(case, timing).items() if part != "start")


def until_running_s(case: Case, timing: Timing, vms: int) -> float:
    """When so many VMs of the dead node run elsewhere, at the latest."""
    return sum(parts(case, timing).values()) + BEGIN_S + vms * EACH_S
