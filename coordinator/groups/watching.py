"""Remembers what was seen of each VM, and which of them were found to have failed."""

from dataclasses import dataclass

from coordinator.groups import health
from coordinator.groups.health import Limits, Phase, Sick, Sight, Stuck, Watched
from coordinator.groups.stops import MACHINE
from coordinator.membership.agents import Agent
from coordinator.scene import Scene
from coordinator.store.group_rows import ResourceRow
from coordinator.store.rows import VmRow
from protocol.names import Epoch, Incarnation, VmName

FRESH_PINGS = 2
"""A report is late when so many pings have gone by without one."""


@dataclass(frozen=True, slots=True)
class Ill:
    """The life and epoch of a VM that has to be ended, the resource that failed, and why."""

    life: Incarnation
    epoch: Epoch
    part: str
    reason: str


DEFAULTS = Limits.of(ResourceRow())


class Watching:
    """A new leader has seen nothing yet, so it judges later than an old one, never sooner."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self._watched: dict[VmName, Watched] = {}
        self._ill: dict[VmName, Ill] = {}

    def forget(self, vm: VmName) -> None:
        self._watched.pop(vm, None)
        self._ill.pop(vm, None)

    def ill(self, row: VmRow) -> Ill | None:
        """That the VM must be ended; what is known of an earlier life or epoch is over."""
        ill = self._ill.get(row.name)
        if ill is None or (ill.life == row.owner_incarnation and ill.epoch == row.epoch):
            return ill
        del self._ill[row.name]
        return None

    def fell_ill(self, row: VmRow, ill: Ill) -> None:
        self._ill[row.name] = ill

    def cause(self, vm: VmName, life: Incarnation, epoch: Epoch) -> Ill | None:
        """Why it was ended, when its end is told."""
        ill = self._ill.get(vm)
        if ill is None or ill.life != life or ill.epoch != epoch:
            return None
        return ill

    def check(self, row: VmRow, agent: Agent, stopping: bool) -> Ill | Stuck | None:
        """One look at a live VM whose owner is connected and which no attempt decides about."""
        scene, group = self._scene, self._scene.book.groups.get(row.name)
        plain = group is None or not group.machine.settings
        limits = DEFAULTS if plain or group is None else Limits.of(group.machine)
        report = agent.vms.get(row.name)
        if report is not None and report.epoch != row.epoch:
            report = None
        if stopping:
            phase = Phase.STOPPING
        elif agent.online_at(row.name, row.epoch):
            phase = Phase.ONLINE
        else:
            phase = Phase.STARTING
        has_lease = agent.lease_s > 0
        late_s = FRESH_PINGS * scene.book.timing.delay_s
        sight = Sight(
            agent.incarnation,
            row.epoch,
            phase,
            agent.heard_at if agent.ponged and scene.now - agent.heard_at <= late_s else None,
            report,
            health.excuses(report, row.spec.workload, has_lease),
        )
        watched, finding = health.look(self._watched.get(row.name), sight, limits, scene.now)
        self._watched[row.name] = watched
        match finding:
            case Sick(reason):
                ill = Ill(agent.incarnation, row.epoch, MACHINE, reason)
                self._ill[row.name] = ill
                return ill
            case _:
                return finding
