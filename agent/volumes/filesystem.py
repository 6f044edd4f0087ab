"""A mounted volume, as its owner has it: the only writer of its metadata.

Each operation checks everything first, then changes memory and is *pending* until `commit`. An
answer, also one that only reads, goes out when every transaction that was pending or under way
when it was asked is on the disk. After a transaction that failed, mount anew.
"""

from dataclasses import dataclass

from agent.volumes import changes, paths
from agent.volumes.directory import ROOT, Node
from agent.volumes.errors import (
    BadRange,
    FileExists,
    FileInUse,
    FolderNotEmpty,
    NoSuchFile,
    WrongKind,
)
from agent.volumes.extents import BLOCK_BYTES, blocks_for, total_blocks
from agent.volumes.grants import Grants
from agent.volumes.paths import folded
from agent.volumes.transaction import Transaction

SIZE_BYTES_MAX = 1 << 62


@dataclass(frozen=True, slots=True)
class Entry:
    """A file or folder as `list` and `stat` show it."""

    name: str
    is_folder: bool
    size_bytes: int
    file: int
    epochs: dict[str, int]


class Filesystem(Grants):
    """Made by a mount; see `recovery`."""

    # ---- what it is

    @property
    def read_only_because(self) -> str | None:
        """A sentence if the volume is damaged and only reading is allowed."""
        return self.committer.read_only_because

    @property
    def size_bytes(self) -> int:
        return self.committer.superblock.data.blocks * BLOCK_BYTES

    @property
    def free_bytes(self) -> int:
        """What the next `create` can have; quarantine is not free."""
        return self.committer.free.blocks * BLOCK_BYTES

    # ---- looking

    def list(self, path: str) -> tuple[Entry, ...]:
        node = self._find(path)
        if not node.is_folder:
            raise WrongKind(f"{path} is a file: only a folder has a list")
        names = self.metadata.children[node.id]
        return tuple(_entry(self.metadata.nodes[names[name]]) for name in sorted(names))

    def stat(self, path: str) -> Entry:
        return _entry(self._find(path))

    def exists(self, path: str) -> bool:
        try:
            self._find(path)
        except (NoSuchFile, WrongKind):
            return False
        return True

    # ---- changing the tree

    def make_folder(self, path: str) -> int:
        parent, name = self._new_place(path)
        file = self.metadata.next_file
        self.committer.change(changes.FolderMade(file, parent, name))
        return file

    def create(self, path: str, size_bytes: int = 0) -> int:
        """All blocks are allocated and read as zeros until they are written."""
        parent, name = self._new_place(path)
        _check_size(size_bytes)
        extents = self.committer.free.choose(blocks_for(size_bytes))
        file = self.metadata.next_file
        self.committer.change(changes.FileMade(file, parent, name, size_bytes, extents))
        return file

    def delete(self, path: str, even_open: bool = False) -> None:
        """A file that is open goes only if asked; its blocks stay in quarantine meanwhile."""
        node = self._find(path)
        if node.id == ROOT:
            raise WrongKind("/ is the root of the volume and stays")
        self._refuse_if_open(path, node, even_open)
        if self.metadata.children.get(node.id):
            raise FolderNotEmpty(f"the folder {path} is not empty: delete what is in it first")
        self.committer.change(changes.Deleted(node.id))

    def rename(self, path: str, to: str, replace: bool = False) -> None:
        """`replace`: a file that has the new name goes in the same instant."""
        node = self._find(path)
        if node.id == ROOT:
            raise WrongKind("/ is the root of the volume and stays")
        folder, name = self._parent_of(to)
        if node.is_folder:
            above = folder
            while above.id != ROOT:
                if above.id == node.id:
                    raise BadRange(f"{to} lies inside of {path}, which cannot move into itself")
                above = self.metadata.nodes[above.parent]
        replaced = self.metadata.children[folder.id].get(folded(name), 0)
        if replaced == node.id:
            replaced = 0
        if replaced:
            other = self.metadata.nodes[replaced]
            if not replace or other.is_folder or node.is_folder:
                raise FileExists(f"{to} is there already")
            self._refuse_if_open(to, other, False)
        self.committer.change(changes.Moved(node.id, folder.id, name, replaced))

    def grow(self, path: str, size_bytes: int) -> None:
        """What is added reads as zeros."""
        node = self._find_file(path)
        _check_size(size_bytes)
        if size_bytes < node.size_bytes:
            raise BadRange(f"{path} has {node.size_bytes} bytes already: truncate it instead")
        more = blocks_for(size_bytes) - total_blocks(node.extents)
        after = node.extents[-1].end if node.extents else None
        extents = self.committer.free.choose(more, after)
        self.committer.change(changes.Grown(node.id, size_bytes, extents))

    def truncate(self, path: str, size_bytes: int) -> None:
        """To whole blocks: the rest of a cut block would keep old bytes for a later `grow`."""
        node = self._find_file(path)
        _check_size(size_bytes)
        if size_bytes > node.size_bytes:
            raise BadRange(f"{path} has only {node.size_bytes} bytes: grow it instead")
        if size_bytes % BLOCK_BYTES and size_bytes != node.size_bytes:
            raise BadRange(f"{size_bytes} bytes end inside of a block of {BLOCK_BYTES}")
        self.committer.change(changes.Truncated(node.id, size_bytes))

    # ---- to the disk

    @property
    def is_batch_full(self) -> bool:
        """Commit before more is asked."""
        return self.committer.is_batch_full

    def commit(self) -> Transaction:
        """Everything pending as one transaction; it is empty if nothing is."""
        return self.committer.commit()

    # ---- finding

    def _new_place(self, path: str) -> tuple[int, str]:
        folder, name = self._parent_of(path)
        if folded(name) in self.metadata.children[folder.id]:
            raise FileExists(f"{path} is there already")
        return folder.id, name

    def _parent_of(self, path: str) -> tuple[Node, str]:
        names = paths.parts(path)
        if not names:
            raise FileExists("/ is the root of the volume: it is always there")
        return self._walk(path, names[:-1], wants_folder=True), names[-1]

    def _refuse_if_open(self, path: str, node: Node, even_open: bool) -> None:
        held = sorted(self.metadata.grants_of.get(node.id, ()))
        if held and not even_open:
            holder = self.metadata.grants[held[0]].holder
            raise FileInUse(f"{path} is open at {holder}: close it there first")


def _check_size(size_bytes: int) -> None:
    if not 0 <= size_bytes <= SIZE_BYTES_MAX:
        raise BadRange(f"a file cannot have {size_bytes} bytes")


def _entry(node: Node) -> Entry:
    return Entry(node.name, node.is_folder, node.size_bytes, node.id, dict(node.epochs))
