"""The store's rows, mirrored in memory: what every plan is made from, with their revisions."""

from collections.abc import Mapping
from typing import Any

from coordinator.store.disk_rows import DiskRow, GoneDiskRow
from coordinator.store.group_rows import GroupRow
from coordinator.store.import_row import ImportRow
from coordinator.store.interface import Row
from coordinator.store.move_rows import LeftRow
from coordinator.store.network_rows import (
    MIGRATION_NETWORKS,
    MigrationNetworksRow,
    NetworkRow,
)
from coordinator.store.queue_rows import QueuedRow
from coordinator.store.rows import (
    CLUSTER,
    COUNTER,
    VIEW,
    AttemptRow,
    ClusterRow,
    CounterRow,
    DeletedRow,
    EvictedRow,
    NodeRow,
    ViewRow,
    VmRow,
)
from coordinator.store.tally import Tally
from protocol.disks import DiskId
from protocol.names import AttemptId, NetworkName, NodeName, Timing, VmName

PREFIXES = (
    *(CLUSTER, VIEW, COUNTER, "node/", "vm/", "deleted/", "attempt/"),
    "evicted/",
    *("network/", MIGRATION_NETWORKS, "group/"),
    *("disk/", "gone-disk/", "left/"),
    "queued/",
)
"""What a leader reads when it begins; the event log is not among it, it is only added to."""


class Book:
    """Exactly what the store holds, as of the newest answer. Changed by `learn` only."""

    def __init__(self) -> None:
        self.revisions: dict[str, int] = {}
        self.cluster: ClusterRow | None = None
        self.view: ViewRow | None = None
        self.counter = CounterRow()
        self.nodes: dict[NodeName, NodeRow] = {}
        self.evicted: dict[NodeName, EvictedRow] = {}
        self.vms: dict[VmName, VmRow] = {}
        self.groups: dict[VmName, GroupRow] = {}
        self.tally = Tally()
        self.deleted: dict[VmName, DeletedRow] = {}
        self.networks: dict[NetworkName, NetworkRow] = {}
        self.migration: MigrationNetworksRow | None = None
        """None: nobody has set it, the configuration counts."""

        self.disks: dict[DiskId, DiskRow] = {}
        self.gone_disks: dict[DiskId, GoneDiskRow] = {}
        self.left: dict[str, LeftRow] = {}
        self.importing: ImportRow | None = None
        """A database is being put back, and some rows are of it and some are not."""

        self.attempts: dict[AttemptId, AttemptRow] = {}
        self.unclosed: dict[AttemptId, AttemptRow] = {}
        self.queued: dict[AttemptId, QueuedRow] = {}
        self._unknown_timing = Timing()

    @property
    def timing(self) -> Timing:
        return self._unknown_timing if self.cluster is None else self.cluster.timing

    @property
    def calm_s(self) -> float:
        """How long no view is proposed after the votes or the clocks have changed: until all that
        was promised before has run out, also by those whom the newest clocks have not reached.
        """
        longest_s = 0.0 if self.cluster is None else self.cluster.longest_s
        return max(self.timing.outlast_s, longest_s)

    def group(self, vm: VmName) -> GroupRow:
        """One that was never changed has no row."""
        return self.groups.get(vm) or GroupRow(vm)

    def revision(self, key: str) -> int:
        return self.revisions.get(key, 0)

    def learn_row(self, row: Row) -> None:
        self.learn(row.key, row.revision, row.value)

    def learn(self, key: str, revision: int, value: Mapping[str, Any] | None) -> None:
        """The store holds `value` under `key`; None says that it holds nothing there."""
        if value is None:
            self.revisions.pop(key, None)
        else:
            self.revisions[key] = revision
        kind, _, name = key.partition("/")
        match kind:
            case "cluster":
                self.cluster = None if value is None else ClusterRow.read(value)
            case "view":
                self.view = None if value is None else ViewRow.read(value)
            case "counter":
                self.counter = CounterRow() if value is None else CounterRow.read(value)
            case "node":
                self.nodes.pop(NodeName(name), None)
                if value is not None:
                    self.nodes[NodeName(name)] = NodeRow.read(value)
            case "evicted":
                self.evicted.pop(NodeName(name), None)
                if value is not None:
                    self.evicted[NodeName(name)] = EvictedRow.read(value)
            case "vm":
                self._learn_vm(VmName(name), value)
            case "group":
                self._learn_group(VmName(name), value)
            case "network":
                self.networks.pop(NetworkName(name), None)
                if value is not None:
                    self.networks[NetworkName(name)] = NetworkRow.read(value)
            case "disk":
                self.disks.pop(DiskId(name), None)
                if value is not None:
                    self.disks[DiskId(name)] = DiskRow.read(value)
            case "gone-disk":
                self.gone_disks.pop(DiskId(name), None)
                if value is not None:
                    self.gone_disks[DiskId(name)] = GoneDiskRow.read(value)
            case "left":
                self.left.pop(name, None)
                if value is not None:
                    self.left[name] = LeftRow.read(value)
            case "migration-networks":
                self.migration = None if value is None else MigrationNetworksRow.read(value)
            case "cluster-import":
                self.importing = None if value is None else ImportRow.read(value)
            case "deleted":
                self.deleted.pop(VmName(name), None)
                if value is not None:
                    self.deleted[VmName(name)] = DeletedRow.read(value)
            case "queued":
                self.queued.pop(AttemptId(int(name)), None)
                if value is not None:
                    self.queued[AttemptId(int(name))] = QueuedRow.read(value)
            case "attempt":
                self._learn_attempt(AttemptId(int(name)), value)
            case _:
                self.revisions.pop(key, None)  # events and the term are not planned from

    def _learn_vm(self, name: VmName, value: Mapping[str, Any] | None) -> None:
        if value is None:
            self.vms.pop(name, None)
        else:
            self.vms[name] = VmRow.read(value)
        self._count(name)

    def _learn_group(self, name: VmName, value: Mapping[str, Any] | None) -> None:
        if value is None:
            self.groups.pop(name, None)
        else:
            self.groups[name] = GroupRow.read(value)
        self._count(name)

    def _count(self, name: VmName) -> None:
        vm = self.vms.get(name)
        if vm is None:
            self.tally.drop(name)
        else:
            self.tally.count(vm, self.group(name).names("AntiAffinityClassNames"))

    def _learn_attempt(self, attempt: AttemptId, value: Mapping[str, Any] | None) -> None:
        self.unclosed.pop(attempt, None)
        self.attempts.pop(attempt, None)
        if value is None:
            return
        row = AttemptRow.read(value)
        self.attempts[attempt] = row
        if not row.closed:
            self.unclosed[attempt] = row
