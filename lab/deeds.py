"""What `hvlab fault` does to the programs of a lab, each seen to have taken effect."""

import asyncio
import signal
from collections.abc import Sequence

from lab.errors import LabError
from lab.home import CoordinatorRecord, LabRecord, NodeRecord, SanRecord, StoreRecord
from lab.leaders import led_by
from lab.processes import (
    COORDINATOR,
    kill_coordinator,
    kill_node,
    kill_san,
    kill_store,
    restart_coordinator,
    restart_node,
    restart_san,
    restart_store,
    signal_node,
)
from lab.procfs import Process, send, stat
from lab.topology_san import SAN
from shell.errors import Inconclusive

VERIFY_WITHIN_S = 2.0
LOOK_EVERY_S = 0.01


async def named(record: LabRecord, target: str) -> str:
    """`coordinator` is the one that leads, where there are several."""
    if target != COORDINATOR or len(record.coordinators) <= 1:
        return target
    return (await led_by(record)).name


def program(
    record: LabRecord, target: str
) -> NodeRecord | CoordinatorRecord | StoreRecord | SanRecord:
    """The program of that name; a word that names none says which there are."""
    if target == SAN:
        return record.san
    if any(target == one.name for one in record.stores):
        return record.store(target)
    if any(target == one.name for one in record.coordinators):
        return record.coordinator(target)
    return record.node(target)


async def kill(record: LabRecord, target: str, agent_only: bool) -> tuple[Process, ...]:
    hit = program(record, target)
    if isinstance(hit, CoordinatorRecord):
        return await kill_coordinator(record, target)
    if isinstance(hit, StoreRecord):
        return await kill_store(record, target)
    if isinstance(hit, SanRecord):
        return await kill_san(record)
    if not agent_only:
        return await kill_node(record, target)
    reached = signal_node(record, target, signal.SIGKILL, whole=False)
    await until_states(reached, "ZX")
    return reached


async def freeze(record: LabRecord, target: str, agent_only: bool) -> tuple[Process, ...]:
    reached = signalled(record, target, signal.SIGSTOP, whole=not agent_only)
    await until_states(reached, "TtZX")
    return reached


def signalled(
    record: LabRecord, target: str, sig: signal.Signals, *, whole: bool
) -> tuple[Process, ...]:
    hit = program(record, target)
    if isinstance(hit, NodeRecord):
        return signal_node(record, target, sig, whole=whole)
    if not send(hit.process, sig):
        raise LabError(f"{target} does not run: restart it first")
    return (hit.process,)


async def thaw(record: LabRecord, target: str, agent_only: bool) -> tuple[Process, ...]:
    reached = signalled(record, target, signal.SIGCONT, whole=not agent_only)
    await until_states(reached, "RSDIZX")
    return reached


async def restart(record: LabRecord, target: str, agent_only: bool) -> tuple[Process, ...]:
    hit = program(record, target)
    if isinstance(hit, CoordinatorRecord):
        now = await restart_coordinator(record, target)
        return (now.coordinator(target).process,)
    if isinstance(hit, StoreRecord):
        return ((await restart_store(record, target)).store(target).process,)
    if isinstance(hit, SanRecord):
        return ((await restart_san(record)).san.process,)
    return ((await restart_node(record, target)).node(target).process,)


async def until_states(processes: Sequence[Process], states: str) -> None:
    """Wait until the kernel says that the fault has taken effect; else it is inconclusive."""
    give_up_at = asyncio.get_running_loop().time() + VERIFY_WITHIN_S
    while True:
        left = [
            process.pid
            for process in processes
            if (now := stat(process.pid)) is not None
            and now.process == process
            and now.state not in states
        ]
        if not left:
            return
        if asyncio.get_running_loop().time() >= give_up_at:
            pids = ", ".join(map(str, left))
            raise Inconclusive(
                f"the fault was sent, but pid {pids} does not show it yet: look again"
            )
        await asyncio.sleep(LOOK_EVERY_S)


DEEDS = {"kill": kill, "pause": freeze, "resume": thaw, "restart": restart}
