"""What lies on a simulated volume: who owns it under which epoch, and where each file is.

It stands for the file system of the product, whose own tests cut it at every byte. One block holds
everything that its owner has to know, so a change is one write and is there or not.
"""

import json
from dataclasses import dataclass, field

from agent.volumes.extents import Extent
from lab.simulation.san import BLOCK_BYTES

HEAD_LBA = 0
FILE_BLOCKS = 2048
FIRST_FILE_LBA = 64


@dataclass(slots=True)
class File:
    """`epochs`: the highest under which each VM has opened it."""

    number: int
    epochs: dict[str, int] = field(default_factory=dict)

    @property
    def extents(self) -> tuple[Extent, ...]:
        return (Extent(FIRST_FILE_LBA + self.number * FILE_BLOCKS, FILE_BLOCKS, True),)


@dataclass(slots=True)
class VolumeFiles:
    """The head of a volume in the memory of its owner."""

    label: str
    epoch: int
    files: dict[str, File] = field(default_factory=dict)

    def block(self) -> bytes:
        plain = {
            "label": self.label,
            "epoch": self.epoch,
            "files": {path: [one.number, one.epochs] for path, one in self.files.items()},
        }
        return json.dumps(plain).encode().ljust(BLOCK_BYTES, b"\0")

    @classmethod
    def read(cls, block: bytes) -> "VolumeFiles | None":
        """None for a disk that has no volume yet."""
        text = block.rstrip(b"\0")
        if not text:
            return None
        plain = json.loads(text)
        files = {path: File(number, epochs) for path, (number, epochs) in plain["files"].items()}
        return cls(plain["label"], plain["epoch"], files)

    def why_not_open(self, path: str, vm: str, vm_epoch: int) -> str:
        one = self.files.get(path)
        newest = 0 if one is None else one.epochs.get(vm, 0)
        if vm_epoch < newest:
            return f"{path} was opened for {vm} under epoch {newest}, and {vm_epoch} is older."
        return ""

    def opened(self, path: str, vm: str, vm_epoch: int) -> File:
        one = self.files.setdefault(path, File(len(self.files)))
        one.epochs[vm] = max(vm_epoch, one.epochs.get(vm, 0))
        return one
