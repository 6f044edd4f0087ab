"""What is known of disks: by which names they go, who sees them, and who could own one."""

from collections.abc import Iterable
from dataclasses import replace

from coordinator.membership.agents import Agent
from coordinator.requests import Declined
from coordinator.scene import Scene
from coordinator.store.disk_rows import DiskRow, DiskState
from protocol.disks import (
    DiskId,
    DiskRole,
    DiskStatus,
    VolumeMode,
    VolumeStatus,
)
from protocol.names import Epoch, Incarnation, NodeName, NodeState, VmName, VolumeName

EPOCH_MAX = 2**40
"""An epoch on a disk above this one was never given out by anybody."""


# ---- names


def by_name(scene: Scene, word: str) -> DiskRow | None:
    """A clustered disk by its name in any case of letters, its id, or its volume."""
    for row in ordered(scene):
        if word in (row.id, row.volume) or word.lower() == row.name.lower():
            return row
    return None


def volume_row(scene: Scene, volume: VolumeName) -> DiskRow | None:
    return next((r for r in ordered(scene) if r.volume and r.volume == volume), None)


def ordered(scene: Scene) -> list[DiskRow]:
    """All clustered disks by their numbers."""
    return sorted(scene.book.disks.values(), key=lambda row: row.number)


def new_row(scene: Scene, found: DiskStatus, role: DiskRole = DiskRole.AVAILABLE) -> DiskRow:
    """Of a disk that was not clustered: with the lowest number that is free, above all epochs that
    it may have had, and with who may still have keys there.
    """
    taken = {row.number for row in scene.book.disks.values()}
    number = next(n for n in range(1, len(taken) + 2) if n not in taken)
    row = DiskRow(found.disk, number, found.size_bytes, role)
    gone = scene.book.gone_disks.get(found.disk)
    if gone is None:
        return row
    return replace(row, epoch=gone.epoch, registrants=gone.registrants)


def unknown_disk(word: str) -> Declined:
    sentence = f"There is no clustered disk {word!r}: name one that `disk list` shows."
    return Declined(404, "unknown-disk", sentence)


def unknown_volume(word: str) -> Declined:
    sentence = f"There is no shared volume {word!r}: name one that `csv show` lists."
    return Declined(404, "unknown-volume", sentence)


# ---- who sees what


def members(scene: Scene) -> list[Agent]:
    """The agents that are connected in a life that the held view has."""
    return [a for a in scene.agents if a.welcomed and scene.in_held_view(a.node, a.incarnation)]


def status_of(agent: Agent | None, disk: DiskId) -> DiskStatus | None:
    report = None if agent is None else agent.storage
    disks = () if report is None else report.disks
    return next((status for status in disks if status.disk == disk), None)


def access_of(agent: Agent | None, disk: DiskId) -> VolumeStatus | None:
    report = None if agent is None else agent.storage
    volumes = () if report is None else report.volumes
    return next((status for status in volumes if status.disk == disk), None)


def seen_by(scene: Scene, disk: DiskId) -> dict[NodeName, DiskStatus]:
    """What each member says of the disk, if it sees it."""
    found = ((agent.node, status_of(agent, disk)) for agent in members(scene))
    return {node: status for node, status in found if status is not None}


def available(scene: Scene) -> dict[DiskId, DiskStatus]:
    """Disks that all members see and that are not clustered yet."""
    here = members(scene)
    if not here or any(agent.storage is None for agent in here):
        return {}
    common = {status.disk: status for status in (here[0].storage.disks if here[0].storage else ())}
    for agent in here[1:]:
        known = {status.disk for status in (agent.storage.disks if agent.storage else ())}
        common = {disk: status for disk, status in common.items() if disk in known}
    return {d: common[d] for d in sorted(common) if d not in scene.book.disks}


def epoch_seen(scene: Scene, row: DiskRow) -> Epoch:
    """The highest epoch that the row, a removed disk's row or any superblock names."""
    gone = scene.book.gone_disks.get(row.id)
    told = [status.epoch for status in seen_by(scene, row.id).values()]
    known = [row.epoch, Epoch(0) if gone is None else gone.epoch]
    return Epoch(max(*known, *(epoch for epoch in told if epoch <= EPOCH_MAX), 0))


# ---- who owns, and who could


def served_by(scene: Scene, life: Incarnation) -> list[DiskRow]:
    """The disks whose owner this life is."""
    return [r for r in ordered(scene) if r.is_served and r.owner_incarnation == life]


def reaches(agent: Agent, row: DiskRow) -> bool:
    """It has a path, its key stands on the target, and it was granted the disk and knows it."""
    status, registrant = status_of(agent, row.id), row.registrant(agent.incarnation)
    return (
        status is not None
        and status.paths_up > 0
        and bool(status.key)
        and not status.is_lost
        and status.granted > 0
        and registrant is not None
        and not registrant.fenced_to
    )


def awaits_grants(scene: Scene, row: DiskRow) -> bool:
    """Some member has a path and could be granted the disk yet."""
    for agent in members(scene):
        status = status_of(agent, row.id)
        could = status is not None and status.paths_up > 0 and not status.is_lost
        if could and not reaches(agent, row):
            return True
    return False


def candidates(
    scene: Scene, row: DiskRow, avoid: Iterable[NodeName] = ()
) -> list[tuple[int, int, NodeName]]:
    """Who could own the disk, the best first: nodes that are Up before those that are paused, then
    who owns the fewest disks, then by id. An owner lives by the held view: it takes the reservation
    from whoever is in no view that it knows.
    """
    shunned, found = set(avoid), []
    for agent in members(scene):
        if scene.held is None or agent.acked < scene.held.number:
            continue
        node = scene.book.nodes.get(agent.node)
        if node is None or agent.node in shunned or node.stopped:
            continue
        if not scene.may_own(agent.node, agent.incarnation) or not reaches(agent, row):
            continue
        paused = scene.node_state(agent.node) is NodeState.PAUSED
        owned = [r for r in served_by(scene, agent.incarnation) if r.id != row.id]
        found.append((1000 * paused + len(owned), node.id, agent.node))
    return sorted(found)


def must_leave(scene: Scene, row: DiskRow) -> bool:
    """Its owner is paused, drained or stopped, and another node could have it. A VM's own disk
    leaves with the VM.
    """
    if row.role is DiskRole.VM:
        return False
    node = None if row.owner is None else scene.book.nodes.get(row.owner)
    if node is None or not (node.paused or node.stopped) or row.owner is None:
        return False
    others = candidates(scene, row, {row.owner})
    return bool(others) and (others[0][0] < 1000 or node.stopped)


def holds_back(scene: Scene, life: Incarnation) -> bool:
    """A node that is on its way out still owns a disk that another one could have."""
    return any(
        row.state is DiskState.RELEASING or must_leave(scene, row) for row in served_by(scene, life)
    )


# ---- volumes


def users_of(scene: Scene, volume: VolumeName) -> tuple[VmName, ...]:
    """The VMs that have files on the volume."""
    vms = scene.book.vms.values()
    return tuple(sorted(vm.name for vm in vms if volume and volume in vm.spec.volumes))


def mode_of(scene: Scene, row: DiskRow) -> VolumeMode:
    """How all nodes are to use the volume. Maintenance begins once no guest runs from it."""
    if not row.is_served:
        return VolumeMode.OFFLINE
    if row.maintenance:
        running = any(scene.book.vms[vm].live for vm in users_of(scene, row.volume))
        if not running:
            return VolumeMode.MAINTENANCE
    return VolumeMode.REDIRECTED if row.redirected else VolumeMode.DIRECT


def is_csv(row: DiskRow) -> bool:
    return row.role is DiskRole.CSV and bool(row.volume)


def has_files(row: DiskRow) -> bool:
    """A volume of ours is mounted from it: a shared one, or a VM's own."""
    return row.role in (DiskRole.CSV, DiskRole.VM) and bool(row.volume)
