"""Faults of shared storage: paths, the san, keys, and whoever owns a volume."""

from collections.abc import Callable
from dataclasses import dataclass

from lab.simulation.cluster import SimCluster
from lab.simulation.faults import Fault, KillCoordinator, PauseCoordinator, Storm, cut_off
from lab.simulation.node_faults import Freeze, KillAgent, KillFrozen
from lab.simulation.san import SimSan
from protocol.names import NodeName
from protocol.scsi.commands import PersistentReserveOut
from protocol.scsi.persistent import Kind, OutAction, OutParameters


def _san(cluster: SimCluster) -> SimSan:
    assert cluster.san is not None
    return cluster.san


def owner_of_a_volume(cluster: SimCluster, node: NodeName) -> NodeName:
    """The owner of some volume, or `node` where none has one."""
    rows = cluster.storage_checks.disks
    owners = sorted({row["owner"] for row in rows.values() if row["owner"]})
    at = sorted(cluster.machines).index(node)
    return NodeName(owners[at % len(owners)]) if owners else node


@dataclass(slots=True)
class LosePath:
    """The node's connections to the san are reset, and no new ones are taken."""

    cluster: SimCluster
    node: NodeName
    before: int = 0

    def begin(self) -> bool:
        self.before = _san(self.cluster).lost
        _san(self.cluster).cut(self.node)
        return True

    def end(self) -> None:
        _san(self.cluster).heal(self.node)

    def took_effect(self) -> bool:
        return _san(self.cluster).lost > self.before


@dataclass(slots=True)
class PauseSan:
    """SIGSTOP of the san: nothing is answered, nothing is lost."""

    cluster: SimCluster
    before: int = 0

    def begin(self) -> bool:
        san = _san(self.cluster)
        if san.is_frozen or not san.is_running:
            return False
        self.before = san.lost
        san.freeze()
        return True

    def end(self) -> None:
        if _san(self.cluster).is_frozen:
            _san(self.cluster).thaw()

    def took_effect(self) -> bool:
        return _san(self.cluster).lost > self.before


@dataclass(slots=True)
class CrashSan:
    """SIGKILL of the san: what was not on stable storage is lost or torn, then it starts again."""

    cluster: SimCluster
    crashed: bool = False

    def begin(self) -> bool:
        if not _san(self.cluster).is_running:
            return False
        self.crashed = True
        _san(self.cluster).crash()
        return True

    def end(self) -> None:
        _san(self.cluster).restart()

    def took_effect(self) -> bool:
        return self.crashed


@dataclass(slots=True)
class SlowDisk:
    """Every command takes up to a second."""

    cluster: SimCluster
    before: int = 0

    def begin(self) -> bool:
        self.before = _san(self.cluster).slowed
        _san(self.cluster).is_slow = True
        return True

    def end(self) -> None:
        _san(self.cluster).is_slow = False

    def took_effect(self) -> bool:
        return _san(self.cluster).slowed > self.before


@dataclass(slots=True)
class StealKey:
    """Somebody preempts the node's key on a disk: that life may never write to it again.

    Its end is a new life, as an operator would give it.
    """

    cluster: SimCluster
    node: NodeName
    life: str = ""

    def begin(self) -> bool:
        agent = self.cluster.machines[self.node].agent
        if agent is None or agent.disks is None:
            return False
        san = _san(self.cluster)
        path = agent.disks.paths[sorted(agent.disks.paths)[0]]
        keys = san.units.units[san.lun_of[path.disk]].reservations.keys
        thief = next((nexus for nexus in sorted(keys, key=repr) if nexus != path.nexus), None)
        if path.nexus not in keys or thief is None or not san.is_running or san.is_frozen:
            return False
        self.life = agent.incarnation
        command = PersistentReserveOut(OutAction.PREEMPT_AND_ABORT, Kind.WRITE_REGISTRANTS)
        data = OutParameters(keys[thief], keys[path.nexus]).write()
        node = thief.initiator.rpartition(":")[2]
        san.send(node, thief, path.disk, command, data, lambda _: None)
        return True

    def end(self) -> None:
        machine = self.cluster.machines[self.node]
        if machine.agent is not None and machine.agent.incarnation == self.life:
            machine.thaw()
            machine.kill()
        machine.start()

    def took_effect(self) -> bool:
        return bool(self.life)


@dataclass(slots=True)
class FreezeWriting:
    """The whole machine is stopped between a write's decision and its way to the san."""

    cluster: SimCluster
    node: NodeName
    freeze: Freeze | None = None
    is_over: bool = False

    def begin(self) -> bool:
        agent = self.cluster.machines[self.node].agent
        if agent is None or agent.frozen or agent.disks is None:
            return False
        disks = agent.disks

        def strike() -> None:
            disks.on_write = lambda: None
            self.cluster.world.after(0.0, self._freeze)

        disks.on_write = strike
        return True

    def _freeze(self) -> None:
        freeze = Freeze(self.cluster, self.node, with_workers=True)
        if not self.is_over and freeze.begin():
            self.freeze = freeze

    def end(self) -> None:
        self.is_over = True
        if self.freeze is not None:
            self.freeze.end()

    def took_effect(self) -> bool:
        return self.freeze is not None and self.freeze.took_effect()


STORAGE_FAULTS: dict[str, Callable[[SimCluster, NodeName], Fault]] = {
    "lose path": LosePath,
    "owner loses path": lambda c, node: LosePath(c, owner_of_a_volume(c, node)),
    "pause san": lambda cluster, _: PauseSan(cluster),
    "crash san": lambda cluster, _: CrashSan(cluster),
    "slow disk": lambda cluster, _: SlowDisk(cluster),
    "steal key": StealKey,
    "kill owner": lambda c, node: KillAgent(c, owner_of_a_volume(c, node)),
    "freeze owner": lambda c, node: Freeze(c, owner_of_a_volume(c, node), with_workers=True),
    "freeze writing": FreezeWriting,
    "owner freezes writing": lambda c, node: FreezeWriting(c, owner_of_a_volume(c, node)),
    "kill agent": KillAgent,
    "freeze agent": lambda cluster, node: Freeze(cluster, node, with_workers=False),
    "kill frozen": lambda cluster, node: KillFrozen(cluster, node, with_workers=True),
    "cut off": cut_off,
    "owner cut off": lambda c, node: cut_off(c, owner_of_a_volume(c, node)),
    "kill leader": lambda cluster, _: KillCoordinator(cluster),
    "pause, rival": lambda cluster, _: PauseCoordinator(cluster, rival=True),
    "storm": lambda cluster, _: Storm(cluster),
}
"""What hurts a lab with shared disks; faults of nodes are there as what makes ownership move."""
