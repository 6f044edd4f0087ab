"""Carries out what a unit wants done to its medium, and puts every write on record."""

import contextlib
from collections.abc import Iterator, Sequence

from protocol.iscsi.buffers import fresh
from protocol.iscsi.digests import Buffer
from san.io.evidence import Evidence, Kind
from san.io.lun_file import LunFile
from san.medium import (
    CompareMedium,
    Deed,
    Failure,
    FillMedium,
    FlushMedium,
    MediumFailed,
    ReadMedium,
    SaveReservations,
    UnmapMedium,
    WriteMedium,
)
from san.nexus import Nexus

PIECE_BYTES = 1 << 20
AT_ONCE_BYTES_MAX = 64 << 10
# A removed file is found by this many reads and writes at the latest, and by every flush.
LOOK_EVERY = 64


class Medium:
    """A unit's file and its place in the evidence. Calls block, and may come from any thread."""

    def __init__(self, lun: int, file: LunFile, evidence: Evidence | None = None) -> None:
        self.lun = lun
        self.file = file
        self.evidence = evidence
        self._looks = 0

    def carry_out(self, deed: Deed, nexus: Nexus) -> memoryview | None:
        """Returns what a reading deed found; raises `MediumFailed`."""
        match deed:
            case ReadMedium(lba, blocks):
                self._look()
                found = fresh(blocks * self.file.block_bytes)
                self.file.read_into(lba, found)
                return found
            case WriteMedium(lba, blocks, buffers, fua, key):
                self._look()
                self.file.write(lba, buffers, fua)
                self._wrote(nexus, key, lba, blocks, buffers)
            case FillMedium(lba, blocks, pattern, key):
                self._fill(lba, blocks, pattern)
                self._wrote(nexus, key, lba, blocks, [pattern], Kind.FILL)
            case CompareMedium(lba, blocks, buffers):
                self._compare(lba, blocks, buffers)
            case FlushMedium():
                self.file.flush()
            case UnmapMedium(ranges, key):
                self.file.check_present()
                for lba, blocks in ranges:
                    self.file.punch(lba, blocks)
                    self._wrote(nexus, key, lba, blocks, (), Kind.UNMAP)
            case SaveReservations():
                self._save(deed)
            case _:
                raise AssertionError(f"{deed} concerns tasks, not the medium.")
        return None

    def read_at_once(self, deed: ReadMedium) -> memoryview | None:
        """As `carry_out`, for whoever must not wait: None where it would take a while."""
        size = deed.blocks * self.file.block_bytes
        if size > AT_ONCE_BYTES_MAX:
            return None
        try:
            self._look()
        except MediumFailed:
            return None
        found = fresh(size)
        return found if self.file.read_cached(deed.lba, found) else None

    def close(self) -> None:
        self.file.close()

    def _look(self) -> None:
        self._looks += 1
        if self._looks % LOOK_EVERY == 1:
            self.file.check_present()

    def _save(self, deed: SaveReservations) -> None:
        if self.file.save(deed.record) and self.evidence is not None:
            keys = [(nexus.transport_id, key) for nexus, key in deed.keys]
            with _recording():
                self.evidence.registered(self.lun, deed.generation, keys)

    def _wrote(
        self,
        nexus: Nexus,
        key: int,
        lba: int,
        blocks: int,
        data: Sequence[Buffer],
        kind: Kind = Kind.WRITE,
    ) -> None:
        if self.evidence is not None:
            with _recording():
                self.evidence.wrote(nexus.transport_id, key, self.lun, lba, blocks, data, kind)

    def _fill(self, lba: int, blocks: int, pattern: bytes) -> None:
        self.file.check_present()
        block_bytes = self.file.block_bytes
        block = pattern or bytes(block_bytes)
        at_once = min(blocks, PIECE_BYTES // block_bytes)
        piece = memoryview(block * at_once)
        for start in range(0, blocks, at_once):
            count = min(at_once, blocks - start)
            self.file.write(lba + start, [piece[: count * block_bytes]])

    def _compare(self, lba: int, blocks: int, buffers: Sequence[Buffer]) -> None:
        block_bytes = self.file.block_bytes
        wanted = b"".join(buffers)
        at_once = PIECE_BYTES // block_bytes
        for start in range(0, blocks, at_once):
            count = min(at_once, blocks - start)
            found = bytearray(count * block_bytes)
            self.file.read_into(lba + start, found)
            if not wanted:
                continue
            for index in range(count):
                at = (start + index) * block_bytes % len(wanted)
                piece = found[index * block_bytes : (index + 1) * block_bytes]
                if piece != wanted[at : at + block_bytes]:
                    raise MediumFailed(
                        Failure.DIFFERENT,
                        f"Block {lba + start + index} holds other bytes.",
                        lba + start + index,
                    )


@contextlib.contextmanager
def _recording() -> Iterator[None]:
    """A write that cannot be put on record is not answered as done."""
    try:
        yield
    except OSError as error:
        raise MediumFailed(Failure.UNRECORDED, f"The evidence: {error.strerror}.") from None
