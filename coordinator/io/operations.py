"""What can be asked over HTTP. Handlers translate: requests for the core, pictures for JSON."""

import asyncio
import secrets
from http import HTTPStatus
from typing import Any

from coordinator.io import api_models as models
from coordinator.io import shown
from coordinator.io.driver import Driver
from coordinator.io.feed import Feed
from coordinator.io.routes import Call, Reply, error, reply_to
from coordinator.requests import (
    CancelAttempt,
    CreateVm,
    DeleteVm,
    FormCluster,
    JoinNode,
    MigrateVm,
    PauseNode,
    Request,
    ResumeNode,
    StartVm,
    StopVm,
    Unknown,
)
from protocol.names import AttemptId, NodeName, Timing, VmName, VmSpec

ASK_S = 60.0
"""So long an operator waits for the store, and for a view to hold, before the outcome is open."""

NOT_YET = Unknown("There is no answer yet, and it may still be done: look before you ask again.")


class Operations:
    """The handlers of all routes. They know the driver and the feed, and no HTTP."""

    def __init__(self, driver: Driver, feed: Feed, timing: Timing, ask_s: float = ASK_S) -> None:
        self._driver = driver
        self._feed = feed
        self._timing = timing
        self._ask_s = ask_s

    async def _ask(self, request: Request, status: int) -> Reply:
        try:
            async with asyncio.timeout(self._ask_s):
                return reply_to(await self._driver.ask(request), status)
        except TimeoutError:
            return reply_to(NOT_YET, status)

    def _missing(self, code: str, sentence: str) -> Reply:
        """A coordinator that does not lead may not know it yet, and must not deny it."""
        if waiting := self._driver.picture().waiting:
            return error(HTTPStatus.SERVICE_UNAVAILABLE, "no-quorum", waiting)
        return error(HTTPStatus.NOT_FOUND, code, sentence)

    # ---- the cluster

    async def status(self, call: Call) -> Reply:
        return Reply(HTTPStatus.OK, shown.status(self._driver.picture()))

    async def nodes(self, call: Call) -> Reply:
        return Reply(HTTPStatus.OK, self._driver.picture().nodes)

    async def networks(self, call: Call) -> Reply:
        return Reply(HTTPStatus.OK, self._driver.picture().networks)

    async def groups(self, call: Call) -> Reply:
        return Reply(HTTPStatus.OK, self._driver.picture().groups)

    async def form(self, call: Call) -> Reply:
        body: models.FormBody = call.body
        delay_s = self._timing.delay_s if body.delay_s is None else body.delay_s
        threshold = self._timing.threshold if body.threshold is None else body.threshold
        nodes = tuple(NodeName(node) for node in body.nodes)
        formed = await self._ask(
            FormCluster(body.name, nodes, Timing(delay_s, threshold)), HTTPStatus.CREATED
        )
        return await self._with_status(formed)

    async def join(self, call: Call) -> Reply:
        joined = await self._ask(JoinNode(NodeName(call.body.node)), HTTPStatus.CREATED)
        return await self._with_status(joined)

    async def _with_status(self, reply: Reply) -> Reply:
        if reply.status != HTTPStatus.CREATED:
            return reply
        return Reply(reply.status, shown.status(self._driver.picture()))

    async def pause(self, call: Call) -> Reply:
        node = NodeName(call.names["node"])
        return await self._ask(PauseNode(node, call.body.drain), HTTPStatus.ACCEPTED)

    async def resume(self, call: Call) -> Reply:
        return await self._ask(ResumeNode(NodeName(call.names["node"])), HTTPStatus.ACCEPTED)

    # ---- VMs

    async def vms(self, call: Call) -> Reply:
        return Reply(HTTPStatus.OK, [shown.vm(vm) for vm in self._driver.picture().vms])

    async def vm(self, call: Call) -> Reply:
        return self._vm(call.names["vm"], HTTPStatus.OK)

    def _vm(self, name: str, status: int) -> Reply:
        found = shown.one(self._driver.picture().vms, "name", name)
        if found is None:
            return self._missing("unknown-vm", f"There is no VM {name!r}: name one that exists.")
        return Reply(status, shown.vm(found))

    async def create(self, call: Call) -> Reply:
        body: models.CreateBody = call.body
        seed = secrets.randbits(32) if body.seed is None else body.seed
        spec = VmSpec(body.memory, body.workload, body.fill, seed)
        node = None if body.node is None else NodeName(body.node)
        created = await self._ask(
            CreateVm(VmName(body.name), spec, node, body.start), HTTPStatus.CREATED
        )
        return self._with_vm(created, body.name)

    async def start(self, call: Call) -> Reply:
        vm = VmName(call.names["vm"])
        return self._with_vm(await self._ask(StartVm(vm), HTTPStatus.ACCEPTED), vm)

    async def stop(self, call: Call) -> Reply:
        vm = VmName(call.names["vm"])
        return self._with_vm(await self._ask(StopVm(vm), HTTPStatus.ACCEPTED), vm)

    def _with_vm(self, reply: Reply, vm: str) -> Reply:
        return reply if reply.status >= HTTPStatus.BAD_REQUEST else self._vm(vm, reply.status)

    async def delete(self, call: Call) -> Reply:
        return await self._ask(DeleteVm(VmName(call.names["vm"])), HTTPStatus.OK)

    # ---- migrations

    async def migrate(self, call: Call) -> Reply:
        body: models.MigrateBody = call.body
        vm = VmName(call.names["vm"])
        target = None if body.to is None else NodeName(body.to)
        reply = await self._ask(
            MigrateVm(vm, target, body.policy, body.verify), HTTPStatus.ACCEPTED
        )
        record = self._refused(vm, reply)
        return reply if record is None else Reply(reply.status, {**reply.data, "record": record})

    def _refused(self, vm: str, reply: Reply) -> dict[str, Any] | None:
        """The record that this refusal has left, if it came so far as to be an attempt."""
        if reply.status < HTTPStatus.BAD_REQUEST or reply.status == HTTPStatus.GATEWAY_TIMEOUT:
            return None
        why = (vm, "refused", reply.data["error"]["message"])
        for data in reversed(self._driver.picture().attempts):
            if (data["vm"], data["outcome"], data["reason"]) == why:
                return shown.attempt(data)
        return None

    async def attempts(self, call: Call) -> Reply:
        query: models.AttemptsQuery = call.query
        found = [
            data
            for data in reversed(self._driver.picture().attempts)
            if query.vm in (None, data["vm"])
        ]
        return Reply(HTTPStatus.OK, [shown.attempt(data) for data in found[: query.limit]])

    async def attempt(self, call: Call) -> Reply:
        number = call.names["attempt"]
        known = self._driver.picture().attempts
        found = shown.one(known, "attempt", int(number)) if _is_number(number) else None
        if found is None:
            return self._unknown_attempt(number)
        return Reply(HTTPStatus.OK, shown.attempt(found))

    def _unknown_attempt(self, number: str) -> Reply:
        sentence = f"There is no migration attempt {number!r}: name one that exists."
        return self._missing("unknown-attempt", sentence)

    async def cancel(self, call: Call) -> Reply:
        number = call.names["attempt"]
        if not _is_number(number):
            return self._unknown_attempt(number)
        return await self._ask(CancelAttempt(AttemptId(int(number))), HTTPStatus.ACCEPTED)

    # ---- the event log

    async def log(self, call: Call) -> Reply:
        query: models.LogQuery = call.query
        after = query.after
        if after is None:
            after = max(0, await self._feed.newest() - query.limit)
        return Reply(HTTPStatus.OK, await self._feed.after(after, query.limit))


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 9
