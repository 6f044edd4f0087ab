"""Makes of a lab's LUNs what its topology says: disks of the cluster, and shared volumes."""

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from lab.errors import LabError
from lab.topology import Topology
from shell.errors import Declined
from shell.io.client import Client

WITHIN_S = 30.0
LOOK_EVERY_S = 0.1


async def add_disks(
    api: Client, topology: Topology, luns: Mapping[str, str], note: Callable[[str], None]
) -> None:
    """`luns` are the ids of the LUNs by their names, as the san said them."""
    for lun in topology.san.luns if topology.san is not None else ():
        if lun.use == "available":
            continue
        disk = luns[lun.name]
        note(f"{topology.name}: adding {lun.name} to the cluster")
        await _asked(api, "/disks", {"disk": disk})
        await _until(api, "/disks", partial(_is_online, disk))
        if lun.use == "volume":
            await api.patch("/cluster/properties", {"EnableSharedVolumes": 1})
            await _asked(api, "/volumes", {"disk": disk})
            await _until(api, "/volumes", partial(_is_usable, disk))


def _is_online(disk: str, row: Mapping[str, Any]) -> bool:
    return bool(row["id"] == disk and row["clustered"] and row["state"] == "Online")


def _is_usable(disk: str, row: Mapping[str, Any]) -> bool:
    ways = [way["access"] for way in row["nodes"]]
    return bool(row["disk_id"] == disk and ways and set(ways) <= {"direct", "redirected"})


async def _asked(api: Client, path: str, body: dict[str, Any]) -> None:
    """Nodes have just begun to look at their disks: what is refused is asked again for a while."""
    give_up_at = asyncio.get_running_loop().time() + WITHIN_S
    while True:
        try:
            await api.post(path, body)
            return
        except Declined:
            if asyncio.get_running_loop().time() >= give_up_at:
                raise
        await asyncio.sleep(LOOK_EVERY_S)


async def _until(api: Client, path: str, is_right: Callable[[Mapping[str, Any]], bool]) -> None:
    give_up_at = asyncio.get_running_loop().time() + WITHIN_S
    rows: list[Mapping[str, Any]] = []
    while asyncio.get_running_loop().time() < give_up_at:
        with contextlib.suppress(Declined):
            rows = await api.get(path)
            if any(is_right(row) for row in rows):
                return
        await asyncio.sleep(LOOK_EVERY_S)
    raise LabError(f"a disk did not become what the topology says in {WITHIN_S:g} s: {rows}")
