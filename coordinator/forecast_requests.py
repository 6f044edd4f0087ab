"""What operators ask to be foretold; nothing is changed by it."""

from dataclasses import dataclass
from typing import Any

from protocol.names import NodeName, VmName

WINDOW_S = 1.0
WINDOW_S_MAX = 30.0


@dataclass(frozen=True, slots=True)
class EstimateVm:
    """What would a migration of a running VM cost? Without a `target` placement chooses one,
    without a `policy` all are looked at. The guest is watched for windows of up to `window_s`.
    """

    vm: VmName
    target: NodeName | None = None
    policy: str = ""
    travel: tuple[tuple[str, Any], ...] = ()
    window_s: float = WINDOW_S


@dataclass(frozen=True, slots=True)
class EstimateDrain:
    """What would it cost to move all VMs away from `node`?"""

    node: NodeName


EstimateRequest = EstimateVm | EstimateDrain
