"""Groups and their resources: what a VM looks like to the cluster."""

from http import HTTPStatus
from typing import Any

from coordinator.io import api_settings as settings
from coordinator.io.asker import Asker, done
from coordinator.io.routes import Call, Reply
from coordinator.requests import (
    FailResource,
    MoveGroup,
    Request,
    SetGroup,
    SetResource,
    StartVm,
    StopVm,
)
from protocol.names import NodeName, VmName

OK, ACCEPTED = HTTPStatus.OK, HTTPStatus.ACCEPTED


class GroupOperations:
    """Handlers that know the core and no HTTP."""

    def __init__(self, asker: Asker) -> None:
        self._asker = asker

    async def groups(self, call: Call) -> Reply:
        return Reply(OK, self._asker.picture.groups)

    async def group(self, call: Call) -> Reply:
        return self._group(call.names["group"], OK)

    def _group(self, name: str, status: int) -> Reply:
        found = self._asker.picture.group(name)
        if found is None:
            sentence = f"There is no group {name!r}: name one that exists."
            return self._asker.missing("unknown-group", sentence)
        return Reply(status, found)

    async def set_group(self, call: Call) -> Reply:
        body: settings.SettingsBody = call.body
        return await self._of_group(call, SetGroup(_vm(call), _pairs(body)), OK)

    async def move(self, call: Call) -> Reply:
        to = call.body.to
        wanted = MoveGroup(_vm(call), None if to is None else NodeName(to))
        reply = await self._asker.ask(wanted, ACCEPTED)
        group = self._group(call.names["group"], ACCEPTED) if done(reply) else reply
        if not done(group):
            return group
        return Reply(ACCEPTED, {**group.data, "node": reply.data["node"], "how": reply.data["how"]})

    async def start(self, call: Call) -> Reply:
        return await self._of_group(call, StartVm(_vm(call)), ACCEPTED)

    async def stop(self, call: Call) -> Reply:
        return await self._of_group(call, StopVm(_vm(call)), ACCEPTED)

    async def _of_group(self, call: Call, request: Request, status: int) -> Reply:
        reply = await self._asker.ask(request, status)
        return self._group(call.names["group"], status) if done(reply) else reply

    async def resources(self, call: Call) -> Reply:
        return Reply(OK, self._asker.picture.resources)

    async def resource(self, call: Call) -> Reply:
        return self._resource(call.names["resource"], OK)

    def _resource(self, name: str, status: int) -> Reply:
        found = self._asker.picture.resource(name)
        if found is None:
            sentence = f"There is no resource {name!r}: name one that exists."
            return self._asker.missing("unknown-resource", sentence)
        return Reply(status, found)

    async def set_resource(self, call: Call) -> Reply:
        body: settings.SettingsBody = call.body
        return await self._of_resource(call, SetResource(call.names["resource"], _pairs(body)), OK)

    async def fail(self, call: Call) -> Reply:
        return await self._of_resource(call, FailResource(call.names["resource"]), ACCEPTED)

    async def _of_resource(self, call: Call, request: Request, status: int) -> Reply:
        reply = await self._asker.ask(request, status)
        return self._resource(call.names["resource"], status) if done(reply) else reply


def _vm(call: Call) -> VmName:
    return VmName(call.names["group"])


def _pairs(body: settings.SettingsBody) -> tuple[tuple[str, Any], ...]:
    """Lists become tuples, since what is asked of the core never changes."""
    return tuple(
        (name, tuple(value) if isinstance(value, list) else value)
        for name, value in body.settings.items()
    )
