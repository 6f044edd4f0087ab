"""What a migration looks like from outside: the agents' memory and processors, the guest's beats.

A thread reads /proc and shared memory; no agent is asked, so none is slower for being watched.
"""

import contextlib
import os
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from agent.io.control import ControlBlock, WorkerState
from lab.evidence import boottime, cpu_s
from lab.home import LabRecord
from lab.procfs import Process

BUSY_EVERY_S, IDLE_EVERY_S = 0.001, 0.005
MEMORY_EVERY = 5
"""Beats are looked at so many times as often as memory."""

POPULATED_SHARE = 0.999


@dataclass(slots=True)
class Seen:
    """What was seen of one agent. `over_bytes`: the most it had beside memory of VMs, with files
    that it maps, such as libraries, which others may share; `anonymous_bytes`: without those.
    """

    node: str
    process: Process
    shared_from_bytes: int = 0
    over_bytes: int = 0
    anonymous_bytes: int = 0
    control: ControlBlock | None = None
    written: int = 0
    wrote_at: float = 0.0
    """When its guest was last seen to have written."""

    first_wrote_at: float | None = None


@dataclass
class Probe:
    """Watches the source and the target of one migration until it is left."""

    lab: LabRecord
    memory_bytes: int
    source: str
    target: str
    busy: bool
    began_s: float = field(default_factory=boottime)
    populated_s: float | None = None
    """When the target's memory was there, which ends S3."""

    cpu_from_s: float = 0.0
    cpu_to_s: float = 0.0

    def __enter__(self) -> Self:
        self._seen = {name: Seen(name, self.lab.node(name).process) for name in self._nodes}
        for seen in self._seen.values():
            seen.shared_from_bytes = resident(seen.process).get("RssShmem", 0)
        self.cpu_from_s = self._cpu_s()
        here = self._seen[self.source]
        here.control = control_of(here.process) if self.busy else None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="probe", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._stop.set()
        self._thread.join()
        for seen in self._seen.values():
            if seen.control is not None:
                seen.control.close()

    def end_clock(self) -> None:
        """The migration is over; what processors do from here on is not its own."""
        self.cpu_to_s = self._cpu_s()

    @property
    def cpu_used_s(self) -> float:
        """Of both agents, from the moment the target's memory was there."""
        return self.cpu_to_s - self.cpu_from_s

    @property
    def prepare_s(self) -> float:
        return 0.0 if self.populated_s is None else self.populated_s - self.began_s

    @property
    def gap_s(self) -> float | None:
        """From the guest's last write seen on the source to its first on the target."""
        here, there = self._seen[self.source], self._seen[self.target]
        if not self.busy or there.first_wrote_at is None or not here.wrote_at:
            return None
        return max(0.0, there.first_wrote_at - here.wrote_at)

    @property
    def over_bytes(self) -> Mapping[str, int]:
        here, there = self._seen[self.source], self._seen[self.target]
        return {
            "source": here.over_bytes,
            "target": there.over_bytes,
            "source, anonymous": here.anonymous_bytes,
            "target, anonymous": there.anonymous_bytes,
        }

    @property
    def _nodes(self) -> tuple[str, str]:
        return self.source, self.target

    def _cpu_s(self) -> float:
        return sum(cpu_s(seen.process) for seen in self._seen.values())

    def _watch(self) -> None:
        turn, every_s = 0, BUSY_EVERY_S if self.busy else IDLE_EVERY_S
        while not self._stop.is_set():
            if not self.busy or turn % MEMORY_EVERY == 0:
                self._look_at_memory()
            if self.busy:
                self._look_at_guest(turn)
            turn += 1
            time.sleep(every_s)

    def _look_at_memory(self) -> None:
        for seen in self._seen.values():
            rss = resident(seen.process)
            if not rss:
                continue
            shared = max(0, rss["RssShmem"] - seen.shared_from_bytes)
            own = seen.node == self.target
            over = rss["RssAnon"] + rss["RssFile"] + (max(0, shared - self.memory_bytes) * own)
            seen.over_bytes = max(seen.over_bytes, over)
            seen.anonymous_bytes = max(seen.anonymous_bytes, rss["RssAnon"])
            if own and self.populated_s is None and shared >= self.memory_bytes * POPULATED_SHARE:
                self.populated_s, self.cpu_from_s = boottime(), self._cpu_s()

    def _look_at_guest(self, turn: int) -> None:
        here, there = self._seen[self.source], self._seen[self.target]
        if there.control is None and turn % MEMORY_EVERY == 0:
            there.control = control_of(there.process)
        for seen in (here, there):
            if seen.control is None or (written := seen.control.bytes_written) == seen.written:
                continue
            seen.written, seen.wrote_at = written, written_at(seen.control)
            seen.first_wrote_at = seen.first_wrote_at or seen.wrote_at


def resident(process: Process) -> dict[str, int]:
    """What of a process is in memory, by kind, in bytes; nothing when it is gone."""
    with contextlib.suppress(OSError):
        text = Path(f"/proc/{process.pid}/status").read_text(encoding="ascii", errors="replace")
        rows = (line.split() for line in text.splitlines() if line.startswith("Rss"))
        return {row[0].rstrip(":"): int(row[1]) * 1024 for row in rows}
    return {}


def written_at(control: ControlBlock) -> float:
    """When the step began whose writes were seen, by the worker's own clock, so that it does not
    matter how late they were seen. Of a guest that has stopped since, when it stopped.
    """
    stopped = control.reply.state is not WorkerState.RUNNING
    return (control.changed_ns if stopped else control.beat_ns) / 1e9


def control_of(process: Process) -> ControlBlock | None:
    """What an agent and the worker of its only VM share; None while there is no such worker."""
    with contextlib.suppress(OSError):
        for entry in Path(f"/proc/{process.pid}/fd").iterdir():
            with contextlib.suppress(OSError):
                if str(entry.readlink()).startswith("/memfd:control-"):
                    return ControlBlock(os.open(entry, os.O_RDWR | os.O_CLOEXEC))
    return None
