"""Processes as the kernel shows them: who runs, in which of its lives, and whom it started."""

import os
import signal
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Process:
    """One life of one pid: the kernel gives pids out again, but never with the same start time."""

    pid: int
    start_time: int
    """Clock ticks since boot (field 22 of /proc/PID/stat)."""


@dataclass(frozen=True, slots=True)
class Stat:
    """What /proc/PID/stat says."""

    process: Process
    state: str
    parent: int
    session: int


def stat(pid: int) -> Stat | None:
    """What the kernel knows of `pid`; None if it is gone."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    # The command's name stands in parentheses and may hold anything, parentheses included.
    fields = text.rpartition(")")[2].split()
    return Stat(Process(pid, int(fields[19])), fields[0], int(fields[1]), int(fields[3]))


def boot_id() -> str:
    """Names this boot of the machine; start times of another boot mean nothing."""
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


def machine_memory_bytes() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def runs(process: Process) -> bool:
    """Whether that very process still runs; a zombie does not."""
    now = stat(process.pid)
    return now is not None and now.process == process and now.state not in "ZX"


def send(process: Process, sig: signal.Signals) -> bool:
    """Send `sig` to that very process, never to a later one of its pid; False if it is gone."""
    try:
        handle = os.pidfd_open(process.pid)
    except OSError:
        return False
    try:
        if not runs(process):
            return False
        signal.pidfd_send_signal(handle, sig)
    except ProcessLookupError:
        return False
    finally:
        os.close(handle)
    return True


def everybody() -> tuple[Stat, ...]:
    """All processes of the machine, for whoever asks of more than one family."""
    return tuple(_all())


def family(*leaders: Process, among: Iterable[Stat] | None = None) -> tuple[Process, ...]:
    """What `leaders` started that still runs, without themselves, also when they are gone.

    A program of a lab leads a session of its own, which its children stay in when it dies and
    they become somebody else's children; what left the session is found by its parents.
    """
    table = {entry.process.pid: entry for entry in (_all() if among is None else among)}
    ours = {
        leader.pid: leader
        for leader in leaders
        # Else the pid is somebody else's now, and no session of ours can be left.
        if leader.pid not in table or table[leader.pid].process == leader
    }
    found: list[Process] = []
    for pid, entry in table.items():
        if pid in ours or entry.state in "ZX":
            continue
        heads = ours.keys() & {entry.session, *_ancestors(pid, table)}
        if any(entry.process.start_time >= ours[head].start_time for head in heads):
            found.append(entry.process)
    return tuple(found)


def _ancestors(pid: int, table: dict[int, Stat]) -> set[int]:
    seen: set[int] = set()
    while pid in table and pid not in seen:
        seen.add(pid)
        pid = table[pid].parent
    return seen | {pid}


def _all() -> Iterator[Stat]:
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal() and (entry := stat(int(folder.name))):
            yield entry
