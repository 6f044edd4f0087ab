"""What the event log says of networks, interfaces, and what operators set of them."""

from coordinator.networks.interfaces import InterfaceState, NetworkState
from coordinator.shown.chronicle import Note, rate_words
from protocol.names import Incarnation, NetworkName, NodeName


def interface_unreachable(network: NetworkName, node: NodeName) -> Note:
    text = (
        f"The interface of node {node} on network {network} is not reached by at least one other"
        " node, and it is not known where the fault lies."
    )
    return Note(1125, "warning", text, node)


def interface_up(network: NetworkName, node: NodeName) -> Note:
    text = f"The interface of node {node} on network {network} is up: every node there reaches it."
    return Note(1126, "info", text, node)


def interface_failed(network: NetworkName, node: NodeName) -> Note:
    text = (
        f"The interface of node {node} on network {network} has failed: nobody reaches it, while"
        " others reach each other."
    )
    return Note(1127, "error", text, node)


def network_partitioned(network: NetworkName) -> Note:
    text = f"Network {network} is partitioned: some of its nodes do not reach each other over it."
    return Note(1129, "warning", text)


def network_down(network: NetworkName) -> Note:
    return Note(1130, "error", f"Network {network} is down: no node reaches another over it.")


def network_up(network: NetworkName) -> Note:
    return Note(1131, "info", f"Network {network} is up again.")


def contact_regained(node: NodeName, incarnation: Incarnation, seconds: float) -> Note:
    text = (
        f"The connection to node {node} was lost for {seconds:.1f} s and is there again;"
        " it stayed a member all the while."
    )
    return Note(1592, "info", text, node, incarnation=incarnation)


def network_set(network: NetworkName, changes: tuple[str, ...]) -> Note:
    return Note(9050, "info", f"An operator has set network {network}: {', '.join(changes)}.")


def network_limited(network: NetworkName, rate_bytes_per_s: int) -> Note:
    return network_set(network, (f"a node's migrations on it {rate_words(rate_bytes_per_s)}",))


def migration_networks_set(order: tuple[NetworkName, ...]) -> Note:
    text = f"Live migration uses these networks, the first one first: {', '.join(order)}."
    return Note(9051, "info", text)


def interface_is(network: NetworkName, node: NodeName, state: InterfaceState) -> Note | None:
    """What to say of a new state; nothing of Unavailable: the node's own event says it."""
    match state:
        case InterfaceState.UP:
            return interface_up(network, node)
        case InterfaceState.UNREACHABLE:
            return interface_unreachable(network, node)
        case InterfaceState.FAILED:
            return interface_failed(network, node)
        case InterfaceState.UNAVAILABLE:
            return None


def network_is(network: NetworkName, state: NetworkState) -> Note | None:
    match state:
        case NetworkState.UP:
            return network_up(network)
        case NetworkState.PARTITIONED:
            return network_partitioned(network)
        case NetworkState.DOWN:
            return network_down(network)
        case NetworkState.UNAVAILABLE:
            return None
