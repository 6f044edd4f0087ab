"""What no single value of a topology shows: whether its parts fit each other."""

import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from lab.marked_yaml import Place, did_you_mean
from lab.topology_parts import COORDINATORS_MAX, WITNESS_OF, why_no_property
from lab.topology_san import check_san
from protocol.names import PAGE_BYTES
from protocol.workload import format_size

if TYPE_CHECKING:
    from lab.topology import Topology

NODES_MAX = 64
NETWORKS_MAX = 16
RESERVED = ("coordinator", "san", "witness", "all")
"""Words that commands understand on their own, so that no node, network or VM may be called so."""

ETCD_MEMBERS = ("e1", "e2", "e3")
"""The processes of a lab's etcd: three, so that one may be lost."""

Problem = tuple[Place, str]


def check(topology: "Topology") -> Iterator[Problem]:
    """Everything that does not fit, each with its place and one sentence."""
    checks: tuple[Callable[[Topology], Iterator[Problem]], ...] = (
        _counts,
        _names,
        _nics,
        _unused,
        _subnets,
        _control,
        _store,
        _quorum,
        _properties,
        check_san,
        _vms,
    )
    for part in checks:
        found = list(part(topology))
        yield from found
        if found:  # what comes later would only repeat it in other words
            return


def check_machine(topology: "Topology", memory_bytes: int) -> str | None:
    """Why a machine with `memory_bytes` of memory cannot hold the lab; None if it can.

    Nodes may have more together than the machine, since their memory is only taken by VMs.
    """
    has = f"but this machine has {memory_bytes // 2**20}MiB"
    for name, vm in topology.vms.items():
        if vm.memory > memory_bytes:
            return f"VM {name!r} wants {format_size(vm.memory)}, {has}: make the VM smaller"
    together = sum(vm.memory for vm in topology.vms.values())
    if together > memory_bytes:
        return f"the VMs want {format_size(together)} together, {has}: make them smaller or fewer"
    for name, node in topology.nodes.items():
        if node.memory > memory_bytes:
            return f"node {name!r} wants {format_size(node.memory)}, {has}: give the node less"
    return None


def _counts(topology: "Topology") -> Iterator[Problem]:
    for key, count, most in (
        ("networks", len(topology.networks), NETWORKS_MAX),
        ("nodes", len(topology.nodes), NODES_MAX),
    ):
        if not 1 <= count <= most:
            yield (key,), f"there are {count} {key}: a lab has 1 to {most}"


def _names(topology: "Topology") -> Iterator[Problem]:
    """Commands take a node, a network or a VM in the same place, so each name means one thing."""
    owners: dict[str, str] = {}
    if topology.store == "etcd":
        owners = dict.fromkeys(ETCD_MEMBERS, "members of etcd")
    for key, group in (
        ("coordinators", topology.coordinators),
        ("networks", topology.networks),
        ("nodes", topology.nodes),
        ("vms", topology.vms),
    ):
        for name in group:
            if name in RESERVED:
                yield (key, name), f"{name!r} means something of its own: choose another name"
            elif name in owners:
                yield (
                    (key, name),
                    f"{name!r} is already the name of one of the {owners[name]}: choose another",
                )
            owners[name] = key


def _nics(topology: "Topology") -> Iterator[Problem]:
    places: list[tuple[Place, str, Sequence[str] | None]] = [
        (("nodes", name, "networks"), f"node {name!r}", node.networks)
        for name, node in topology.nodes.items()
    ]
    places += [
        (("coordinators", name, "networks"), f"coordinator {name!r}", one.networks)
        for name, one in topology.coordinators.items()
    ]
    places.append((("coordinator", "networks"), "the coordinator", topology.coordinator.networks))
    for place, who, networks in places:
        if networks is None:
            continue
        if not networks:
            yield place, f"{who} has no NIC: name at least one network, or leave the key out"
        for index, network in enumerate(networks):
            if network not in topology.networks:
                hint = did_you_mean(network, topology.networks)
                yield (*place, index), f"{who} names the unknown network {network!r}: {hint}"
            elif network in networks[:index]:
                yield (*place, index), f"{who} names network {network!r} twice: name it once"


def _unused(topology: "Topology") -> Iterator[Problem]:
    for name in topology.networks:
        if not any(name in topology.networks_of(node) for node in topology.nodes):
            yield (
                ("networks", name),
                f"network {name!r} has no NICs: give it to a node, or leave it out",
            )


def _subnets(topology: "Topology") -> Iterator[Problem]:
    for (first, one), (second, other) in itertools.combinations(topology.networks.items(), 2):
        place = ("networks", second, "subnet")
        if one.subnet == other.subnet:
            yield place, f"{other.subnet} is already the subnet of {first!r}: choose another"
        elif one.subnet.overlaps(other.subnet):
            yield (
                place,
                f"{other.subnet} overlaps {one.subnet} of {first!r}: choose one apart from it",
            )
    for name, network in topology.networks.items():
        members = sum(name in topology.networks_of(node) for node in topology.nodes)
        members += sum(
            name in topology.networks_of_coordinator(one) for one in topology.all_coordinators
        )
        members += name in topology.networks_of_san
        hosts = network.subnet.num_addresses - 2
        if hosts < members:
            yield (
                ("networks", name, "subnet"),
                f"{network.subnet} has room for {max(hosts, 0)} hosts, but {members} are on it: "
                "choose a bigger subnet",
            )


def _control(topology: "Topology") -> Iterator[Problem]:
    """An agent reaches the coordinator on a cluster network that both are on."""
    for one in topology.all_coordinators:
        who = f"coordinator {one!r}" if topology.coordinators else "the coordinator"
        reached = topology.networks_of_coordinator(one)
        offered = {name for name in reached if topology.role(name) != "None"}
        for node in topology.nodes:
            if offered.isdisjoint(topology.networks_of(node)):
                yield (
                    ("nodes", node),
                    f"node {node!r} shares no cluster network with {who}: "
                    f"put both on one whose role is Cluster or ClusterAndClient",
                )


def _store(topology: "Topology") -> Iterator[Problem]:
    count = len(topology.coordinators)
    if count > COORDINATORS_MAX:
        yield ("coordinators",), f"there are {count} coordinators: 1 to {COORDINATORS_MAX} may be"
    if count and topology.coordinator.networks is not None:
        yield ("coordinator",), "coordinator and coordinators exclude each other: keep one of them"
    if count > 1 and topology.store == "sqlite":
        yield (
            ("coordinators",),
            f"{count} coordinators cannot share a file: add store: etcd, or have one coordinator",
        )


def _quorum(topology: "Topology") -> Iterator[Problem]:
    """A mode and its witness belong together."""
    mode, witness = topology.quorum.mode, topology.quorum.witness
    place: Place = ("quorum", "witness")
    if witness is not None and (witness.disk is None) is (witness.share is None):
        yield place, "quorum.witness is one disk or one share: write disk: NAME, or share: NAME"
        return
    kind = None if witness is None else "share" if witness.disk is None else "disk"
    if mode is None:
        return
    needed = WITNESS_OF.get(mode)
    if needed is not None and kind is None:
        yield ("quorum", "mode"), f"{mode} needs a witness: add witness: {{{needed}: NAME}}"
    elif needed is None and kind is not None:
        yield place, f"{mode} has no witness: leave it out, or choose a mode with a {kind}"
    elif needed != kind:
        yield place, f"{mode} needs a {needed} as its witness, not a {kind}: write {needed}: NAME"


def _properties(topology: "Topology") -> Iterator[Problem]:
    for name, value in topology.properties.items():
        if why := why_no_property(name, value, topology.personality):
            yield ("properties", name), why
    for name, key in (("SameSubnetDelay", "delay"), ("SameSubnetThreshold", "threshold")):
        if name in topology.properties and key in topology.timing.model_fields_set:
            yield ("properties", name), f"{name} is timing.{key}: say it in one of both places"


def _vms(topology: "Topology") -> Iterator[Problem]:
    largest = max((node.memory for node in topology.nodes.values()), default=0)
    placed = dict.fromkeys(topology.nodes, 0)
    for name, vm in topology.vms.items():
        size, place = format_size(vm.memory), ("vms", name)
        if vm.memory > largest:
            yield (
                (*place, "memory"),
                f"VM {name!r} wants {size}, but the largest node has {format_size(largest)}: "
                "make the VM smaller or a node larger",
            )
        elif vm.node is not None and vm.node in placed:
            placed[vm.node] += vm.memory
            has = topology.nodes[vm.node].memory
            if placed[vm.node] > has:
                yield (
                    (*place, "memory"),
                    f"the VMs of node {vm.node!r} want {format_size(placed[vm.node])} with "
                    f"{name!r}, but it has {format_size(has)}: move one or make the node larger",
                )
        if vm.node is not None and vm.node not in placed:
            hint = did_you_mean(vm.node, topology.nodes)
            yield (*place, "node"), f"VM {name!r} names the unknown node {vm.node!r}: {hint}"
        if vm.guest.set_bytes > vm.memory - PAGE_BYTES:
            yield (
                (*place, "workload"),
                f"the working set of VM {name!r} does not fit {size} beside the guest's own page: "
                "choose a smaller set",
            )
