"""The metadata of a volume in memory: folders, files, grants, and what is in quarantine.

`apply` is the one door by which it changes, for the owner that serves and for a recovery that
replays alike: what a replay gives is what the owner had.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

from agent.volumes import changes as on_disk
from agent.volumes.changes import Change
from agent.volumes.errors import Damaged
from agent.volumes.extents import Extent, blocks_for, merged, part, total_blocks, with_written
from agent.volumes.paths import folded

ROOT = 1

EXTENT_COST, EPOCH_COST, NODE_COST, GRANT_COST, QUARANTINE_COST = 24, 24, 64, 72, 24
"""Never less than what each takes in a checkpoint, in bytes."""


@dataclass(slots=True)
class Node:
    """A file or a folder."""

    id: int
    parent: int
    name: str
    is_folder: bool
    size_bytes: int = 0
    extents: tuple[Extent, ...] = ()
    epochs: dict[str, int] = field(default_factory=dict)
    """The highest epoch under which each VM has opened it; never forgotten."""

    @property
    def cost_bytes(self) -> int:
        epochs = sum(EPOCH_COST + len(vm.encode()) for vm in self.epochs)
        return NODE_COST + len(self.name.encode()) + EXTENT_COST * len(self.extents) + epochs


@dataclass(frozen=True, slots=True)
class Grant:
    """`holder` has the extents of `file` and may use them until it returns them or is fenced."""

    id: int
    file: int
    holder: str
    writable: bool
    vm: str
    epoch: int

    @property
    def cost_bytes(self) -> int:
        return GRANT_COST + len(self.holder.encode()) + len(self.vm.encode())


@dataclass(slots=True)
class Quarantine:
    """Blocks of no file any more, which holders of these grants may still write to."""

    extents: tuple[Extent, ...]
    waiting: set[int]

    @property
    def cost_bytes(self) -> int:
        return QUARANTINE_COST + EXTENT_COST * len(self.extents)


@dataclass(frozen=True, slots=True)
class Moves:
    """What a change did to the free space."""

    taken: tuple[Extent, ...] = ()
    freed: tuple[Extent, ...] = ()


class Metadata:
    """Everything that a checkpoint holds."""

    def __init__(self) -> None:
        self.nodes: dict[int, Node] = {ROOT: Node(ROOT, 0, "", True)}
        self.children: dict[int, dict[str, int]] = {ROOT: {}}
        self.grants: dict[int, Grant] = {}
        self.grants_of: dict[int, set[int]] = {}
        self.quarantine: list[Quarantine] = []
        self.next_file = ROOT + 1
        self.next_grant = 1
        self.cost_bytes = NODE_COST * 2

    def used(self) -> Iterator[Extent]:
        """All blocks that are not free."""
        for node in self.nodes.values():
            yield from node.extents
        for entry in self.quarantine:
            yield from entry.extents

    def apply(self, change: Change) -> Moves:
        """Raises `Damaged`, having changed nothing, if the change does not fit what is here."""
        match change:
            case on_disk.FolderMade(file, parent, name):
                self._add(Node(file, parent, name, True))
            case on_disk.FileMade(file, parent, name, size_bytes, extents):
                self._add(Node(file, parent, name, False, size_bytes, merged(extents)))
                return Moves(taken=extents)
            case on_disk.Deleted(file):
                return self._delete(self._node(file))
            case on_disk.Moved():
                return self._move(change)
            case on_disk.Grown(file, size_bytes, extents):
                node = self._file(file)
                self._lay(node, size_bytes, merged([*node.extents, *extents]))
                return Moves(taken=extents)
            case on_disk.Truncated(file, size_bytes):
                return self._truncate(self._file(file), size_bytes)
            case on_disk.BecameWritten(file, first, blocks):
                node = self._file(file)
                self._lay(node, node.size_bytes, with_written(node.extents, first, blocks))
            case on_disk.Granted():
                self._grant(change)
            case on_disk.Returned(grant):
                if grant not in self.grants:
                    raise Damaged(f"the journal returns grant {grant}, which nobody has")
                return self._return([grant])
            case on_disk.Fenced(holder):
                held = [grant.id for grant in self.grants.values() if grant.holder == holder]
                return self._return(held)
            case on_disk.LeaksMended():
                return self._mend()
        return Moves()

    # ---- the tree

    def _node(self, file: int) -> Node:
        if file not in self.nodes or file == ROOT:
            raise Damaged(f"the journal changes file {file}, which is not there")
        return self.nodes[file]

    def _file(self, file: int) -> Node:
        node = self._node(file)
        if node.is_folder:
            raise Damaged(f"the journal changes folder {file} as if it were a file")
        return node

    def _names(self, parent: int, name: str) -> dict[str, int]:
        """The names in a folder that has room for one more."""
        if parent not in self.children:
            raise Damaged(f"the journal puts {name!r} into folder {parent}, which is not there")
        if folded(name) in self.children[parent]:
            raise Damaged(f"the journal makes {name!r} twice")
        return self.children[parent]

    def _add(self, node: Node) -> None:
        names = self._names(node.parent, node.name)
        if node.id in self.nodes:
            raise Damaged(f"the journal makes file {node.id} twice")
        self.nodes[node.id] = node
        names[folded(node.name)] = node.id
        if node.is_folder:
            self.children[node.id] = {}
        self.next_file = max(self.next_file, node.id + 1)
        self.cost_bytes += node.cost_bytes

    def _delete(self, node: Node) -> Moves:
        if self.children.get(node.id):
            raise Damaged(f"the journal deletes folder {node.id}, which is not empty")
        del self.nodes[node.id]
        self.children.pop(node.id, None)
        self.children.get(node.parent, {}).pop(folded(node.name), None)
        self.cost_bytes -= node.cost_bytes
        return self._free(node.id, node.extents)

    def _move(self, change: on_disk.Moved) -> Moves:
        node, moves = self._node(change.file), Moves()
        if change.replaced:
            moves = self._delete(self._file(change.replaced))
        before = self.children.get(node.parent, {})
        if before.get(folded(node.name)) == node.id:
            del before[folded(node.name)]
        names = self._names(change.parent, change.name)
        self.cost_bytes -= node.cost_bytes
        node.parent, node.name = change.parent, change.name
        self.cost_bytes += node.cost_bytes
        names[folded(change.name)] = node.id
        return moves

    # ---- blocks

    def _lay(self, node: Node, size_bytes: int, extents: tuple[Extent, ...]) -> None:
        self.cost_bytes -= node.cost_bytes
        node.size_bytes, node.extents = size_bytes, extents
        self.cost_bytes += node.cost_bytes

    def _truncate(self, node: Node, size_bytes: int) -> Moves:
        kept, whole = blocks_for(size_bytes), total_blocks(node.extents)
        cut = part(node.extents, kept, max(0, whole - kept))
        self._lay(node, size_bytes, part(node.extents, 0, kept))
        return self._free(node.id, cut)

    def _free(self, file: int, extents: tuple[Extent, ...]) -> Moves:
        waiting = self.grants_of.get(file)
        if not extents or not waiting:
            return Moves(freed=extents)
        entry = Quarantine(extents, set(waiting))
        self.quarantine.append(entry)
        self.cost_bytes += entry.cost_bytes + 9 * len(waiting)
        return Moves()

    # ---- grants

    def _grant(self, change: on_disk.Granted) -> None:
        node = self._file(change.file)
        if change.grant in self.grants:
            raise Damaged(f"the journal gives grant {change.grant} twice")
        self.cost_bytes -= node.cost_bytes
        if change.vm:
            node.epochs[change.vm] = max(change.epoch, node.epochs.get(change.vm, 0))
        self.cost_bytes += node.cost_bytes
        self.keep(
            Grant(
                *(change.grant, change.file, change.holder),
                *(change.writable, change.vm, change.epoch),
            )
        )

    def keep(self, grant: Grant) -> None:
        self.grants[grant.id] = grant
        self.grants_of.setdefault(grant.file, set()).add(grant.id)
        self.next_grant = max(self.next_grant, grant.id + 1)
        self.cost_bytes += grant.cost_bytes

    def _return(self, grants: list[int]) -> Moves:
        for id in grants:
            grant = self.grants.pop(id)
            self.cost_bytes -= grant.cost_bytes
            left = self.grants_of[grant.file]
            left.discard(id)
            if not left:
                del self.grants_of[grant.file]
        for entry in self.quarantine:
            before = len(entry.waiting)
            entry.waiting.difference_update(grants)
            self.cost_bytes -= 9 * (before - len(entry.waiting))
        return self._let_go()

    def _mend(self) -> Moves:
        for entry in self.quarantine:
            before = len(entry.waiting)
            entry.waiting &= self.grants.keys()
            self.cost_bytes -= 9 * (before - len(entry.waiting))
        return self._let_go()

    def _let_go(self) -> Moves:
        over = [entry for entry in self.quarantine if not entry.waiting]
        if not over:
            return Moves()
        self.quarantine = [entry for entry in self.quarantine if entry.waiting]
        self.cost_bytes -= sum(entry.cost_bytes for entry in over)
        return Moves(freed=tuple(extent for entry in over for extent in entry.extents))
