"""A lab as processes: one for each node and one for the coordinator, started, hurt and ended.

The launcher may go as soon as the lab is up; every later command finds the processes by
lab.json, and touches only what still is the very process that was started.
"""

import dataclasses
import signal
from collections.abc import Callable

from lab.errors import LabError, StartFailed
from lab.etcd import until_healthy
from lab.home import (
    CoordinatorRecord,
    Home,
    LabRecord,
    NodeRecord,
    Program,
    SanRecord,
    StoreRecord,
    locked,
    read_record,
    update_record,
)
from lab.launching import Launch, Programs
from lab.loopback import FABRICS, Fabric
from lab.procfs import Process, boot_id, family, machine_memory_bytes, runs, send
from lab.spawning import end, kill, ready, spawn
from lab.topology import Topology
from lab.topology_checks import check_machine

COORDINATOR = "coordinator"
PROGRAMS = Programs()
READY_WITHIN_S = 30.0
END_PATIENCE_S = 5.0


async def start_lab(
    topology: Topology,
    home: Home,
    fabric: Fabric,
    programs: Programs = PROGRAMS,
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
        launch = Launch(topology, layout, programs, folder, fabric.name, ready_within_s)
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


async def kill_store(record: LabRecord, name: str) -> tuple[Process, ...]:
    """SIGKILL one member of the lab's etcd and wait until it is gone."""
    return await _kill_program(record.store(name))


async def kill_san(record: LabRecord) -> tuple[Process, ...]:
    """SIGKILL the san and wait until it is gone: what was not on stable storage may be lost."""
    return await _kill_program(record.san)


async def kill_coordinator(record: LabRecord, name: str = COORDINATOR) -> tuple[Process, ...]:
    """SIGKILL the coordinator and wait until it is gone."""
    return await _kill_program(record.coordinator(name))


async def _kill_program(
    program: NodeRecord | CoordinatorRecord | StoreRecord | SanRecord,
) -> tuple[Process, ...]:
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


async def restart_store(
    record: LabRecord, name: str, *, ready_within_s: float = READY_WITHIN_S
) -> LabRecord:
    """Start a member of etcd that has ended, with its old data; the new record."""

    def note(life: StoreRecord) -> LabRecord:
        def change(now: LabRecord) -> LabRecord:
            lives = tuple(life if one.name == name else one for one in now.stores)
            return dataclasses.replace(now, stores=lives)

        return update_record(record, change)

    fresh = read_record(record.state_dir) or record
    return await _again(fresh, fresh.store(name), note, ready_within_s)


async def restart_san(record: LabRecord, *, ready_within_s: float = READY_WITHIN_S) -> LabRecord:
    """Start a san that has ended, on its old ports with its old LUNs; the new record."""

    def note(life: SanRecord) -> LabRecord:
        return update_record(record, lambda now: dataclasses.replace(now, sans=(life,)))

    fresh = read_record(record.state_dir) or record
    return await _again(fresh, fresh.san, note, ready_within_s)


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
        log, is_ours = record.log_path(old.name), not isinstance(old, StoreRecord)
        started = spawn(old.name, old.argv, log, says_ready=is_ours)
        process = started.process
        life = dataclasses.replace(old, pid=process.pid, start_time=process.start_time)
        try:
            if isinstance(life, StoreRecord):
                known = note(life)
                await until_healthy(life.url, within_s, process, log)
                return known
            life = dataclasses.replace(life, ready={})
            note(life)
            return note(dataclasses.replace(life, ready=await ready(started, within_s)))
        except BaseException:
            await kill([process])
            raise
