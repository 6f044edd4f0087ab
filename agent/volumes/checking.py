"""The whole check of a volume, from its bytes alone or while it is mounted: `hvlab csv check`."""

from dataclasses import dataclass

from agent.volumes import layout
from agent.volumes.consistency import Finding, balance, inspect
from agent.volumes.directory import Metadata
from agent.volumes.errors import NotMountable
from agent.volumes.filesystem import Filesystem
from agent.volumes.layout import SUPERBLOCK_PLACES, read_superblock
from agent.volumes.recovery import replayed

__all__ = ["Finding", "Report", "check", "check_mounted"]


@dataclass(frozen=True, slots=True)
class Report:
    """What was walked, and what was found."""

    files: int
    folders: int
    grants: int
    findings: tuple[Finding, ...]

    @property
    def is_clean(self) -> bool:
        return not self.findings


def check(head: bytes, area: bytes, blocks: int) -> Report:
    """Of a volume that nobody changes meanwhile. Broken copies are findings of their own, though
    the next mount mends those that have a whole one beside them."""
    try:
        superblock = read_superblock(head, blocks)
        found = replayed(superblock, area)
    except NotMountable as exc:
        return Report(0, 0, 0, (Finding("not-mountable", exc.sentence),))
    findings = []
    copies = zip(SUPERBLOCK_PLACES, layout.copies(head), strict=True)
    for place, copy in copies:
        if copy is None:
            sentence = f"the superblock in block {place} is broken; the other one is whole"
            findings.append(Finding("broken-copy", sentence, harmful=False))
    for slot in found.broken_slots:
        sentence = f"checkpoint {slot} is broken; the other one and the journal are whole"
        findings.append(Finding("broken-copy", sentence, harmful=False))
    if found.broken_records:
        sentence = f"{found.broken_records} records of the journal have one broken copy"
        findings.append(Finding("broken-copy", sentence, harmful=False))
    if found.damage is not None:
        findings.append(Finding("broken-journal", found.damage))
    findings += inspect(found.metadata, superblock)
    return _report(found.metadata, findings)


def check_mounted(filesystem: Filesystem) -> Report:
    """Of a volume while it serves, with the free space that it counts."""
    committer, metadata = filesystem.committer, filesystem.metadata
    freed = sum(extent.blocks for extent in committer.freed)
    findings = [
        *inspect(metadata, committer.superblock),
        *balance(metadata, committer.superblock, committer.free.blocks + freed),
    ]
    if filesystem.read_only_because is not None:
        findings.append(Finding("read-only", filesystem.read_only_because))
    return _report(metadata, findings)


def _report(metadata: Metadata, findings: list[Finding]) -> Report:
    folders = sum(node.is_folder for node in metadata.nodes.values())
    files = len(metadata.nodes) - folders
    return Report(files, folders, len(metadata.grants), tuple(findings))
