"""From a topology to a cluster that stands: programs started, cluster formed, VMs online."""

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from lab.disk_forming import add_disks
from lab.errors import LabError, UnknownFabric
from lab.home import Home, LabRecord, witness_path
from lab.launching import Programs
from lab.leaders import leading_api
from lab.loopback import FABRICS
from lab.processes import start_lab, stop_lab
from lab.topology import Topology
from lab.topology_san import witness_lun
from protocol.disks import DiskId
from protocol.disks import witness_path as disk_path
from protocol.workload import format_size
from shell.errors import Declined, Inconclusive
from shell.io.client import Client

Note = Callable[[str], None]

ENDING_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
HEARD_WITHIN_S = 20.0
ONLINE_WITHIN_S = 120.0
LOOK_EVERY_S = 0.1
NO_LUNS: Mapping[str, str] = MappingProxyType({})


async def bring_up(
    topology: Topology,
    home: Home,
    fabric: str,
    note: Note,
    programs: Programs | None = None,
) -> LabRecord:
    """Start a lab, form its cluster of all nodes and create its VMs; all of it or nothing."""
    if fabric not in FABRICS:
        raise UnknownFabric(f"there is no fabric {fabric!r}: choose one of {', '.join(FABRICS)}")

    def allowed() -> None:
        count = len(topology.all_coordinators)
        coordinators = "a coordinator" if count == 1 else f"{count} coordinators"
        san = "" if topology.san is None else "a san, "
        nodes = _several(len(topology.nodes), "node")
        note(f"{topology.name}: starting {san}{coordinators} and {nodes}")

    record = await start_lab(
        topology, home, FABRICS[fabric](), programs or Programs(), allowed=allowed
    )
    async with ended_on_failure(record, home):
        async with Client(await leading_api(record)) as api:
            luns = record.san.ready["luns"] if record.sans else {}
            await form(api, topology, note, record.state_dir, luns)
            await add_disks(api, topology, luns, note)
            await create_vms(api, topology, note)
    return record


def _several(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


@contextlib.asynccontextmanager
async def ended_on_failure(record: LabRecord, home: Home) -> AsyncIterator[None]:
    """If what is inside fails, or is cancelled, the lab goes and only its logs stay."""
    try:
        yield
    except BaseException as exc:
        logs = home.failed_logs(record.name)
        with uninterrupted():
            keep_logs(record, home)
            await stop_lab(record)
        if isinstance(exc, Exception):
            exc.add_note(f"logs: {logs}")
        raise


@contextlib.contextmanager
def uninterrupted() -> Iterator[None]:
    """What is being ended is ended to its end: another Ctrl-C would only leave processes behind."""
    before = {sig: signal.signal(sig, signal.SIG_IGN) for sig in ENDING_SIGNALS}
    try:
        yield
    finally:
        for sig, handler in before.items():
            signal.signal(sig, handler)


def keep_logs(record: LabRecord, home: Home) -> None:
    """Move the logs to where those of failed starts are; who still writes them goes on there."""
    kept = home.failed_logs(record.name)
    with contextlib.suppress(OSError):
        kept.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        for old in kept.glob("*"):
            old.unlink()
        (record.state_dir / "logs").rename(kept)


async def form(
    api: Client,
    topology: Topology,
    note: Note,
    state_dir: Path,
    luns: Mapping[str, str] = NO_LUNS,
) -> None:
    """Make one cluster of all nodes, as soon as the coordinator hears them. `luns`: the ids of the
    san's disks by their names.
    """
    nodes = tuple(topology.nodes)
    await _until_heard(api, nodes)
    note(f"{topology.name}: forming the cluster of {', '.join(nodes)}")
    await api.post("/cluster", wish(topology, state_dir, luns))
    if topology.properties:
        await api.patch("/cluster/properties", dict(topology.properties))


def wish(topology: Topology, state_dir: Path, luns: Mapping[str, str] = NO_LUNS) -> dict[str, Any]:
    """What is asked of the API when the lab's cluster forms."""
    timing, quorum = topology.clocks, topology.quorum
    asked: dict[str, Any] = {
        "name": topology.name,
        "nodes": list(topology.nodes),
        "delay_s": timing.delay_s,
        "threshold": timing.threshold,
    }
    if quorum.mode is not None:
        asked["mode"] = quorum.mode
    if (witness := quorum.witness) is not None:
        lun = witness_lun(topology)
        path = (
            str(witness_path(state_dir, witness.name))
            if lun is None
            else disk_path(DiskId(luns[lun.name]))
        )
        asked["witness"] = {"name": witness.name, "kind": witness.kind.value, "path": path}
    if topology.personality != "2008r2":
        asked["personality"] = topology.personality
    return asked


async def _until_heard(api: Client, nodes: Sequence[str]) -> None:
    """An agent is ready before it has found its coordinator, which may not have its term yet."""
    give_up_at = asyncio.get_running_loop().time() + HEARD_WITHIN_S
    while True:
        status = await api.get("/status")
        missing = [node for node in nodes if node not in (status.get("available") or ())]
        if not missing and status["leader"] is not None:
            return
        if asyncio.get_running_loop().time() >= give_up_at:
            lacks = f"hear {', '.join(missing)}" if missing else "lead"
            raise LabError(
                f"the coordinator does not {lacks} after {HEARD_WITHIN_S:g} s: see the logs"
            )
        await asyncio.sleep(LOOK_EVERY_S)


async def create_vms(api: Client, topology: Topology, note: Note) -> None:
    """Create the topology's VMs and wait until each is online."""
    for name, vm in topology.vms.items():
        note(f"{topology.name}: creating {name} with {format_size(vm.memory)}")
        body = {
            "name": name,
            "memory": vm.memory,
            "workload": vm.workload,
            "fill": vm.fill,
            "start": True,
        }
        await api.post("/vms", {**body, **({"node": vm.node} if vm.node else {})})
    for name in topology.vms:
        await until_online(api, name)


async def until_online(api: Client, vm: str, within_s: float = ONLINE_WITHIN_S) -> None:
    give_up_at = asyncio.get_running_loop().time() + within_s
    while (row := await api.get(f"/vms/{vm}"))["state"] != "Online":
        if row["state"] == "Failed":
            raise LabError(f"VM {vm} did not start: hvlab events says why")
        if asyncio.get_running_loop().time() >= give_up_at:
            raise Inconclusive(f"VM {vm} is still {row['state']} after {within_s:g} s")
        await asyncio.sleep(LOOK_EVERY_S)


async def state_of_node(api: Client, node: str) -> str:
    """What the cluster makes of a node; Declined if it has none of that name."""
    for row in await api.get("/nodes"):
        if row["name"] == node:
            return str(row["state"])
    raise Declined(404, "unknown-node", f"The cluster has no node {node!r}.", {})
