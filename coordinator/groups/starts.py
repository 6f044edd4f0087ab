"""At most 32 VMs start on a node at once; the others wait in the order in which they came."""

from coordinator.membership.agents import Agent
from coordinator.scene import Scene
from coordinator.store.rows import VmRow
from protocol.names import Hold, NodeName, VmName

IN_FLIGHT_MAX = 32


def is_starting(agent: Agent, row: VmRow) -> bool:
    """It was told to start, or its memory is being made, and it is not online."""
    if agent.online_at(row.name, row.epoch):
        return False
    report = agent.vms.get(row.name)
    if report is not None and report.epoch == row.epoch:
        return report.holds is Hold.NONE
    asked = agent.asked.get(row.name)
    return asked is not None and asked[0] == row.epoch


class Starts:
    """Which starts are in flight. Counted anew at each pass, kept up between two."""

    def __init__(self) -> None:
        self._flying: dict[NodeName, set[VmName]] = {}
        self._queues: dict[NodeName, dict[VmName, None]] = {}

    def recount(self, scene: Scene) -> None:
        """From the rows and reports, so that whatever was missed is right again."""
        self._flying.clear()
        for row in scene.book.vms.values():
            if not (row.live and row.on):
                continue
            agent = scene.agents.living(row.owner, row.owner_incarnation)
            if agent is not None and is_starting(agent, row):
                self._flying.setdefault(row.owner, set()).add(row.name)

    def may_begin(self, node: NodeName, vm: VmName) -> bool:
        """Whether `vm` may start on `node` now; if not, it is next when those before it did."""
        flying = self._flying.get(node, set())
        if vm in flying or len(flying) < IN_FLIGHT_MAX:
            self._flying.setdefault(node, set()).add(vm)
            self._queues.get(node, {}).pop(vm, None)
            return True
        self._queues.setdefault(node, {})[vm] = None
        return False

    def is_queued(self, node: NodeName, vm: VmName) -> bool:
        return vm in self._queues.get(node, {})

    def ended(self, node: NodeName, vm: VmName) -> VmName | None:
        """It is online, or gone: the VM of `node` that may start instead."""
        flying, queue = self._flying.get(node, set()), self._queues.get(node, {})
        flying.discard(vm)
        queue.pop(vm, None)
        if not queue or len(flying) >= IN_FLIGHT_MAX:
            return None
        after = next(iter(queue))
        del queue[after]
        return after
