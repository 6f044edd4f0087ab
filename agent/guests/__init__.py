"""What runs in a VM: workloads whose whole state lies in the VM's own pages, and on its disk."""

from agent.guests.pages import MAGIC, PAGE_WORDS, Marks, Pages, advanced, mixed
from agent.guests.starting import guest_of
from agent.guests.workloads import (
    Guest,
    RegistersLost,
    rate_bytes_per_s,
    set_pages,
    unit_bytes,
    validate_workload,
)
from agent.guests.writers import MAX_STEP_PAGES, Idle, Writer, check_wave
from protocol.workload import WORKLOADS

__all__ = (
    "MAGIC",
    "MAX_STEP_PAGES",
    "PAGE_WORDS",
    "WORKLOADS",
    "Guest",
    "Idle",
    "Marks",
    "Pages",
    "RegistersLost",
    "Writer",
    "advanced",
    "check_wave",
    "guest_of",
    "mixed",
    "rate_bytes_per_s",
    "set_pages",
    "unit_bytes",
    "validate_workload",
)
