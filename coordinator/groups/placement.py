"""Where a group goes: filters first, then the node that owns the fewest groups (2008 R2)."""

from collections.abc import Set

from coordinator.scene import Scene
from coordinator.storage import needs
from coordinator.store.group_rows import GroupRow
from protocol.names import NodeName, NodeState, VmName

NO_GROUP = GroupRow(VmName(""))
"""What a VM that is not there yet belongs to: it has no owners that it prefers, and no class."""


def node_memory_bytes(scene: Scene, node: NodeName) -> int:
    agent = scene.agents.at(node)
    if agent is not None:
        return agent.hello.memory_bytes
    row = scene.book.nodes.get(node)
    return 0 if row is None else row.memory_bytes


def reserved_bytes(scene: Scene) -> dict[NodeName, int]:
    """What attempts keep on nodes that do not own the VM, those that nobody knows any more, too."""
    book = scene.book
    taken: dict[NodeName, int] = {}
    for attempt in book.unclosed.values():
        vm = book.vms.get(attempt.vm)
        for node in (attempt.source, attempt.target):
            if vm is not None and node is not None and node != vm.owner:
                taken[node] = taken.get(node, 0) + vm.spec.memory_bytes
    for agent in scene.agents:
        for orphan in agent.orphans.values():
            vm = book.vms.get(orphan.vm)
            if vm is not None and vm.owner != agent.node and orphan.attempt not in book.unclosed:
                taken[agent.node] = taken.get(agent.node, 0) + vm.spec.memory_bytes
    return taken


def owned_bytes(scene: Scene) -> dict[NodeName, int]:
    """What each node's VMs take or will take, reservations of migrations included."""
    taken = reserved_bytes(scene)
    for node in scene.book.tally.nodes():
        owned = scene.book.tally.of(node).memory_bytes
        if owned or node in taken:
            taken[node] = taken.get(node, 0) + owned
    return taken


def free_bytes(scene: Scene, node: NodeName) -> int:
    taken = reserved_bytes(scene).get(node, 0) + scene.book.tally.of(node).memory_bytes
    return node_memory_bytes(scene, node) - taken


def groups_owned(scene: Scene) -> dict[NodeName, int]:
    return {node: len(scene.book.tally.of(node).groups) for node in scene.book.nodes}


def accepts_groups(scene: Scene, node: NodeName) -> bool:
    """The node is Up, its agent can be told, and its life may be given VMs."""
    agent, row = scene.agents.at(node), scene.book.nodes.get(node)
    return (
        agent is not None
        and agent.welcomed
        and (row is None or not row.stopped)
        and scene.node_state(node) is NodeState.UP
        and scene.may_own(node, agent.incarnation)
    )


def node_list(scene: Scene, group: GroupRow) -> list[NodeName]:
    """The preferred owners in their order, then the other nodes by id."""
    nodes = scene.book.nodes
    preferred = [node for node in group.preferred if node in nodes]
    others = sorted(nodes.keys() - set(preferred), key=lambda node: (nodes[node].id, node))
    return preferred + others


def fitting(
    scene: Scene,
    memory_bytes: int,
    group: GroupRow = NO_GROUP,
    avoid: Set[NodeName] = frozenset(),
    already_on: NodeName | None = None,
) -> list[NodeName]:
    """In the order of the node list: possible owners that accept groups and have room.

    A VM with files on shared volumes fits only where they are reached, and nowhere before a fence
    that is due; one that is not highly available fits only where it is. On `already_on` the memory
    is counted as taken by the VM itself, so that it fits there again.
    AntiAffinityClassNames is a wish: it counts as long as one node is left that meets it.
    """
    reserved, tally = reserved_bytes(scene), scene.book.tally
    vm = scene.book.vms.get(group.name)
    stays_on = None if vm is None else needs.only_node(scene, vm)
    found = []
    for node in node_list(scene, group):
        if node in avoid or not group.may_be_on(node) or stays_on not in (None, node):
            continue
        if vm is not None and not needs.may_run(scene, node, vm.spec):
            continue
        room = node_memory_bytes(scene, node) - reserved.get(node, 0) - tally.of(node).memory_bytes
        if node == already_on:
            room += memory_bytes
        if room >= memory_bytes and accepts_groups(scene, node):
            found.append(node)
    classes = group.names("AntiAffinityClassNames")
    apart = [node for node in found if not _meets(scene, node, group.name, classes)]
    return apart or found


def _meets(scene: Scene, node: NodeName, group: VmName, classes: tuple[str, ...]) -> bool:
    """Another group of one of the classes is on `node`."""
    known = scene.book.tally.of(node).classes
    return any(known.get(name, frozenset()) - {group} for name in classes)


def best_node(
    scene: Scene,
    memory_bytes: int,
    avoid: Set[NodeName] = frozenset(),
    already_on: NodeName | None = None,
    group: GroupRow = NO_GROUP,
) -> NodeName | None:
    """The first preferred owner that fits; else of all that fit the owner of the fewest groups.

    Ties go by the order of the node list.
    """
    found = fitting(scene, memory_bytes, group, avoid, already_on)
    preferred = set(group.preferred)
    for node in found:
        if node in preferred:
            return node
    tally = scene.book.tally
    counts = [(len(tally.of(n).groups) - (n == already_on), nth) for nth, n in enumerate(found)]
    return found[min(counts)[1]] if found else None


def next_node(
    scene: Scene, memory_bytes: int, group: GroupRow, failed_on: NodeName, avoid: Set[NodeName]
) -> NodeName | None:
    """After a failure: the next that fits *down* the node list, from its top again at its end."""
    names = node_list(scene, group)
    at = names.index(failed_on) + 1 if failed_on in names else 0
    found = set(fitting(scene, memory_bytes, group, avoid | {failed_on}))
    return next((node for node in (*names[at:], *names[:at]) if node in found), None)
