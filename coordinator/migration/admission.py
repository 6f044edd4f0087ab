"""What an operator may ask for now. A refusal names what is wrong and what would be right."""

import re
from collections.abc import Mapping

from coordinator.groups.placement import (
    accepts_groups,
    best_node,
    free_bytes,
    node_memory_bytes,
)
from coordinator.migration import travels
from coordinator.requests import CreateVm, Declined
from coordinator.scene import Scene
from coordinator.storage import needs, vm_disks, vm_files
from coordinator.store.rows import AttemptRow, VmRow
from protocol.errors import Refused
from protocol.names import PAGE_BYTES, POLICIES, NodeName, NodeState, VmName, VmSpec
from protocol.travel import Travel
from protocol.workload import format_size, why_no_disk

NAME_PATTERN = re.compile(r"[A-Za-z0-9]([A-Za-z0-9_.-]{0,62}[A-Za-z0-9])?")
"""Never `.` or `..`, which stand for something else in every path and URL."""


def unknown_vm(vm: VmName) -> Declined:
    return Declined(404, "unknown-vm", f"There is no VM {vm!r}: name one that exists.")


def unknown_node(node: NodeName) -> Declined:
    return Declined(
        404, "unknown-node", f"The cluster has no node {node!r}: name one of its nodes."
    )


NOTHING_KEPT: Mapping[NodeName, int] = {}


def taking_part(scene: Scene, node: NodeName) -> list[AttemptRow]:
    """The migrations that `node` takes part in, on either side."""
    unclosed = scene.book.unclosed.values()
    return [attempt for attempt in unclosed if node in (attempt.source, attempt.target)]


def busy_with(scene: Scene, node: NodeName) -> AttemptRow | None:
    """A migration for whose end `node` waits before it takes part in another: 2008 R2 allows one at
    a time.
    """
    attempts = taking_part(scene, node)
    return attempts[0] if len(attempts) >= travels.places(scene.book) else None


def check_vm_name(vm: VmName) -> Declined | None:
    if NAME_PATTERN.fullmatch(vm):
        return None
    sentence = (
        f"{vm!r} is no name for a VM: use 1 to 64 letters, digits, hyphens, underscores and dots,"
        " with a letter or a digit at either end."
    )
    return Declined(422, "bad-name", sentence)


def check_spec(scene: Scene, spec: VmSpec) -> Declined | None:
    """Whether any node of this cluster could ever hold it."""
    size = spec.memory_bytes
    if size <= 0:
        sentence = f"A VM cannot have {size} bytes of memory: give it at least {PAGE_BYTES}."
        return Declined(422, "bad-memory", sentence)
    if size % PAGE_BYTES:
        below, above = size // PAGE_BYTES * PAGE_BYTES, -(-size // PAGE_BYTES) * PAGE_BYTES
        fitting = f"{below} or {above}" if below else f"{above}"
        sentence = (
            f"{size} bytes of memory are no multiple of the page of {PAGE_BYTES} bytes:"
            f" {fitting} would be."
        )
        return Declined(422, "bad-memory", sentence)
    largest = max((node_memory_bytes(scene, node) for node in scene.book.nodes), default=0)
    if size > largest:
        sentence = (
            f"No node has {format_size(size)} of memory; the largest has {format_size(largest)}:"
            " ask for no more than that."
        )
        return Declined(422, "too-large", sentence)
    work = spec.workload
    if work.rate_bytes_per_s < 0 or not 0 <= work.set_bytes <= size:
        sentence = (
            f"The working set of {work.set_bytes} bytes at {work.rate_bytes_per_s} bytes/s does not"
            f" fit a VM of {size} bytes: the set is 0 to {size} bytes, the rate 0 or more."
        )
        return Declined(422, "bad-workload", sentence)
    if wrong := why_no_disk(work, tuple(disk.size_bytes for disk in spec.disks)):
        return Declined(422, "no-disk", wrong)
    return None


def node_for_new_vm(scene: Scene, body: CreateVm) -> NodeName | Declined:
    """The node that the operator named or that placement finds."""
    size = body.spec.memory_bytes
    if refusal := vm_files.check_volumes(scene, body.vm, body.spec, body.start):
        return refusal
    if body.node is None:
        away = vm_files.without_volumes(scene, body.spec)
        return best_node(scene, size, away) or no_room(scene, size)
    if refusal := check_receiving(scene, body.node):
        return refusal
    if body.start and (refusal := vm_files.check_reached(scene, body.node, body.spec)):
        return refusal
    return body.node if free_bytes(scene, body.node) >= size else too_little(scene, body.node, size)


def check_receiving(scene: Scene, node: NodeName) -> Declined | None:
    """Why `node` cannot be given a VM now."""
    if node not in scene.book.nodes:
        return unknown_node(node)
    state = scene.node_state(node)
    if state is not NodeState.UP:
        remedy = "resume it first" if state is NodeState.PAUSED else "wait until it is Up"
        sentence = f"Node {node} is {state.value} and accepts no VMs: {remedy}, or choose another."
        return Declined(409, f"node-{state.value.lower()}", sentence)
    if not accepts_groups(scene, node):
        sentence = f"Node {node} is not connected to the coordinator: wait, or choose another."
        return Declined(409, "node-unreachable", sentence)
    return None


def too_little(scene: Scene, node: NodeName, size: int) -> Declined:
    free = max(0, free_bytes(scene, node))
    sentence = (
        f"Node {node} has {free} bytes of memory free and {size} are needed:"
        " choose another node or make room."
    )
    return Declined(409, "no-memory", sentence)


def no_room(scene: Scene, size: int) -> Declined:
    sentence = f"No node that is Up has {size} bytes of memory free: make room or add a node."
    return Declined(409, "no-memory", sentence)


def check_policy(policy: str) -> Declined | None:
    """No name means the default. A node's own policy, with a dot in its name, is for the source to
    judge, if only once memory is reserved, and so are the numbers after a colon.
    """
    name = policy.partition(":")[0]
    if not policy or name.lower() in POLICIES or "." in name:
        return None
    sentence = (
        f"There is no migration policy {name!r}: choose one of {', '.join(POLICIES)}, or a node's"
        " own by its name with a dot."
    )
    return Declined(422, "unknown-policy", sentence)


def check_at_rest(vm: VmRow) -> Declined | None:
    """Why `vm` can be neither moved nor stopped nor deleted: an attempt decides about it."""
    if vm.attempt is None:
        return None
    sentence = f"VM {vm.name} is in migration attempt {vm.attempt}: cancel it or wait for its end."
    return Declined(409, "vm-busy", sentence)


def check_files_rest(vm: VmRow) -> Declined | None:
    """Why `vm` can be moved neither itself nor its files: they are on their way already."""
    if vm.move is None or not vm.storage_moves:
        return None
    sentence = (
        f"The files of VM {vm.name} are being moved to {vm.move.volume}: cancel that or wait for"
        " its end."
    )
    return Declined(409, "vm-storage-moving", sentence)


def check_source(scene: Scene, vm: VmRow) -> Declined | None:
    """Why `vm` cannot leave its node now."""
    if not (vm.on and vm.live) or vm.failed:
        sentence = f"VM {vm.name} is off: start it before you migrate it."
        return Declined(409, "vm-off", sentence)
    if refusal := check_at_rest(vm) or check_files_rest(vm):
        return refusal
    owner = scene.agents.living(vm.owner, vm.owner_incarnation)
    if owner is None or not scene.may_own(vm.owner, owner.incarnation):
        return source_away(vm)
    if not vm_disks.is_ready(scene, vm):
        sentence = f"The disk of VM {vm.name} is not online on node {vm.owner} yet: wait for that."
        return Declined(409, "disk-pending", sentence)
    if not owner.online_at(vm.name, vm.epoch):
        sentence = f"VM {vm.name} is not online yet: wait until it is before you migrate it."
        return Declined(409, "vm-pending", sentence)
    return None


def source_away(vm: VmRow) -> Declined:
    sentence = f"Node {vm.owner}, where VM {vm.name} runs, is not connected: wait until it is."
    return Declined(409, "source-unreachable", sentence)


def there_already(vm: VmRow) -> Declined:
    sentence = f"VM {vm.name} is on node {vm.owner} already: choose another node."
    return Declined(409, "same-node", sentence)


def check_travel(travel: Travel) -> Declined | None:
    """Why nobody can let pages travel so."""
    try:
        travel.refuse()
    except Refused as exc:
        return Declined(422, "bad-travel", str(exc))
    return None


def check_idle(scene: Scene, node: NodeName) -> Declined | None:
    """Why `node` cannot leave: it takes part in a migration."""
    attempts = taking_part(scene, node)
    if not attempts:
        return None
    attempt = attempts[0]
    sentence = (
        f"Node {node} takes part in migration attempt {attempt.id} of VM {attempt.vm}: wait for"
        " its end."
    )
    return Declined(409, "node-busy", sentence)


def check_place(
    scene: Scene, node: NodeName, kept: Mapping[NodeName, int] = NOTHING_KEPT
) -> Declined | None:
    """Why `node` cannot take part in one more migration; `kept` places are for others."""
    places = travels.places(scene.book)
    attempt = busy_with(scene, node)
    if attempt is not None:
        many = "one" if places == 1 else str(places)
        sentence = (
            f"Node {node} takes part in migration attempt {attempt.id} of VM {attempt.vm}, and a"
            f" node takes part in {many} at a time: wait for its end."
        )
        return Declined(409, "node-busy", sentence)
    if kept.get(node) and len(taking_part(scene, node)) + kept[node] >= places:
        sentence = f"Node {node} is kept for a migration that waits before this one: wait, too."
        return Declined(409, "node-busy", sentence)
    return None


def check_target(
    scene: Scene, vm: VmRow, target: NodeName, kept: Mapping[NodeName, int] = NOTHING_KEPT
) -> Declined | None:
    """Why `vm` cannot go to `target` now."""
    if target == vm.owner:
        return there_already(vm)
    if refusal := needs.check_may_leave(scene, vm):
        return refusal
    if refusal := check_receiving(scene, target) or check_place(scene, target, kept):
        return refusal
    if not scene.book.group(vm.name).may_be_on(target):
        sentence = f"Node {target} is no possible owner of {vm.name}: choose one that is."
        return Declined(409, "not-possible-owner", sentence)
    if refusal := vm_files.check_reached(scene, target, vm.spec):
        return refusal
    if free_bytes(scene, target) < vm.spec.memory_bytes:
        return too_little(scene, target, vm.spec.memory_bytes)
    return None


def migration_target(
    scene: Scene,
    vm: VmName,
    target: NodeName | None,
    kept: Mapping[NodeName, int] = NOTHING_KEPT,
) -> tuple[VmRow, NodeName] | Declined:
    """The checks of S1 and S2, in the order in which a person would want to hear of them."""
    row = scene.book.vms.get(vm)
    if row is None:
        return unknown_vm(vm)
    if target is not None and target not in scene.book.nodes:
        return unknown_node(target)
    if target is not None and target == row.owner and row.live:
        return check_source(scene, row) or check_target(scene, row, target) or (row, target)
    if refusal := check_source(scene, row) or check_place(scene, row.owner, kept):
        return refusal
    if refusal := needs.check_may_leave(scene, row):
        return refusal
    if target is not None:
        return check_target(scene, row, target, kept) or (row, target)
    busy = {node for node in scene.book.nodes if check_place(scene, node, kept) is not None}
    away = vm_files.without_volumes(scene, row.spec) | {row.owner}
    group, size = scene.book.group(vm), row.spec.memory_bytes
    chosen = best_node(scene, size, busy | away, None, group)
    if chosen is not None:
        return row, chosen
    later = best_node(scene, size, away, None, group)
    refusal = None if later is None else check_place(scene, later, kept)
    return refusal or no_room(scene, size)
