"""The routes of the cluster itself: quorum, properties, nodes, networks."""

from http import HTTPStatus

from coordinator.io import api_answers as answers
from coordinator.io import api_models as models
from coordinator.io import api_settings as settings
from coordinator.io.cluster_operations import ClusterOperations
from coordinator.io.routes import Route

CREATED, ACCEPTED = HTTPStatus.CREATED, HTTPStatus.ACCEPTED
ABSENT, REFUSED = HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT


def cluster_routes(do: ClusterOperations) -> tuple[Route, ...]:
    return (*_of_the_cluster(do), *_of_quorum(do), *_of_nodes(do), *_of_networks(do))


def _of_the_cluster(do: ClusterOperations) -> tuple[Route, ...]:
    return (
        Route("GET", "/status", "status", "The cluster at a glance", answers.Status, do.status),
        Route(
            *("POST", "/cluster", "formCluster", "Form a cluster; answered when its view holds"),
            *(answers.Status, do.form, CREATED),
            body=models.FormBody,
            refusals=(REFUSED,),
        ),
        Route(
            *("GET", "/cluster/properties", "properties", "Properties with ranges and defaults"),
            *(list[answers.Property], do.properties),
        ),
        Route(
            *("PATCH", "/cluster/properties", "setProperties", "Set one or several: all or none"),
            *(list[answers.Property], do.set_properties),
            body=settings.PropertiesBody,
            refusals=(ABSENT, REFUSED),
        ),
    )


def _of_quorum(do: ClusterOperations) -> tuple[Route, ...]:
    return (
        Route(
            *("GET", "/quorum", "quorum", "Every voter, the sum, and what may fail yet"),
            *(answers.QuorumInFull, do.quorum),
        ),
        Route(
            *("PUT", "/quorum", "setQuorum", "Change mode and witness while the cluster runs"),
            *(answers.QuorumInFull, do.set_quorum),
            body=settings.QuorumBody,
            refusals=(REFUSED,),
        ),
        Route(
            *("POST", "/quorum/force", "forceQuorum", "Run on these nodes without a quorum"),
            *(answers.QuorumInFull, do.force),
            body=settings.ForceBody,
            refusals=(ABSENT, REFUSED),
        ),
    )


def _of_nodes(do: ClusterOperations) -> tuple[Route, ...]:
    return (
        Route("GET", "/nodes", "nodes", "All nodes", list[answers.Node], do.nodes),
        Route(
            *("POST", "/nodes", "joinNode", "Let a node join; answered when its view holds"),
            *(answers.Status, do.join, CREATED),
            body=models.JoinBody,
            refusals=(REFUSED,),
        ),
        Route(
            *("GET", "/nodes/{node}", "node", "One node", answers.Node, do.node),
            refusals=(ABSENT,),
        ),
        Route(
            *("PATCH", "/nodes/{node}", "weighNode", "Take a node's vote, or give it back"),
            *(answers.QuorumInFull, do.weigh),
            body=settings.WeightBody,
            refusals=(ABSENT, REFUSED),
        ),
        Route(
            *("PUT", "/nodes/{node}/migration-rate", "limitNode", "How fast its migrations may be"),
            *(answers.Node, do.limit),
            body=settings.LimitBody,
            refusals=(ABSENT, REFUSED),
        ),
        Route(
            *("DELETE", "/nodes/{node}", "evictNode", "Remove a node and its vote for good"),
            *(answers.NodeNamed, do.evict),
            refusals=(ABSENT, REFUSED),
        ),
        Route(
            *("POST", "/nodes/{node}/pause", "pauseNode", "Pause a node; `drain` moves its VMs"),
            *(answers.NodeNamed, do.pause, ACCEPTED),
            body=models.PauseBody,
            refusals=(ABSENT, REFUSED),
        ),
        Route(
            *("POST", "/nodes/{node}/resume", "resumeNode", "Let a paused node accept groups"),
            *(answers.NodeNamed, do.resume, ACCEPTED),
            refusals=(ABSENT, REFUSED),
        ),
        Route(
            *("POST", "/nodes/{node}/stop", "stopNode", "Stop its cluster service; groups move"),
            *(answers.NodeNamed, do.stop, ACCEPTED),
            refusals=(ABSENT, REFUSED),
        ),
        Route(
            *("POST", "/nodes/{node}/start", "startNode", "Start it again: it joins when it can"),
            *(answers.NodeNamed, do.start, ACCEPTED),
            refusals=(ABSENT, REFUSED),
        ),
    )


def _of_networks(do: ClusterOperations) -> tuple[Route, ...]:
    return (
        Route("GET", "/networks", "networks", "All networks", list[answers.Network], do.networks),
        Route(
            *("GET", "/networks/{network}", "network", "One network"),
            *(answers.Network, do.network),
            refusals=(ABSENT,),
        ),
        Route(
            *("PATCH", "/networks/{network}", "setNetwork", "Change role, metric or limit"),
            *(answers.Network, do.set_network),
            body=settings.NetworkBody,
            refusals=(ABSENT, REFUSED),
        ),
        Route(
            *("GET", "/migration-networks", "migrationNetworks", "What migrations try, in order"),
            *(answers.MigrationNetworks, do.migration_networks),
        ),
        Route(
            *("PUT", "/migration-networks", "setMigrationNetworks", "Their order, and exclusions"),
            *(answers.MigrationNetworks, do.set_migration_networks),
            body=settings.MigrationNetworksBody,
            refusals=(ABSENT, REFUSED),
        ),
    )
