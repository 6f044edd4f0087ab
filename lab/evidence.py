"""What VM workers show of themselves, read from their shared memory: no agent needs to be asked.

A worker's memory and control block are memfds, which whoever may look finds under /proc/PID/fd. An
opened one stays readable when its worker is dead, so a witness of a killed guest tells how it
ended.
"""

import contextlib
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from agent.io.control import ControlBlock, WorkerState
from lab.home import LabRecord
from lab.procfs import Process, everybody, family, runs, stat

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_MEMORY, _DELETED = "/memfd:vm-", " (deleted)"


@dataclass
class Witness:
    """One worker of one VM, whatever happens to it; `close` it."""

    node: str
    vm: str
    process: Process
    control: ControlBlock

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.control.close()

    @property
    def steps(self) -> int:
        return self.control.steps

    @property
    def began_s(self) -> float:
        """When the worker was forked, on CLOCK_BOOTTIME; the kernel's ticks are of 10 ms."""
        return self.process.start_time / _TICKS_PER_S

    @property
    def changed_s(self) -> float:
        """When its guest last paused or ran on, on CLOCK_BOOTTIME."""
        return self.control.changed_ns / 1e9

    @property
    def beat_s(self) -> float:
        """When its guest was last known to run, on CLOCK_BOOTTIME."""
        return self.control.beat_ns / 1e9

    @property
    def runs(self) -> bool:
        return runs(self.process) and self.control.reply.state is WorkerState.RUNNING


def workers(lab: LabRecord, vm: str) -> list[Witness]:
    """Every process of the lab that is a worker of this VM, on whatever node."""
    return list(_found(lab, vm))


def all_workers(lab: LabRecord) -> dict[str, list[Witness]]:
    """The workers of every VM, found in one look at the machine."""
    found: dict[str, list[Witness]] = {}
    for witness in _found(lab):
        found.setdefault(witness.vm, []).append(witness)
    return found


def running_on(lab: LabRecord, vm: str) -> list[str]:
    """The nodes on which a guest of this VM runs right now."""
    nodes = []
    for witness in workers(lab, vm):
        with witness:
            if witness.runs:
                nodes.append(witness.node)
    return nodes


def boottime() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def pss_bytes(process: Process) -> int:
    """The memory of a process, with its share of what it shares."""
    text = Path(f"/proc/{process.pid}/smaps_rollup").read_text(encoding="ascii")
    line = next(line for line in text.splitlines() if line.startswith("Pss:"))
    return int(line.split()[1]) * 1024


def cpu_s(process: Process) -> float:
    """What a process has used of any core so far, in itself and the kernel; 0 when it is gone."""
    with contextlib.suppress(OSError):
        text = Path(f"/proc/{process.pid}/stat").read_text(encoding="utf-8", errors="replace")
        fields = text.rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS_PER_S
    return 0.0


def open_files(process: Process) -> int:
    return len(list(Path(f"/proc/{process.pid}/fd").iterdir()))


def _found(lab: LabRecord, vm: str | None = None) -> Iterator[Witness]:
    machine = everybody()
    for node in lab.nodes:
        for process in family(node.process, among=machine):
            with contextlib.suppress(OSError):  # it ended while it was looked at
                if witness := _witness(node.name, process, vm):
                    yield witness


def _witness(node: str, process: Process, wanted: str | None) -> Witness | None:
    """None if it is no worker, or not of that VM. The warm parent has no memory open."""
    control, vm = None, None
    for entry in Path(f"/proc/{process.pid}/fd").iterdir():
        target = str(entry.readlink())
        if target.startswith(_MEMORY) and target.endswith(_DELETED):
            vm = target[len(_MEMORY) : -len(_DELETED)]
        if target.startswith("/memfd:control-"):
            control = entry
    if vm is None or wanted not in (None, vm) or control is None or stat(process.pid) is None:
        return None
    block = ControlBlock(os.open(control, os.O_RDWR | os.O_CLOEXEC))
    return Witness(node, vm, process, block)
