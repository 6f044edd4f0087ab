"""What operators have set of networks, and what the networks are with it: roles and metrics."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from coordinator.config import Network
from coordinator.store.plain import Data, known
from protocol.names import NetworkName

MIGRATION_NETWORKS = "migration-networks"
METRIC_MAX = 0x0FFFFFFF
ROLES = {
    0: "not for the cluster",
    1: "for the cluster",
    3: "for the cluster and its clients",
}

AUTOMATIC_FIRST = {False: 1000, True: 10000}
"""The first automatic metric, without and with a default gateway."""

AUTOMATIC_STEP = 100


def network_key(network: NetworkName) -> str:
    return f"network/{network}"


@dataclass(frozen=True, slots=True)
class NetworkRow:
    """Overrides what the coordinator was started with; what is None does not."""

    name: NetworkName
    role: int | None = None
    metric: int | None = None
    auto_metric: bool | None = None
    migration_rate_bytes_per_s: int = 0
    """Of all migrations of one node on it; 0 for no limit."""

    def data(self) -> dict[str, Any]:
        return asdict(self)

    @staticmethod
    def read(data: Data) -> "NetworkRow":
        return NetworkRow(**known(NetworkRow, data))


@dataclass(frozen=True, slots=True)
class MigrationNetworksRow:
    """The one setting for all VMs; an empty order leaves it to the default rule."""

    order: tuple[NetworkName, ...] = ()
    exclude: tuple[NetworkName, ...] = ()

    def data(self) -> dict[str, Any]:
        return {"order": list(self.order), "exclude": list(self.exclude)}

    @staticmethod
    def read(data: Data) -> "MigrationNetworksRow":
        return MigrationNetworksRow(tuple(data["order"]), tuple(data["exclude"]))


def effective(
    networks: Sequence[Network], rows: Mapping[NetworkName, NetworkRow]
) -> tuple[Network, ...]:
    """The networks with what operators have set, and with the automatic metrics of this moment."""
    return with_automatic_metrics(_with_row(n, rows.get(n.name)) for n in networks)


def _with_row(network: Network, row: NetworkRow | None) -> Network:
    if row is None:
        return network
    return replace(
        network,
        role=network.role if row.role is None else row.role,
        metric=network.metric if row.metric is None else row.metric,
        auto_metric=network.auto_metric if row.auto_metric is None else row.auto_metric,
    )


def with_automatic_metrics(networks: Iterable[Network]) -> tuple[Network, ...]:
    """AutoMetric: in the order of the configuration, from 1000, or from 10000 with a gateway.

    Networks with a metric of their own take no step, so that all follow by rule when one changes.
    """
    following, given = dict(AUTOMATIC_FIRST), []
    for network in networks:
        if network.auto_metric:
            metric = following[network.gateway]
            following[network.gateway] += AUTOMATIC_STEP
            network = replace(network, metric=metric)
        given.append(network)
    return tuple(given)
