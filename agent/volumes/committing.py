"""From changes in memory to blocks on the disk: many changes, one record, one flush."""

from agent.volumes import changes, checkpoint
from agent.volumes.allocation import FreeSpace
from agent.volumes.changes import Change
from agent.volumes.directory import EXTENT_COST, Metadata
from agent.volumes.errors import BatchFull, VolumeFull, VolumeReadOnly
from agent.volumes.extents import Extent
from agent.volumes.journal import Journal
from agent.volumes.layout import SUPERBLOCK_PLACES, Superblock, raised, refuse_if_deposed
from agent.volumes.transaction import Transaction, Write, Zero

GROWTH_BYTES = 256
"""More than any one change adds to a checkpoint beside its own bytes and its extents."""

NEVER_REFUSED = (changes.Deleted, changes.Returned, changes.Fenced, changes.LeaksMended)
"""A full volume must still be able to become less full."""


class Committer:
    """Holds the metadata, the free space and what of both the journal has not been told yet."""

    def __init__(
        self,
        superblock: Superblock,
        metadata: Metadata,
        journal: Journal,
        read_only_because: str | None,
    ) -> None:
        self.superblock = superblock
        self.metadata = metadata
        self.journal = journal
        self.free = FreeSpace(superblock.data, metadata.used())
        self.read_only_because = read_only_because
        self._pending: list[bytes] = []
        self._pending_bytes = 0
        self._zeros: list[Zero] = []
        self._freed: list[Extent] = []

    @property
    def is_batch_full(self) -> bool:
        return 2 * self._pending_bytes >= self.journal.payload_bytes_max

    @property
    def freed(self) -> tuple[Extent, ...]:
        """Blocks that are free once the next commit is on the disk."""
        return tuple(self._freed)

    def change(self, change: Change, zeros: tuple[Extent, ...] = ()) -> None:
        """Make a change that has been checked: in memory now, on the disk with the next commit.

        `zeros` are zeroed before the journal says so.
        """
        encoded = changes.encode(change)
        if self.read_only_because is not None:
            raise VolumeReadOnly(self.read_only_because)
        room = self.journal.payload_bytes_max
        if len(encoded) > room:
            raise VolumeFull(
                "the free space is in too many pieces for one record of the journal:"
                " ask for less at once"
            )
        if self._pending_bytes + len(encoded) > room:
            raise BatchFull("the journal's next record is full: commit it, then ask again")
        self._refuse_if_no_room(change, len(encoded))
        moves = self.metadata.apply(change)
        self.free.take(moves.taken)
        # What is freed now may hold a file until the journal says otherwise: it is not given to
        # another before that, or a crash would leave the old file with the other's zeros.
        self._freed.extend(moves.freed)
        self._pending.append(encoded)
        self._pending_bytes += len(encoded)
        self._zeros.extend(map(Zero, zeros))

    def _refuse_if_no_room(self, change: Change, size: int) -> None:
        if isinstance(change, NEVER_REFUSED):
            return
        growth = GROWTH_BYTES + size + EXTENT_COST * len(getattr(change, "extents", ()))
        if isinstance(change, changes.Truncated):
            waiting = self.metadata.grants_of.get(change.file)
            extents = self.metadata.nodes[change.file].extents
            growth = GROWTH_BYTES + EXTENT_COST * len(extents) + 9 * len(waiting) if waiting else 0
        if growth and self.metadata.cost_bytes + growth > self.journal.checkpoint_bytes_max:
            raise VolumeFull(
                "the volume's metadata is full: it has too many files, or its free space is in"
                " too many pieces; delete files that are not needed"
            )

    def commit(self) -> Transaction:
        """All that is pending as one record. One transaction at a time goes to the disk."""
        if not self._pending:
            return Transaction()
        stages: list[tuple[Write | Zero, ...]] = []
        if self._zeros:
            stages.append(tuple(self._zeros))
        epoch = self.superblock.epoch
        stages.append(self.journal.record(b"".join(self._pending), epoch))
        if self.journal.is_due:
            stages.append((self.checkpoint(),))
        self.free.give(self._freed)
        self._pending, self._pending_bytes, self._zeros, self._freed = [], 0, [], []
        return Transaction(tuple(stages))

    def checkpoint(self) -> Write:
        """The metadata as it is now; never while changes are pending that no record holds."""
        return self.journal.checkpoint(checkpoint.encode(self.metadata), self.superblock.epoch)

    def set_epoch(self, epoch: int, first: int = 0) -> Transaction:
        """Both superblocks, one behind the other: a whole one is always there. `first` is the
        place in `SUPERBLOCK_PLACES` that goes first."""
        refuse_if_deposed(self.superblock, epoch)
        if self.read_only_because is not None:
            raise VolumeReadOnly(self.read_only_because)
        self.superblock = raised(self.superblock, epoch)
        content = self.superblock.to_bytes()
        places = (SUPERBLOCK_PLACES[first], SUPERBLOCK_PLACES[1 - first])
        return Transaction(tuple((Write(place, content),) for place in places))
