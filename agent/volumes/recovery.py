"""From the bytes of a disk to a mounted volume: the newest whole checkpoint, and every record after
it.

A record that was answered is whole in both mirrors. So where both are broken and nothing follows,
the owner died while it wrote one that it never answered; where a whole one follows, something
that was answered is lost, and the volume is read-only from then on.
"""

from dataclasses import dataclass, field

from agent.volumes import changes, checkpoint, layout
from agent.volumes.committing import Committer
from agent.volumes.consistency import inspect
from agent.volumes.directory import Metadata
from agent.volumes.errors import Damaged, Deposed
from agent.volumes.extents import BLOCK_BYTES
from agent.volumes.filesystem import Filesystem
from agent.volumes.journal import RECORD, SLOT, Frame, Journal, packed, unpacked
from agent.volumes.layout import HEAD_BLOCKS, Superblock, read_superblock, refuse_if_deposed
from agent.volumes.transaction import Transaction, Write


@dataclass(frozen=True, slots=True)
class Mounted:
    """`transaction` must be on the disk before the volume serves anything."""

    filesystem: Filesystem
    transaction: Transaction
    repairs: tuple[str, ...]
    """What was found broken and is mended by the transaction, as sentences."""


@dataclass(slots=True)
class Replay:
    """What the metadata area says, and where it is broken."""

    superblock: Superblock
    metadata: Metadata
    journal: Journal
    epoch: int
    rewrites: list[Write] = field(default_factory=list)
    broken_records: int = 0
    broken_slots: tuple[int, ...] = ()
    damage: str | None = None


def mount(head: bytes, area: bytes, epoch: int, blocks: int) -> Mounted:
    """`head`: the disk's first `HEAD_BLOCKS` blocks; `area`: what `superblock.metadata` names."""
    superblock = read_superblock(head, blocks)
    refuse_if_deposed(superblock, epoch)
    found = replayed(superblock, area)
    if found.epoch > epoch:
        raise Deposed(
            f"the journal has records of epoch {found.epoch}, and {epoch} is older:"
            " somebody else owns the volume now"
        )
    findings = inspect(found.metadata, superblock)
    damage = found.damage or next(
        (finding.sentence for finding in findings if finding.harmful), None
    )
    committer = Committer(superblock, found.metadata, found.journal, damage)
    filesystem = Filesystem(committer)
    if damage is not None:
        return Mounted(filesystem, Transaction(), ())
    leaks = any(finding.kind == "leaked" for finding in findings)
    return Mounted(filesystem, *_mended(committer, found, head, epoch, leaks))


def _mended(
    committer: Committer, found: Replay, head: bytes, epoch: int, leaks: bool
) -> tuple[Transaction, tuple[str, ...]]:
    """The first transaction of a mount: its epoch, a second copy of all that had lost one, and no
    quarantine that nobody will end.
    """
    copies = layout.copies(head)
    repairs = []
    if None in copies or copies[0] != copies[1]:
        repairs.append("one superblock was broken or older than the other")
    weaker = min((0, 1), key=lambda place: getattr(copies[place], "generation", -1))
    transaction = committer.set_epoch(epoch, first=weaker)
    if found.rewrites:
        transaction += Transaction((tuple(found.rewrites),))
    if found.broken_records:
        repairs.append(f"{found.broken_records} records of the journal had one broken copy")
    if found.broken_slots:
        repairs.append("one checkpoint was broken, and the other was used")
        committer.journal.slot = found.broken_slots[0]
        # The other one is older than the ring can promise from now on, so it is renewed, too.
        transaction += Transaction(((committer.checkpoint(),), (committer.checkpoint(),)))
    elif committer.journal.is_due:
        transaction += Transaction(((committer.checkpoint(),),))
    if leaks:
        repairs.append("quarantine waited for grants that nobody has")
        committer.change(changes.LeaksMended())
        transaction += committer.commit()
    return transaction, tuple(repairs)


def replayed(superblock: Superblock, area: bytes) -> Replay:
    """Raises `Damaged` if no checkpoint is whole."""
    expected = superblock.metadata.blocks * BLOCK_BYTES
    if len(area) < expected:
        raise Damaged(f"the metadata has {len(area)} bytes where {expected} belong")
    frames = [_slot(superblock, area, place) for place in (0, 1)]
    broken = tuple(place for place, frame in enumerate(frames) if frame is None)
    good = [(frame.sequence, place) for place, frame in enumerate(frames) if frame is not None]
    if not good:
        raise Damaged("neither checkpoint of the volume is whole: restore it from a backup")
    newest = max(good)[1]
    frame = frames[newest]
    assert frame is not None
    journal = Journal(superblock, frame.sequence, frame.chain, frame.position)
    journal.slot = 1 - newest
    found = Replay(superblock, checkpoint.decode(frame.payload), journal, frame.epoch)
    found.broken_slots = broken
    _replay(found, _mirrors(superblock, area))
    return found


def _slot(superblock: Superblock, area: bytes, place: int) -> Frame | None:
    start = (superblock.slots[place] - HEAD_BLOCKS) * BLOCK_BYTES
    slot = area[start : start + superblock.slot_blocks * BLOCK_BYTES]
    return unpacked(SLOT, superblock.uuid, slot, 0, wraps=False)


def _mirrors(superblock: Superblock, area: bytes) -> list[bytes]:
    size = superblock.journal_blocks * BLOCK_BYTES
    starts = [(start - HEAD_BLOCKS) * BLOCK_BYTES for start in superblock.journals]
    return [area[start : start + size] for start in starts]


def _replay(found: Replay, mirrors: list[bytes]) -> None:
    """Apply one record after the other until none fits."""
    journal, uuid = found.journal, found.superblock.uuid
    last: tuple[Write, ...] = ()
    while found.damage is None and journal.since < journal.ring:
        wanted = (journal.sequence + 1, journal.chain)
        frames = [unpacked(RECORD, uuid, ring, journal.position, wraps=True) for ring in mirrors]
        whole = [
            frame
            for frame in frames
            if frame is not None and (frame.sequence, frame.chain) == wanted
        ]
        if not whole:
            break
        frame = whole[0]
        try:
            for change in changes.decode(frame.payload):
                found.metadata.apply(change)
        except Damaged as exc:
            found.damage = exc.sentence
            return
        last = journal.placed(packed(RECORD, uuid, frame), journal.position)
        if len(whole) < len(mirrors):
            found.broken_records += 1
            found.rewrites += last
            last = ()
        found.epoch = max(found.epoch, frame.epoch)
        journal.sequence, journal.chain = frame.sequence, frame.checksum
        journal.position = (journal.position + frame.blocks) % journal.ring
        journal.since += frame.blocks
    # The last one may have been read from a cache that a power cut empties: now it is kept.
    found.rewrites += last
    later = _latest(found, mirrors)
    if later is not None and later > journal.sequence:
        found.damage = (
            f"the journal is broken behind record {journal.sequence}, and records up to {later}"
            " were lost with it: the volume shows what was before and stays read-only"
        )


def _latest(found: Replay, mirrors: list[bytes]) -> int | None:
    """The highest record anywhere in the ring."""
    out = None
    for ring in mirrors:
        for block in range(found.journal.ring):
            start = block * BLOCK_BYTES
            if ring[start : start + len(RECORD)] != RECORD:
                continue
            frame = unpacked(RECORD, found.superblock.uuid, ring, block, wraps=True)
            if frame is not None and (out is None or frame.sequence > out):
                out = frame.sequence
    return out
