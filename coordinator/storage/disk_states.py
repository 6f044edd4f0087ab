"""The states of a disk's resource: one table of what moves it from each to the next."""

from dataclasses import replace

from coordinator.store.disk_rows import DiskRow, DiskState
from protocol.disks import DiskRole
from protocol.names import NO_VOLUME, Epoch, Incarnation

MOVES = {
    (DiskState.OFFLINE, "give"): DiskState.PENDING,
    (DiskState.PENDING, "owned"): DiskState.ONLINE,
    (DiskState.PENDING, "not-owned"): DiskState.OFFLINE,
    (DiskState.ONLINE, "not-owned"): DiskState.OFFLINE,
    (DiskState.ONLINE, "move"): DiskState.RELEASING,
    (DiskState.ONLINE, "remount"): DiskState.PENDING,
    (DiskState.PENDING, "released"): DiskState.OFFLINE,
    (DiskState.ONLINE, "released"): DiskState.OFFLINE,
    (DiskState.RELEASING, "released"): DiskState.OFFLINE,
    (DiskState.PENDING, "lost"): DiskState.OFFLINE,
    (DiskState.ONLINE, "lost"): DiskState.OFFLINE,
    (DiskState.RELEASING, "lost"): DiskState.OFFLINE,
}
"""What moves a disk from one state to another; whatever is not here changes nothing."""


def moved(row: DiskRow, event: str) -> DiskRow | None:
    """`row` in the state that follows; None if the event does not belong to its state."""
    state = MOVES.get((row.state, event))
    return None if state is None else replace(row, state=state)


def as_available(row: DiskRow) -> DiskRow:
    """`row` without a volume: a disk of Available Storage."""
    return replace(
        row,
        role=DiskRole.AVAILABLE,
        volume=NO_VOLUME,
        format_as="",
        overwrite=False,
        redirected=False,
        maintenance=False,
    )


def owned_at(row: DiskRow | None, life: Incarnation, epoch: Epoch) -> bool:
    """`life` is the owner under this very epoch."""
    return (
        row is not None and row.is_served and row.owner_incarnation == life and row.epoch == epoch
    )
