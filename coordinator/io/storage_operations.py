"""Disks and shared volumes over HTTP."""

from http import HTTPStatus

from coordinator.io import api_settings as settings
from coordinator.io import shown
from coordinator.io.asker import Asker, done
from coordinator.io.routes import Call, Reply
from coordinator.requests import (
    AddClusterDisk,
    AddSharedVolume,
    CheckSharedVolume,
    ForceDisk,
    MaintainDisk,
    MoveClusterDisk,
    RedirectVolume,
    RemoveClusterDisk,
    RemoveSharedVolume,
    RenameSharedVolume,
    Request,
)
from protocol.disks import DiskId
from protocol.names import NodeName

OK, CREATED, ACCEPTED = HTTPStatus.OK, HTTPStatus.CREATED, HTTPStatus.ACCEPTED


class StorageOperations:
    """Handlers that know the core and no HTTP."""

    def __init__(self, asker: Asker) -> None:
        self._asker = asker

    # ---- disks

    async def disks(self, call: Call) -> Reply:
        return Reply(OK, self._asker.picture.disks)

    async def disk(self, call: Call) -> Reply:
        return self._disk(call.names["disk"], OK)

    def _disk(self, word: str, status: int) -> Reply:
        found = shown.named(self._asker.picture.disks, word, "name", "id", "volume")
        if found is None:
            sentence = f"There is no disk {word!r}: name one that `disk list` shows."
            return self._asker.missing("unknown-disk", sentence)
        return Reply(status, found)

    async def add_disk(self, call: Call) -> Reply:
        disk = call.body.disk
        return await self._of_disk(AddClusterDisk(DiskId(disk)), disk, CREATED)

    async def remove_disk(self, call: Call) -> Reply:
        disk = call.names["disk"]
        reply = await self._asker.ask(RemoveClusterDisk(disk), ACCEPTED)
        return Reply(ACCEPTED, {"disk": disk, "volume": ""}) if done(reply) else reply

    async def move_disk(self, call: Call) -> Reply:
        disk = call.names["disk"]
        return await self._of_disk(MoveClusterDisk(disk, _to(call)), disk, ACCEPTED)

    async def maintain_disk(self, call: Call) -> Reply:
        disk = call.names["disk"]
        return await self._of_disk(MaintainDisk(disk, call.body.on), disk, OK)

    async def force_disk(self, call: Call) -> Reply:
        disk = call.names["disk"]
        return await self._of_disk(ForceDisk(disk, call.body.oath), disk, OK)

    async def _of_disk(self, request: Request, disk: str, status: int) -> Reply:
        reply = await self._asker.ask(request, status)
        return self._disk(disk, status) if done(reply) else reply

    # ---- volumes

    async def volumes(self, call: Call) -> Reply:
        return Reply(OK, self._asker.picture.volumes)

    async def volume(self, call: Call) -> Reply:
        return self._volume(call.names["volume"], OK)

    def _volume(self, word: str, status: int) -> Reply:
        found = shown.named(self._asker.picture.volumes, word, "disk", "name", "disk_id")
        if found is None:
            sentence = f"There is no shared volume {word!r}: name one that `csv show` lists."
            return self._asker.missing("unknown-volume", sentence)
        return Reply(status, found)

    async def add_volume(self, call: Call) -> Reply:
        body: settings.AddVolumeBody = call.body
        reply = await self._asker.ask(AddSharedVolume(body.disk, body.force), CREATED)
        return self._volume(reply.data["volume"], CREATED) if done(reply) else reply

    async def remove_volume(self, call: Call) -> Reply:
        volume = call.names["volume"]
        reply = await self._asker.ask(RemoveSharedVolume(volume), ACCEPTED)
        return Reply(ACCEPTED, {"disk": "", "volume": volume}) if done(reply) else reply

    async def move_volume(self, call: Call) -> Reply:
        volume = call.names["volume"]
        return await self._of_volume(MoveClusterDisk(volume, _to(call), True), volume, ACCEPTED)

    async def maintain_volume(self, call: Call) -> Reply:
        volume = call.names["volume"]
        return await self._of_volume(MaintainDisk(volume, call.body.on, True), volume, OK)

    async def redirect_volume(self, call: Call) -> Reply:
        volume = call.names["volume"]
        return await self._of_volume(RedirectVolume(volume, call.body.on), volume, OK)

    async def rename_volume(self, call: Call) -> Reply:
        name = call.body.name
        return await self._of_volume(RenameSharedVolume(call.names["volume"], name), name, OK)

    async def check_volume(self, call: Call) -> Reply:
        return await self._asker.ask(CheckSharedVolume(call.names["volume"]), OK)

    async def _of_volume(self, request: Request, volume: str, status: int) -> Reply:
        reply = await self._asker.ask(request, status)
        return self._volume(volume, status) if done(reply) else reply


def _to(call: Call) -> NodeName | None:
    return None if call.body.to is None else NodeName(call.body.to)
