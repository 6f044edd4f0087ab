"""The store's rows, mirrored in memory: what every plan is made from, with their revisions."""

from collections.abc import Mapping
from typing import Any

from coordinator.rows import (
    CLUSTER,
    COUNTER,
    VIEW,
    AttemptRow,
    ClusterRow,
    CounterRow,
    DeletedRow,
    NodeRow,
    ViewRow,
    VmRow,
)
from coordinator.store import Row
from protocol.names import AttemptId, NodeName, Timing, VmName

PREFIXES = (CLUSTER, VIEW, COUNTER, "node/", "vm/", "deleted/", "attempt/")
"""What a leader reads when it begins; the event log is not among it, it is only added to."""


class Book:
    """Exactly what the store holds, as of the newest answer. Changed by `learn` only."""

    def __init__(self) -> None:
        self.revisions: dict[str, int] = {}
        self.cluster: ClusterRow | None = None
        self.view: ViewRow | None = None
        self.counter = CounterRow()
        self.nodes: dict[NodeName, NodeRow] = {}
        self.vms: dict[VmName, VmRow] = {}
        self.deleted: dict[VmName, DeletedRow] = {}
        self.attempts: dict[AttemptId, AttemptRow] = {}
        self.unclosed: dict[AttemptId, AttemptRow] = {}
        self._unknown_timing = Timing()

    @property
    def timing(self) -> Timing:
        return self._unknown_timing if self.cluster is None else self.cluster.timing

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
            case "vm":
                self._learn_vm(VmName(name), value)
            case "deleted":
                self.deleted.pop(VmName(name), None)
                if value is not None:
                    self.deleted[VmName(name)] = DeletedRow.read(value)
            case "attempt":
                self._learn_attempt(AttemptId(int(name)), value)
            case _:
                self.revisions.pop(key, None)  # events and the term are not planned from

    def _learn_vm(self, name: VmName, value: Mapping[str, Any] | None) -> None:
        if value is None:
            self.vms.pop(name, None)
        else:
            self.vms[name] = VmRow.read(value)

    def _learn_attempt(self, attempt: AttemptId, value: Mapping[str, Any] | None) -> None:
        self.unclosed.pop(attempt, None)
        self.attempts.pop(attempt, None)
        if value is None:
            return
        row = AttemptRow.read(value)
        self.attempts[attempt] = row
        if not row.closed:
            self.unclosed[attempt] = row
