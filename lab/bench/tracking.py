"""What the kernel's tracking of writes costs a guest that writes as fast as it can."""

import multiprocessing
import multiprocessing.connection
import os
import time
from collections.abc import Callable
from contextlib import closing

from agent.guests import Writer
from agent.io.memory import VmMemory
from agent.io.tracker import KernelTracker
from agent.io.userfault import track_writes
from protocol.names import PAGE_BYTES, Workload

SET_BYTES = 64 << 20
SCAN_EVERY_S = 0.1
SECONDS = 2.0
STEP_PAGES = 256

End = multiprocessing.connection.Connection


def tracked_to_untracked(rounds: int, note: Callable[[str], None]) -> list[float]:
    """Steps with a scan every 100 ms as a share of steps without, in turns."""
    shares = []
    for number in range(rounds):
        note(f"tracking, round {number + 1} of {rounds}")
        order = (False, True) if number % 2 == 0 else (True, False)
        steps = {tracked: _steps(tracked) for tracked in order}
        shares.append(steps[True] / steps[False])
    return shares


def _steps(tracked: bool) -> float:
    """Pages that a guest of 64 MiB writes in each second."""
    fork = multiprocessing.get_context("fork")
    here, there = fork.Pipe()
    with closing(VmMemory.create("bench-tracked", SET_BYTES + PAGE_BYTES)) as memory:
        child = fork.Process(target=_guest, args=(memory, tracked, there))
        child.start()
        try:
            address: int = here.recv()
            assert child.pid is not None
            tracker = KernelTracker(child.pid, address, memory.pages) if tracked else None
            if tracker is not None:
                tracker.begin()
            here.send("go")
            while not here.poll(SCAN_EVERY_S):
                if tracker is not None:
                    tracker.collect()
            steps, seconds = here.recv()
            if tracker is not None:
                tracker.close()
            return float(steps / seconds)
        finally:
            child.kill()
            child.join()


def _guest(memory: VmMemory, tracked: bool, end: End) -> None:
    guest = Writer(Workload("wave", 0, SET_BYTES, 0), memory.array)
    guest.boot(1)
    memory.populate()
    uffd = track_writes(memory.address, memory.memory_bytes) if tracked else -1
    end.send(memory.address)
    end.recv()
    began = time.monotonic()
    while time.monotonic() - began < SECONDS:
        guest.step(STEP_PAGES)
    end.send((guest.steps, time.monotonic() - began))
    end.recv()  # until it is killed: who scans it must not find it gone
    os.close(uffd)
