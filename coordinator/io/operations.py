"""What can be asked over HTTP. Handlers translate: requests for the core, pictures for JSON."""

import secrets
from dataclasses import replace
from http import HTTPStatus
from typing import Any

from coordinator.io import api_models as models
from coordinator.io import shown
from coordinator.io.asker import ASK_S, Asker, done
from coordinator.io.choices import choices
from coordinator.io.cluster_operations import ClusterOperations
from coordinator.io.driver import Occupant
from coordinator.io.feed import Feed
from coordinator.io.forecast_operations import ForecastOperations
from coordinator.io.group_operations import GroupOperations
from coordinator.io.log_query import LogFilter
from coordinator.io.routes import Call, Reply
from coordinator.io.storage_operations import StorageOperations
from coordinator.requests import (
    CancelAttempt,
    CancelStorageMove,
    CreateVm,
    DeleteVm,
    MigrateVm,
    MoveVmStorage,
    StartVm,
    StopVm,
)
from protocol.names import (
    NO_VOLUME,
    AttemptId,
    NodeName,
    Timing,
    VmDisk,
    VmName,
    VmSpec,
    VolumeName,
)


class Operations:
    """The handlers of all routes. They know the driver and the feed, and no HTTP."""

    def __init__(self, driver: Occupant, feed: Feed, timing: Timing, ask_s: float = ASK_S) -> None:
        self._asker = Asker(driver, ask_s)
        self._feed = feed
        self.cluster = ClusterOperations(self._asker, timing)
        self.groups = GroupOperations(self._asker)
        self.storage = StorageOperations(self._asker)
        self.forecasts = ForecastOperations(self._asker)

    # ---- VMs

    async def vms(self, call: Call) -> Reply:
        return Reply(HTTPStatus.OK, [shown.vm(vm) for vm in self._asker.picture.vms])

    async def vm(self, call: Call) -> Reply:
        return self._vm(call.names["vm"], HTTPStatus.OK)

    def _vm(self, name: str, status: int) -> Reply:
        found = shown.one(self._asker.picture.vms, "name", name)
        if found is None:
            return self._asker.missing(
                "unknown-vm", f"There is no VM {name!r}: name one that exists."
            )
        return Reply(status, shown.vm(found))

    async def create(self, call: Call) -> Reply:
        body: models.CreateBody = call.body
        seed = secrets.randbits(32) if body.seed is None else body.seed
        spec = _on_volume(body, VmSpec(body.memory, body.workload, body.fill, seed))
        node = None if body.node is None else NodeName(body.node)
        disk = body.disk_resource or ""
        created = await self._asker.ask(
            CreateVm(VmName(body.name), spec, node, body.start, body.local, disk),
            HTTPStatus.CREATED,
        )
        return self._with_vm(created, body.name)

    async def start(self, call: Call) -> Reply:
        vm = VmName(call.names["vm"])
        return self._with_vm(await self._asker.ask(StartVm(vm), HTTPStatus.ACCEPTED), vm)

    async def stop(self, call: Call) -> Reply:
        vm = VmName(call.names["vm"])
        return self._with_vm(await self._asker.ask(StopVm(vm), HTTPStatus.ACCEPTED), vm)

    def _with_vm(self, reply: Reply, vm: str) -> Reply:
        return self._vm(vm, reply.status) if done(reply) else reply

    async def delete(self, call: Call) -> Reply:
        return await self._asker.ask(DeleteVm(VmName(call.names["vm"])), HTTPStatus.OK)

    # ---- files of VMs

    async def move_storage(self, call: Call) -> Reply:
        vm = VmName(call.names["vm"])
        body: models.MoveStorageBody = call.body
        return await self._asker.ask(MoveVmStorage(vm, body.to), HTTPStatus.ACCEPTED)

    async def cancel_storage_move(self, call: Call) -> Reply:
        vm = VmName(call.names["vm"])
        return await self._asker.ask(CancelStorageMove(vm), HTTPStatus.ACCEPTED)

    # ---- migrations

    async def migrate(self, call: Call) -> Reply:
        body: models.MigrateBody = call.body
        vm = VmName(call.names["vm"])
        target = None if body.to is None else NodeName(body.to)
        reply = await self._asker.ask(
            MigrateVm(*(vm, target, body.policy, body.verify), tuple(choices(body)), body.priority),
            HTTPStatus.ACCEPTED,
        )
        record = self._refused(vm, reply)
        return reply if record is None else Reply(reply.status, {**reply.data, "record": record})

    def _refused(self, vm: str, reply: Reply) -> dict[str, Any] | None:
        """The record that this refusal has left, if it came so far as to be an attempt."""
        if reply.status < HTTPStatus.BAD_REQUEST or reply.status == HTTPStatus.GATEWAY_TIMEOUT:
            return None
        why = (vm, "refused", reply.data["error"]["message"])
        for data in reversed(self._asker.picture.attempts):
            if (data["vm"], data["outcome"], data["reason"]) == why:
                return shown.attempt(data)
        return None

    async def attempts(self, call: Call) -> Reply:
        query: models.AttemptsQuery = call.query
        found = [
            data
            for data in reversed(self._asker.picture.attempts)
            if query.vm in (None, data["vm"])
        ]
        return Reply(HTTPStatus.OK, [shown.attempt(data) for data in found[: query.limit]])

    async def attempt(self, call: Call) -> Reply:
        number = call.names["attempt"]
        known = self._asker.picture.attempts
        found = shown.one(known, "attempt", int(number)) if _is_number(number) else None
        if found is None:
            return self._unknown_attempt(number)
        return Reply(HTTPStatus.OK, shown.attempt(found))

    def _unknown_attempt(self, number: str) -> Reply:
        sentence = f"There is no migration attempt {number!r}: name one that exists."
        return self._asker.missing("unknown-attempt", sentence)

    async def cancel(self, call: Call) -> Reply:
        number = call.names["attempt"]
        if not _is_number(number):
            return self._unknown_attempt(number)
        return await self._asker.ask(CancelAttempt(AttemptId(int(number))), HTTPStatus.ACCEPTED)

    # ---- the event log

    async def log(self, call: Call) -> Reply:
        query: models.LogQuery = call.query
        wanted = LogFilter(
            query.since, query.until, query.level, query.node, query.id or (), query.group
        )
        events = await self._feed.select(query.after, query.limit, wanted)
        return Reply(HTTPStatus.OK, events)


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 9


def _on_volume(body: models.CreateBody, spec: VmSpec) -> VmSpec:
    """With its configuration on the volume, and its disks as files beside it. Without a volume
    one is to be chosen.
    """
    volume = NO_VOLUME if body.volume is None else VolumeName(body.volume)
    disks = tuple(
        VmDisk(volume, f"{body.name}/disk{number}.vhd", size)
        for number, size in enumerate(body.disks, start=1)
    )
    return replace(spec, disks=disks, home=volume)
