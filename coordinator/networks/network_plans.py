"""What operators change of networks, and the view that follows from it."""

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

from coordinator.config import Network
from coordinator.events import RequestId
from coordinator.membership.views import next_number
from coordinator.migration.limiting import check_rate
from coordinator.networks.networks import (
    HERE,
    for_cluster,
    migration_networks_data,
    migration_order,
    networks_data,
    networks_of,
)
from coordinator.pen import Draft
from coordinator.requests import Declined, SetMigrationNetworks, SetNetwork
from coordinator.scene import Scene
from coordinator.shown import chronicle_networks as chronicle
from coordinator.store.network_rows import (
    METRIC_MAX,
    MIGRATION_NETWORKS,
    ROLES,
    MigrationNetworksRow,
    NetworkRow,
    effective,
    network_key,
)
from coordinator.store.rows import CLUSTER, VIEW
from protocol.names import Member, NetworkName, NodeName, View

NO_CLUSTER = Declined(409, "no-cluster", "There is no cluster yet: form one first.")


@dataclass(frozen=True, slots=True)
class ChangeNetwork:
    """Role, metric and AutoMetric of one network."""

    request: RequestId
    body: SetNetwork

    def draft(self, scene: Scene) -> Draft | Declined:
        if scene.book.cluster is None:
            return NO_CLUSTER
        body = self.body
        if refusal := unknown(scene, (body.network,)) or _bad_setting(body):
            return refusal
        row = _changed_row(scene, body)
        before = networks_of(scene)
        after = effective(scene.config.networks, {**scene.book.networks, row.name: row})
        if refusal := _cut_off(scene, body.network, before, after):
            return refusal
        changes = _differences(before, after)
        notes = tuple(chronicle.network_set(name, words) for name, words in changes)
        if body.migration_rate_bytes_per_s is not None:
            limit = row.migration_rate_bytes_per_s
            notes = (*notes, chronicle.network_limited(row.name, limit))
        return Draft(relies=(CLUSTER,), puts=((network_key(row.name), row.data()),), notes=notes)

    def answer(self, scene: Scene) -> dict[str, Any]:
        return next(data for data in networks_data(scene) if data["name"] == self.body.network)


@dataclass(frozen=True, slots=True)
class OrderMigration:
    """MigrationNetworkOrder and MigrationExcludeNetworks: one setting, for new migrations of all
    VMs.
    """

    request: RequestId
    body: SetMigrationNetworks

    def draft(self, scene: Scene) -> Draft | Declined:
        if scene.book.cluster is None:
            return NO_CLUSTER
        order, exclude = self.body.order, self.body.exclude
        if refusal := unknown(scene, (*order, *exclude)):
            return refusal
        for words, names in (("order", order), ("exclusions", exclude)):
            if twice := sorted({name for name in names if names.count(name) > 1}):
                sentence = f"The {words} name {', '.join(twice)} more than once: name each once."
                return Declined(422, "bad-order", sentence)
        if both := sorted(set(order) & set(exclude)):
            sentence = (
                f"Networks {', '.join(both)} are to be tried and excluded: leave each in one list."
            )
            return Declined(422, "bad-order", sentence)
        row = MigrationNetworksRow(order, exclude)
        resulting = migration_order(scene, row)
        if not resulting:
            sentence = (
                "No network would be left for live migration: leave at least one that has role 1"
                " or 3 out of the exclusions."
            )
            return Declined(422, "no-network-left", sentence)
        note = chronicle.migration_networks_set(resulting)
        return Draft(relies=(CLUSTER,), puts=((MIGRATION_NETWORKS, row.data()),), notes=(note,))

    def answer(self, scene: Scene) -> dict[str, Any]:
        return migration_networks_data(scene)


@dataclass(frozen=True, slots=True)
class Readdress:
    """A view of the same lives that names their addresses anew, after a role went to or from 0."""

    def draft(self, scene: Scene) -> Draft | None:
        row, members = scene.book.view, readdressed(scene)
        if row is None or members is None:
            return None
        view = View(next_number(scene), members, row.view.votes)
        written = replace(row, view=view, term=scene.term, changed=False)
        return Draft(puts=((VIEW, written.data()),))


def readdressed(scene: Scene) -> tuple[Member, ...] | None:
    """The members with the addresses that they ought to have; None if they have, or not now."""
    row = scene.book.view
    if row is None or not row.holds or scene.now < scene.calm_until:
        return None
    networks = networks_of(scene)
    members = tuple(_readdressed(scene, networks, member) for member in row.view.members)
    return None if members == row.view.members else members


def _readdressed(scene: Scene, networks: Sequence[Network], member: Member) -> Member:
    agent = scene.agents.living(member.node, member.incarnation)
    source = member.endpoint if agent is None else agent.hello.endpoint
    addresses = for_cluster(networks, source).addresses
    return replace(member, endpoint=replace(member.endpoint, addresses=addresses))


# ---- refusals


def unknown(scene: Scene, names: Iterable[NetworkName]) -> Declined | None:
    """Names that no network has, with the one that was probably meant."""
    known = [network.name for network in scene.config.networks]
    for name in names:
        if name in known:
            continue
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"there is {', '.join(known) or 'none'}."
        return Declined(404, "unknown-network", f"There is no network {name!r}: {hint}")
    return None


def _bad_setting(body: SetNetwork) -> Declined | None:
    rate_bytes_per_s = body.migration_rate_bytes_per_s
    if {body.role, body.metric, body.auto_metric, rate_bytes_per_s} == {None}:
        sentence = (
            f"Nothing of network {body.network} is to change: give role, metric, AutoMetric or a"
            " limit for migrations."
        )
        return Declined(422, "bad-setting", sentence)
    if rate_bytes_per_s is not None and (refusal := check_rate(rate_bytes_per_s)):
        return refusal
    if body.role is not None and (isinstance(body.role, bool) or body.role not in ROLES):
        right = ", ".join(f"{role} ({meaning})" for role, meaning in ROLES.items())
        sentence = f"Role {body.role} is none of a network: it is {right}."
        return Declined(422, "bad-role", sentence)
    if body.metric is not None and (
        isinstance(body.metric, bool) or not 1 <= body.metric <= METRIC_MAX
    ):
        sentence = f"Metric {body.metric} is out of range: it is 1 to {METRIC_MAX}."
        return Declined(422, "bad-metric", sentence)
    if body.metric is not None and body.auto_metric:
        sentence = "A metric of its own and AutoMetric exclude each other: give one of the two."
        return Declined(422, "bad-setting", sentence)
    return None


def _changed_row(scene: Scene, body: SetNetwork) -> NetworkRow:
    """A metric makes AutoMetric false; AutoMetric false keeps the metric that there is now."""
    row = scene.book.networks.get(body.network) or NetworkRow(body.network)
    now = next(network for network in networks_of(scene) if network.name == body.network)
    if body.role is not None:
        row = replace(row, role=body.role)
    if body.migration_rate_bytes_per_s is not None:
        row = replace(row, migration_rate_bytes_per_s=body.migration_rate_bytes_per_s)
    if body.metric is not None:
        row = replace(row, metric=body.metric, auto_metric=False)
    elif body.auto_metric is False:
        row = replace(row, metric=now.metric, auto_metric=False)
    elif body.auto_metric is True:
        row = replace(row, metric=None, auto_metric=True)
    return row


def _cut_off(
    scene: Scene, network: NetworkName, before: Sequence[Network], after: Sequence[Network]
) -> Declined | None:
    """Two live nodes that only this network joins must keep it (code 5066)."""
    if all(n.role == 0 for n in after) and any(n.role > 0 for n in before):
        sentence = (
            f"Network {network} is the last one for the cluster (code 5066):"
            " give another network role 1 or 3 first."
        )
        return Declined(409, "last-cluster-network", sentence)
    here = [node for node in sorted(scene.book.nodes) if scene.node_state(node) in HERE]
    for one, other in combinations(here, 2):
        paths = _paths(scene, one, other)
        if _open(before) & paths and not _open(after) & paths:
            sentence = (
                f"Network {network} is the last one for the cluster on which nodes {one} and"
                f" {other} reach each other (code 5066): give another one role 1 or 3 first."
            )
            return Declined(409, "last-cluster-network", sentence)
    return None


def _open(networks: Iterable[Network]) -> set[NetworkName]:
    return {network.name for network in networks if network.role > 0}


def _paths(scene: Scene, one: NodeName, other: NodeName) -> set[NetworkName]:
    """The networks that both are on and of which neither says that the other is not reached."""
    ends = [agent for node in (one, other) if (agent := scene.agents.at(node)) is not None]
    if len(ends) < 2:
        return set()
    shared = set.intersection(*({name for name, _ in e.hello.endpoint.addresses} for e in ends))
    broken = {
        route.network
        for agent in ends
        for route in agent.routes
        if route.node in (one, other) and not route.up
    }
    return shared - broken


def _differences(
    before: Sequence[Network], after: Sequence[Network]
) -> list[tuple[NetworkName, tuple[str, ...]]]:
    """In words, for each network that changes: those with automatic metrics may follow."""
    found = []
    for old, new in zip(before, after, strict=True):
        words = []
        if old.role != new.role:
            words.append(f"its role is {new.role}, {ROLES[new.role]}")
        if (old.metric, old.auto_metric) != (new.metric, new.auto_metric):
            words.append(f"its metric is {new.metric}{', automatic' if new.auto_metric else ''}")
        if words:
            found.append((new.name, tuple(words)))
    return found
