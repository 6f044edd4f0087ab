"""The two settings of shared volumes that are properties of the cluster."""

import re

from coordinator.requests import Declined
from coordinator.store.book import Book
from coordinator.store.rows import ClusterRow
from protocol.disks import SHARED_VOLUMES_ROOT, VOLUME_CHARS_MAX

FOLDER = re.compile(rf"[A-Za-z0-9][A-Za-z0-9_.-]{{0,{VOLUME_CHARS_MAX - 1}}}")
ENABLED = "Enabled"
PROPER = (
    f"use 1 to {VOLUME_CHARS_MAX} letters, digits, hyphens, underscores and dots, with a letter or"
    " a digit first."
)


def checked_property(book: Book, name: str, wish: object) -> str | Declined:
    """What EnableSharedVolumes or SharedVolumesRoot is to be, or why it cannot be that."""
    kept = {} if book.cluster is None else dict(book.cluster.properties)
    if name == "EnableSharedVolumes":
        if str(wish).lower() in (ENABLED.lower(), "1", "true"):
            return ENABLED
        if kept.get(name) == ENABLED:
            sentence = (
                "Cluster Shared Volumes are enabled once for a cluster and cannot be disabled"
                " (5947): move the volumes back to Available Storage instead."
            )
            return Declined(409, "cannot-disable", sentence)
        sentence = f"EnableSharedVolumes can be set to {ENABLED}, not to {wish!r}."
        return Declined(422, "out-of-range", sentence)
    root = str(wish)
    if root in (".", "..") or not FOLDER.fullmatch(root):
        sentence = f"{root[:80]!r} is no name for the root of the volumes: {PROPER}"
        return Declined(422, "bad-name", sentence)
    if users := sorted(vm.name for vm in book.vms.values() if vm.spec.volumes):
        sentence = (
            f"The root of the volumes is in the paths of {', '.join(users)}: rename it before VMs"
            " have files there."
        )
        return Declined(409, "volume-in-use", sentence)
    return root


def csv_enabled(cluster: ClusterRow | None) -> bool:
    return cluster is not None and dict(cluster.properties).get("EnableSharedVolumes") == ENABLED


def volumes_root(cluster: ClusterRow | None) -> str:
    found = {} if cluster is None else dict(cluster.properties)
    return str(found.get("SharedVolumesRoot", SHARED_VOLUMES_ROOT))
