"""Who may use which blocks: files are opened for a holder, and what was given is journaled, so that
the next owner knows whom it must wait for before it gives the blocks to somebody else."""

from collections import Counter
from dataclasses import dataclass

from agent.volumes import changes, paths
from agent.volumes.committing import Committer
from agent.volumes.directory import ROOT, Grant, Metadata, Node
from agent.volumes.errors import (
    BadRange,
    FileInUse,
    NoSuchFile,
    NoSuchGrant,
    StaleEpoch,
    VolumeReadOnly,
    WrongKind,
)
from agent.volumes.extents import BLOCK_BYTES, Extent, blocks_for, part, total_blocks
from agent.volumes.preparing import PIECE_BYTES

PIECE_BLOCKS = PIECE_BYTES // BLOCK_BYTES
"""First writes are prepared a MiB at a time: one question for 256 random writes, and a file is
never in more pieces than MiBs because of them."""


@dataclass(frozen=True, slots=True)
class Opened:
    """What a holder gets; extents that are not written read as zeros."""

    grant: int
    file: int
    size_bytes: int
    extents: tuple[Extent, ...]


class Grants:
    """The part of a mounted volume that clients talk to all the time. What is refused raises a
    `VolumeError`. Offsets and lengths are in bytes of the file.
    """

    def __init__(self, committer: Committer) -> None:
        self.committer = committer

    @property
    def metadata(self) -> Metadata:
        return self.committer.metadata

    def open(
        self, path: str, holder: str, writable: bool = False, vm: str | None = None, epoch: int = 0
    ) -> Opened:
        """Refused under an older epoch than the VM has opened the file with before, and for writing
        while another VM can write to it. Without `vm` no epoch stands behind it."""
        node = self._find_file(path)
        if vm and epoch < (known := node.epochs.get(vm, 0)):
            raise StaleEpoch(
                f"{path} was opened by {vm} under epoch {known}; {epoch} is older, so that the VM"
                " runs elsewhere now"
            )
        if writable and (other := self._other_writer(node, vm or "")):
            raise FileInUse(
                f"{path} is open for writing at {other.holder} by {other.vm or 'no VM'}:"
                " close it there first"
            )
        given = changes.Granted(
            self.metadata.next_grant, node.id, holder, writable, vm or "", epoch
        )
        if self.committer.read_only_because is not None and not writable:
            self.metadata.apply(given)  # nothing can be freed, so nothing need be remembered
        else:
            self.committer.change(given)
        return Opened(given.grant, node.id, node.size_bytes, node.extents)

    def look(self, grant: int) -> Opened:
        """The file as it is now."""
        node = self._file_of(self._valid(grant))
        return Opened(grant, node.id, node.size_bytes, node.extents)

    def close(self, grant: int) -> None:
        """Allowed under any epoch. The holder writes nothing more under this grant."""
        self._grant(grant)
        if self.committer.read_only_because is not None:
            self.metadata.apply(changes.Returned(grant))
        else:
            self.committer.change(changes.Returned(grant))

    def fence(self, holder: str) -> int:
        """Take all grants of a holder that can no longer write to the disk; how many it had."""
        held = sum(grant.holder == holder for grant in self.metadata.grants.values())
        if held and self.committer.read_only_because is not None:
            self.metadata.apply(changes.Fenced(holder))
        elif held:
            self.committer.change(changes.Fenced(holder))
        return held

    def holders(self) -> dict[str, int]:
        """How many grants each holder has."""
        return dict(Counter(grant.holder for grant in self.metadata.grants.values()))

    def convert(self, grant: int, offset: int, length_bytes: int) -> tuple[Extent, ...]:
        """Before a holder's first write there: whole MiBs around the range are zeroed and written
        from then on. What the holder has written there without telling would be zeroed, too."""
        node = self._writable(grant, offset, length_bytes)
        whole = total_blocks(node.extents)
        low = offset // BLOCK_BYTES // PIECE_BLOCKS * PIECE_BLOCKS
        high = -(-blocks_for(offset + length_bytes) // PIECE_BLOCKS) * PIECE_BLOCKS
        count = min(high, whole) - low
        touched = part(node.extents, low, count)
        unwritten = tuple(extent for extent in touched if not extent.written)
        if length_bytes and unwritten:
            self.committer.change(changes.BecameWritten(node.id, low, count), unwritten)
        return node.extents

    def mark_written(self, grant: int, offset: int, length_bytes: int) -> tuple[Extent, ...]:
        """After a holder's writes of exactly these blocks are on stable storage."""
        node = self._writable(grant, offset, length_bytes)
        end = offset + length_bytes
        if offset % BLOCK_BYTES or (end % BLOCK_BYTES and end != node.size_bytes):
            raise BadRange(f"{offset} to {end} are not whole blocks of {BLOCK_BYTES} bytes")
        first, count = offset // BLOCK_BYTES, blocks_for(length_bytes)
        if not all(extent.written for extent in part(node.extents, first, count)):
            self.committer.change(changes.BecameWritten(node.id, first, count))
        return node.extents

    # ---- checks

    def _other_writer(self, node: Node, vm: str) -> Grant | None:
        for id in sorted(self.metadata.grants_of.get(node.id, ())):
            grant = self.metadata.grants[id]
            if grant.writable and grant.vm != vm:
                return grant
        return None

    def _grant(self, grant: int) -> Grant:
        if grant not in self.metadata.grants:
            raise NoSuchGrant(f"nobody has grant {grant}: open the file again")
        return self.metadata.grants[grant]

    def _file_of(self, grant: Grant) -> Node:
        if grant.file not in self.metadata.nodes:
            raise NoSuchFile("the file was deleted while it was open: close it")
        return self.metadata.nodes[grant.file]

    def _valid(self, id: int) -> Grant:
        """A grant whose epoch is not of the past."""
        grant = self._grant(id)
        newest = self._file_of(grant).epochs.get(grant.vm, 0) if grant.vm else 0
        if grant.vm and grant.epoch < newest:
            raise StaleEpoch(
                f"{grant.vm} has opened the file under epoch {newest} since; {grant.epoch} may"
                " only close it"
            )
        return grant

    def _writable(self, id: int, offset: int, length_bytes: int) -> Node:
        grant = self._valid(id)
        node = self._file_of(grant)
        if self.committer.read_only_because is not None:
            raise VolumeReadOnly(self.committer.read_only_because)
        if not grant.writable:
            raise FileInUse(f"grant {id} is for reading only: open the file for writing")
        if offset < 0 or length_bytes < 0 or offset + length_bytes > node.size_bytes:
            raise BadRange(
                f"{length_bytes} bytes at {offset} are not inside of {node.size_bytes} bytes"
            )
        return node

    # ---- finding

    def _find(self, path: str) -> Node:
        return self._walk(path, paths.parts(path))

    def _find_file(self, path: str) -> Node:
        node = self._find(path)
        if node.is_folder:
            raise WrongKind(f"{path} is a folder: a file is wanted")
        return node

    def _walk(self, path: str, names: tuple[str, ...], wants_folder: bool = False) -> Node:
        node = self.metadata.nodes[ROOT]
        for name in names:
            if not node.is_folder:
                raise WrongKind(f"{node.name!r} in {path} is a file: it has nothing in it")
            id = self.metadata.children[node.id].get(paths.folded(name))
            if id is None:
                raise NoSuchFile(f"there is no {name!r} in {path}")
            node = self.metadata.nodes[id]
        if wants_folder and not node.is_folder:
            raise WrongKind(f"{node.name!r} in {path} is a file: it has nothing in it")
        return node
