"""What guests can be told to do, and what a VM must have for it."""

from typing import Protocol

from protocol.errors import ClusterError
from protocol.names import PAGE_BYTES, Workload
from protocol.workload import DISK_WORKLOADS, WORKLOADS, block_bytes

_RATES_BYTES_PER_S = {
    "idle": 0,
    "uniform": 20_000_000,
    "hotspot": 50_000_000,
    "sweep": 50_000_000,
    "wave": 50_000_000,
}
_OPERATIONS_PER_S = {"ledger": 200, "database": 200}

DISK_GUEST_PAGES_MIN = 256
"""A guest with a disk needs room for the requests that are under way, and for its own memory."""


class Guest(Protocol):
    """A program in a VM. `step` does at most `budget` units of work and says how many.

    A unit is a page that is written, or an operation on a disk. `epoch` is the one under which the
    guest runs: it is stamped on what goes to disks.
    """

    epoch: int

    def boot(self, seed: int) -> None:
        """Write the registers of a guest that has done nothing yet."""

    def step(self, budget: int) -> int: ...

    @property
    def steps(self) -> int: ...


class RegistersLost(ClusterError):
    """The VM's memory holds no registers of the guest that should go on in it."""

    definite = True


def unit_bytes(workload: Workload) -> int:
    """What one unit of a guest's work writes."""
    return block_bytes(workload) or PAGE_BYTES


def rate_bytes_per_s(workload: Workload) -> int:
    if workload.rate_bytes_per_s:
        return workload.rate_bytes_per_s
    if workload.name in _OPERATIONS_PER_S:
        return _OPERATIONS_PER_S[workload.name] * unit_bytes(workload)
    return _RATES_BYTES_PER_S[workload.name]


def set_pages(workload: Workload, pages: int) -> int:
    """How many pages a workload works on: its own set or its default, without the registers."""
    default = pages // 16 if workload.name == "hotspot" else pages - 1
    return max(1, min(workload.set_bytes // PAGE_BYTES or default, pages - 1))


def validate_workload(workload: Workload, memory_bytes: int) -> str | None:
    """What is wrong with a workload for a VM of this size, as a sentence; None if nothing is."""
    name = workload.name
    if name not in WORKLOADS:
        return f"There is no workload {name!r}; there are {', '.join(WORKLOADS)}."
    if workload.rate_bytes_per_s < 0:
        return (
            f"The rate of workload {name} is {workload.rate_bytes_per_s} bytes/s; "
            "it must be 0 (its default) or more."
        )
    if name == "idle":
        return None
    least = DISK_GUEST_PAGES_MIN if name in DISK_WORKLOADS else 2
    if memory_bytes < least * PAGE_BYTES:
        return (
            f"Workload {name} needs a VM of at least {least * PAGE_BYTES} bytes: "
            "a page for its registers and some to work on."
        )
    if workload.set_bytes < 0 or workload.set_bytes % PAGE_BYTES:
        return (
            f"The set of workload {name} is {workload.set_bytes} bytes; "
            f"it must be 0 (its default) or a multiple of {PAGE_BYTES}."
        )
    if workload.set_bytes > memory_bytes:
        return (
            f"The set of workload {name} is {workload.set_bytes} bytes, "
            f"but the VM has only {memory_bytes}."
        )
    return None
