"""All metadata as the bytes of a checkpoint, and back."""

from typing import Any

import msgpack  # type: ignore[import-untyped]

from agent.volumes.changes import counted, flat, unflat, written_as
from agent.volumes.directory import ROOT, Grant, Metadata, Node, Quarantine
from agent.volumes.errors import Damaged
from agent.volumes.paths import folded


def encode(metadata: Metadata) -> bytes:
    nodes = [
        [
            *(node.id, node.parent, node.name, node.is_folder, node.size_bytes),
            *(flat(node.extents), node.epochs),
        ]
        for node in metadata.nodes.values()
        if node.id != ROOT
    ]
    grants = [
        [grant.id, grant.file, grant.holder, grant.writable, grant.vm, grant.epoch]
        for grant in metadata.grants.values()
    ]
    quarantine = [[flat(entry.extents), sorted(entry.waiting)] for entry in metadata.quarantine]
    packed: bytes = msgpack.packb(
        [metadata.next_file, metadata.next_grant, nodes, grants, quarantine]
    )
    return packed


def decode(payload: bytes) -> Metadata:
    """Takes what is there even if it contradicts itself, so that the checker can tell how;
    raises `Damaged` for what is no metadata at all."""
    try:
        next_file, next_grant, nodes, grants, quarantine = msgpack.unpackb(payload)
        metadata = Metadata()
        for values in nodes:
            _take(metadata, values)
        for id, file, holder, writable, vm, epoch in grants:
            counted(id), counted(file), counted(epoch)
            who, whose = written_as(holder, str), written_as(vm, str)
            metadata.keep(Grant(id, file, who, written_as(writable, bool), whose, epoch))
        for extents, waiting in quarantine:
            entry = Quarantine(unflat(extents), {counted(grant) for grant in waiting})
            metadata.quarantine.append(entry)
            metadata.cost_bytes += entry.cost_bytes + 9 * len(entry.waiting)
    except (ValueError, TypeError, msgpack.UnpackException) as exc:
        raise Damaged("a checkpoint is whole but makes no sense") from exc
    metadata.next_file = max(metadata.next_file, counted(next_file))
    metadata.next_grant = max(metadata.next_grant, counted(next_grant))
    return metadata


def _take(metadata: Metadata, values: Any) -> None:
    id, parent, name, is_folder, size_bytes, extents, epochs = values
    node = Node(
        *(counted(id), counted(parent), written_as(name, str), written_as(is_folder, bool)),
        *(counted(size_bytes), unflat(extents)),
        {written_as(vm, str): counted(epoch) for vm, epoch in epochs.items()},
    )
    if node.id in metadata.nodes:
        raise Damaged(f"file {node.id} is in the checkpoint twice")
    metadata.nodes[node.id] = node
    metadata.children.setdefault(node.parent, {}).setdefault(folded(node.name), node.id)
    if node.is_folder:
        metadata.children.setdefault(node.id, {})
    metadata.cost_bytes += node.cost_bytes
