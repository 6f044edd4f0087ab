"""The promise about a guest's time: what an attempt takes from it, it has back when that ends."""

from collections.abc import Iterable, Mapping
from typing import Any

from lab.simulation.ballots import Violation
from lab.simulation.guest import SimWorker


def check_throttle(
    attempt: int, copies: Iterable[SimWorker], vms: Mapping[str, Mapping[str, Any]]
) -> None:
    """Both ends have told that `attempt` is over; the VM may be in the next one by now."""
    for worker in copies:
        row = vms.get(worker.vm)
        if worker.throttle and worker.is_running() and row and row["attempt"] in (None, attempt):
            raise Violation(
                f"attempt {attempt} is over, and {worker.vm} loses {worker.throttle:g} of its time"
                f" on {worker.incarnation}"
            )
