"""Where a VM goes when nobody says where: to the node with the fewest groups that has room."""

from collections.abc import Set

from coordinator.scene import Scene
from protocol.names import NodeName, NodeState


def node_memory_bytes(scene: Scene, node: NodeName) -> int:
    agent = scene.agents.at(node)
    if agent is not None:
        return agent.hello.memory_bytes
    row = scene.book.nodes.get(node)
    return 0 if row is None else row.memory_bytes


def owned_bytes(scene: Scene) -> dict[NodeName, int]:
    """What each node's VMs take or will take, reservations of migrations included."""
    book = scene.book
    taken: dict[NodeName, int] = {}
    for vm in book.vms.values():
        taken[vm.owner] = taken.get(vm.owner, 0) + vm.spec.memory_bytes
    for attempt in book.unclosed.values():
        vm_row = book.vms.get(attempt.vm)
        if vm_row is None:
            continue
        for node in (attempt.source, attempt.target):
            if node is not None and node != vm_row.owner:
                taken[node] = taken.get(node, 0) + vm_row.spec.memory_bytes
    return taken


def free_bytes(scene: Scene, node: NodeName) -> int:
    return node_memory_bytes(scene, node) - owned_bytes(scene).get(node, 0)


def groups_owned(scene: Scene) -> dict[NodeName, int]:
    counts = dict.fromkeys(scene.book.nodes, 0)
    for vm in scene.book.vms.values():
        counts[vm.owner] = counts.get(vm.owner, 0) + 1
    return counts


def accepts_groups(scene: Scene, node: NodeName) -> bool:
    """The node is Up, its agent can be told, and its life may be given VMs."""
    agent = scene.agents.at(node)
    return (
        agent is not None
        and agent.welcomed
        and scene.node_state(node) is NodeState.UP
        and scene.may_own(node, agent.incarnation)
    )


def best_node(
    scene: Scene,
    memory_bytes: int,
    avoid: Set[NodeName] = frozenset(),
    already_on: NodeName | None = None,
) -> NodeName | None:
    """The accepting node with room that owns the fewest groups; ties go by name.

    On `already_on` the memory is counted as taken by the VM itself, so that it fits there again.
    """
    taken, counts = owned_bytes(scene), groups_owned(scene)
    fitting = []
    for node in sorted(scene.book.nodes):
        room = node_memory_bytes(scene, node) - taken.get(node, 0)
        if node == already_on:
            room += memory_bytes
        if node not in avoid and room >= memory_bytes and accepts_groups(scene, node):
            groups = counts[node] - (node == already_on)
            fitting.append((groups, node))
    return min(fitting)[1] if fitting else None
