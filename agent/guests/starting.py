"""Which guest a VM runs."""

from agent.guests.database import Database
from agent.guests.ledger import Ledger
from agent.guests.pages import Marks, Pages
from agent.guests.workloads import Guest
from agent.guests.writers import Idle, Writer
from protocol.names import Workload


def guest_of(
    workload: Workload, memory: Pages, marks: Marks | None = None, disk_bytes: int = 0
) -> Guest:
    """The guest that goes on in `memory`; `boot` it first if it is new there."""
    match workload.name:
        case "idle":
            return Idle()
        case "ledger":
            return Ledger(workload, memory, disk_bytes, marks)
        case "database":
            return Database(workload, memory, disk_bytes, marks)
    return Writer(workload, memory, marks)
