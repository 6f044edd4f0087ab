"""What an operator asks of a cluster, said over its HTTP API."""

from typing import Any

from coordinator.requests import (
    CreateVm,
    EvictNode,
    ForceQuorum,
    JoinNode,
    MigrateVm,
    PauseNode,
    Request,
    ResumeNode,
    SetProperties,
    SetQuorum,
    SetWeight,
    StartNode,
    StartVm,
    StopNode,
    StopVm,
)
from protocol.workload import format_workload
from shell.io.client import Client


async def put(api: Client, order: Request) -> dict[str, Any]:
    """An order of an operator, over HTTP."""
    match order:
        case CreateVm(vm, spec, node):
            body = {
                "name": vm,
                "memory": spec.memory_bytes,
                "node": node,
                "workload": format_workload(spec.workload),
                "fill": spec.fill.value,
                "seed": spec.seed,
            }
            path = "/vms"
        case MigrateVm(vm, to, _, verify):
            path, body = f"/vms/{vm}/migrate", {"to": to, "verify": verify.value}
        case StartVm(vm):
            path, body = f"/vms/{vm}/start", {}
        case StopVm(vm):
            path, body = f"/vms/{vm}/stop", {}
        case JoinNode(node):
            path, body = "/nodes", {"node": node}
        case PauseNode(node, drain):
            path, body = f"/nodes/{node}/pause", {"drain": drain}
        case ResumeNode(node):
            path, body = f"/nodes/{node}/resume", {}
        case StopNode(node):
            path, body = f"/nodes/{node}/stop", {}
        case StartNode(node):
            path, body = f"/nodes/{node}/start", {}
        case ForceQuorum(nodes, oath):
            path, body = "/quorum/force", {"nodes": list(nodes), "oath": oath}
        case _:
            return await _change(api, order)
    answer: dict[str, Any] = await api.post(path, body)
    return answer


async def _change(api: Client, order: Request) -> dict[str, Any]:
    answer: dict[str, Any]
    match order:
        case EvictNode(node):
            answer = await api.delete(f"/nodes/{node}")
        case SetWeight(node, weight):
            answer = await api.patch(f"/nodes/{node}", {"weight": weight})
        case SetProperties(settings):
            await api.patch("/cluster/properties", dict(settings))
            answer = {}
        case SetQuorum(mode, witness):
            place = witness and {
                "name": witness.name,
                "kind": witness.kind.value,
                "path": witness.path,
            }
            body = {"mode": mode.value, **({"witness": place} if place else {})}
            answer = await api.put("/quorum", body)
        case _:
            raise ValueError(f"no such order on real processes: {order}")
    return answer
