"""What the owner's edge must do to the disk before it may answer."""

from dataclasses import dataclass

from agent.volumes.extents import BLOCK_BYTES, Extent


@dataclass(frozen=True, slots=True)
class Write:
    """`content` is whole blocks, and belongs at `block`."""

    block: int
    content: bytes

    def __post_init__(self) -> None:
        assert self.content, "nothing to write"
        assert len(self.content) % BLOCK_BYTES == 0, "only whole blocks are written"


@dataclass(frozen=True, slots=True)
class Zero:
    """These blocks read as zeros from now on: by zeros, or by UNMAP where that promises them."""

    extent: Extent


@dataclass(frozen=True, slots=True)
class Transaction:
    """Stages in their order: what is in one may reach the disk in any order, and all of it is on
    stable storage before the next begins. Done when the last one is; a failure in between ends
    the mount, since nobody knows what the disk holds: recover from it, do not repeat.
    """

    stages: tuple[tuple[Write | Zero, ...], ...] = ()

    def __bool__(self) -> bool:
        return bool(self.stages)

    def __add__(self, other: "Transaction") -> "Transaction":
        return Transaction(self.stages + other.stages)
