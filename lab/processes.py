"""A lab as processes: one for each node and one for the coordinator, started, hurt and ended.

The launcher may go as soon as the lab is up; every later command finds the processes by
lab.json, and touches only what still is the very process that was started.
"""

import asyncio
import dataclasses
import json
import signal
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab.errors import LabError, StartFailed
from lab.home import (
    CoordinatorRecord,
    Home,
    LabRecord,
    NodeRecord,
    Program,
    locked,
    read_record,
    update_record,
    write_record,
)
from lab.loopback import FABRICS, Fabric, Layout
from lab.procfs import Process, boot_id, family, machine_memory_bytes, runs, send
from lab.spawning import Started, end, kill, ready, spawn
from lab.topology import Topology, dump_topology
from lab.topology_checks import check_machine

COORDINATOR = "coordinator"
ROLE_NUMBERS = {"None": 0, "Cluster": 1, "ClusterAndClient": 3}
READY_WITHIN_S = 30.0
END_PATIENCE_S = 5.0


@dataclass(frozen=True, slots=True)
class Programs:
    """How the two programs are called. Tests put small ones of their own here."""

    agent: tuple[str, ...] = (sys.executable, "-m", "agent")
    coordinator: tuple[str, ...] = (sys.executable, "-m", "coordinator")

    def agent_argv(
        self,
        topology: Topology,
        layout: Layout,
        node: str,
        state_dir: Path,
        control: Mapping[str, str],
    ) -> tuple[str, ...]:
        """`control` is the coordinator's ADDR:PORT by network; only shared networks are told."""
        addresses = layout.nodes[node]
        return (
            *self.agent,
            *("--node", node, "--state-dir", str(state_dir)),
            *_each("--network", (f"{net}={address}" for net, address in addresses.items())),
            *_each("--coordinator", (control[net] for net in addresses if net in control)),
            *("--heartbeat-port", str(layout.ports.heartbeat)),
            *("--migration-port", str(layout.ports.migration)),
            *("--memory-bytes", str(topology.nodes[node].memory)),
        )

    def coordinator_argv(
        self, topology: Topology, state_dir: Path, listen: tuple[str, ...], api: str
    ) -> tuple[str, ...]:
        metrics = topology.metrics()
        networks = {
            name: {
                "subnet": str(network.subnet),
                "role": ROLE_NUMBERS[topology.role(name)],
                "metric": metrics[name],
            }
            for name, network in topology.networks.items()
        }
        return (
            *self.coordinator,
            *("--state-dir", str(state_dir), "--name", topology.name, "--api", api),
            *_each("--listen", listen),
            *_each("--network", (f"{name}={json.dumps(net)}" for name, net in networks.items())),
            *("--delay-s", str(topology.clocks.delay_s)),
            *("--threshold", str(topology.clocks.threshold)),
        )


def _host(address_and_port: str) -> str:
    return address_and_port.rpartition(":")[0]


def _each(option: str, values: Any) -> tuple[str, ...]:
    return tuple(word for value in values for word in (option, value))


async def start_lab(
    topology: Topology,
    home: Home,
    fabric: Fabric,
    programs: Programs = Programs(),
    *,
    ready_within_s: float = READY_WITHIN_S,
    allowed: Callable[[], None] = lambda: None,
) -> LabRecord:
    """Start all programs of a lab and wait until each is ready; the cluster is not formed yet.

    A start that fails, or is cancelled, ends what it started and leaves only the logs. `allowed` is
    called once nothing speaks against the start any more.
    """
    if refusal := check_machine(topology, machine_memory_bytes()):
        raise LabError(refusal)
    await _clear_stale(home, topology.name)
    with home.starting(topology.name) as folder:
        layout = fabric.take(topology, home)
        allowed()
        launch = _Launch(topology, layout, programs, folder, fabric.name, ready_within_s)
        try:
            return await launch.run()
        except BaseException as exc:
            await launch.undo()
            fabric.give_back(home, topology.name)
            if isinstance(exc, StartFailed):
                logs = home.failed_logs(topology.name)
                raise StartFailed(f"{exc} (logs: {logs})") from exc
            raise


async def _clear_stale(home: Home, name: str) -> None:
    """End what is left of a lab of that name whose own programs are all gone."""
    record = read_record(home.folder(name))
    if record and record.boot_id == boot_id() and not record.is_running():
        await kill(record.processes)


class _Launch:
    """One start of a lab. What it has started so far is in lab.json from the first moment on."""

    def __init__(
        self,
        topology: Topology,
        layout: Layout,
        programs: Programs,
        folder: Path,
        fabric: str,
        ready_within_s: float,
    ) -> None:
        self.topology, self.layout, self.programs = topology, layout, programs
        self.folder, self.ready_within_s = folder, ready_within_s
        self.started: list[Started] = []
        self.record = LabRecord(
            name=topology.name,
            fabric=fabric,
            api="",
            state_dir=folder,
            boot_id=boot_id(),
            nodes=(),
            coordinators=(),
        )

    async def run(self) -> LabRecord:
        self.record.topology_path.write_text(dump_topology(self.topology), encoding="utf-8")
        coordinator = await self._coordinator()
        by_host = {_host(at): at for at in coordinator.control}
        control = {net: by_host[address] for net, address in coordinator.addresses.items()}
        begun = [self._agent(node, control) for node in self.topology.nodes]
        self._write(nodes=tuple(node for node, _ in begun))
        try:
            async with asyncio.TaskGroup() as group:
                waits = [
                    group.create_task(ready(started, self.ready_within_s)) for _, started in begun
                ]
        except BaseExceptionGroup as several:
            # Not `except*`: Pythons before 3.11.4 wrap what is raised there into another group.
            failed, others = several.split(StartFailed)
            if failed is None or others is not None:
                raise
            raise failed.exceptions[0] from None
        nodes = tuple(
            dataclasses.replace(node, ready=wait.result())
            for (node, _), wait in zip(begun, waits, strict=True)
        )
        self._write(nodes=nodes, api=coordinator.ready["api"])
        return self.record

    async def _coordinator(self) -> CoordinatorRecord:
        ports, addresses = self.layout.ports, self.layout.coordinator
        state_dir = self.folder / COORDINATOR
        state_dir.mkdir(mode=0o700)

        def argv(listen: tuple[str, ...], api: str) -> tuple[str, ...]:
            return self.programs.coordinator_argv(self.topology, state_dir, listen, api)

        wanted = tuple(f"{address}:{ports.control}" for address in addresses.values())
        first = argv(wanted, f"{self.layout.api_address}:{ports.api}")
        started = self._spawn(COORDINATOR, first)
        record = CoordinatorRecord(
            name=COORDINATOR,
            pid=started.process.pid,
            start_time=started.process.start_time,
            addresses=addresses,
            control=(),
            argv=first,
            ready={},
        )
        self._write(coordinators=(record,))
        said = await ready(started, self.ready_within_s)
        try:
            control, api = tuple(map(str, said["control"])), str(said["api"])
        except (KeyError, TypeError) as exc:
            raise StartFailed(f"the coordinator's ready line lacks {exc}") from exc
        if sorted(map(_host, control)) != sorted(addresses.values()):
            raise StartFailed(f"the coordinator listens on {control}, not on {wanted}")
        # From now on it is where the agents know it, also after a restart.
        again = argv(control, api.removeprefix("http://").rstrip("/"))
        record = dataclasses.replace(record, control=control, argv=again, ready=said)
        self._write(coordinators=(record,))
        return record

    def _agent(self, node: str, control: Mapping[str, str]) -> tuple[NodeRecord, Started]:
        state_dir = self.folder / "nodes" / node
        state_dir.mkdir(mode=0o700, parents=True)
        argv = self.programs.agent_argv(self.topology, self.layout, node, state_dir, control)
        started = self._spawn(node, argv)
        record = NodeRecord(
            name=node,
            pid=started.process.pid,
            start_time=started.process.start_time,
            addresses=self.layout.nodes[node],
            argv=argv,
            ready={},
        )
        return record, started

    def _spawn(self, name: str, argv: tuple[str, ...]) -> Started:
        started = spawn(name, argv, self.record.log_path(name))
        self.started.append(started)
        return started

    def _write(self, **changes: Any) -> None:
        self.record = dataclasses.replace(self.record, **changes)
        write_record(self.record)

    async def undo(self) -> None:
        await kill(started.process for started in self.started)
        for started in self.started:
            started.pipe.close()


async def stop_lab(record: LabRecord, *, patience_s: float = END_PATIENCE_S) -> None:
    """End every process of the lab, then remove its folder; a stale lab is only cleared away."""
    record = read_record(record.state_dir) or record
    if record.boot_id == boot_id():
        await end(record.processes, patience_s)
    home = Home.of(record)
    FABRICS[record.fabric]().give_back(home, record.name)
    home.forget(record.name)


def signal_node(
    record: LabRecord, node: str, sig: signal.Signals, *, whole: bool
) -> tuple[Process, ...]:
    """Send `sig` to the agent of `node`, and if `whole` to all that it started; who got it.

    To end a node for good, use `kill_node`, which also waits.
    """
    agent = record.node(node).process
    reached = [agent] if send(agent, sig) else []
    members = set(family(agent)) if whole else set()
    told: set[Process] = set()
    while new := members - told:  # until nobody is left who was started meanwhile
        reached += [member for member in new if send(member, sig)]
        told |= new
        members = set(family(agent))
    if not reached:
        raise LabError(f"{node} does not run: restart it first")
    return tuple(reached)


async def kill_node(record: LabRecord, node: str) -> tuple[Process, ...]:
    """SIGKILL the agent, its warm parent and its workers, and wait until they are gone."""
    return await _kill_program(record.node(node))


async def kill_coordinator(record: LabRecord, name: str = COORDINATOR) -> tuple[Process, ...]:
    """SIGKILL the coordinator and wait until it is gone."""
    return await _kill_program(record.coordinator(name))


async def _kill_program(program: NodeRecord | CoordinatorRecord) -> tuple[Process, ...]:
    killed = await kill([program.process])
    if not killed:
        raise LabError(f"{program.name} does not run: there is nothing to kill")
    return killed


async def restart_node(
    record: LabRecord, node: str, *, ready_within_s: float = READY_WITHIN_S
) -> LabRecord:
    """Start the agent of a node that has ended, with its old state folder; the new record."""

    def note(life: NodeRecord) -> LabRecord:
        def change(now: LabRecord) -> LabRecord:
            nodes = tuple(life if one.name == node else one for one in now.nodes)
            return dataclasses.replace(now, nodes=nodes)

        return update_record(record, change)

    fresh = read_record(record.state_dir) or record
    return await _again(fresh, fresh.node(node), note, ready_within_s)


async def restart_coordinator(
    record: LabRecord, name: str = COORDINATOR, *, ready_within_s: float = READY_WITHIN_S
) -> LabRecord:
    """Start a coordinator that has ended, on its old ports with its old store; the new record."""

    def note(life: CoordinatorRecord) -> LabRecord:
        def change(now: LabRecord) -> LabRecord:
            lives = tuple(life if one.name == name else one for one in now.coordinators)
            return dataclasses.replace(now, coordinators=lives)

        return update_record(record, change)

    fresh = read_record(record.state_dir) or record
    return await _again(fresh, fresh.coordinator(name), note, ready_within_s)


async def _again(
    record: LabRecord, old: Program, note: Callable[[Program], LabRecord], within_s: float
) -> LabRecord:
    """A new life for a program whose old one has ended, with all that it had started."""
    with locked(record.state_dir / f"{old.name}.lock", wait=False) as mine:
        if not mine:
            raise LabError(f"{old.name} is being restarted by another command: wait for it")
        if runs(old.process):
            raise LabError(f"{old.name} still runs as pid {old.pid}: kill it before a restart")
        await kill([old.process])  # workers end with their agent; this makes it certain
        started = spawn(old.name, old.argv, record.log_path(old.name))
        process = started.process
        life = dataclasses.replace(old, pid=process.pid, start_time=process.start_time, ready={})
        try:
            note(life)
            return note(dataclasses.replace(life, ready=await ready(started, within_s)))
        except BaseException:
            await kill([process])
            raise
