"""Who is let in: what must be true of a Hello before anything that it says counts."""

import ipaddress

from coordinator.scene import Scene
from coordinator.votes.arbitration import vote_configs
from protocol.messages import Evicted, Hello, TurnedAway, WitnessStatus
from protocol.names import WitnessKind

LEAP_MAX = 1_000_000
"""How far a number that a node tells of may lie above the store's own. A backup that was put back
lacks some; a number further up was never given out, and all that follow would soon be too long.
"""


def belongs(scene: Scene, hello: Hello) -> bool:
    """It is a configured node of this cluster; one that was never welcomed does not know it yet."""
    cluster = scene.book.cluster
    return (
        cluster is not None
        and hello.node in scene.book.nodes
        and hello.cluster in (None, cluster.id)
    )


def why_turned_away(scene: Scene, hello: Hello) -> str:
    """Why the node that said this cannot be had as it is; empty if nothing is against it."""
    if reason := why_unreachable(hello):
        return reason
    cluster = scene.book.cluster
    if may_bring_database(scene, hello):
        return ""
    if hello.cluster is not None and (cluster is None or hello.cluster != cluster.id):
        known = "of none" if cluster is None else f"of cluster {cluster.id}"
        return (
            f"Node {hello.node} belongs to cluster {hello.cluster} and this coordinator is"
            f" {known}: give its agent the address of its own coordinator, or an empty state"
            " folder."
        )
    if hello.cluster is not None and not belongs(scene, hello):
        return f"Node {hello.node} is not configured in this cluster: join it first."
    return _why_unbelievable(scene, hello) if belongs(scene, hello) else ""


def may_bring_database(scene: Scene, hello: Hello) -> bool:
    """The store is empty, and this node is of a cluster whose disk witness has a copy of its own:
    it is not turned away before it was asked for that.
    """
    witness = None if hello.votes is None else hello.votes.witness
    return (
        scene.book.cluster is None
        and hello.cluster is not None
        and hello.incarnation not in scene.given_up
        and witness is not None
        and witness.kind is WitnessKind.DISK
    )


def turned_away(scene: Scene, hello: Hello, reason: str) -> Evicted | TurnedAway:
    """What it is told: one that was evicted while it was away is to forget the cluster."""
    cluster = scene.book.cluster
    if (
        cluster is not None
        and hello.cluster == cluster.id
        and hello.node in scene.book.evicted
        and hello.node not in scene.book.nodes
    ):
        return Evicted(cluster.id, scene.term, hello.incarnation)
    return TurnedAway(reason)


def why_unreachable(hello: Hello) -> str:
    """Why nobody could ever reach this node where it says it is; known without any row."""
    endpoint = hello.endpoint
    for network, address in endpoint.addresses:
        if not _is_address(address):
            return (
                f"Node {hello.node} says that it is reached at {address!r} on {network}: the IPv4"
                " address of one machine is wanted, so check its agent's networks."
            )
    for port in (endpoint.heartbeat_port, endpoint.migration_port):
        if not 1 <= port <= 65535:
            return (
                f"Node {hello.node} says that it listens on port {port}: 1 to 65535 are ports, so"
                " check its agent's."
            )
    return ""


def _is_address(text: str) -> bool:
    try:
        address = ipaddress.IPv4Address(text)
    except ValueError:
        return False
    return not (address.is_multicast or address.is_unspecified or text == "255.255.255.255")


def newest_index(scene: Scene) -> int:
    """The newest vote configuration that the store has, or anybody believable has told of."""
    return max([scene.highest_index, *(config.index for config in vote_configs(scene))])


def witness_can_be(scene: Scene, status: WitnessStatus | None) -> bool:
    """What a node has read in the witness is believed as far as its own numbers would be."""
    row = scene.book.view
    view = max(scene.highest_view, 0 if row is None else row.view.number)
    return status is None or (
        status.newest_view <= view + LEAP_MAX
        and status.newest_index <= newest_index(scene) + LEAP_MAX
    )


def _why_unbelievable(scene: Scene, hello: Hello) -> str:
    row = scene.book.view
    view = max(scene.highest_view, 0 if row is None else row.view.number)
    attempt = max((report.attempt for report in hello.attempts), default=0)
    index = 0 if hello.votes is None else hello.votes.index
    for word, told, known in (
        ("term", hello.highest_term, scene.term),
        ("view", hello.view, view),
        ("attempt", attempt, scene.book.counter.attempts),
        ("vote configuration", index, newest_index(scene)),
    ):
        if told > known + LEAP_MAX:
            return (
                f"Node {hello.node} tells of {word} {told}, and here {known} is the newest: no"
                " leader of this cluster came so far, so start its agent with an empty state"
                " folder."
            )
    return ""
