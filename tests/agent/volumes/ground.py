"""A disk in memory with a small volume on it, and what may become of it in a crash."""

import itertools
import random
from collections.abc import Iterator
from typing import Any

from agent.volumes import checking, formatting
from agent.volumes.extents import BLOCK_BYTES
from agent.volumes.filesystem import Filesystem
from agent.volumes.layout import HEAD_BLOCKS, Superblock, read_superblock
from agent.volumes.recovery import Mounted, mount
from agent.volumes.transaction import Transaction, Write, Zero

BLOCKS = 140
SMALL = Superblock(
    uuid=b"0123456789abcdef", label="Volume1", blocks=BLOCKS, journal_blocks=8, slot_blocks=2
)
DATA_BLOCKS = SMALL.data.blocks

Image = bytearray


def put(image: Image, step: Write | Zero) -> None:
    match step:
        case Write(block, content):
            image[block * BLOCK_BYTES : block * BLOCK_BYTES + len(content)] = content
        case Zero(extent):
            start, end = extent.start * BLOCK_BYTES, extent.end * BLOCK_BYTES
            image[start:end] = bytes(end - start)


def carry_out(image: Image, transaction: Transaction) -> None:
    for stage in transaction.stages:
        for step in stage:
            put(image, step)


def formatted(superblock: Superblock = SMALL) -> Image:
    image = bytearray(superblock.blocks * BLOCK_BYTES)
    carry_out(image, formatting.laid_out(superblock))
    return image


def parts(image: Image) -> tuple[bytes, bytes, int]:
    """Head, metadata and size, as a mount and a check want them."""
    blocks = len(image) // BLOCK_BYTES
    head = bytes(image[: HEAD_BLOCKS * BLOCK_BYTES])
    area = read_superblock(head, blocks).metadata
    return head, bytes(image[area.start * BLOCK_BYTES : area.end * BLOCK_BYTES]), blocks


def mounted(image: Image, epoch: int) -> Mounted:
    """Only looks: the transaction of the mount is not carried out."""
    head, area, blocks = parts(image)
    return mount(head, area, epoch, blocks)


def owned(image: Image, epoch: int) -> Filesystem:
    found = mounted(image, epoch)
    carry_out(image, found.transaction)
    return found.filesystem


def content(image: Image, filesystem: Filesystem, file: int) -> bytes:
    """What a reader of this file sees."""
    node = filesystem.metadata.nodes[file]
    out = b""
    for extent in node.extents:
        start, end = extent.start * BLOCK_BYTES, extent.end * BLOCK_BYTES
        out += bytes(image[start:end]) if extent.written else bytes(end - start)
    return out[: node.size_bytes]


def shown(image: Image, filesystem: Filesystem) -> dict[str, Any]:
    """All that users of the volume can tell apart."""
    out: dict[str, Any] = {}
    folders = ["/"]
    for folder in folders:
        for entry in filesystem.list(folder):
            path = f"{folder.rstrip('/')}/{entry.name}"
            if entry.is_folder:
                folders.append(path)
                out[path] = None
            else:
                held = content(image, filesystem, entry.file)
                out[path] = (entry.size_bytes, held, entry.epochs)
    grants = filesystem.metadata.grants.values()
    out["grants"] = sorted((grant.id, grant.file, grant.holder) for grant in grants)
    waiting = filesystem.metadata.quarantine
    out["quarantine"] = sorted((entry.extents, sorted(entry.waiting)) for entry in waiting)
    return out


def assert_sound(filesystem: Filesystem) -> None:
    assert checking.check_mounted(filesystem).findings == ()


def put_part(image: Image, step: Write, length: int) -> None:
    at = step.block * BLOCK_BYTES
    image[at : at + length] = step.content[:length]


def meaningful(step: Write) -> int:
    """Bytes up to the padding, which says nothing wherever it is cut."""
    return len(step.content.rstrip(b"\0"))


def cuts(before: Image, transaction: Transaction, every: int = 1) -> Iterator[Image]:
    """Every disk that a crash during `transaction` can leave: whole stages, then any subset of the
    next one's writes, and one of these cut after every `every`-th byte."""
    image = bytearray(before)
    for stage in transaction.stages:
        for size in range(len(stage)):
            for subset in itertools.combinations(stage, size):
                part = bytearray(image)
                for step in subset:
                    put(part, step)
                yield part
        for cut in stage:
            others = [step for step in stage if step is not cut]
            for some in ([], others):
                part = bytearray(image)
                for step in some:
                    put(part, step)
                yield from _cut(part, cut, every)
        for step in stage:
            put(image, step)
    yield image


def _cut(image: Image, cut: Write | Zero, every: int) -> Iterator[Image]:
    if isinstance(cut, Zero):
        return
    saved = bytes(image)
    for length in [*range(0, meaningful(cut) + 1, every), len(cut.content) - 1]:
        part = bytearray(saved)
        put_part(part, cut, length)
        yield part


def sectors_lost(before: Image, transaction: Transaction, seed: int) -> Image:
    """A crash in a random stage: of its writes any sectors are there, and any are not."""
    chance = random.Random(seed)
    image, last = bytearray(before), chance.randrange(len(transaction.stages))
    for number, stage in enumerate(transaction.stages):
        if number < last:
            for step in stage:
                put(image, step)
    for step in transaction.stages[last]:
        if isinstance(step, Zero):
            continue
        for at in range(0, len(step.content), 512):
            if chance.random() < 0.5:
                start = step.block * BLOCK_BYTES + at
                image[start : start + 512] = step.content[at : at + 512]
    return image
