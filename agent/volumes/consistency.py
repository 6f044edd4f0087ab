"""Does the metadata of a volume hold together? A mount asks this before it lets anybody write."""

from collections.abc import Iterator
from dataclasses import dataclass

from agent.volumes.directory import ROOT, Metadata, Node
from agent.volumes.errors import BadName
from agent.volumes.extents import Extent, blocks_for, total_blocks
from agent.volumes.layout import Superblock
from agent.volumes.paths import check_name, folded


@dataclass(frozen=True, slots=True)
class Finding:
    """`harmful` means that serving writes on top of it could lose data."""

    kind: str
    sentence: str
    harmful: bool = True


def inspect(metadata: Metadata, superblock: Superblock) -> tuple[Finding, ...]:
    """Everything that contradicts itself in the metadata."""
    return (
        *_tree(metadata),
        *_blocks(metadata, superblock.data),
        *_grants(metadata),
    )


def balance(metadata: Metadata, superblock: Superblock, free: int) -> tuple[Finding, ...]:
    """`free` blocks are counted as free or about to be: with those in use they are all."""
    used = total_blocks(metadata.used())
    if used + free == superblock.data.blocks:
        return ()
    lost = superblock.data.blocks - used - free
    return (Finding("leaked", f"{lost} blocks are neither in use nor free"),)


def path_of(metadata: Metadata, node: Node) -> str | None:
    """Its path, or None if it hangs on nothing."""
    names: list[str] = []
    for _ in range(len(metadata.nodes) + 1):
        if node.id == ROOT:
            return "/" + "/".join(reversed(names))
        names.append(node.name)
        above = metadata.nodes.get(node.parent)
        if above is None or not above.is_folder:
            return None
        node = above
    return None


def _tree(metadata: Metadata) -> Iterator[Finding]:
    for node in metadata.nodes.values():
        if node.id == ROOT:
            continue
        path = path_of(metadata, node)
        if path is None:
            yield Finding("orphan", f"file {node.id} ({node.name!r}) is in no folder")
            continue
        try:
            check_name(node.name)
        except BadName as exc:
            yield Finding("bad-name", f"file {node.id}: {exc.sentence}")
        if metadata.children[node.parent].get(folded(node.name)) != node.id:
            yield Finding("twice", f"{path} is the name of two files")
        if total_blocks(node.extents) != blocks_for(node.size_bytes):
            yield Finding(
                "wrong-size",
                f"{path} has {node.size_bytes} bytes in {total_blocks(node.extents)} blocks",
            )
        if node.is_folder and node.extents:
            yield Finding("folder-with-blocks", f"the folder {path} has blocks of its own")


def _blocks(metadata: Metadata, data: Extent) -> Iterator[Finding]:
    owned = [
        (extent.start, extent.end, f"{path_of(metadata, node) or node.name}")
        for node in metadata.nodes.values()
        for extent in node.extents
    ]
    owned += [
        (extent.start, extent.end, "the quarantine")
        for entry in metadata.quarantine
        for extent in entry.extents
    ]
    until, who = 0, ""
    for start, end, whose in sorted(owned):
        if start < data.start or end > data.end or start >= end:
            yield Finding(
                "out-of-range", f"{whose} has blocks {start} to {end}, which are not for files"
            )
        if start < until:
            yield Finding("double", f"block {start} belongs to {who} and to {whose}")
        if end > until:
            until, who = end, whose


def _grants(metadata: Metadata) -> Iterator[Finding]:
    for entry in metadata.quarantine:
        if not entry.waiting & metadata.grants.keys():
            yield Finding(
                "leaked",
                f"{total_blocks(entry.extents)} blocks are in quarantine for grants nobody has:"
                " the next mount frees them",
                harmful=False,
            )
    for grant in metadata.grants.values():
        node = metadata.nodes.get(grant.file)
        if node is not None and node.is_folder:
            yield Finding("bad-grant", f"grant {grant.id} is to a folder")
