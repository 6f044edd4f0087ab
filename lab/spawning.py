"""One process: started so that it outlives its launcher, awaited until ready, ended for sure."""

import asyncio
import contextlib
import json
import os
import signal
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import lab
from lab.errors import LabError, StartFailed
from lab.procfs import Process, family, runs, send, stat

ROOT = Path(lab.__file__).resolve().parent.parent
"""Where `python -m agent` finds its package."""

READY_LINE_BYTES_MAX = 64 * 1024
LOG_TAIL_BYTES = 16 * 1024
POLL_S = 0.01
KILL_PATIENCE_S = 10.0

_children: dict[int, "subprocess.Popen[bytes]"] = {}
"""What this launcher started and has not yet reaped; a zombie would look like a process."""


@dataclass(frozen=True, slots=True)
class Started:
    """A process that runs, and the pipe on which it will say that it is ready."""

    name: str
    process: Process
    pipe: IO[bytes]
    log: Path
    log_from: int
    """Where in its log this life of the program begins."""


def spawn(name: str, argv: Sequence[str], log: Path, *, says_ready: bool = True) -> Started:
    """Start `argv --ready-fd N` in a session of its own, with its output in `log`.

    A program that is not ours does not say when it is ready, and is called without the option.
    """
    reader, writer = os.pipe()
    pipe = os.fdopen(reader, "rb", buffering=0)
    try:
        with log.open("ab") as output:
            log_from = output.tell()
            child = subprocess.Popen(
                [*argv, *(("--ready-fd", str(writer)) if says_ready else ())],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                pass_fds=(writer,) if says_ready else (),
                start_new_session=True,
                cwd=ROOT,
            )
    except OSError as exc:
        pipe.close()
        raise StartFailed(f"cannot start {name} ({argv[0]}: {exc.strerror or exc})") from exc
    finally:
        os.close(writer)
    if not says_ready:
        pipe.close()
    _children[child.pid] = child
    now = stat(child.pid)
    assert now is not None, "a child stays in the table until it is reaped"
    return Started(name, now.process, pipe, log, log_from)


async def ready(started: Started, within_s: float) -> dict[str, Any]:
    """What the program's ready line says; StartFailed if it ends, or stays silent, before that."""
    try:
        async with asyncio.timeout(within_s):
            line = await _first_line(started.pipe)
            if not line:
                await _until_gone([started.process])
    except TimeoutError:
        raise StartFailed(
            f"{started.name} was not ready within {within_s:g} s{_last_words(started)}"
        ) from None
    if not line:
        raise StartFailed(f"{started.name} ended before it was ready{_last_words(started)}")
    with contextlib.suppress(ValueError):
        word, _, rest = line.decode().partition(" ")
        said = json.loads(rest)
        if word == "ready" and isinstance(said, dict):
            return said
    raise StartFailed(f"{started.name} said {line[:100]!r} where 'ready {{...}}' was due")


async def _first_line(pipe: IO[bytes]) -> bytes:
    """What comes on `pipe` up to the end of a line, at most READY_LINE_BYTES_MAX; closes it."""
    loop = asyncio.get_running_loop()
    os.set_blocking(pipe.fileno(), False)
    line, readable = b"", asyncio.Event()
    loop.add_reader(pipe, readable.set)
    try:
        while b"\n" not in line and len(line) < READY_LINE_BYTES_MAX:
            await readable.wait()
            readable.clear()
            piece = pipe.read(READY_LINE_BYTES_MAX)
            if piece == b"":
                break
            line += piece or b""  # None: woken for nothing
        return line
    finally:
        loop.remove_reader(pipe)
        pipe.close()


def _last_words(started: Started) -> str:
    """The last line that the program printed in this life, to go behind a sentence."""
    with started.log.open("rb") as log:
        size = log.seek(0, os.SEEK_END)
        log.seek(max(started.log_from, size - LOG_TAIL_BYTES))
        lines = log.read().decode(errors="replace").split("\n")
    said = next((line.strip() for line in reversed(lines) if line.strip()), "")
    return f": {said}" if said else " and said nothing"


async def end(leaders: Iterable[Process], patience_s: float) -> None:
    """End these programs: asked first, then killed, with all that they started and left behind."""
    leaders = list(leaders)
    for leader in leaders:
        send(leader, signal.SIGTERM)
    for process in (*leaders, *family(*leaders)):
        send(process, signal.SIGCONT)  # a frozen process would not hear that it shall end
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(patience_s):
            await _until_gone(leaders)
    await kill(leaders)


async def kill(leaders: Iterable[Process]) -> tuple[Process, ...]:
    """Kill these programs and all that they started, and wait until they are gone."""
    leaders = list(leaders)
    killed: set[Process] = set()
    while True:
        # The leaders first: a family whose head is gone grows only by what was in flight.
        alive = {leader for leader in leaders if send(leader, signal.SIGKILL)}
        alive |= {member for member in family(*leaders) if send(member, signal.SIGKILL)}
        killed |= alive
        try:
            async with asyncio.timeout(KILL_PATIENCE_S):
                await _until_gone(alive)
        except TimeoutError:
            pids = ", ".join(str(process.pid) for process in alive if runs(process))
            raise LabError(f"killed, but the kernel does not let go of pid {pids}") from None
        if not alive:
            return tuple(killed)


async def _until_gone(processes: Iterable[Process]) -> None:
    """Wait until none of them runs, and our own children have been waited for: one of many threads
    may be dead for all to see some time before its last thread is. What runs elsewhere has no exit
    to wait for, so look again.
    """
    left = list(processes)
    while True:
        _reap()
        left = [process for process in left if runs(process) or process.pid in _children]
        if not left:
            return
        await asyncio.sleep(POLL_S)


def _reap() -> None:
    for pid, child in list(_children.items()):
        if child.poll() is not None:
            del _children[pid]
