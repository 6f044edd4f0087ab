"""What a unit wants done to its medium, and how that may fail."""

import enum
from collections.abc import Sequence
from dataclasses import dataclass

from protocol.errors import ClusterError
from protocol.iscsi.digests import Buffer
from san.nexus import Nexus
from san.reservation_record import ReservationRecord


@dataclass(frozen=True, slots=True)
class ReadMedium:
    """Its bytes are the data of the answer."""

    lba: int
    blocks: int


@dataclass(frozen=True, slots=True)
class WriteMedium:
    """With `fua` the blocks are on stable storage before the answer. `key` is the writer's."""

    lba: int
    blocks: int
    buffers: Sequence[Buffer]
    fua: bool
    key: int


@dataclass(frozen=True, slots=True)
class FillMedium:
    """Writes the one block `pattern` into each of them."""

    lba: int
    blocks: int
    pattern: bytes
    key: int


@dataclass(frozen=True, slots=True)
class CompareMedium:
    """The blocks can be read, and hold `buffers` over and over; without any, whatever they hold."""

    lba: int
    blocks: int
    buffers: Sequence[Buffer]


@dataclass(frozen=True, slots=True)
class FlushMedium:
    """Everything written before is on stable storage."""


@dataclass(frozen=True, slots=True)
class UnmapMedium:
    """Gives blocks back; they read as zeros."""

    ranges: tuple[tuple[int, int], ...]
    key: int


@dataclass(frozen=True, slots=True)
class SaveReservations:
    """The record is durable, unless a later one already is; `keys` are all that are registered."""

    record: ReservationRecord
    generation: int
    keys: tuple[tuple[Nexus, int], ...]


@dataclass(frozen=True, slots=True)
class AbortTasks:
    """All tasks of these nexuses on this unit have ended, but for the one that asks."""

    nexuses: tuple[Nexus, ...]


@dataclass(frozen=True, slots=True)
class AwaitAborted:
    """Every task on this unit that anything aborted before has ended.

    Whoever reads that a key is gone may rely on it that nothing is written with it any more.
    """


Deed = (
    ReadMedium
    | WriteMedium
    | FillMedium
    | CompareMedium
    | FlushMedium
    | UnmapMedium
    | SaveReservations
    | AbortTasks
    | AwaitAborted
)


class Failure(enum.Enum):
    """What can be wrong with a medium."""

    FULL = "there is no space left for the blocks"
    UNREADABLE = "the blocks cannot be read"
    UNWRITABLE = "the blocks cannot be written"
    DIFFERENT = "the blocks hold something else"
    GONE = "the file of the unit was removed or replaced"
    UNSYNCED = "what was written may be lost: it could not be brought to stable storage"
    UNRECORDED = "the write or the reservation could not be put on record"


class MediumFailed(ClusterError):
    """A deed was not done, or not known to be: `failure` says how it ended."""

    def __init__(self, failure: Failure, sentence: str, block: int | None = None) -> None:
        super().__init__(sentence)
        self.failure = failure
        self.block = block
