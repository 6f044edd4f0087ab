"""The cluster itself: how it is formed, who votes, its nodes, networks and properties."""

from collections.abc import Mapping
from http import HTTPStatus

from coordinator.io import api_models as models
from coordinator.io import api_settings as settings
from coordinator.io import shown
from coordinator.io.asker import Asker, done
from coordinator.io.routes import Call, Reply
from coordinator.requests import (
    EvictNode,
    ForceQuorum,
    FormCluster,
    JoinNode,
    LimitNode,
    PauseNode,
    Request,
    ResumeNode,
    SetMigrationNetworks,
    SetNetwork,
    SetProperties,
    SetQuorum,
    SetWeight,
    StartNode,
    StopNode,
)
from protocol.names import NetworkName, NodeName, Timing, Witness

OK, CREATED, ACCEPTED = HTTPStatus.OK, HTTPStatus.CREATED, HTTPStatus.ACCEPTED


class ClusterOperations:
    """Handlers that know the core and no HTTP."""

    def __init__(self, asker: Asker, timing: Timing) -> None:
        self._asker = asker
        self._timing = timing

    async def status(self, call: Call) -> Reply:
        return Reply(OK, shown.status(self._asker.picture))

    async def form(self, call: Call) -> Reply:
        body: models.FormBody = call.body
        delay_s = self._timing.delay_s if body.delay_s is None else body.delay_s
        threshold = self._timing.threshold if body.threshold is None else body.threshold
        wanted = FormCluster(
            body.name,
            _names(body.nodes),
            Timing(delay_s, threshold),
            body.mode,
            _witness(body.witness),
            body.personality,
        )
        return await self._with_status(await self._asker.ask(wanted, CREATED))

    async def join(self, call: Call) -> Reply:
        joined = await self._asker.ask(JoinNode(NodeName(call.body.node)), CREATED)
        return await self._with_status(joined)

    async def _with_status(self, reply: Reply) -> Reply:
        return Reply(reply.status, shown.status(self._asker.picture)) if done(reply) else reply

    # ---- properties

    async def properties(self, call: Call) -> Reply:
        return Reply(OK, self._asker.picture.properties)

    async def set_properties(self, call: Call) -> Reply:
        body: settings.PropertiesBody = call.body
        reply = await self._asker.ask(SetProperties(tuple(body.root.items())), OK)
        return Reply(OK, self._asker.picture.properties) if done(reply) else reply

    # ---- quorum

    async def quorum(self, call: Call) -> Reply:
        return Reply(OK, self._asker.picture.quorum)

    async def set_quorum(self, call: Call) -> Reply:
        body: settings.QuorumBody = call.body
        return await self._voted(SetQuorum(body.mode, _witness(body.witness)))

    async def force(self, call: Call) -> Reply:
        body: settings.ForceBody = call.body
        return await self._voted(ForceQuorum(_names(body.nodes), body.oath))

    async def weigh(self, call: Call) -> Reply:
        return await self._voted(SetWeight(_node(call.names), call.body.weight))

    async def _voted(self, request: Request) -> Reply:
        reply = await self._asker.ask(request, OK)
        return Reply(OK, self._asker.picture.quorum) if done(reply) else reply

    # ---- nodes

    async def nodes(self, call: Call) -> Reply:
        return Reply(OK, self._asker.picture.nodes)

    async def node(self, call: Call) -> Reply:
        return self._one_node(call.names["node"])

    def _one_node(self, name: str) -> Reply:
        found = shown.one(self._asker.picture.nodes, "name", name)
        if found is None:
            sentence = f"There is no node {name!r} in the cluster: name one that is."
            return self._asker.missing("unknown-node", sentence)
        return Reply(OK, found)

    async def limit(self, call: Call) -> Reply:
        node = _node(call.names)
        reply = await self._asker.ask(LimitNode(node, call.body.rate), OK)
        return self._one_node(node) if done(reply) else reply

    async def pause(self, call: Call) -> Reply:
        return await self._of_node(call.names, PauseNode(_node(call.names), call.body.drain))

    async def resume(self, call: Call) -> Reply:
        return await self._of_node(call.names, ResumeNode(_node(call.names)))

    async def stop(self, call: Call) -> Reply:
        return await self._of_node(call.names, StopNode(_node(call.names)))

    async def start(self, call: Call) -> Reply:
        return await self._of_node(call.names, StartNode(_node(call.names)))

    async def _of_node(self, names: Mapping[str, str], request: Request) -> Reply:
        reply = await self._asker.ask(request, ACCEPTED)
        return Reply(ACCEPTED, {"node": names["node"]}) if done(reply) else reply

    async def evict(self, call: Call) -> Reply:
        node = _node(call.names)
        reply = await self._asker.ask(EvictNode(node), OK)
        return Reply(OK, {"node": node}) if done(reply) else reply

    # ---- networks

    async def networks(self, call: Call) -> Reply:
        return Reply(OK, self._asker.picture.networks)

    async def network(self, call: Call) -> Reply:
        return self._one_network(call.names["network"])

    def _one_network(self, name: str) -> Reply:
        found = shown.one(self._asker.picture.networks, "name", name)
        if found is None:
            sentence = f"There is no network {name!r}: name one that exists."
            return self._asker.missing("unknown-network", sentence)
        return Reply(OK, found)

    async def set_network(self, call: Call) -> Reply:
        body: settings.NetworkBody = call.body
        name = call.names["network"]
        wanted = SetNetwork(
            *(NetworkName(name), body.role, body.metric, body.auto_metric, body.migration_rate)
        )
        reply = await self._asker.ask(wanted, OK)
        return self._one_network(name) if done(reply) else reply

    async def migration_networks(self, call: Call) -> Reply:
        return Reply(OK, self._asker.picture.migration)

    async def set_migration_networks(self, call: Call) -> Reply:
        body: settings.MigrationNetworksBody = call.body
        order = tuple(NetworkName(name) for name in body.order)
        exclude = tuple(NetworkName(name) for name in body.exclude)
        reply = await self._asker.ask(SetMigrationNetworks(order, exclude), OK)
        return Reply(OK, self._asker.picture.migration) if done(reply) else reply


def _node(names: Mapping[str, str]) -> NodeName:
    return NodeName(names["node"])


def _names(nodes: list[str]) -> tuple[NodeName, ...]:
    return tuple(NodeName(node) for node in nodes)


def _witness(body: models.WitnessBody | None) -> Witness | None:
    return None if body is None else Witness(body.name, body.kind, body.path)
