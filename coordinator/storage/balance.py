"""Which disk moves so that all nodes own as many: 2012 R2 does it by itself, 2008 R2 never."""

from coordinator.scene import Scene
from coordinator.storage import disks, fences
from coordinator.storage.disk_plans import MoveDisk
from coordinator.store.disk_rows import DiskState
from protocol.disks import DiskRole
from protocol.names import NodeName, NodeState, Personality

PAUSE_S = 30.0
"""Between two moves: each lets the guests of a volume wait for a moment."""


def next_move(scene: Scene) -> MoveDisk | None:
    """From who owns the most to who owns the fewest, while they are at least two apart.

    Only while nothing else is under way: every disk Online, nobody to be fenced, no migration.
    """
    cluster = scene.book.cluster
    rows = [row for row in disks.ordered(scene) if row.role is not DiskRole.VM]
    if cluster is None or cluster.personality is not Personality.R2012 or scene.book.unclosed:
        return None
    if any(r.state is not DiskState.ONLINE or not fences.may_move(scene, r) for r in rows):
        return None
    up = [node for node in scene.book.nodes if scene.node_state(node) is NodeState.UP]
    owned = {node: [r for r in rows if r.owner == node] for node in sorted(up)}
    if not owned:
        return None
    most = max(owned, key=lambda node: (len(owned[node]), node))
    fewest = min(owned, key=lambda node: (len(owned[node]), node))
    if len(owned[most]) - len(owned[fewest]) < 2:
        return None
    for row in owned[most]:
        if _could_own(scene, row.id, fewest):
            return MoveDisk(None, row.id, fewest)
    return None


def _could_own(scene: Scene, disk: str, node: NodeName) -> bool:
    row = disks.by_name(scene, disk)
    return row is not None and any(n == node for _, _, n in disks.candidates(scene, row))
